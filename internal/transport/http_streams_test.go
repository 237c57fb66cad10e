package transport

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// stream opens a stream and returns its response.
func (w *web) stream(ctx context.Context, path string, header http.Header) *http.Response {
	w.t.Helper()
	res, err := w.do(sent{method: http.MethodGet, path: path, header: header, ctx: ctx})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

// TestStreamsOfTheRevoked: the streams of a caller whose token is gone end, and
// those of others go on.
func TestStreamsOfTheRevoked(t *testing.T) {
	t.Parallel()
	var revoked atomic.Bool
	o := withTokens()
	o.SessionIdle = 5 * time.Millisecond // how often it is looked
	o.Knows = func(name string) bool { return name != "alice" || !revoked.Load() }
	w := serveWeb(t, o)
	ctx, leave := context.WithTimeout(t.Context(), patience)
	defer leave()
	alice, bob := http.Header{"Authorization": {"Bearer " + aliceToken}}, http.Header{"Authorization": {"Bearer " + bobToken}}
	others := w.stream(ctx, "/sse", bob)
	hers := w.stream(ctx, "/sse", alice)
	revoked.Store(true)
	if _, err := io.Copy(io.Discard, hers.Body); ctx.Err() != nil {
		t.Fatalf("her stream goes on: %v", err)
	}
	if line, err := bufio.NewReader(others.Body).ReadString('\n'); err != nil || !strings.HasPrefix(line, "event: endpoint") {
		t.Errorf("another's stream: %q %v", line, err)
	}
	res, _ := w.ask(sent{method: http.MethodGet, path: "/healthz"})
	if res.StatusCode != http.StatusOK || ctx.Err() != nil {
		t.Error(res.Status)
	}
}

// TestStreamsAreBounded: a caller has so many and no more, of all kinds together,
// and others have theirs.
func TestStreamsAreBounded(t *testing.T) {
	t.Parallel()
	o := withTokens()
	o.MaxSessions = 2
	w := serveWeb(t, o)
	ctx, leave := context.WithTimeout(t.Context(), patience)
	defer leave()
	v := w.visit(aliceToken)
	h := v.header()
	h.Set("Accept", "text/event-stream")
	w.stream(ctx, "/mcp", h)
	first := w.stream(ctx, "/sse", h)
	for _, path := range []string{"/mcp", "/sse"} {
		if res := w.stream(ctx, path, h); res.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("one more at %s: %s", path, res.Status)
		}
	}
	if res := w.stream(ctx, "/sse", http.Header{"Authorization": {"Bearer " + bobToken}}); res.StatusCode != http.StatusOK {
		t.Errorf("another caller: %s", res.Status)
	}
	_ = first.Body.Close()
	for { // until the server has seen it
		res := w.stream(ctx, "/sse", h)
		if res.StatusCode == http.StatusOK {
			return
		}
		if ctx.Err() != nil {
			t.Fatal("there is no room again")
		}
	}
}

// TestContentTypeOfMessages: also where the stream is there.
func TestContentTypeOfMessages(t *testing.T) {
	t.Parallel()
	w := serveWeb(t, HTTP{})
	s := w.watch("")
	for _, kind := range []string{"text/plain", "application/x-www-form-urlencoded", ""} {
		res, _ := w.ask(sent{method: http.MethodPost, path: s.endpoint, body: initialize, header: http.Header{"Content-Type": {kind}}})
		if res.StatusCode != http.StatusUnsupportedMediaType {
			t.Errorf("%q: %s", kind, res.Status)
		}
	}
}

// TestQuestionOfTheWholeServer: OPTIONS * is judged as every request is.
func TestQuestionOfTheWholeServer(t *testing.T) {
	t.Parallel()
	w := serveWeb(t, HTTP{})
	for host, want := range map[string]int{"evil.example": http.StatusForbidden, "127.0.0.1:a,b": http.StatusForbidden, "127.0.0.1": http.StatusNoContent} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(patience))
		if _, err := fmt.Fprintf(conn, "OPTIONS * HTTP/1.1\r\nHost: %s\r\n\r\n", host); err != nil {
			t.Fatal(err)
		}
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || res.StatusCode != want {
			t.Errorf("%s: %v %v, want %d", host, res, err, want)
		}
		_ = conn.Close()
	}
}
