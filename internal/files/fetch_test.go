package files

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// fakeDNS answers each look-up of an A record with what addr returns.
func fakeDNS(t *testing.T, addr func() netip.Addr) *net.Resolver {
	t.Helper()
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go func() {
			defer server.Close()
			for {
				var length [2]byte
				if _, err := io.ReadFull(server, length[:]); err != nil {
					return
				}
				query := make([]byte, binary.BigEndian.Uint16(length[:]))
				if _, err := io.ReadFull(server, query); err != nil {
					return
				}
				end := 12
				for query[end] != 0 {
					end += int(query[end]) + 1
				}
				end += 5
				answer := append([]byte{query[0], query[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, query[12:end]...)
				if binary.BigEndian.Uint16(query[end-4:]) == 1 {
					answer[7] = 1
					answer = append(answer, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4)
					answer = append(answer, addr().AsSlice()...)
				}
				if _, err := server.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...)); err != nil {
					return
				}
			}
		}()
		return client, nil
	}}
}

// site is a server of this machine, and a Fetcher that may reach it alone, but
// nothing else of the machine.
func site(t *testing.T, handler http.HandlerFunc, change ...func(*hooks)) (*Fetcher, *httptest.Server) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	address := netip.MustParseAddrPort(server.Listener.Addr().String())
	h := hooks{
		reachable: func(target netip.AddrPort) bool { return target == address },
		local:     func(u *url.URL) bool { return u.Host == address.String() && u.User == nil },
	}
	for _, c := range change {
		c(&h)
	}
	return newFetcher("test/1", h), server
}

func TestFetch(t *testing.T) {
	t.Parallel()
	var seen http.Header
	f, server := site(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/a":
			http.SetCookie(w, &http.Cookie{Name: "c", Value: "v"})
			http.Redirect(w, r, "/dir/p%C3%ADc.png?sig=1", http.StatusFound)
		case "/named":
			w.Header().Set("Content-Disposition", `attachment; filename="../a\"b.mp4"`)
			_, _ = io.WriteString(w, "12345")
		default:
			seen = r.Header.Clone()
			w.Header().Set("Content-Type", "image/png")
			_, _ = io.WriteString(w, "12345")
		}
	})
	d, err := f.Fetch(t.Context(), server.URL+"/a?secret=1", 5)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(d.Body)
	if err != nil || string(content) != "12345" {
		t.Errorf("got %q, %v", content, err)
	}
	if err := d.Body.Close(); err != nil {
		t.Error(err)
	}
	if d.Size != 5 || d.ContentType != "image/png" || d.Name != "p_c.png" {
		t.Errorf("got %+v", d)
	}
	for _, name := range []string{"Cookie", "Referer", "Authorization"} {
		if seen.Get(name) != "" {
			t.Errorf("sends %s: %s", name, seen.Get(name))
		}
	}
	if seen.Get("User-Agent") != "test/1" || seen.Get("Accept-Encoding") != "identity" {
		t.Errorf("sends %v", seen)
	}
	d, err = f.Fetch(t.Context(), server.URL+"/named", 5)
	if err != nil || d.Name != "a_b.mp4" {
		t.Fatalf("got %+v, %v", d, err)
	}
	_ = d.Body.Close()
}

func TestFetchLimits(t *testing.T) {
	t.Parallel()
	f, server := site(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/told":
			w.Header().Set("Content-Length", "6")
			_, _ = io.WriteString(w, "123456")
		case "/untold", "/exact":
			w.(http.Flusher).Flush()
			_, _ = io.WriteString(w, map[string]string{"/untold": "123456", "/exact": "12345"}[r.URL.Path])
		case "/cut":
			w.Header().Set("Content-Length", "5")
			_, _ = io.WriteString(w, "12")
		case "/gone":
			w.WriteHeader(http.StatusGone)
		case "/gzip":
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = io.WriteString(w, "12")
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusFound)
		}
	})
	for _, tc := range []struct{ path, part string }{
		{"/told", "6 bytes; the limit is 5"},
		{"/untold", "larger than the limit of 5"},
		{"/exact", ""},
		{"/cut", "before its end"},
		{"/gone", "status 410"},
		{"/gzip", "compressed"},
		{"/loop", "more than 5 times"},
	} {
		t.Run(tc.path, func(t *testing.T) {
			d, err := f.Fetch(t.Context(), server.URL+tc.path, 5)
			if err == nil {
				_, err = io.ReadAll(d.Body)
				_ = d.Body.Close()
			}
			if tc.part == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantError(t, err, CodeInvalid, tc.part)
		})
	}
}

func TestFetchTimes(t *testing.T) {
	t.Parallel()
	hang := make(chan struct{})
	f, server := site(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/drip" {
			_, _ = io.WriteString(w, "1")
			w.(http.Flusher).Flush()
		}
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	}, func(h *hooks) { h.head, h.idle = 50*time.Millisecond, 50*time.Millisecond })
	t.Cleanup(func() { close(hang) })
	_, err := f.Fetch(t.Context(), server.URL+"/silent", 5)
	wantError(t, err, CodeInvalid, "silent")
	d, err := f.Fetch(t.Context(), server.URL+"/drip", 5)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.ReadAll(d.Body)
	wantError(t, err, CodeInvalid, "silent")
	_ = d.Body.Close()

	patient, server := site(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := patient.Fetch(ctx, server.URL, 5); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

// TestFetchRefusesRedirects sends each address by redirect: none is dialled.
func TestFetchRefusesRedirects(t *testing.T) {
	t.Parallel()
	var inner atomic.Int32
	secret := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { inner.Add(1) }))
	t.Cleanup(secret.Close)
	f, server := site(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", r.URL.Query().Get("to"))
		w.WriteHeader(http.StatusTemporaryRedirect)
	})
	for _, to := range []string{
		secret.URL, "http://169.254.169.254/", "http://2130706433/", "http://[::ffff:127.0.0.1]/", "http://localhost/", "file:///etc/passwd",
		"gopher://127.0.0.1/", "http://user@example.com/", "http://example.com:22/", "//10.0.0.1/", "http://[64:ff9b::7f00:1]/",
	} {
		_, err := f.Fetch(t.Context(), server.URL+"/?to="+url.QueryEscape(to), 5)
		wantError(t, err, CodeNotAllowed, "")
	}
	if inner.Load() != 0 {
		t.Errorf("%d requests reached the machine", inner.Load())
	}
}

func TestFetchRefusesDowngrade(t *testing.T) {
	t.Parallel()
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	server := httptest.NewTLSServer(http.RedirectHandler(plain.URL, http.StatusFound))
	t.Cleanup(server.Close)
	config := server.Client().Transport.(*http.Transport).TLSClientConfig
	h := hooks{reachable: func(netip.AddrPort) bool { return true }, local: func(*url.URL) bool { return true }, tls: config}
	_, err := newFetcher("test", h).Fetch(t.Context(), server.URL, 5)
	wantError(t, err, CodeNotAllowed, "from https to http")
	h.tls = nil
	_, err = newFetcher("test", h).Fetch(t.Context(), server.URL, 5)
	wantError(t, err, CodeInvalid, "no valid certificate")
}

// TestFetchByName looks names up that lead, at once or at the second look-up,
// to this machine.
func TestFetchByName(t *testing.T) {
	t.Parallel()
	var served, looked atomic.Int32
	var public netip.AddrPort
	f, server := site(t, func(w http.ResponseWriter, r *http.Request) {
		served.Add(1)
		if r.URL.Path == "/again" {
			http.Redirect(w, r, fmt.Sprintf("http://rebind.example:%d/", public.Port()), http.StatusFound)
		}
	})
	public = netip.MustParseAddrPort(server.Listener.Addr().String())
	for _, tc := range []struct {
		name   string
		path   string
		first  string
		second string
		served int32
	}{
		{"a name of a private address", "/", "10.0.0.1", "10.0.0.1", 0},
		{"a name of the metadata", "/", "169.254.169.254", "169.254.169.254", 0},
		{"a name of 0.0.0.0", "/", "0.0.0.0", "0.0.0.0", 0},
		// 127.0.0.1 stands for a public address here: it alone is reachable.
		{"a name that changes", "/again", "127.0.0.1", "127.0.0.2", 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			looked.Store(0)
			served.Store(0)
			h := f.hooks
			h.local = func(u *url.URL) bool { return u.Hostname() == "rebind.example" }
			h.resolver = fakeDNS(t, func() netip.Addr {
				if looked.Add(1) == 1 {
					return netip.MustParseAddr(tc.first)
				}
				return netip.MustParseAddr(tc.second)
			})
			_, err := newFetcher("test", h).Fetch(t.Context(), fmt.Sprintf("http://rebind.example:%d%s", public.Port(), tc.path), 5)
			wantError(t, err, CodeNotAllowed, "private or reserved address")
			if served.Load() != tc.served {
				t.Errorf("%d requests were served, want %d", served.Load(), tc.served)
			}
		})
	}
}

// TestFetchWideDigits writes an address in characters that become digits on the
// way: the dialer, if not the URL's check, must see it.
func TestFetchWideDigits(t *testing.T) {
	t.Parallel()
	f := NewFetcher("test")
	for _, host := range []string{"①②⑦.⓪.⓪.①", "１２７.０.０.１", "127。0。0。1", "ｌocalhost"} {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		_, err := f.Fetch(ctx, "http://"+host+"/", 5)
		cancel()
		var fault *Error
		if !errors.As(err, &fault) {
			t.Errorf("%s: %v", host, err)
		}
	}
}

func TestFetchUsesNoProxy(t *testing.T) {
	var asked atomic.Int32
	proxy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	t.Cleanup(proxy.Close)
	t.Setenv("HTTP_PROXY", proxy.URL)
	f := newFetcher("test", hooks{resolver: fakeDNS(t, func() netip.Addr { return netip.MustParseAddr("10.0.0.1") })})
	_, err := f.Fetch(t.Context(), "http://example.com/secret-path?sig=s3cr3t", 5)
	fault := wantError(t, err, CodeNotAllowed, "example.com")
	if asked.Load() != 0 || strings.Contains(fault.Message, "s3cr3t") || strings.Contains(fault.Message, "10.0.0.1") {
		t.Errorf("proxy asked %d times; %v", asked.Load(), fault)
	}
}

func TestControl(t *testing.T) {
	t.Parallel()
	f := NewFetcher("test")
	for address, want := range map[string]bool{
		"8.8.8.8:443": true, "8.8.8.8:80": true, "[2606:4700::1111]:443": true,
		"8.8.8.8:22": false, "127.0.0.1:80": false, "[::ffff:10.0.0.1]:80": false, "[fe80::1%eth0]:80": false, "[64:ff9b::1]:80": false, "nonsense": false,
	} {
		if err := f.control("tcp", address, nil); (err == nil) != want {
			t.Errorf("%s: %v", address, err)
		}
	}
}
