package falclient_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"nemotron-mcp/falclient"
)

func itoa(n int) string { return strconv.Itoa(n) }

const nginx = "<html><head><title>Gateway</title></head><body>nginx</body></html>"

// A submission that was read and whose answer can't be: one POST, whatever the
// connection had been through before.
func TestSubmitUnknownIsSentOnce(t *testing.T) {
	t.Parallel()
	write := func(s string) func(net.Conn) { return func(c net.Conn) { _, _ = io.WriteString(c, s) } }
	page := func(status, header, body string) func(net.Conn) {
		return func(c net.Conn) { text(c, status, header, body) }
	}
	cases := map[string]func(net.Conn){
		"RST after the request":        reset,
		"FIN after the request":        func(net.Conn) {},
		"half a status line":           write("HTTP/1.1 20"),
		"not HTTP":                     write("SSH-2.0-OpenSSH_9.6\r\n\r\n"),
		"only an interim answer":       write("HTTP/1.1 103 Early Hints\r\n\r\n"),
		"header cut":                   write("HTTP/1.1 200 OK\r\nContent-Le"),
		"header too large":             write("HTTP/1.1 200 OK\r\nX-A: " + strings.Repeat("a", 128<<10) + "\r\n\r\n" + taken),
		"body cut":                     write("HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n" + taken),
		"chunks cut":                   write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"req"),
		"bad gzip":                     page("200 OK", "Content-Encoding: gzip\r\n", taken),
		"empty body":                   page("200 OK", "", ""),
		"null":                         page("200 OK", "", "null"),
		"HTML":                         page("200 OK", "", nginx),
		"no request_id":                page("200 OK", "", "{}"),
		"empty request_id":             page("200 OK", "", `{"request_id":""}`),
		"request_id a path":            page("200 OK", "", `{"request_id":"../../keys"}`),
		"request_id with a query":      page("200 OK", "", `{"request_id":"a?b"}`),
		"request_id with a newline":    page("200 OK", "", `{"request_id":"a\nb"}`),
		"request_id beyond ASCII":      page("200 OK", "", `{"request_id":"idé"}`),
		"request_id too long":          page("200 OK", "", `{"request_id":"`+strings.Repeat("a", 129)+`"}`),
		"request_id a number":          page("200 OK", "", `{"request_id":7}`),
		"202 without a body":           page("202 Accepted", "", ""),
		"204":                          write("HTTP/1.1 204 No Content\r\n\r\n"),
		"302":                          page("302 Found", "Location: /x\r\n", ""),
		"303":                          page("303 See Other", "Location: /x\r\n", ""),
		"408":                          page("408 Request Timeout", "", `{"detail":"slow"}`),
		"499":                          page("499 Client Closed", "", `{"detail":"gone"}`),
		"500 HTML":                     page("500 Internal Server Error", "", nginx),
		"502 HTML":                     page("502 Bad Gateway", "", nginx),
		"502 JSON":                     page("502 Bad Gateway", "", `{"detail":"bad gateway"}`),
		"503 HTML":                     page("503 Service Unavailable", "Retry-After: 0\r\n", nginx),
		"504 HTML":                     page("504 Gateway Timeout", "", nginx),
		"504 JSON":                     page("504 Gateway Timeout", "", `{"detail":"late","error_type":"startup_timeout"}`),
		"507, a code of no one's":      page("507 Insufficient Storage", "", `{"detail":"full"}`),
		"500 JSON of somebody else's":  page("500 Internal Server Error", "", `{"message":"oops"}`),
		"a body larger than an answer": page("200 OK", "", strings.Repeat(" ", falclient.MaxErrorBody)+taken),
	}
	for name, fault := range cases {
		for _, kept := range []bool{false, true} {
			t.Run(name+map[bool]string{false: ", new connection", true: ", kept-alive connection"}[kept], func(t *testing.T) {
				t.Parallel()
				first := int64(1)
				if kept {
					first = 2
				}
				srv := startRaw(t, func(n int64, conn net.Conn, _ *http.Request) bool {
					if n < first {
						text(conn, "200 OK", "", taken)
						return true
					}
					fault(conn)
					return false
				})
				c := newClient(t, falclient.Config{QueueURL: srv.url()})
				if kept {
					if _, err := submit(t.Context(), c, falclient.SubmitOptions{}); err != nil {
						t.Fatal("the first submission:", err)
					}
				}
				_, err := submit(t.Context(), c, falclient.SubmitOptions{MaxWait: time.Minute})
				var unknown *falclient.SubmitUnknownError
				if !errors.As(err, &unknown) {
					t.Errorf("error is %T (%v), want *SubmitUnknownError", err, err)
				} else if unknown.Endpoint != "nvidia/nemotron-3-nano-omni/vision" {
					t.Errorf("Endpoint is %q", unknown.Endpoint)
				}
				if n := srv.posts.Load(); n != first {
					t.Errorf("the server read %d POSTs, want %d", n, first)
				}
				srv.mu.Lock()
				defer srv.mu.Unlock()
				if len(srv.conns) != 1 {
					t.Errorf("%d connections, want 1", len(srv.conns))
				}
			})
		}
	}
}

// A refusal that can be read is told as it is, once.
func TestSubmitRefused(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name, status, header, body string
		is                         error
		kind, message              string
	}{
		{name: "400", status: "400 Bad Request", body: `{"detail":"no"}`, message: "no"},
		{name: "401", status: "401 Unauthorized", body: `{"detail":"invalid key credentials"}`, is: falclient.ErrUnauthorized, message: "invalid key credentials"},
		{
			name: "403 locked", status: "403 Forbidden", is: falclient.ErrLocked,
			body:    `{"detail":"User is locked. Reason: Exhausted balance. Top up your balance at fal.ai/dashboard/billing."}`,
			message: "User is locked. Reason: Exhausted balance. Top up your balance at fal.ai/dashboard/billing.",
		},
		{name: "403 other", status: "403 Forbidden", body: `{"detail":"not your app"}`, is: falclient.ErrUnauthorized, message: "not your app"},
		{name: "404", status: "404 Not Found", body: `{"status":"NOT_FOUND"}`, is: falclient.ErrNotFound, kind: "NOT_FOUND", message: "Not Found"},
		{name: "413 HTML", status: "413 Content Too Large", body: nginx, message: "Request Entity Too Large"},
		{
			name: "422", status: "422 Unprocessable Entity", kind: "missing", message: "prompt: field required",
			body: `{"detail":[{"loc":["body","prompt"],"msg":"field required","type":"missing","input":{"prompt":"SECRET PROMPT"}}]}`,
		},
		{name: "500 in fal's JSON", status: "500 Internal Server Error", body: `{"detail":"boom","error_type":"internal_error"}`, kind: "internal_error", message: "boom"},
		{name: "503 in fal's JSON", status: "503 Service Unavailable", header: "Retry-After: 1\r\n", body: `{"detail":"later","error_type":"runner_scheduling_failure"}`, kind: "runner_scheduling_failure", message: "later"},
		{name: "301", status: "301 Moved Permanently", header: "Location: /x\r\n", is: falclient.ErrRedirected, message: "Moved Permanently"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			srv := startRaw(t, func(_ int64, conn net.Conn, _ *http.Request) bool {
				text(conn, tc.status, "X-Fal-Request-Id: abc-1\r\n"+tc.header, tc.body)
				return true
			})
			c := newClient(t, falclient.Config{QueueURL: srv.url()})
			_, err := submit(t.Context(), c, falclient.SubmitOptions{MaxWait: time.Minute})
			var api *falclient.APIError
			if !errors.As(err, &api) || errors.As(err, new(*falclient.SubmitUnknownError)) {
				t.Fatalf("error is %T (%v), want a plain *APIError", err, err)
			}
			if tc.is != nil && !errors.Is(err, tc.is) {
				t.Errorf("%v does not match %q", err, tc.is)
			}
			if tc.is != falclient.ErrLocked && errors.Is(err, falclient.ErrLocked) {
				t.Errorf("%v matches ErrLocked", err)
			}
			if api.Type != tc.kind || api.Message != tc.message || api.RequestID != "abc-1" || api.Op != "submit" {
				t.Errorf("got %+v", *api)
			}
			if n := srv.posts.Load(); n != 1 {
				t.Errorf("the server read %d POSTs, want 1", n)
			}
		})
	}
}

// A redirect, wherever to, is not followed: neither the key nor the prompt goes
// there.
func TestSubmitRedirectNotFollowed(t *testing.T) {
	t.Parallel()
	for _, status := range []string{"301 Moved Permanently", "307 Temporary Redirect", "308 Permanent Redirect"} {
		for _, host := range []string{"127.0.0.1", "localhost"} {
			t.Run(status+" to "+host, func(t *testing.T) {
				t.Parallel()
				elsewhere := startRaw(t, func(_ int64, conn net.Conn, r *http.Request) bool {
					t.Errorf("the redirect was followed: %s %s", r.Method, r.URL)
					text(conn, "200 OK", "", taken)
					return true
				})
				_, port, _ := net.SplitHostPort(elsewhere.Addr().String())
				srv := startRaw(t, func(_ int64, conn net.Conn, _ *http.Request) bool {
					text(conn, status, "Location: http://"+net.JoinHostPort(host, port)+"/x\r\n", "")
					return true
				})
				c := newClient(t, falclient.Config{QueueURL: srv.url()})
				if _, err := submit(t.Context(), c, falclient.SubmitOptions{MaxWait: time.Minute}); !errors.Is(err, falclient.ErrRedirected) {
					t.Errorf("error is %v, want ErrRedirected", err)
				}
				if _, err := c.Result(t.Context(), vision, testID); !errors.Is(err, falclient.ErrRedirected) {
					t.Errorf("result's error is %v, want ErrRedirected", err)
				}
				if n := srv.posts.Load(); n != 1 {
					t.Errorf("the server read %d POSTs, want 1", n)
				}
			})
		}
	}
}
