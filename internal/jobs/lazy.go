package jobs

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Lazy is a ledger that is opened when it is first used, because a server has to
// start fast and most starts are not followed by a job. Where opening fails,
// the call that needed it does, and the next one tries again.
type Lazy struct {
	open func() (Ledger, error)

	mu     sync.Mutex
	ledger Ledger
	closed bool
}

// NewLazy makes a ledger that open will open.
func NewLazy(open func() (Ledger, error)) *Lazy { return &Lazy{open: open} }

var errClosed = errors.New("the ledger is closed")

func (z *Lazy) get() (Ledger, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.ledger != nil {
		return z.ledger, nil
	}
	if z.closed {
		return nil, errClosed
	}
	ledger, err := z.open()
	if err != nil {
		return nil, err
	}
	z.ledger = ledger
	return ledger, nil
}

// Close implements Ledger. One that was never opened is left alone.
func (z *Lazy) Close() error {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.closed = true
	if z.ledger == nil {
		return nil
	}
	return z.ledger.Close()
}

// Insert implements Ledger.
func (z *Lazy) Insert(ctx context.Context, job Job, caps DayCaps) error {
	l, err := z.get()
	if err != nil {
		return err
	}
	return l.Insert(ctx, job, caps)
}

// Update implements Ledger.
func (z *Lazy) Update(ctx context.Context, id string, change func(*Job)) (Job, error) {
	l, err := z.get()
	if err != nil {
		return Job{}, err
	}
	return l.Update(ctx, id, change)
}

// Claim implements Ledger.
func (z *Lazy) Claim(ctx context.Context, id string) (Job, bool, error) {
	l, err := z.get()
	if err != nil {
		return Job{}, false, err
	}
	return l.Claim(ctx, id)
}

// ByRequest implements Ledger.
func (z *Lazy) ByRequest(ctx context.Context, caller, requestID string) (Job, error) {
	l, err := z.get()
	if err != nil {
		return Job{}, err
	}
	return l.ByRequest(ctx, caller, requestID)
}

// Find implements Ledger.
func (z *Lazy) Find(ctx context.Context, id string) (Job, error) {
	l, err := z.get()
	if err != nil {
		return Job{}, err
	}
	return l.Find(ctx, id)
}

// Undelivered implements Ledger.
func (z *Lazy) Undelivered(ctx context.Context, caller, inputHash string, since time.Time, free func(Job) bool) (Job, error) {
	l, err := z.get()
	if err != nil {
		return Job{}, err
	}
	return l.Undelivered(ctx, caller, inputHash, since, free)
}

// List implements Ledger.
func (z *Lazy) List(ctx context.Context, q Query) ([]Job, error) {
	l, err := z.get()
	if err != nil {
		return nil, err
	}
	return l.List(ctx, q)
}

// Spent implements Ledger.
func (z *Lazy) Spent(ctx context.Context, caller string, on time.Time) (float64, error) {
	l, err := z.get()
	if err != nil {
		return 0, err
	}
	return l.Spent(ctx, caller, on)
}

// Usage implements Ledger.
func (z *Lazy) Usage(ctx context.Context, since time.Time) ([]UsageRow, error) {
	l, err := z.get()
	if err != nil {
		return nil, err
	}
	return l.Usage(ctx, since)
}

// TakeOver implements Shared; one that nobody shares has nothing to take over.
func (z *Lazy) TakeOver(ctx context.Context) (taken []Job, lost bool, err error) {
	l, err := z.get()
	if err != nil {
		return nil, false, err
	}
	if shared, ok := l.(Shared); ok {
		return shared.TakeOver(ctx)
	}
	return nil, false, nil
}

// Renew implements Shared.
func (z *Lazy) Renew(ctx context.Context) (lost bool, err error) {
	l, err := z.get()
	if err != nil {
		return false, err
	}
	if shared, ok := l.(Shared); ok {
		return shared.Renew(ctx)
	}
	return false, nil
}

// Watched implements Shared; one that nobody shares is watched by no other.
func (z *Lazy) Watched(ctx context.Context, id string) (job Job, watched bool, err error) {
	l, err := z.get()
	if err != nil {
		return Job{}, false, err
	}
	if shared, ok := l.(Shared); ok {
		return shared.Watched(ctx, id)
	}
	job, _, err = l.Claim(ctx, id)
	return job, false, err
}

// Prune implements Shared.
func (z *Lazy) Prune(ctx context.Context, before time.Time) error {
	l, err := z.get()
	if err != nil {
		return err
	}
	if shared, ok := l.(Shared); ok {
		return shared.Prune(ctx, before)
	}
	return nil
}
