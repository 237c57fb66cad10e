package tools

import (
	"context"
	"sync"
)

// Refusal is how a prompt, a resource, a list or a completion is refused with
// words and a code of its own: mcp-go answers every error of theirs as an
// internal one, and lets no list fail (v1.2.1). A transport puts one into the
// context of each request with [WithRefusal] and asks it once the request is
// handled. It is safe for concurrent use.
type Refusal struct {
	mu      sync.Mutex
	code    int
	message string
}

type refusalKey struct{}

// WithRefusal returns a context that carries r to the handlers.
func WithRefusal(ctx context.Context, r *Refusal) context.Context {
	return context.WithValue(ctx, refusalKey{}, r)
}

// Refused returns the JSON-RPC error to answer with instead of what the server
// answered, and whether there is one.
func (r *Refusal) Refused() (code int, message string, refused bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.code, r.message, r.code != 0
}

// refusedError is a refusal as a handler returns it.
type refusedError struct {
	code    int
	message string
}

func (e *refusedError) Error() string { return e.message }

// leave leaves e for the transport. The first refusal of a request stays.
func (e *refusedError) leave(ctx context.Context) {
	r, ok := ctx.Value(refusalKey{}).(*Refusal)
	if !ok {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.code == 0 {
		r.code, r.message = e.code, e.message
	}
}
