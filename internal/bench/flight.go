package main

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"nemotron-mcp/internal/falsim"
)

// flown is what was seen of many generations at once.
type flown struct {
	calls, answered, bills int
	failure                error // of the first call that failed
	status                 []time.Duration
	kibPerCall             float64 // 0 where the system does not tell
}

// check returns every goal that was missed. Unlike the other measurements this
// one fails by them: they are promises of the server and hold on slow machines.
func (f flown) check() error {
	var errs []error
	if f.answered != f.calls {
		errs = append(errs, fmt.Errorf("%d of %d calls were not answered; the first: %w", f.calls-f.answered, f.calls, f.failure))
	}
	if f.bills != f.calls {
		errs = append(errs, fmt.Errorf("%d bills for %d calls", f.bills, f.calls))
	}
	if len(f.status) == 0 {
		errs = append(errs, errors.New("queue_status was not measured"))
	}
	for _, missed := range []string{
		atMost("queue_status at p95", ms(percentile(f.status, 95)), 100, " ms"),
		atMost("memory a call", f.kibPerCall, 100, " KiB"),
	} {
		if missed != "" {
			errs = append(errs, errors.New(missed))
		}
	}
	return errors.Join(errs...)
}

// flight holds 1,000 generations of 5 s open at once and asks queue_status
// meanwhile.
func (b *bench) flight() error {
	b.sim.Reset()
	b.sim.SetScript(falsim.Script{RunTime: 5 * time.Second, Output: "done"})
	p, err := b.server()
	if err != nil {
		return err
	}
	defer p.kill()
	if err := p.handshake(); err != nil {
		return err
	}
	// What the first call opens is not held by each: the ledger, a connection.
	if _, err := p.call("queue_list", map[string]any{}); err != nil {
		return err
	}
	f := flown{calls: 1000}
	if err := b.fly(p, &f); err != nil {
		return err
	}
	fmt.Printf("%d in flight for 5 s    answered %d, bills %d, queue_status p50 %.1f ms p95 %.1f ms (goal 100), %.0f KiB a call (goal 100)\n",
		f.calls, f.answered, f.bills, ms(median(f.status)), ms(percentile(f.status, 95)), f.kibPerCall)
	return f.check()
}

func (b *bench) fly(p *peer, f *flown) error {
	idle, peak := p.rss(), 0.0
	var mu sync.Mutex // guards f.answered and f.failure
	var wg sync.WaitGroup
	for i := range f.calls {
		wg.Go(func() {
			err := p.generate(fmt.Sprintf("flight %d", i))
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				f.answered++
			} else if f.failure == nil {
				f.failure = err
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	for {
		select {
		case <-done:
			f.bills = b.sim.Bills()
			if idle > 0 {
				f.kibPerCall = (peak - idle) / float64(f.calls)
			}
			return nil
		case <-time.After(20 * time.Millisecond):
		}
		peak = max(peak, p.rss())
		jobs := b.sim.Jobs()
		if len(jobs) == 0 {
			continue
		}
		began := time.Now()
		if _, err := p.call("queue_status", map[string]any{"request_id": jobs[len(jobs)/2].RequestID}); err != nil {
			return err
		}
		f.status = append(f.status, time.Since(began))
	}
}
