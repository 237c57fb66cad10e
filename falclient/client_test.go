package falclient_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nemotron-mcp/falclient"
)

func TestNew(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		cfg  falclient.Config
		bad  string // part of the error; none where empty
	}{
		{"nothing set", falclient.Config{}, ""},
		{"https", falclient.Config{QueueURL: "https://proxy.example:8443/fal/"}, ""},
		{"http on 127.0.0.1", falclient.Config{QueueURL: "http://127.0.0.1:8080"}, ""},
		{"http in 127/8", falclient.Config{QueueURL: "http://127.9.9.9"}, ""},
		{"http on ::1", falclient.Config{QueueURL: "http://[::1]:80"}, ""},
		{"http on a mapped loopback", falclient.Config{QueueURL: "http://[::ffff:127.0.0.1]"}, ""},
		{"http on localhost", falclient.Config{QueueURL: "http://LOCALHOST:1"}, ""},
		{"http elsewhere", falclient.Config{QueueURL: "http://queue.fal.run"}, "https"},
		{"http on a name that looks like loopback", falclient.Config{QueueURL: "http://127.0.0.1.evil.example"}, "https"},
		{"http on every address", falclient.Config{QueueURL: "http://0.0.0.0"}, "https"},
		{"http on a private address", falclient.Config{QueueURL: "http://10.0.0.1"}, "https"},
		{"another scheme", falclient.Config{QueueURL: "ftp://127.0.0.1"}, "https"},
		{"no scheme", falclient.Config{QueueURL: "queue.fal.run"}, "scheme"},
		{"no host", falclient.Config{QueueURL: "https:///x"}, "host"},
		{"only a port", falclient.Config{QueueURL: "https://:443"}, "host"},
		{"a user", falclient.Config{QueueURL: "https://u:hunter2@queue.fal.run"}, "no user"},
		{"a query", falclient.Config{QueueURL: "https://queue.fal.run?a=b"}, "query"},
		{"an empty query", falclient.Config{QueueURL: "https://queue.fal.run?"}, "query"},
		{"a fragment", falclient.Config{QueueURL: "https://queue.fal.run#a"}, "fragment"},
		{"not a URL", falclient.Config{QueueURL: "https://hunter2\x7f"}, "not a URL"},
		{"http backup", falclient.Config{BackupURL: "http://queue.falrun.com"}, "backup URL"},
		{"a key with a newline at its end", falclient.Config{Key: testKey + "\r\n"}, ""},
		{"a key with a newline in it", falclient.Config{Key: "hunter2\r\nX-A: b"}, "fal key"},
		{"a key with a blank", falclient.Config{Key: "Key hunter2"}, "fal key"},
		{"a key beyond ASCII", falclient.Config{Key: "hunter2é"}, "fal key"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c, err := falclient.New(tc.cfg)
			if tc.bad == "" {
				if err != nil {
					t.Fatal(err)
				}
				c.Close()
				return
			}
			if err == nil || !strings.Contains(err.Error(), tc.bad) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("error is %v, want one with %q and no secret", err, tc.bad)
			}
		})
	}
}

// roundTripper answers in place of the network.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestHosts(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		cfg  falclient.Config
		want string
	}{
		{"fal's own", falclient.Config{}, "queue.fal.run queue.falrun.com"},
		{"fal's own, named", falclient.Config{QueueURL: "https://queue.fal.run/"}, "queue.fal.run queue.falrun.com"},
		{"another", falclient.Config{QueueURL: "https://proxy.example"}, "proxy.example"},
		{"another with a backup", falclient.Config{QueueURL: "https://a.example", BackupURL: "https://b.example"}, "a.example b.example"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var asked []string
				cfg := tc.cfg
				cfg.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
					asked = append(asked, r.URL.Host)
					if r.URL.Scheme != "https" || r.Header.Get("Authorization") != "Key "+testKey {
						t.Errorf("%s with %v", r.URL, r.Header)
					}
					return nil, errors.New("no connection")
				})
				c := newClient(t, cfg)
				first, _, _ := strings.Cut(tc.want, " ")
				var unreached *falclient.ConnectError
				if _, err := submit(t.Context(), c, falclient.SubmitOptions{}); !errors.As(err, &unreached) || unreached.Host != first {
					t.Errorf("submit: %v, want the first host's error", err)
				}
				if got := strings.Join(asked, " "); got != tc.want {
					t.Errorf("asked %q, want %q", got, tc.want)
				}
				asked = nil
				if _, err := c.Status(t.Context(), vision, testID, false); !errors.As(err, &unreached) || unreached.Host != first {
					t.Errorf("status: %v, want the first host's error", err)
				}
				if got, want := strings.Join(asked, " "), strings.TrimSpace(strings.Repeat(tc.want+" ", 5)); got != want {
					t.Errorf("asked %q, want %q", got, want)
				}
			})
		})
	}
}

func TestWithoutKey(t *testing.T) {
	t.Parallel()
	c, err := falclient.New(falclient.Config{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		t.Errorf("sent: %s", r.URL)
		return nil, io.EOF
	})})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, op := range operations() {
		if err := op.call(t.Context(), c, vision, testID); !errors.Is(err, falclient.ErrNoKey) {
			t.Errorf("%s: error is %v, want ErrNoKey", op.name, err)
		}
	}
}

// counted counts what the client takes of a body.
type counted struct {
	io.Reader
	n *int64
}

func (c counted) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	*c.n += int64(n)
	return n, err
}
func (c counted) Close() error { return nil }

type endless struct{}

var blanks = bytes.Repeat([]byte(" "), 64<<10)

func (endless) Read(b []byte) (int, error) { return copy(b, blanks), nil }

func TestBodiesAreBounded(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	for _, tc := range []struct {
		name   string
		status int
		limit  int64
		call   func(c *falclient.Client) error
		is     error
	}{
		{"submit", 200, falclient.MaxErrorBody, func(c *falclient.Client) error { _, err := submit(ctx, c, falclient.SubmitOptions{}); return err }, falclient.ErrTooLarge},
		{"result", 200, falclient.MaxBody, func(c *falclient.Client) error { _, err := c.Result(ctx, vision, testID); return err }, falclient.ErrTooLarge},
		{"status", 200, falclient.MaxStatus, func(c *falclient.Client) error { _, err := c.Status(ctx, vision, testID, false); return err }, falclient.ErrTooLarge},
		{"cancel", 200, falclient.MaxErrorBody, func(c *falclient.Client) error { _, err := c.Cancel(ctx, vision, testID); return err }, falclient.ErrTooLarge},
		{"error", 404, falclient.MaxErrorBody, func(c *falclient.Client) error { _, err := c.Result(ctx, vision, testID); return err }, falclient.ErrNotFound},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var took int64
			var requests int
			c := newClient(t, falclient.Config{Transport: roundTripper(func(*http.Request) (*http.Response, error) {
				requests++
				return &http.Response{StatusCode: tc.status, Body: counted{endless{}, &took}}, nil
			})})
			if err := tc.call(c); !errors.Is(err, tc.is) {
				t.Errorf("error is %v, want %v", err, tc.is)
			}
			if took != tc.limit+1 || requests != 1 {
				t.Errorf("took %d bytes in %d requests, want %d in one", took, requests, tc.limit+1)
			}
		})
	}
}

// A log that has grown too long does not hide where the job stands.
func TestStatusWithoutItsLogs(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery == "logs=1" {
			_, _ = io.CopyN(w, endless{}, falclient.MaxStatus+1)
			return
		}
		bodyOf(w, http.StatusAccepted, `{"status":"IN_PROGRESS"}`)
	}))
	t.Cleanup(srv.Close)
	c := newClient(t, falclient.Config{QueueURL: srv.URL})
	if st, err := c.Status(t.Context(), vision, testID, true); err != nil || st.State != falclient.InProgress {
		t.Errorf("got %+v, %v", st, err)
	}
}

func TestGzipBomb(t *testing.T) {
	t.Parallel()
	packed := func(s []byte) []byte {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = z.Write(s)
		_ = z.Close()
		return b.Bytes()
	}
	block, end := packed(blanks), packed([]byte(`{"status":"IN_PROGRESS"}`))
	for _, tc := range []struct {
		name string
		size int
		is   error
	}{
		{"within the limit after decompression", 1 << 20, nil},
		{"beyond it", falclient.MaxStatus, falclient.ErrTooLarge},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Encoding", "gzip")
				for range tc.size / len(blanks) {
					_, _ = w.Write(block)
				}
				_, _ = w.Write(end)
			}))
			t.Cleanup(srv.Close)
			c := newClient(t, falclient.Config{QueueURL: srv.URL})
			if _, err := c.Status(t.Context(), vision, testID, false); !errors.Is(err, tc.is) {
				t.Errorf("error is %v, want %v", err, tc.is)
			}
		})
	}
}

// One byte a second: each request ends with its time, and the call with its tries.
func TestSlowBody(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		timeout time.Duration
		call    func(context.Context, *falclient.Client) error
	}{
		{"status", falclient.AnswerTimeout, func(ctx context.Context, c *falclient.Client) error {
			_, err := c.Status(ctx, vision, testID, false)
			return err
		}},
		{"cancel", falclient.AnswerTimeout, func(ctx context.Context, c *falclient.Client) error {
			_, err := c.Cancel(ctx, vision, testID)
			return err
		}},
		{"result", falclient.ResultTimeout, func(ctx context.Context, c *falclient.Client) error {
			_, err := c.Result(ctx, vision, testID)
			return err
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c, _ := bubble(t, func(w http.ResponseWriter, r *http.Request) {
					for r.Context().Err() == nil {
						_, _ = io.WriteString(w, " ")
						_ = http.NewResponseController(w).Flush()
						time.Sleep(time.Second)
					}
				})
				began := time.Now()
				err := tc.call(t.Context(), c)
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("error is %v", err)
				}
				if took := time.Since(began); took < 5*tc.timeout || took > 5*tc.timeout+15*time.Second {
					t.Errorf("took %v, want five times %v and the pauses", took, tc.timeout)
				}
			})
		})
	}
}

func TestCloseTwice(t *testing.T) {
	t.Parallel()
	c := newClient(t, falclient.Config{})
	c.Close()
	c.Close()
}
