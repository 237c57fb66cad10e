package falclient_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"nemotron-mcp/falclient"
)

// refusedURL is an address at which nobody listens.
func refusedURL(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return "http://" + ln.Addr().String()
}

// forbidden is a handler that must not be reached.
func forbidden(t *testing.T) http.HandlerFunc {
	return func(_ http.ResponseWriter, r *http.Request) { t.Errorf("reached by %s %s", r.Method, r.URL) }
}

type unreachable struct {
	name string
	make func(t *testing.T) (url string, tr *http.Transport)
}

func unreachables() []unreachable {
	dialing := func(d *net.Dialer, host string) *http.Transport {
		tr := falclient.NewTransport()
		plain := tr.DialContext
		tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if strings.HasPrefix(addr, host) {
				return d.DialContext(ctx, network, addr)
			}
			return plain(ctx, network, addr)
		}
		return tr
	}
	return []unreachable{
		{"refused", func(t *testing.T) (string, *http.Transport) { return refusedURL(t), falclient.NewTransport() }},
		{"name not found", func(*testing.T) (string, *http.Transport) {
			noDNS := &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
				return nil, errors.New("no name server")
			}}
			return "https://queue.invalid", dialing(&net.Dialer{Resolver: noDNS}, "queue.invalid:")
		}},
		{"dial timed out", func(*testing.T) (string, *http.Transport) {
			// The error matches context.DeadlineExceeded, which is not the caller's.
			return "https://127.0.0.2:9", dialing(&net.Dialer{Timeout: time.Nanosecond}, "127.0.0.2:9")
		}},
		{"untrusted certificate", func(t *testing.T) (string, *http.Transport) {
			srv := httptest.NewUnstartedServer(forbidden(t))
			srv.Config.ErrorLog = quiet
			srv.StartTLS()
			t.Cleanup(srv.Close)
			return srv.URL, falclient.NewTransport()
		}},
		{"no TLS spoken", func(t *testing.T) (string, *http.Transport) {
			srv := httptest.NewServer(forbidden(t))
			t.Cleanup(srv.Close)
			return strings.Replace(srv.URL, "http:", "https:", 1), falclient.NewTransport()
		}},
	}
}

// Where no connection is made nothing was sent: that is told, and the backup
// host is tried once.
func TestNoConnection(t *testing.T) {
	t.Parallel()
	for _, u := range unreachables() {
		t.Run(u.name, func(t *testing.T) {
			t.Parallel()
			url, tr := u.make(t)
			c := newClient(t, falclient.Config{QueueURL: url, Transport: tr})
			_, err := submit(t.Context(), c, falclient.SubmitOptions{})
			var unreached *falclient.ConnectError
			if !errors.As(err, &unreached) {
				t.Fatalf("error is %T (%v), want *ConnectError", err, err)
			}
			if _, host, _ := strings.Cut(url, "://"); unreached.Host != host || unreached.Op != "submit" {
				t.Errorf("got %+v, want the host %s", unreached, host)
			}
		})
		t.Run(u.name+", backup reached", func(t *testing.T) {
			t.Parallel()
			var posts, gets atomic.Int64
			backup := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Authorization") != "Key "+testKey {
					t.Error("the backup host got no key")
				}
				if r.Method == http.MethodPost {
					posts.Add(1)
					bodyOf(w, http.StatusOK, taken)
					return
				}
				gets.Add(1)
				bodyOf(w, http.StatusOK, `{"output":"x"}`)
			}))
			t.Cleanup(backup.Close)
			url, tr := u.make(t)
			c := newClient(t, falclient.Config{QueueURL: url, BackupURL: backup.URL, Transport: tr})
			if sub, err := submit(t.Context(), c, falclient.SubmitOptions{}); err != nil || sub.RequestID != testID {
				t.Errorf("got %+v, %v", sub, err)
			}
			if _, err := c.Result(t.Context(), vision, testID); err != nil {
				t.Error("result:", err)
			}
			if posts.Load() != 1 || gets.Load() != 1 {
				t.Errorf("%d POSTs and %d GETs at the backup host, want 1 of each", posts.Load(), gets.Load())
			}
		})
		t.Run(u.name+", backup not reached either", func(t *testing.T) {
			t.Parallel()
			url, tr := u.make(t)
			c := newClient(t, falclient.Config{QueueURL: url, BackupURL: refusedURL(t), Transport: tr})
			_, err := submit(t.Context(), c, falclient.SubmitOptions{})
			var unreached *falclient.ConnectError
			if !errors.As(err, &unreached) || !strings.HasSuffix(url, unreached.Host) {
				t.Errorf("error is %v, want the first host's", err)
			}
		})
	}
}

// The backup host is for connections that fail, not for answers that do.
func TestBackupNotTriedAfterSending(t *testing.T) {
	t.Parallel()
	backup := httptest.NewServer(forbidden(t))
	t.Cleanup(backup.Close)
	for name, fault := range map[string]func(net.Conn){
		"RST": reset,
		"503": func(c net.Conn) { text(c, "503 Service Unavailable", "", nginx) },
		"429": func(c net.Conn) { text(c, "429 Too Many Requests", "Retry-After: 99\r\n", "{}") },
	} {
		t.Run(name, func(t *testing.T) {
			srv := startRaw(t, func(_ int64, conn net.Conn, _ *http.Request) bool { fault(conn); return false })
			c := newClient(t, falclient.Config{QueueURL: srv.url(), BackupURL: backup.URL})
			if _, err := submit(t.Context(), c, falclient.SubmitOptions{}); err == nil {
				t.Error("no error")
			}
			if n := srv.posts.Load(); n != 1 {
				t.Errorf("%d POSTs, want 1", n)
			}
		})
	}
}

// The backup took the connection and broke it: fal may have the job.
func TestBackupBreaks(t *testing.T) {
	t.Parallel()
	backup := startRaw(t, func(_ int64, conn net.Conn, _ *http.Request) bool { reset(conn); return false })
	c := newClient(t, falclient.Config{QueueURL: refusedURL(t), BackupURL: backup.url()})
	_, err := submit(t.Context(), c, falclient.SubmitOptions{MaxWait: time.Minute})
	if !errors.As(err, new(*falclient.SubmitUnknownError)) || backup.posts.Load() != 1 {
		t.Errorf("%d POSTs, %v; want one, unknown", backup.posts.Load(), err)
	}
}

// A submission that was never sent is tried again for as long as MaxWait allows.
func TestSubmitConnectsLater(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var posts atomic.Int64
		c, m := bubble(t, func(w http.ResponseWriter, _ *http.Request) {
			posts.Add(1)
			bodyOf(w, http.StatusOK, taken)
		})
		m.refused.Store(true)
		if _, err := submit(t.Context(), c, falclient.SubmitOptions{}); !errors.As(err, new(*falclient.ConnectError)) || m.dials.Load() != 1 {
			t.Errorf("%d dials, %v; want one", m.dials.Load(), err)
		}
		if _, err := submit(t.Context(), c, falclient.SubmitOptions{MaxWait: time.Hour}); !errors.As(err, new(*falclient.ConnectError)) || m.dials.Load() != 6 {
			t.Errorf("%d dials, %v; want five more", m.dials.Load(), err)
		}
		c2, m2 := bubble(t, func(w http.ResponseWriter, _ *http.Request) {
			posts.Add(1)
			bodyOf(w, http.StatusOK, taken)
		})
		m2.refused.Store(true)
		// The first dial fails at 0 s, and none follows in the same instant.
		time.AfterFunc(time.Nanosecond, func() { m2.refused.Store(false) })
		if _, err := submit(t.Context(), c2, falclient.SubmitOptions{MaxWait: time.Hour}); err != nil || posts.Load() != 1 || m2.dials.Load() != 2 {
			t.Errorf("%d POSTs in %d dials, %v; want one in two", posts.Load(), m2.dials.Load(), err)
		}
	})
}
