package transport

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// TestBodyThatNeverComes: a request that is refused, or that has no use for a
// body, is answered without one, and its connection ends.
func TestBodyThatNeverComes(t *testing.T) {
	t.Parallel()
	limits := defaultTimes()
	limits.body = time.Hour // so that an answer has not waited for it
	o := withTokens()
	o.times, o.Page = limits, pageOf
	o.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "metrics") })
	w := serveWeb(t, o)
	own := strings.TrimPrefix(w.url, "http://")
	json := "Content-Type: application/json\r\n"
	right := "Authorization: Bearer " + aliceToken + "\r\n"
	for _, tc := range []struct {
		name, line, host, header string
		want                     int
	}{
		{"no token", "POST /mcp", own, json, 401},
		{"no token, SSE", "POST /message?sessionId=x", own, json, 401},
		{"a foreign host", "POST /mcp", "evil.example", json + right, 403},
		{"a foreign origin", "POST /mcp", own, json + right + "Origin: https://evil.example\r\n", 403},
		{"no such path", "POST /nothing", own, json + right, 404},
		{"another content type", "POST /mcp", own, right + "Content-Type: text/plain\r\n", 415},
		{"no such stream", "POST /message?sessionId=x", own, json + right, 404},
		{"a method that is not served", "POST /healthz", own, json, 405},
		{"health", "GET /healthz", own, "", 400},
		{"metadata", "GET /.well-known/oauth-protected-resource", own, "", 400},
		{"metrics", "GET /metrics", own, right, 400},
		{"a stream", "GET /mcp", own, right, 400},
		{"an SSE stream", "GET /sse", own, right, 400},
		{"the end of a session", "DELETE /mcp", own, right, 400},
		{"the page", "GET /", own, right, 400},
		{"the page's jobs", "GET /api/jobs", own, right, 400},
		{"a page's question", "OPTIONS /mcp", own, "", 204},
	} {
		for how, framing := range map[string]string{"by length": "Content-Length: 100\r\n", "in chunks": "Transfer-Encoding: chunked\r\n"} {
			t.Run(tc.name+" "+how, func(t *testing.T) {
				t.Parallel()
				conn, err := net.Dial("tcp", own)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(patience))
				if _, err := fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: %s\r\n%s%s\r\n", tc.line, tc.host, tc.header, framing); err != nil {
					t.Fatal(err)
				}
				r := bufio.NewReader(conn)
				res, err := http.ReadResponse(r, nil)
				if err != nil {
					t.Fatal(err)
				}
				if res.StatusCode != tc.want || !res.Close {
					t.Errorf("%s, closes: %v; want %d, and the end", res.Status, res.Close, tc.want)
				}
				if _, err := io.Copy(io.Discard, res.Body); err != nil {
					t.Error(err)
				}
				if _, err := r.ReadByte(); err != io.EOF { //nolint:errorlint // bufio's own
					t.Errorf("the connection goes on: %v", err)
				}
			})
		}
	}
}

// TestBodyInTime: a body that is used has to come in time.
func TestBodyInTime(t *testing.T) {
	t.Parallel()
	limits := defaultTimes()
	limits.body = 50 * time.Millisecond
	w := serveWeb(t, HTTP{times: limits})
	conn, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, "POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || res.StatusCode != http.StatusRequestTimeout {
		t.Errorf("%v %v", res, err)
	}
}

// TestLongHeaders: what is sent before anybody has shown a token is bounded over
// all connections, and its end makes room again.
func TestLongHeaders(t *testing.T) {
	t.Parallel()
	limits := defaultTimes()
	limits.header = time.Hour
	w := serveWeb(t, HTTP{times: limits})
	begun := "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + strings.Repeat("x", 1<<20)
	ended := make(chan error, 2*maxHeaders>>20)
	var conns []net.Conn
	for range maxHeaders>>20 + 1 {
		conn, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
		_ = conn.SetDeadline(time.Now().Add(patience))
		go func() {
			_, _ = io.WriteString(conn, begun) // one of them can't
			_, err := io.Copy(io.Discard, conn)
			ended <- err
		}()
	}
	if err := receive(t, ended); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("none was let go")
	}
	for _, conn := range conns {
		_ = conn.Close()
	}
	for range len(conns) - 1 {
		receive(t, ended)
	}
	if res, _ := w.ask(sent{method: http.MethodGet, path: "/healthz"}); res.StatusCode != http.StatusOK {
		t.Error(res.Status)
	}
}

// TestErrorsOverHTTPAreMasked: what a client sent comes back in an error without
// the secrets, and as JSON.
func TestErrorsOverHTTPAreMasked(t *testing.T) {
	t.Parallel()
	w := serveWeb(t, HTTP{Mask: func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("s3cret"), []byte("[redacted]")) }})
	v := w.visit("")
	for _, asked := range []string{
		`{"jsonrpc":"2.0","id":"a","method":"x/s3cret"}`,
		`{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"name":"s3cret","arguments":{}}}`,
	} {
		res, body := v.post(context.Background(), asked)
		m := events("data: " + body)[0]
		if strings.Contains(body, "s3cret") || !strings.Contains(m.line, "[redacted]") || m.Method == "NOT JSON-RPC" || !strings.Contains(body, `"id":"a"`) {
			t.Errorf("%s: %s %s", asked, res.Status, body)
		}
	}
}

// TestHealthIsAskedOnceASecond: anybody may ask, and each look costs something.
func TestHealthIsAskedOnceASecond(t *testing.T) {
	t.Parallel()
	looks := 0
	w := serveWeb(t, HTTP{Health: func(context.Context) error {
		if looks++; looks > 1 {
			return fmt.Errorf("looked %d times", looks)
		}
		return nil
	}})
	began := time.Now()
	for range 5 {
		if res, body := w.ask(sent{method: http.MethodGet, path: "/healthz"}); res.StatusCode != http.StatusOK && time.Since(began) < healthAge {
			t.Errorf("%s %s", res.Status, body)
		}
	}
}
