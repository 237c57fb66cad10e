package jobs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"nemotron-mcp/falclient"
)

// faultyLedger fails on demand.
type faultyLedger struct {
	Ledger
	mu             sync.Mutex
	insert, update error
	find, list     error
}

var errDisk = errors.New("disk full")

func (f *faultyLedger) fault(which *error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return *which
}

func (f *faultyLedger) set(which *error, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	*which = err
}

func (f *faultyLedger) Insert(ctx context.Context, job Job, caps DayCaps) error {
	if err := f.fault(&f.insert); err != nil {
		return err
	}
	return f.Ledger.Insert(ctx, job, caps)
}

func (f *faultyLedger) Update(ctx context.Context, id string, change func(*Job)) (Job, error) {
	if err := f.fault(&f.update); err != nil {
		return Job{}, err
	}
	return f.Ledger.Update(ctx, id, change)
}

func (f *faultyLedger) Undelivered(ctx context.Context, caller, hash string, since time.Time, free func(Job) bool) (Job, error) {
	if err := f.fault(&f.find); err != nil {
		return Job{}, err
	}
	return f.Ledger.Undelivered(ctx, caller, hash, since, free)
}

func (f *faultyLedger) ByRequest(ctx context.Context, caller, id string) (Job, error) {
	if err := f.fault(&f.find); err != nil {
		return Job{}, err
	}
	return f.Ledger.ByRequest(ctx, caller, id)
}

func (f *faultyLedger) List(ctx context.Context, q Query) ([]Job, error) {
	if err := f.fault(&f.list); err != nil {
		return nil, err
	}
	return f.Ledger.List(ctx, q)
}

// logBuffer is a log that can be read while it is written.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// stub is a fal of single functions, where the simulator is too truthful. A
// function that is missing waits for its context.
type stub struct {
	submit func(context.Context) (falclient.Submission, error)
	watch  func(context.Context, func(falclient.Status)) (falclient.Status, error)
	result func(context.Context) (falclient.Result, error)
	cancel func(context.Context) (falclient.CancelOutcome, error)
}

func (s *stub) Submit(ctx context.Context, _ falclient.Endpoint, _ any, _ falclient.SubmitOptions) (falclient.Submission, error) {
	if s.submit == nil {
		return falclient.Submission{RequestID: "req-1"}, nil
	}
	return s.submit(ctx)
}

func (s *stub) Watch(ctx context.Context, _ falclient.Endpoint, _ string, tell func(falclient.Status)) (falclient.Status, error) {
	if s.watch == nil {
		<-ctx.Done()
		return falclient.Status{}, ctx.Err()
	}
	return s.watch(ctx, tell)
}

func (s *stub) Status(context.Context, falclient.Endpoint, string, bool) (falclient.Status, error) {
	return falclient.Status{State: falclient.InQueue}, nil
}

func (s *stub) Result(ctx context.Context, _ falclient.Endpoint, _ string) (falclient.Result, error) {
	if s.result == nil {
		return falclient.Result{Body: json.RawMessage(`{"output":"answer"}`)}, nil
	}
	return s.result(ctx)
}

func (s *stub) Cancel(ctx context.Context, _ falclient.Endpoint, _ string) (falclient.CancelOutcome, error) {
	if s.cancel == nil {
		<-ctx.Done()
		return "", ctx.Err()
	}
	return s.cancel(ctx)
}

// done answers a watch at once.
func done(context.Context, func(falclient.Status)) (falclient.Status, error) {
	return falclient.Status{State: falclient.Completed}, nil
}
