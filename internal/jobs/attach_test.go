package jobs

import (
	"testing"
	"testing/synctest"
	"time"

	"nemotron-mcp/internal/falsim"
)

// TestAttach makes a call, lets something happen, and makes a second call. It
// either attaches to the first one's job or pays for its own.
func TestAttach(t *testing.T) {
	t.Parallel()
	deliver := func(r *rig, first Job) { r.m.Settle(first, ToldAll) }
	drop := func(r *rig, first Job) { r.m.Settle(first, NotTold) }
	for _, tc := range []struct {
		name    string
		run     time.Duration // of each job
		faults  []falsim.Fault
		ignore  bool          // the runner ignores cancels
		first   time.Duration // the first call's wait
		between func(r *rig, first Job)
		second  func(*Request)
		attach  bool
		status  Status // of the second call
	}{
		{name: "handed back and unfinished", run: time.Minute, between: deliver, attach: true, status: Completed},
		{name: "handed back and finished since", run: 5 * time.Second, attach: true, status: Completed, between: func(r *rig, first Job) {
			r.m.Settle(first, ToldAll)
			time.Sleep(time.Minute)
		}},
		{name: "finished before the hand-back was written", run: 5 * time.Second, attach: true, status: Completed, between: func(r *rig, first Job) {
			time.Sleep(time.Minute)
			r.m.Settle(first, ToldAll)
		}},
		{name: "the response was dropped", first: time.Minute, between: drop, attach: true, status: Completed},
		{name: "delivered", first: time.Minute, between: deliver, status: Completed},
		{name: "handed back, then delivered by queue_status", run: 5 * time.Second, status: Completed, between: func(r *rig, first Job) {
			r.m.Settle(first, ToldAll)
			r.status(first.RequestID, time.Minute)
		}},
		{name: "handed back, then dropped by queue_status", run: 5 * time.Second, attach: true, status: Completed, between: func(r *rig, first Job) {
			r.m.Settle(first, ToldAll)
			job, err := r.m.Status(r.ctx, me, first.RequestID, time.Minute, nil)
			if err != nil {
				r.t.Fatalf("Status: %v", err)
			}
			r.m.Settle(job, NotTold)
		}},
		{name: "the first call is still being answered", first: time.Minute, between: func(*rig, Job) {}, status: Completed},
		{name: "queue_status waits for it", run: time.Minute, status: Completed, between: func(r *rig, first Job) {
			r.m.Settle(first, ToldAll)
			r.calls.Go(func() {
				job, _ := r.m.Status(r.ctx, me, first.RequestID, 2*time.Minute, nil)
				r.m.Settle(job, NotTold)
			})
			synctest.Wait()
		}},
		{name: "another caller", run: time.Minute, between: deliver, second: func(q *Request) { q.Caller = "other" }, status: Completed},
		{name: "another prompt", run: time.Minute, between: deliver, second: func(q *Request) { q.Input.Prompt += "!" }, status: Completed},
		{name: "another temperature", run: time.Minute, between: deliver, status: Completed, second: func(q *Request) {
			q.Input.Temperature = new(float64)
		}},
		{name: "a default written out", run: time.Minute, between: deliver, attach: true, status: Completed, second: func(q *Request) {
			tokens, heat := 1024, 0.7
			q.Input.MaxTokens, q.Input.Temperature, q.Input.ReasoningMode = &tokens, &heat, "no_think"
		}},
		{name: "another webhook", run: time.Minute, between: deliver, status: Completed, second: func(q *Request) {
			q.WebhookURL = "https://example.com/hook"
		}},
		{name: "another wait", run: time.Minute, between: deliver, second: func(q *Request) { q.Wait = time.Hour }, attach: true, status: Completed},
		{name: "reasoning hidden", run: time.Minute, between: deliver, second: func(q *Request) { q.HideReasoning = true }, attach: true, status: Completed},
		{name: "just within 10 minutes", between: func(r *rig, first Job) {
			r.m.Settle(first, NotTold)
			time.Sleep(10*time.Minute - time.Millisecond)
		}, first: time.Minute, attach: true, status: Completed},
		{name: "older than 10 minutes", between: func(r *rig, first Job) {
			r.m.Settle(first, NotTold)
			time.Sleep(10*time.Minute + time.Millisecond)
		}, first: time.Minute, status: Completed},
		{name: "failed", first: time.Minute, between: drop, status: Completed, faults: []falsim.Fault{
			{Step: falsim.StepJob, Kind: falsim.Fail, Error: "boom", ErrorType: "runner_disconnected", Times: 1},
		}},
		{name: "cancelled", run: time.Minute, status: Completed, between: func(r *rig, first Job) {
			r.m.Settle(first, ToldAll)
			time.Sleep(time.Second)
			job, _, err := r.m.Cancel(r.ctx, me, first.RequestID)
			if err != nil || job.Status != Cancelled {
				r.t.Fatalf("Cancel: %s, %v", job.Status, err)
			}
			r.m.Settle(job, NotTold)
		}},
		{name: "cancelled by somebody else", first: time.Minute, between: drop, status: Completed, faults: []falsim.Fault{
			{Step: falsim.StepJob, Kind: falsim.Fail, Error: "cancelled", ErrorType: "client_cancelled", Times: 1},
		}},
		{name: "a cancel that the runner ignores", run: time.Minute, ignore: true, status: Completed, between: func(r *rig, first Job) {
			r.m.Settle(first, ToldAll)
			job, _, _ := r.m.Cancel(r.ctx, me, first.RequestID)
			r.m.Settle(job, ToldAll)
		}},
		{name: "a cancel that fal has not answered", run: time.Minute, status: Completed, faults: []falsim.Fault{
			{Step: falsim.StepCancel, Delay: 3 * time.Second},
		}, between: func(r *rig, first Job) {
			r.m.Settle(first, ToldAll)
			r.calls.Go(func() {
				job, _, _ := r.m.Cancel(r.ctx, me, first.RequestID)
				r.m.Settle(job, ToldAll)
			})
			synctest.Wait()
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, falsim.Script{RunTime: tc.run, Faults: tc.faults, IgnoreCancel: tc.ignore}, setup{})
				first := r.generate(prompt("p", tc.first))
				tc.between(r, first)
				again := prompt("p", 2*time.Minute)
				if tc.second != nil {
					tc.second(&again)
				}
				second := r.generate(again)
				if got := second.ID == first.ID; got != tc.attach {
					t.Errorf("attached: %v, want %v", got, tc.attach)
				}
				if second.Status != tc.status {
					t.Errorf("the second call got %s (%v)", second.Status, second.Failure)
				}
				want := 2
				if tc.attach {
					want = 1
				}
				r.count(want, want)
			})
		})
	}
}

func TestAttachTakesTheLastWishForReasoning(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		run  time.Duration
		wait time.Duration
	}{{"while it runs", time.Minute, 0}, {"after its end", 0, time.Minute}} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, falsim.Script{RunTime: tc.run}, setup{})
				r.m.Settle(r.generate(prompt("p", tc.wait)), NotTold)
				again := prompt("p", 2*time.Minute)
				again.HideReasoning = true
				if job := r.generate(again); !job.HideReasoning {
					t.Error("the job returned shows the reasoning")
				}
				if rows := r.rows(); len(rows) != 1 || !rows[0].HideReasoning || rows[0].Status != Completed {
					t.Errorf("rows: %+v", rows)
				}
			})
		})
	}
}

func TestTwoIdenticalCallsAtOnceAreTwoJobs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, falsim.Script{RunTime: time.Minute}, setup{})
		a, b := r.start(prompt("p", 2*time.Minute)), r.start(prompt("p", 2*time.Minute))
		first, err := a.wait()
		second, err2 := b.wait()
		if err != nil || err2 != nil || first.RequestID == second.RequestID {
			t.Errorf("%q %v, %q %v", first.RequestID, err, second.RequestID, err2)
		}
		r.count(2, 2)
	})
}

// An answer that is written to the host while another call looks for it must
// never be handed out twice.
func TestManyIdenticalCallsSettledAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const calls = 200
		r := newRig(t, falsim.Script{}, setup{})
		ids := make(chan string, calls)
		for range calls {
			r.calls.Go(func() {
				job, err := r.m.Generate(r.ctx, prompt("p", time.Minute), nil)
				r.m.Settle(job, ToldAll)
				if err != nil || job.Status != Completed {
					t.Errorf("%s, %v", job.Status, err)
				}
				ids <- job.RequestID
			})
		}
		r.calls.Wait()
		close(ids)
		seen := map[string]bool{}
		for id := range ids {
			seen[id] = true
		}
		if len(seen) != calls {
			t.Errorf("%d different jobs for %d calls", len(seen), calls)
		}
		r.count(calls, calls)
		if n := r.held(); n != 0 {
			t.Errorf("%d jobs are still held", n)
		}
	})
}

// Of many identical calls that come back at once for one lost answer, one gets
// it and the others pay.
func TestOneCallAttaches(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, falsim.Script{RunTime: time.Minute}, setup{})
		first := r.handBack("p")
		var calls []*pending
		for range 5 {
			calls = append(calls, r.start(prompt("p", 2*time.Minute)))
		}
		attached := 0
		for _, c := range calls {
			job, err := c.wait()
			if err != nil {
				t.Error(err)
			}
			if job.ID == first.ID {
				attached++
			}
		}
		if attached != 1 {
			t.Errorf("%d calls attached", attached)
		}
		r.count(5, 5)
	})
}

func TestUnknownIsToldAgainUntilDelivered(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, falsim.Script{Faults: []falsim.Fault{
			{Step: falsim.StepSubmit, Kind: falsim.CloseAfterAccept, Accept: true, Times: 1},
		}}, setup{})
		first := r.generate(prompt("p", time.Minute))
		r.is(first, Unknown, SubmitUnknown)
		r.m.Settle(first, NotTold)
		second := r.generate(prompt("p", time.Minute))
		if second.ID != first.ID {
			t.Error("it was submitted again before anybody knew of the first one")
		}
		r.is(second, Unknown, SubmitUnknown)
		r.count(1, 1)
		r.m.Settle(second, ToldAll)
		third := r.generate(prompt("p", time.Minute))
		r.is(third, Completed, "")
		r.count(2, 2)
	})
}

// A host that ended a call and makes it again wants an answer, not the end of
// the first one's cancel.
func TestCallAfterACancelIsNew(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, falsim.Script{QueueDelay: time.Minute, Faults: []falsim.Fault{
			{Step: falsim.StepSubmit, Delay: 5 * time.Second, Accept: true, Times: 1},
		}}, setup{})
		call := r.start(prompt("p", 10*time.Minute))
		synctest.Wait()
		call.stop()
		first, _ := call.wait()
		r.m.Settle(first, NotTold)
		second := r.generate(prompt("p", 10*time.Minute))
		if second.ID == first.ID {
			t.Error("attached to a job that is being cancelled")
		}
		r.is(second, Completed, "")
		r.count(2, 1)
	})
}

func TestAnswerThatBeatTheCancelIsKept(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, falsim.Script{RunTime: 10 * time.Second, IgnoreCancel: true}, setup{})
		call := r.start(prompt("p", time.Minute))
		synctest.Wait()
		call.stop()
		first, _ := call.wait()
		r.m.Settle(first, NotTold)
		time.Sleep(time.Minute)
		second := r.generate(prompt("p", time.Minute))
		if second.ID != first.ID {
			t.Error("the answer was paid for twice")
		}
		r.is(second, Completed, "")
		r.count(1, 1)
	})
}
