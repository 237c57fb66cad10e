package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
	"github.com/rs/zerolog"

	"nemotron-mcp/tools"
)

// watched records what deliveries are told.
type watched struct {
	mu    sync.Mutex
	told  []string
	panic bool
}

type watchedKey struct{}

func (w *watched) begin(ctx context.Context) (context.Context, delivery) {
	return context.WithValue(ctx, watchedKey{}, w), w
}

func (w *watched) Delivered() { w.tell("delivered") }
func (w *watched) Dropped()   { w.tell("dropped") }

func (w *watched) tell(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.told = append(w.told, what)
	if w.panic {
		panic(secret)
	}
}

func (w *watched) got() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.told, " ")
}

func TestDelivery(t *testing.T) {
	t.Parallel()
	answered := func(h *host) error {
		_, err := h.answerTo("1")
		return err
	}
	released := func(h *host) error { h.free(); return h.wantEnded(nil) }
	cases := []struct {
		name, tool string
		end        func(h *host) error
		want       string
	}{
		{"answered", "gate", func(h *host) error { return errors.Join(released(h), answered(h)) }, "delivered"},
		{"cancelled", "gate", func(h *host) error { return errors.Join(h.send(cancelOf("1")), h.wantEnded(ErrCancelledByHost)) }, "dropped"},
		{"not written", "gate", func(h *host) error { h.outR.Close(); return released(h) }, "dropped"},
		{"answered after the end of the context", "gate", func(h *host) error { h.stop(nil); return answered(h) }, "delivered"},
		{"a panic", "boom", answered, "dropped"},
		{"a tool that does not exist", "none", answered, "delivered"},
		{"a handler that ends its goroutine", "exit", func(*host) error { return nil }, "dropped"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture()
			f.server.AddTool(mcp.NewTool("exit"), func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
				runtime.Goexit()
				return nil, nil
			})
			var w watched
			h := start(t, f, serveOurs(Stdio{newDelivery: w.begin}), 20*time.Second, false)
			check(t, h.send(call("1", c.tool, `{}`)))
			if c.tool == "gate" {
				check(t, h.wantStarted())
			}
			check(t, c.end(h))
			h.in.Close()
			if _, ok := within(h, h.served); !ok {
				t.Fatal("Serve has not returned")
			}
			if got := w.got(); got != c.want {
				t.Errorf("told %q, want %q", got, c.want)
			}
		})
	}
}

// TestDeliveryAfterServe tells a call that Serve could not wait for.
func TestDeliveryAfterServe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var w watched
		h := start(t, newFixture(), serveOurs(Stdio{newDelivery: w.begin}), forever, false)
		check(t, h.send(call("1", "deaf", `{}`)), h.wantStarted())
		h.in.Close()
		<-h.served
		h.free()
		synctest.Wait()
		if got := w.got(); got != "dropped" {
			t.Errorf("told %q", got)
		}
	})
}

func TestContextOfCalls(t *testing.T) {
	t.Parallel()
	type key struct{}
	seen := make(chan context.Context, 1)
	f := newFixture()
	f.server.AddTool(mcp.NewTool("look"), func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		seen <- ctx
		return mcp.NewToolResultText(""), nil
	})
	s := &Stdio{Server: f.server}
	inR, inW := io.Pipe()
	served := make(chan error, 1)
	go func() { served <- s.Serve(context.WithValue(t.Context(), key{}, "value"), inR, io.Discard) }()
	_, err := io.WriteString(inW, call("1", "look", `{}`)+"\n")
	check(t, err)
	got := <-seen
	if got.Value(key{}) != "value" {
		t.Error("the values of Serve's context are lost")
	}
	if _, ok := server.ClientSessionFromContext(got).(tools.Notifier); !ok {
		t.Error("there is no session that can notify")
	}
	// The key of tools.Delivery is its own.
	if !strings.Contains(fmt.Sprint(got), "tools.deliveryKey") {
		t.Errorf("there is no delivery in %v", got)
	}
	select {
	case <-got.Done():
	case <-time.After(20 * time.Second):
		t.Error("the context outlives its call")
	}
	inW.Close()
	check(t, <-served)
}

func TestPanicAtDelivery(t *testing.T) {
	t.Parallel()
	w := watched{panic: true}
	var logged lockedBuffer
	h := start(t, newFixture(), serveOurs(Stdio{Log: zerolog.New(&logged), newDelivery: w.begin}), 20*time.Second, false)
	check(t, h.send(call("1", "echo", `{}`)), h.wantRest(`"id":1`))
	if got := logged.String(); !strings.Contains(got, secret) || !strings.Contains(got, "goroutine") {
		t.Errorf("logged: %s", got)
	}
}
