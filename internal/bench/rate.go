package main

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"nemotron-mcp/internal/falsim"
)

// rate measures generate calls a second against an instant simulator, at
// several calls in flight, in turn with the bare program. That one writes
// nothing down, so it is compared with a server that keeps its ledger in memory;
// what the file costs is told beside it.
func (b *bench) rate() error {
	b.sim.SetScript(falsim.Script{Output: "done"})
	b.store = "memory"
	defer func() { b.store = "" }()
	for _, inFlight := range []int{1, 16, 64} {
		var ratios, ours, theirs, cpu, bareCPU, inFile []float64
		for range b.times(7) {
			o, oc, err := b.callsPerSecond(b.server, inFlight)
			if err != nil {
				return err
			}
			t, tc, err := b.callsPerSecond(b.bare, inFlight)
			if err != nil {
				return err
			}
			b.store = ""
			l, _, err := b.callsPerSecond(b.server, inFlight)
			if err != nil {
				return err
			}
			b.store = "memory"
			inFile = append(inFile, l)
			ours, theirs, ratios = append(ours, o), append(theirs, t), append(ratios, o/t)
			cpu, bareCPU = append(cpu, oc), append(bareCPU, tc)
		}
		fmt.Printf("generate calls, %2d at once median %5.0f /s    bare Go %5.0f /s   ratio %.2f   (goal 0.70)   processor %3.0f µs a call, bare Go %3.0f   with the ledger in a file %5.0f /s\n",
			inFlight, median(ours), median(theirs), median(ratios), median(cpu), median(bareCPU), median(inFile))
		warn(atLeast(fmt.Sprintf("generate calls, %d at once, as a ratio to bare Go", inFlight), median(ratios), 0.7, ""))
	}
	return nil
}

// callsPerSecond also returns the processor time of the process, in µs a call.
func (b *bench) callsPerSecond(start func() (*peer, error), inFlight int) (rate, cpu float64, err error) {
	b.sim.Reset()
	p, err := start()
	if err != nil {
		return 0, 0, err
	}
	defer func() {
		p.kill()
		if state := p.cmd.ProcessState; state != nil {
			cpu = float64((state.UserTime() + state.SystemTime()).Microseconds()) / float64(b.calls(inFlight)+4*inFlight)
		}
	}()
	if err := p.handshake(); err != nil {
		return 0, 0, err
	}
	if err := load(p, inFlight, inFlight*4); err != nil { // connections, caches
		return 0, 0, err
	}
	began := time.Now()
	if err := load(p, inFlight, b.calls(inFlight)); err != nil {
		return 0, 0, err
	}
	return float64(b.calls(inFlight)) / time.Since(began).Seconds(), 0, nil
}

func (b *bench) calls(inFlight int) int {
	if inFlight == 1 {
		return b.times(1000)
	}
	return b.times(4000)
}

// load makes that many calls, inFlight at a time, each with another prompt.
func load(p *peer, inFlight, calls int) error {
	var next atomic.Int64
	errs := make(chan error, inFlight)
	var wg sync.WaitGroup
	for range inFlight {
		wg.Go(func() {
			for {
				n := next.Add(1)
				if n > int64(calls) {
					return
				}
				if err := p.generate(fmt.Sprintf("call %d of %d", n, calls)); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	return <-errs
}
