package transport

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"nemotron-mcp/tools"
)

// TestFlightOfCallers: what one caller has in flight, over both protocols
// together, is bounded, and leaves room for the others.
func TestFlightOfCallers(t *testing.T) {
	t.Parallel()
	o := withTokens()
	o.MaxInFlight = 6
	state := make(chan State, 1)
	o.Serving = func(s State) { state <- s }
	w := serveWeb(t, o)
	inFlight := (<-state).InFlight
	alice, streams := w.visit(aliceToken), []*watcher{w.watch(aliceToken), w.watch(aliceToken)}
	for _, s := range streams {
		s.send(initialize)
		s.next()
	}
	nothingIn(t, inFlight)
	waiting := alice.later(t.Context(), call("1", "gate", `{}`))
	for _, s := range streams {
		s.send(call("1", "gate", `{}`))
	}
	w.wantBegun(3)
	if n := inFlight(); n != 3 {
		t.Errorf("%d in flight, want 3", n)
	}
	_, body := alice.post(t.Context(), call("2", "echo", `{}`))
	streams[0].send(call("2", "echo", `{}`))
	for way, answer := range map[string]string{"streamable HTTP": body, "SSE": streams[0].next().line} {
		for _, want := range []string{`"isError":true`, "RATE_LIMITED", `"retry_after_seconds":5`, `"id":2`} {
			if !strings.Contains(answer, want) {
				t.Errorf("%s: one call more has no %s: %s", way, want, answer)
			}
		}
	}
	for name, more := range map[string]string{
		"request": ping("3"), "call without an id": `{"jsonrpc":"2.0","method":"tools/call","params":{"name":"echo"}}`,
	} {
		if res, body := alice.post(t.Context(), more); res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" || !json.Valid([]byte(body)) {
			t.Errorf("one %s more: %s %s", name, res.Status, body)
		}
	}
	if res, body := w.visit(bobToken).post(t.Context(), call("1", "echo", `{"text":"hello"}`)); res.StatusCode != http.StatusOK || strings.Contains(body, "RATE_LIMITED") {
		t.Errorf("another caller: %s %s", res.Status, body)
	}
	w.free()
	receive(t, waiting)
	for _, s := range streams {
		s.next()
	}
	nothingIn(t, inFlight)
	if _, body := alice.post(t.Context(), call("2", "echo", `{}`)); strings.Contains(body, "RATE_LIMITED") {
		t.Errorf("after them: %s", body)
	}
	nothingIn(t, inFlight)
}

// nothingIn waits until what is in flight has been given back, which is a moment
// after the client has the answer.
func nothingIn(t *testing.T, flight func() int) {
	t.Helper()
	for end := time.Now().Add(patience); flight() != 0; runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("%d are left in flight", flight())
		}
	}
}

// TestBytesInFlightAreGivenBack: messages that do not fit all together are served
// one after the other. Two or three do: each is given back a moment after its answer.
func TestBytesInFlightAreGivenBack(t *testing.T) {
	t.Parallel()
	w := serveWeb(t, HTTP{MaxInFlightBytes: 64 << 10})
	v, s := w.visit(""), w.watch("")
	s.send(initialize)
	s.next()
	long := `{"text":"` + strings.Repeat("x", 10<<10) + `"}`
	for range 20 {
		if res, body := v.post(t.Context(), call("1", "echo", long)); res.StatusCode != http.StatusOK || !strings.Contains(body, `"result"`) {
			t.Fatalf("%s %.100s", res.Status, body)
		}
		s.send(call("1", "echo", `{"text":"`+strings.Repeat("x", 5<<10)+`"}`))
		if m := s.next(); strings.Contains(m.line, "RATE_LIMITED") {
			t.Fatalf("%.200s", m.line)
		}
	}
	if res, _ := v.post(t.Context(), call("1", "echo", `{"text":"`+strings.Repeat("x", 70<<10)+`"}`)); res.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("more than all may have: %s", res.Status)
	}
}

// TestEndOfASessionCancels: what nobody can cancel any more is cancelled.
func TestEndOfASessionCancels(t *testing.T) {
	t.Parallel()
	w := serveWeb(t, HTTP{})
	v := w.visit("")
	answer := v.later(t.Context(), call("1", "gate", `{}`))
	w.wantBegun(1)
	if res, _ := w.ask(sent{method: http.MethodDelete, path: "/mcp", header: v.header()}); res.StatusCode != http.StatusOK {
		t.Fatal(res.Status)
	}
	w.wantEnd(ErrCancelledByHost)
	if got := receive(t, answer); strings.Contains(got, `"result"`) {
		t.Errorf("it was answered: %s", got)
	}
}

// TestNoCallBeginsAfterItsSession: a call that comes while its session ends would
// be out of reach of any cancel.
func TestNoCallBeginsAfterItsSession(t *testing.T) {
	t.Parallel()
	s := newSessions(10, time.Hour)
	own := &callerSessions{s, "alice"}
	id := own.Generate()
	session, leave := s.enter("alice", id)
	defer leave()
	if _, err := own.Terminate(id); err != nil {
		t.Fatal(err)
	}
	if _, err := s.begin(session, idKey{number: 1}, func(error) {}); !errors.Is(err, errNoSession) {
		t.Errorf("the call begins: %v", err)
	}
}

// TestHalfClosed: a client that has closed its side is told that its call was
// interrupted, and not nothing; also where events came before.
func TestHalfClosed(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"gate", "told"} {
		t.Run(tool, func(t *testing.T) {
			t.Parallel()
			w := serveWeb(t, HTTP{})
			w.addTold()
			v := w.visit("")
			conn, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(patience))
			body := call("1", tool, `{}`)
			if _, err := fmt.Fprintf(conn, "POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\nMcp-Session-Id: %s\r\nContent-Length: %d\r\n\r\n%s", v.session, len(body), body); err != nil {
				t.Fatal(err)
			}
			w.wantBegun(1)
			if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			w.wantEnd(ErrDisconnected)
			res, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			answer, err := io.ReadAll(res.Body)
			if err != nil {
				t.Fatal(err)
			}
			wantInterrupted(t, tool, fmt.Sprintf("%d %s", res.StatusCode, answer))
		})
	}
}

// TestInterruptedByTheEnd: also a call that is cancelled when the drain window is
// over is answered.
func TestInterruptedByTheEnd(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"gate", "told"} {
		t.Run(tool, func(t *testing.T) {
			t.Parallel()
			w := serveWeb(t, HTTP{DrainWindow: -1})
			w.addTold()
			answer := w.visit("").later(t.Context(), call("1", tool, `{}`))
			w.wantBegun(1)
			w.stop()
			w.wantEnd(ErrShutdown)
			wantInterrupted(t, tool, receive(t, answer))
		})
	}
}

// addTold adds a tool that tells of its progress and then is gate.
func (w *web) addTold() {
	w.server.AddTool(mcp.NewTool("told"), func(ctx context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		n := mcp.JSONRPCNotification{JSONRPC: mcp.JSONRPC_VERSION}
		n.Method = "notifications/progress"
		n.Params.AdditionalFields = map[string]any{"progressToken": 1, "progress": 1}
		if err := tools.NotifierFrom(ctx).Notify(n); err != nil {
			return nil, err
		}
		return w.gate(ctx, r)
	})
}

// wantInterrupted checks the answer to call 1 of a tool, status and body.
func wantInterrupted(t *testing.T, tool, answer string) {
	t.Helper()
	status, body, _ := strings.Cut(answer, " ")
	last, want := message{line: body}, "503"
	if tool == "told" {
		want = "200"
		all := events(body)
		if len(all) != 2 {
			t.Fatalf("not one event and the answer: %s", answer)
		}
		last = all[1]
	} else if err := json.Unmarshal([]byte(body), &last); err != nil {
		t.Fatalf("%v: %q", err, answer)
	}
	if status != want || string(last.ID) != "1" || last.Error == nil || last.Error.Code != mcp.REQUEST_INTERRUPTED {
		t.Errorf("not that it was interrupted: %s", answer)
	}
}

// TestStreamsAreKeptAlive: on a stream of either era, too, something comes before
// a proxy gives it up.
func TestStreamsAreKeptAlive(t *testing.T) {
	t.Parallel()
	limits := defaultTimes()
	limits.keepAlive = 5 * time.Millisecond
	w := serveWeb(t, HTTP{times: limits}, server.WithToolCapabilities(true))
	session, modernEra := w.visit("").header(), (&visitor{web: w}).header()
	session.Set("Accept", "text/event-stream")
	modernEra.Set("Mcp-Protocol-Version", "2026-07-28")
	modernEra.Set("Mcp-Method", "subscriptions/listen")
	for name, s := range map[string]sent{
		"of a session": {method: http.MethodGet, header: session},
		"subscription": {method: http.MethodPost, header: modernEra, body: modern("1", "subscriptions/listen", listenAll)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, leave := context.WithTimeout(t.Context(), patience)
			defer leave()
			s.path, s.ctx = "/mcp", ctx
			res, err := w.do(s)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			r := bufio.NewReader(res.Body)
			for kept := 0; kept < 3; {
				line, err := r.ReadString('\n')
				if err != nil {
					t.Fatalf("%s: %v", res.Status, err)
				}
				if strings.HasPrefix(line, ": ") {
					kept++
				}
			}
		})
	}
}
