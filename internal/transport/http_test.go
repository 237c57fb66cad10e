package transport

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestSessions(t *testing.T) {
	t.Parallel()
	w := serveWeb(t, withTokens())
	alice, bob := w.visit(aliceToken), w.visit(bobToken)
	listen := func(v *visitor) int {
		t.Helper()
		ctx, leave := context.WithCancel(t.Context())
		defer leave()
		res, err := w.do(sent{method: http.MethodGet, path: "/mcp", header: v.header(), ctx: ctx})
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		return res.StatusCode
	}
	end := func(v *visitor) int {
		res, _ := w.ask(sent{method: http.MethodDelete, path: "/mcp", header: v.header()})
		return res.StatusCode
	}
	for name, v := range map[string]*visitor{
		"an id that was not given out": {w, "FVEQJ7OJDGAZCWEE247OJFGO6Y", aliceToken},
		"an id of mcp-go's form":       {w, "mcp-session-6a0d6a1e-8d3b-4d2f-9a50-6f1f6a3a8c11", aliceToken},
		"another caller's":             {w, bob.session, aliceToken},
		"half of one":                  {w, alice.session[:10], aliceToken},
	} {
		if res, body := v.post(t.Context(), ping("1")); res.StatusCode != http.StatusNotFound {
			t.Errorf("%s: POST %s %s", name, res.Status, body)
		}
		if got := listen(v); got != http.StatusNotFound {
			t.Errorf("%s: GET %d", name, got)
		}
		if got := end(v); got != http.StatusNotFound {
			t.Errorf("%s: DELETE %d", name, got)
		}
	}
	for _, v := range []*visitor{alice, bob} {
		if res, _ := v.post(t.Context(), ping("1")); res.StatusCode != http.StatusOK {
			t.Errorf("its own session: %s", res.Status)
		}
		if got := listen(v); got != http.StatusOK {
			t.Errorf("its own stream: %d", got)
		}
	}
	if got := end(alice); got != http.StatusOK {
		t.Errorf("its own end: %d", got)
	}
	if res, _ := alice.post(t.Context(), ping("1")); res.StatusCode != http.StatusNotFound {
		t.Errorf("after its end: %s", res.Status)
	}
	if res, _ := bob.post(t.Context(), ping("1")); res.StatusCode != http.StatusOK {
		t.Errorf("the other one's: %s", res.Status)
	}
}

// TestSessionsAreBounded: the one that was idle longest ends; not one at work.
func TestSessionsAreBounded(t *testing.T) {
	t.Parallel()
	o := withTokens()
	o.MaxSessions = 3
	w := serveWeb(t, o)
	bob := w.visit(bobToken)
	first, second := w.visit(aliceToken), w.visit(aliceToken)
	working := first.later(t.Context(), call("1", "gate", `{}`))
	w.wantBegun(1)
	third := w.visit(aliceToken)
	if res, _ := second.post(t.Context(), ping("1")); res.StatusCode != http.StatusOK {
		t.Fatalf("within the bound: %s", res.Status)
	}
	w.visit(aliceToken)
	for name, tc := range map[string]struct {
		v    *visitor
		want int
	}{
		"at work": {first, 200}, "used last": {second, 200}, "idle longest": {third, 404}, "another caller's": {bob, 200},
	} {
		if res, _ := tc.v.post(t.Context(), ping("2")); res.StatusCode != tc.want {
			t.Errorf("%s: %s", name, res.Status)
		}
	}
	w.free()
	if got := receive(t, working); !strings.Contains(got, "released") {
		t.Errorf("the call: %s", got)
	}
}

func TestSessionsExpire(t *testing.T) {
	t.Parallel()
	w := serveWeb(t, HTTP{SessionIdle: 50 * time.Millisecond})
	deadline := time.Now().Add(patience)
	var working *visitor
	var answer <-chan string
	for begun := false; !begun; { // on a slow machine it may expire before it is at work
		working = w.visit("")
		answer = working.later(t.Context(), call("1", "gate", `{}`))
		select {
		case <-w.started:
			begun = true
		case got := <-answer:
			if !strings.HasPrefix(got, "404 ") || time.Now().After(deadline) {
				t.Fatalf("the call: %s", got)
			}
		}
	}
	idle := w.visit("")
	for {
		// Each look keeps no session alive but the one that it makes.
		res, _ := (&visitor{w, idle.session, ""}).post(t.Context(), `{"jsonrpc":"2.0","method":"notifications/cancelled"}`)
		if res.StatusCode == http.StatusNotFound {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the idle session lives on")
		}
		time.Sleep(120 * time.Millisecond) // longer than a session may be idle
	}
	if res, _ := working.post(t.Context(), ping("2")); res.StatusCode != http.StatusOK {
		t.Errorf("the session at work: %s", res.Status)
	}
	w.free()
	receive(t, answer)
}

// TestCancelOverHTTP: a notification reaches its own session's call, which is then
// not answered, and no other.
func TestCancelOverHTTP(t *testing.T) {
	t.Parallel()
	w := serveWeb(t, withTokens())
	alice, bob := w.visit(aliceToken), w.visit(bobToken)
	other := w.visit(aliceToken)
	cancelled := alice.later(t.Context(), call("1", "gate", `{}`))
	untouched := bob.later(t.Context(), call("1", "gate", `{}`))
	another := other.later(t.Context(), call("1", "gate", `{}`))
	w.wantBegun(3)
	// Without a session nobody knows whose call it is.
	modern := (&visitor{w, "", aliceToken}).header()
	modern.Set("Mcp-Protocol-Version", "2026-07-28")
	if res, _ := w.ask(sent{method: http.MethodPost, path: "/mcp", header: modern, body: cancelOf("1")}); res.StatusCode != http.StatusAccepted {
		t.Errorf("a cancel without a session: %s", res.Status)
	}
	for _, id := range []string{`"1"`, "2", "null"} {
		if res, _ := alice.post(t.Context(), cancelOf(id)); res.StatusCode != http.StatusAccepted {
			t.Errorf("a cancel of %s: %s", id, res.Status)
		}
	}
	select {
	case err := <-w.ended:
		t.Fatalf("a call ended with %v", err)
	default:
	}
	for range 2 {
		if res, _ := alice.post(t.Context(), cancelOf("1")); res.StatusCode != http.StatusAccepted {
			t.Errorf("the cancel: %s", res.Status)
		}
	}
	w.wantEnd(ErrCancelledByHost)
	if got := receive(t, cancelled); got != "202 " {
		t.Errorf("the cancelled call is answered with %s", got)
	}
	w.free()
	for _, answer := range []<-chan string{untouched, another} {
		if got := receive(t, answer); !strings.Contains(got, "released") {
			t.Errorf("another call: %s", got)
		}
	}
}

// TestSameIDOfTwoClients without sessions: each has its own answer.
func TestSameIDOfTwoClients(t *testing.T) {
	t.Parallel()
	w := serveWeb(t, HTTP{})
	v := w.visit("")
	first := v.later(t.Context(), call("7", "gate", `{}`))
	w.wantBegun(1)
	if res, body := v.post(t.Context(), call("7", "echo", `{}`)); res.StatusCode != http.StatusBadRequest || !strings.Contains(body, "in flight") {
		t.Errorf("the same id on one session: %s %s", res.Status, body)
	}
	if res, body := w.visit("").post(t.Context(), call("7", "echo", `{"text":"mine"}`)); res.StatusCode != http.StatusOK || !strings.Contains(body, "mine") {
		t.Errorf("on another session: %s %s", res.Status, body)
	}
	w.free()
	receive(t, first)
	if res, body := v.post(t.Context(), call("7", "echo", `{"text":"again"}`)); res.StatusCode != http.StatusOK || !strings.Contains(body, "again") {
		t.Errorf("the id after its answer: %s %s", res.Status, body)
	}
}

func TestDisconnectOverHTTP(t *testing.T) {
	t.Parallel()
	w := serveWeb(t, HTTP{})
	v := w.visit("")
	ctx, leave := context.WithCancel(t.Context())
	answer := v.later(ctx, call("1", "gate", `{}`))
	w.wantBegun(1)
	leave()
	receive(t, answer)
	w.wantEnd(ErrDisconnected)

	s := w.watch("")
	s.send(initialize)
	s.next()
	s.send(call("1", "gate", `{}`))
	w.wantBegun(1)
	s.leave()
	w.wantEnd(ErrDisconnected)
}

// TestProgressOverHTTP: none is lost, none comes late, and none on the stream of
// another call of the session.
func TestProgressOverHTTP(t *testing.T) {
	t.Parallel()
	const calls, n = 8, 300
	w := serveWeb(t, HTTP{})
	v := w.visit("")
	var answers []<-chan string
	for id := range calls {
		answers = append(answers, v.later(t.Context(), call(fmt.Sprint(id), "chatter", fmt.Sprintf(`{"n":%d,"token":%d}`, n, id))))
	}
	for id, answer := range answers {
		all := events(receive(t, answer))
		if len(all) != n+1 || string(all[n].ID) != fmt.Sprint(id) {
			t.Fatalf("call %d: %d events, the last of them %.200s", id, len(all), all[len(all)-1].line)
		}
		for i, m := range all[:n] {
			if want := fmt.Sprintf(`"progress":%d,"progressToken":%d}`, i, id); !strings.Contains(m.line, want) {
				t.Fatalf("call %d: event %d is %s", id, i, m.line)
			}
		}
	}
	// Who takes no events gets plain JSON.
	h := v.header()
	h.Set("Accept", "application/json")
	if res, body := w.ask(sent{method: http.MethodPost, path: "/mcp", header: h, body: call("1", "chatter", `{"n":3}`)}); res.Header.Get("Content-Type") != "application/json" || !strings.Contains(body, "done") {
		t.Errorf("without events: %v %s", res.Header, body)
	}
	s := w.watch("")
	s.send(initialize)
	s.next()
	s.send(call("1", "chatter", fmt.Sprintf(`{"n":%d,"token":1}`, n)))
	for i := range n {
		if m := s.next(); !strings.Contains(m.line, fmt.Sprintf(`"progress":%d,`, i)) {
			t.Fatalf("SSE: event %d is %s", i, m.line)
		}
	}
	if m := s.next(); string(m.ID) != "1" {
		t.Errorf("SSE: the answer is %s", m.line)
	}
}

func TestSSE(t *testing.T) {
	t.Parallel()
	w := serveWeb(t, withTokens())
	alice, bob := w.watch(aliceToken), w.watch(bobToken)
	for _, s := range []*watcher{alice, bob} {
		s.send(initialize)
		if m := s.next(); !strings.Contains(m.line, "serverInfo") {
			t.Fatalf("initialize: %s", m.line)
		}
		s.send(call("1", "gate", `{}`))
	}
	w.wantBegun(2)
	stolen := &watcher{web: w, token: bobToken, endpoint: alice.endpoint}
	h := http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer " + bobToken}}
	if res, _ := w.ask(sent{method: http.MethodPost, path: stolen.endpoint, header: h, body: cancelOf("1")}); res.StatusCode != http.StatusNotFound {
		t.Errorf("alice's endpoint by bob: %s", res.Status)
	}
	alice.send(cancelOf("1"))
	w.wantEnd(ErrCancelledByHost)
	alice.send(ping("2"))
	if m := alice.next(); string(m.ID) != "2" {
		t.Errorf("the cancelled call is answered: %s", m.line)
	}
	alice.send(`[]`)
	if m := alice.next(); m.Error == nil || m.Error.Code != -32600 {
		t.Errorf("a batch: %s", m.line)
	}
	w.free()
	if m := bob.next(); string(m.ID) != "1" || !strings.Contains(m.line, "released") {
		t.Errorf("bob's call: %s", m.line)
	}
}

func TestPanicOverHTTP(t *testing.T) {
	t.Parallel()
	w := serveWeb(t, HTTP{})
	v := w.visit("")
	if res, body := v.post(t.Context(), call("1", "boom", `{}`)); strings.Contains(body, secret) || res.StatusCode != http.StatusInternalServerError || !strings.Contains(body, "internal error") {
		t.Errorf("%s %s", res.Status, body)
	}
	if res, _ := v.post(t.Context(), ping("2")); res.StatusCode != http.StatusOK {
		t.Errorf("after it: %s", res.Status)
	}
}

// TestShutdownOverHTTP: calls in flight are answered within the window, streams
// end at once, and nothing new is taken.
func TestShutdownOverHTTP(t *testing.T) {
	t.Parallel()
	draining := make(chan struct{})
	w := serveWeb(t, HTTP{DrainWindow: patience, Draining: func() { close(draining) }})
	v := w.visit("")
	answer := v.later(t.Context(), call("1", "gate", `{}`))
	s := w.watch("")
	s.send(initialize)
	s.next()
	s.send(call("1", "gate", `{}`))
	w.wantBegun(2)
	listening := make(chan error, 1)
	go func() {
		res, err := w.do(sent{method: http.MethodGet, path: "/mcp", header: v.header()})
		if err == nil {
			_, err = res.Body.Read(make([]byte, 1))
			_ = res.Body.Close()
		}
		listening <- err
	}()
	w.stop()
	receive(t, draining)
	receive(t, listening)
	w.free()
	if got := receive(t, answer); !strings.Contains(got, "released") {
		t.Errorf("the call in flight: %s", got)
	}
	if m := s.next(); !strings.Contains(m.line, "released") {
		t.Errorf("the call over SSE: %s", m.line)
	}
	if err := w.wait(); err != nil {
		t.Error(err)
	}
	if _, err := w.client.Get(w.url + "/healthz"); err == nil {
		t.Error("it still serves")
	}
}

// TestShutdownWithoutPatience: what is not done in the window is cancelled.
func TestShutdownWithoutPatience(t *testing.T) {
	t.Parallel()
	w := serveWeb(t, HTTP{DrainWindow: -1})
	v := w.visit("")
	answer := v.later(t.Context(), call("1", "gate", `{}`))
	s := w.watch("")
	s.send(initialize)
	s.next()
	s.send(call("1", "gate", `{}`))
	w.wantBegun(2)
	w.stop()
	for range 2 {
		select {
		case err := <-w.ended:
			if !errors.Is(err, ErrShutdown) {
				t.Errorf("a call ended with %v", err)
			}
		case <-time.After(patience):
			t.Fatal("a call goes on")
		}
	}
	receive(t, answer)
	if err := w.wait(); err != nil {
		t.Error(err)
	}
}

// TestInFlightOverHTTP: beyond the limit a request is refused, and nothing waits.
func TestInFlightOverHTTP(t *testing.T) {
	t.Parallel()
	state := make(chan State, 1)
	w := serveWeb(t, HTTP{MaxInFlight: 2, Serving: func(s State) { state <- s }})
	inFlight := (<-state).InFlight
	v := w.visit("")
	nothingIn(t, inFlight)
	first, second := v.later(t.Context(), call("1", "gate", `{}`)), v.later(t.Context(), call("2", "gate", `{}`))
	w.wantBegun(2)
	if res, _ := v.post(t.Context(), ping("3")); res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" {
		t.Errorf("one more: %s", res.Status)
	}
	w.free()
	receive(t, first)
	receive(t, second)
	nothingIn(t, inFlight)
	if res, _ := v.post(t.Context(), ping("3")); res.StatusCode != http.StatusOK {
		t.Errorf("after them: %s", res.Status)
	}
}
