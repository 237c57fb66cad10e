package jobs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"nemotron-mcp/falclient"
	"nemotron-mcp/internal/falsim"
)

// limited is a rig whose callers have that many places each.
func limited(t *testing.T, script falsim.Script, most int) *rig {
	t.Helper()
	return newRig(t, script, setup{manyCallers: true, inFlight: most})
}

// places are those that are taken, by caller.
func (r *rig) places() map[string]int {
	r.m.places.mu.Lock()
	defer r.m.places.mu.Unlock()
	return maps.Clone(r.m.places.taken)
}

func (r *rig) refused(req Request) {
	r.t.Helper()
	if err := r.m.Check(r.ctx, req); code(err) != RateLimited {
		r.t.Errorf("Check: %v", err)
	}
	job, err := r.m.Generate(r.ctx, req, nil)
	e := new(Error)
	if !errors.As(err, &e) || e.Code != RateLimited || !e.Retryable || e.RetryAfter != 10*time.Second || job.ID != "" {
		r.t.Errorf("Generate: %+v, %v", job, err)
	}
}

func TestInFlightLimit(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := limited(t, falsim.Script{RunTime: time.Minute}, 2)
		r.handBack("a")
		waiting := r.start(prompt("b", time.Hour))
		synctest.Wait()
		accepted, rows := r.sim.Stats().Requests.Submit, len(r.rows())
		r.refused(prompt("c", 0))
		if r.sim.Stats().Requests.Submit != accepted || len(r.rows()) != rows {
			t.Error("a refused call was written down or sent")
		}
		other := r.generate(of("another", prompt("a", 0)))
		r.m.Settle(other, ToldAll)
		job, err := waiting.wait()
		must(t, err)
		r.m.Settle(job, ToldAll)
		r.handBack("c")
		synctest.Wait()
		if got := r.places(); got[me] != 1 {
			t.Errorf("places taken: %v", got)
		}
		time.Sleep(2 * time.Minute)
		if got := r.places(); len(got) != 0 {
			t.Errorf("places taken at the end: %v", got)
		}
	})
}

// A caller that has its answer may call again at once.
func TestPlaceIsFreeWithTheAnswer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := limited(t, falsim.Script{RunTime: time.Second}, 1)
		for n := range 50 {
			r.m.Settle(r.generate(prompt(fmt.Sprint(n), time.Minute)), ToldAll)
		}
		r.count(50, 50)
	})
}

// A place is free before the watcher is done with what comes after the end.
func TestPlaceIsFreeBeforeTheWatcherEnds(t *testing.T) {
	t.Parallel()
	l := newLive(Job{ID: "1", Status: InProgress}, falclient.Endpoint{})
	left := false
	l.leavePlace = func() { left = true }
	l.set(Job{ID: "1", Status: InProgress})
	if left {
		t.Error("left while it runs")
	}
	l.set(Job{ID: "1", Status: Completed})
	if !left {
		t.Error("kept after the end")
	}
}

func TestAttachTakesNoPlace(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := limited(t, falsim.Script{RunTime: time.Minute}, 1)
		first := r.generate(prompt("a", 0))
		r.m.Settle(first, NotTold)
		must(t, r.m.Check(t.Context(), prompt("a", 0)))
		again := r.generate(prompt("a", 5*time.Minute))
		if again.RequestID != first.RequestID || again.Status != Completed {
			t.Errorf("%s %s, want %s COMPLETED", again.RequestID, again.Status, first.RequestID)
		}
		r.m.Settle(again, ToldAll)
		r.count(1, 1)
		if got := r.places(); len(got) != 0 {
			t.Errorf("places taken: %v", got)
		}
	})
}

// A call that panics on its way gives its place back.
func TestPlaceAfterAPanic(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := limited(t, falsim.Script{}, 1)
		r.m.opts.Mask = func(string) string { panic("mask") }
		func() {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			_, _ = r.m.Generate(t.Context(), prompt("a", 0), nil)
		}()
		if got := r.places(); len(got) != 0 {
			t.Errorf("places taken: %v", got)
		}
	})
}

// TestPlacesNeverLeak drives callers through failures of the ledger and of fal,
// cancels and a close.
func TestPlacesNeverLeak(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for range 3 { // see TestAnyCourse
			rapid.Check(struct{ rapid.TB }{t}, func(rt *rapid.T) { placesCourse(t.Context(), rt) })
		}
	})
}

func placesCourse(ctx context.Context, rt *rapid.T) {
	most := rapid.IntRange(1, 3).Draw(rt, "most")
	r := openRig(ctx, rt, falsim.Script{}, setup{manyCallers: true, inFlight: most})
	c := &course{r: r, ends: map[string]Job{}}
	closed := false
	defer func() {
		if !closed {
			r.close()
		}
	}()
	var stops []context.CancelFunc
	var settled sync.WaitGroup
	rt.Repeat(map[string]func(*rapid.T){
		"call": func(t *rapid.T) {
			req := prompt(rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "prompt"), rapid.SampledFrom([]time.Duration{0, 9 * time.Second}).Draw(t, "wait"))
			p := r.start(of(rapid.SampledFrom([]string{me, "another"}).Draw(t, "caller"), req))
			told := WasTold(rapid.Bool().Draw(t, "delivered"), false)
			stops = append(stops, p.stop)
			settled.Go(func() {
				job, _ := p.wait()
				r.m.Settle(job, told)
			})
		},
		"host cancels": func(t *rapid.T) {
			if len(stops) == 0 {
				t.Skip("no calls")
			}
			stops[rapid.IntRange(0, len(stops)-1).Draw(t, "call")]()
		},
		"cancel": func(t *rapid.T) { c.cancel(t) },
		"script": c.script,
		"time":   c.time,
		"ledger": func(t *rapid.T) {
			which := rapid.SampledFrom([]*error{&r.ledger.insert, &r.ledger.update, &r.ledger.find}).Draw(t, "step")
			r.ledger.set(which, rapid.SampledFrom([]error{nil, errDisk}).Draw(t, "fault"))
		},
		"": func(t *rapid.T) { placesAreThoseOfJobs(t, r, most) },
	})
	if rapid.Bool().Draw(rt, "close early") {
		closed = true
		r.close()
	} else {
		r.sim.SetScript(falsim.Script{})
		for _, which := range []*error{&r.ledger.insert, &r.ledger.update, &r.ledger.find} {
			r.ledger.set(which, nil)
		}
		time.Sleep(20 * time.Minute)
	}
	settled.Wait()
	synctest.Wait()
	if got := r.places(); len(got) != 0 {
		rt.Fatalf("places that nothing takes: %v", got)
	}
}

// placesAreThoseOfJobs compares the places with the jobs that were submitted here
// and are watched.
func placesAreThoseOfJobs(t *rapid.T, r *rig, most int) {
	synctest.Wait()
	want := map[string]int{}
	r.m.mu.Lock()
	for _, l := range r.m.live {
		// One that was attached to may be another's, or of before.
		if job := l.snapshot(); l.leavePlace != nil && l.running && !job.Status.Finished() {
			want[job.Caller]++
		}
	}
	r.m.mu.Unlock()
	got := r.places()
	if !maps.Equal(got, want) {
		t.Fatalf("places %v, jobs %v", got, want)
	}
	for caller, n := range got {
		if n > most {
			t.Fatalf("%q has %d places of %d", caller, n, most)
		}
	}
}
