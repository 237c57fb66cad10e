package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
	"pgregory.net/rapid"
)

// sessionOf returns the session of a host that has called gate.
func sessionOf(t *testing.T, h *host, f *sessionSpy) server.ClientSession {
	t.Helper()
	check(t, h.roundTrip("0"))
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.last
}

type sessionSpy struct {
	mu   sync.Mutex
	last server.ClientSession
	live int
}

func (s *sessionSpy) hooks() *server.Hooks {
	hooks := &server.Hooks{}
	hooks.AddOnRegisterSession(func(_ context.Context, session server.ClientSession) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.last = session
		s.live++
	})
	hooks.AddOnUnregisterSession(func(context.Context, server.ClientSession) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.live--
	})
	return hooks
}

func TestSessionKnowsItsClient(t *testing.T) {
	t.Parallel()
	var spy sessionSpy
	h := ours(t, Stdio{}, server.WithHooks(spy.hooks()), server.WithLogging())
	s := sessionOf(t, h, &spy).(*stdioSession)
	if s.Initialized() || s.ProtocolVersion() != "" || s.GetLogLevel() != mcp.LoggingLevelError {
		t.Error("the session knows something before initialize")
	}
	check(t, h.handshake())
	if _, ok := within(h, h.roots); !ok {
		t.Error("notifications/initialized did not arrive")
	}
	if !s.Initialized() || s.ProtocolVersion() != "2025-11-25" || s.GetClientInfo().Name != "host" {
		t.Errorf("after initialize: %v %q %v", s.Initialized(), s.ProtocolVersion(), s.GetClientInfo())
	}
	check(t, h.send(`{"jsonrpc":"2.0","id":1,"method":"logging/setLevel","params":{"level":"debug"}}`))
	_, err := h.answerTo("1")
	check(t, err, errorIf(s.GetLogLevel() != mcp.LoggingLevelDebug, "level %v", s.GetLogLevel()))
	check(t, h.send(strings.Replace(initialize, `"capabilities":{}`, `"capabilities":{"roots":{"listChanged":true}}`, 1)))
	_, err = h.answerTo(`"init"`)
	check(t, err, errorIf(s.GetClientCapabilities().Roots == nil, "capabilities %v", s.GetClientCapabilities()))
	check(t, h.wantRest0())
	if spy.live != 0 {
		t.Errorf("%d sessions are still registered", spy.live)
	}
}

// TestInitializeComesFirst has nothing handled that was read after initialize,
// before initialize is.
func TestInitializeComesFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		hooks := &server.Hooks{}
		hooks.AddBeforeInitialize(func(context.Context, any, *mcp.InitializeRequest) { <-hold })
		h := start(t, newFixture(server.WithHooks(hooks)), serveOurs(Stdio{}), forever, false)
		check(t, h.send(initialize, call("1", "gate", `{}`), `{"jsonrpc":"2.0","method":"notifications/initialized"}`))
		synctest.Wait()
		if len(h.started)+len(h.roots) > 0 {
			t.Error("something came before initialize")
		}
		close(hold)
		check(t, h.wantStarted())
		if _, ok := within(h, h.roots); !ok {
			t.Error("the notification did not come")
		}
	})
}

// TestHandlingInOrder has notifications handled in their order, and calls after
// initialize.
func TestHandlingInOrder(t *testing.T) {
	t.Parallel()
	h := ours(t, Stdio{})
	const changed = `{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}`
	const ready = `{"jsonrpc":"2.0","method":"notifications/initialized"}`
	check(t, h.send(initialize, call("1", "channel", `{"n":1}`), ready, changed, ready, changed))
	for i, want := range []string{"initialized", "list_changed", "initialized", "list_changed"} {
		if got, ok := within(h, h.roots); !ok || !strings.HasSuffix(got, want) {
			t.Errorf("number %d is %q, want %s", i, got, want)
		}
	}
	// mcp-go refuses to notify before initialize; this call came after it.
	m, err := h.answerTo("1")
	check(t, err, errorIf(m.Error != nil, "%s", m.line))
}

// crossTalk has one of two servers notify its host, and looks at the other's.
func crossTalk(t *testing.T, serve serveFunc, patience time.Duration) error {
	a := start(t, newFixture(), serve, patience, false)
	b := start(t, newFixture(), serve, patience, false)
	if err := errors.Join(a.handshake(), b.handshake()); err != nil {
		return err
	}
	for i := range 50 {
		if err := a.send(call(fmt.Sprint(i), "channel", `{"n":1}`)); err != nil {
			return err
		}
		for range 2 {
			if _, err := a.next(); err != nil {
				return err
			}
		}
	}
	return b.wantRest0()
}

func TestS11TwoServersInOneProcess(t *testing.T) {
	t.Parallel()
	check(t, crossTalk(t, serveOurs(Stdio{}), 20*time.Second))
}

func TestS11OfReference(t *testing.T) {
	if err := crossTalk(t, serveReference, 300*time.Millisecond); err == nil {
		t.Error("mcp-go's stdio server passes this now")
	}
}

func TestTwoStreamsOfOneServer(t *testing.T) {
	t.Parallel()
	f := newFixture()
	a := start(t, f, serveOurs(Stdio{}), 20*time.Second, false)
	b := start(t, f, serveOurs(Stdio{}), 20*time.Second, false)
	// The same id, in both; one is cancelled.
	check(t, a.send(call("1", "gate", `{}`)), a.wantStarted(), b.send(call("1", "gate", `{}`)), b.wantStarted())
	check(t, a.send(cancelOf("1")), a.wantEnded(ErrCancelledByHost), a.roundTrip("2"))
	f.free()
	m, err := b.answerTo("1")
	check(t, err, errorIf(text(m) != "released", "%s", m.line))
	check(t, a.wantRest0())
}

func TestNotifyAfterTheEnd(t *testing.T) {
	t.Parallel()
	var spy sessionSpy
	f := newFixture(server.WithHooks(spy.hooks()))
	check(t, (&Stdio{Server: f.server}).Serve(t.Context(), strings.NewReader(""), io.Discard))
	if err := spy.last.(*stdioSession).Notify(mcp.JSONRPCNotification{}); err == nil {
		t.Error("Notify after the end gives no error")
	}
}

// TestEachCallIsAnsweredOnceOrCancelled sends calls and cancels in any order
// and keeps count.
func TestEachCallIsAnsweredOnceOrCancelled(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		inR, inW := io.Pipe()
		f := newFixture()
		var out lockedBuffer
		handled := make(chan struct{})
		watch := writeFunc(func(p []byte) (int, error) {
			if strings.Contains(string(p), `"end"`) {
				close(handled)
			}
			return out.Write(p)
		})
		served := make(chan error, 1)
		go func() { served <- (&Stdio{Server: f.server}).Serve(t.Context(), inR, watch) }()
		defer f.free()

		maybe := map[int]bool{} // cancelled while it may have been answered
		gates := map[int]bool{} // true: cancelled
		n := rapid.IntRange(1, 40).Draw(rt, "steps")
		var echoes int
		for id := range n {
			line := call(fmt.Sprint(id), "echo", `{}`)
			switch rapid.SampledFrom([]string{"echo", "gate", "cancel"}).Draw(rt, "step") {
			case "echo":
				echoes++
				maybe[id] = false
			case "gate":
				line = call(fmt.Sprint(id), "gate", `{}`)
				gates[id] = false
			case "cancel":
				target := rapid.IntRange(0, n).Draw(rt, "target")
				line = cancelOf(fmt.Sprint(target))
				if _, ok := gates[target]; ok {
					gates[target] = true
				}
				if _, ok := maybe[target]; ok {
					maybe[target] = true
				}
			}
			if _, err := io.WriteString(inW, line+"\n"); err != nil {
				rt.Fatal(err)
			}
		}
		if _, err := io.WriteString(inW, ping(`"end"`)); err != nil {
			rt.Fatal(err)
		}
		inW.Close()
		<-handled
		f.free()
		if err := <-served; err != nil {
			rt.Fatal(err)
		}
		for id, cancelled := range gates {
			maybe[id] = cancelled
		}
		for id, cancelled := range maybe {
			got := strings.Count(out.String(), fmt.Sprintf(`"id":%d,`, id))
			_, gate := gates[id]
			if got > 1 || !cancelled && got != 1 || cancelled && gate && got != 0 {
				rt.Fatalf("%d answers to %d (gate %v, cancelled %v)", got, id, gate, cancelled)
			}
		}
	})
}

// TestCancelBeforeTheCallBegins has a cancel come first. The tool never begins.
func TestCancelBeforeTheCallBegins(t *testing.T) {
	t.Parallel()
	f := newFixture()
	o := (&Stdio{Server: f.server}).withDefaults()
	var out lockedBuffer
	c := newStdioConn(t.Context(), o, &out)
	e, _ := parseEnvelope([]byte(call("1", "gate", `{}`)))
	taken, _ := c.begin(&e)
	c.cancelCall([]byte(`{"requestId":1}`))
	c.serve(taken)
	if len(f.started) > 0 || out.String() != "" {
		t.Errorf("begun %d times, written %q", len(f.started), out.String())
	}
	if cause := context.Cause(taken.ctx); !errors.Is(cause, ErrCancelledByHost) {
		t.Errorf("cause %v", cause)
	}
	select {
	case <-c.idle():
	default:
		t.Error("it is still in flight")
	}
}

// TestIDOfACancelledCall is used again while the cancelled call still runs. The
// end of that one leaves the new one in reach.
func TestIDOfACancelledCall(t *testing.T) {
	t.Parallel()
	f := newFixture()
	release := make(chan struct{})
	over := make(chan struct{})
	f.server.AddTool(mcp.NewTool("stubborn"), func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		f.started <- ""
		<-release
		return mcp.NewToolResultText("late"), nil
	})
	w := deliverTo(func() { close(over) })
	h := start(t, f, serveOurs(Stdio{newDelivery: w}), 20*time.Second, false)
	check(t, h.send(call("1", "stubborn", `{}`)), h.wantStarted(), h.send(cancelOf("1")))
	check(t, h.send(call("1", "gate", `{}`)), h.wantStarted())
	close(release)
	select {
	case <-over:
	case <-time.After(h.patience):
		t.Fatal("the first call is not over")
	}
	// Its place is given back a moment after its delivery is settled.
	check(t, h.roundTrip("2"), h.send(cancelOf("1")), h.wantEnded(ErrCancelledByHost), h.wantRest0())
}

// deliverTo calls over when the first delivery is settled.
func deliverTo(over func()) func(context.Context) (context.Context, delivery) {
	once := &onceDelivery{over: over}
	return func(ctx context.Context) (context.Context, delivery) { return ctx, once }
}

type onceDelivery struct {
	once sync.Once
	over func()
}

func (d *onceDelivery) Delivered() { d.once.Do(d.over) }
func (d *onceDelivery) Dropped()   { d.once.Do(d.over) }

// TestCallsAreForgotten serves a call and keeps nothing of it.
func TestCallsAreForgotten(t *testing.T) {
	t.Parallel()
	var out lockedBuffer
	c := newStdioConn(t.Context(), (&Stdio{Server: newFixture().server}).withDefaults(), &out)
	e, _ := parseEnvelope([]byte(call("1", "echo", `{}`)))
	taken, _ := c.begin(&e)
	c.serve(taken)
	if taken.ctx.Err() == nil {
		t.Error("its context is still attached to the connection's")
	}
	if len(c.calls) != 0 || c.inFlight != 0 || c.bytes != 0 {
		t.Errorf("%d calls, %d in flight, %d bytes", len(c.calls), c.inFlight, c.bytes)
	}
}
