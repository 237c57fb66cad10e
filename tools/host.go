package tools

import (
	"context"
	"sync"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

// Notifier is implemented by a session that has written a notification to its
// client when Notify returns. mcp-go's own channel gives no such promise: it
// delivers progress after the response, or drops it (mcp-go v1.2.1).
type Notifier interface {
	Notify(notification mcp.JSONRPCNotification) error
}

type notifierKey struct{}

// WithNotifier gives a call a notifier of its own, for a transport on which the
// calls of one session are answered on different streams.
func WithNotifier(ctx context.Context, n Notifier) context.Context {
	return context.WithValue(ctx, notifierKey{}, n)
}

// NotifierFrom returns the notifier of a call: its own, or its session where that
// is one; nil where the transport has none.
func NotifierFrom(ctx context.Context) Notifier {
	if n, ok := ctx.Value(notifierKey{}).(Notifier); ok {
		return n
	}
	n, _ := server.ClientSessionFromContext(ctx).(Notifier)
	return n
}

// RootLister is implemented by a session whose client's roots are folders of the
// machine that the server runs on: only where the transport is local. It is safe
// for concurrent use.
type RootLister interface {
	// Roots returns the URIs of the client's roots, as the client wrote them:
	// they are checked for nothing but that each is a string, not empty, and
	// that there are at most 1000. It returns none where the client offers none.
	// It may ask the client, and waits at most 5 s for the answer; the error says
	// why there is none, or is the cause of ctx's end. Call it from tool handlers
	// only, with their context: the answer is read by what calls hooks.
	Roots(ctx context.Context) ([]string, error)
}

// Delivery tells a tool handler what became of its response. A transport that
// knows when a response has been written puts one in the call's context and
// calls Delivered or Dropped in the end; the zero value is ready to use. It is
// safe for concurrent use.
type Delivery struct {
	mu        sync.Mutex
	callbacks []func(delivered bool)
}

type deliveryKey struct{}

// WithDelivery returns a context that carries d to the tool handlers.
func WithDelivery(ctx context.Context, d *Delivery) context.Context {
	return context.WithValue(ctx, deliveryKey{}, d)
}

// Delivered says that the response was written to the host in full.
func (d *Delivery) Delivered() { d.settle(true) }

// Dropped says that the response was suppressed or could not be written.
func (d *Delivery) Dropped() { d.settle(false) }

func (d *Delivery) settle(delivered bool) {
	d.mu.Lock()
	callbacks := d.callbacks
	d.callbacks = nil
	d.mu.Unlock()
	for _, f := range callbacks {
		f(delivered)
	}
}

// onSettled runs f once the response has been written to the host or dropped;
// at once, as if it had been written, where the transport can't tell.
func onSettled(ctx context.Context, f func(delivered bool)) {
	d, ok := ctx.Value(deliveryKey{}).(*Delivery)
	if !ok {
		f(true)
		return
	}
	d.mu.Lock()
	d.callbacks = append(d.callbacks, f)
	d.mu.Unlock()
}
