package transport

import (
	"context"
	"sync"
	"time"
)

// healthAge is how old an answer about the server's health may be: anybody may
// ask, and it takes a look at the ledger.
const healthAge = time.Second

// lastHealth is what was found last. It is safe for concurrent use.
type lastHealth struct {
	mu  sync.Mutex
	at  time.Time
	err error
}

// ask asks again where the last answer is too old. Who asks meanwhile waits.
func (h *lastHealth) ask(ctx context.Context, look func(context.Context) error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if time.Since(h.at) < healthAge {
		return h.err
	}
	err := look(ctx)
	if ctx.Err() == nil { // not the asker's own end
		h.at, h.err = time.Now(), err
	}
	return err
}
