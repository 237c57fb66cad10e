package jobs

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"nemotron-mcp/falclient"
	"nemotron-mcp/internal/falsim"
)

func TestHandBack(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		submit time.Duration // how long fal takes to answer the submission
		wait   time.Duration
		after  time.Duration // when it is handed back
		status Status
	}{
		{"wait 0", 0, 0, 0, InQueue},
		{"wait elapses in the queue", 0, 2 * time.Second, 2 * time.Second, InQueue},
		{"wait elapses while it runs", 0, 15 * time.Second, 15 * time.Second, InProgress},
		{"wait 0, and a slow submission", 3 * time.Second, 0, 3 * time.Second, InQueue},
		{"wait elapses during the submission", 3 * time.Second, time.Second, 3 * time.Second, InQueue},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, falsim.Script{
					QueueDelay: 10 * time.Second, RunTime: 10 * time.Second, Output: "the answer",
					Faults: []falsim.Fault{{Step: falsim.StepSubmit, Delay: tc.submit, Accept: true}},
				}, setup{})
				began := time.Now()
				job := r.generate(prompt("p", tc.wait))
				if took := time.Since(began); took != tc.after || job.Status != tc.status || job.RequestID == "" {
					t.Errorf("after %v: %s with request_id %q", took, job.Status, job.RequestID)
				}
				r.m.Settle(job, ToldAll)
				time.Sleep(time.Hour) // nobody asks, and fal forgets it
				if n := r.sim.Stats().Requests.Result; n != 1 {
					t.Errorf("the result was read %d times by then", n)
				}
				if job := r.status(job.RequestID, 0); job.Output != "the answer" {
					t.Errorf("kept: %s %q", job.Status, job.Output)
				}
			})
		})
	}
}

func TestHostsCancelEndsTheJob(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name      string
		script    falsim.Script
		after     time.Duration // when the host cancels
		took      time.Duration // the call, all in all
		job       Status        // as the call returns it
		row       Status        // a minute later
		billed    int
		cancels   int
		cancelled int // at fal
	}{
		{
			name: "queued", script: falsim.Script{QueueDelay: time.Hour}, after: time.Second,
			took: time.Second, job: Cancelled, row: Cancelled, cancels: 1, cancelled: 1,
		},
		{
			name: "running", script: falsim.Script{RunTime: time.Hour}, after: time.Second,
			took: time.Second, job: Cancelled, row: Cancelled, billed: 1, cancels: 1, cancelled: 1,
		},
		{
			name: "while the POST is in flight", after: time.Second, took: time.Second + outcomeTime, job: Submitting, row: Cancelled, cancels: 1, cancelled: 1,
			script: falsim.Script{QueueDelay: time.Hour, Faults: []falsim.Fault{{Step: falsim.StepSubmit, Delay: 3 * time.Second, Accept: true}}},
		},
		{
			name: "fal takes 4 s for the cancel", after: time.Second, took: time.Second + outcomeTime, job: InQueue, row: Cancelled, cancels: 1, cancelled: 1,
			script: falsim.Script{QueueDelay: time.Hour, Faults: []falsim.Fault{{Step: falsim.StepCancel, Delay: 4 * time.Second}}},
		},
		{
			name: "fal never answers the cancel", after: time.Second, took: time.Second + outcomeTime, job: InProgress, row: Completed, billed: 1, cancels: 1,
			script: falsim.Script{RunTime: 30 * time.Second, Faults: []falsim.Fault{{Step: falsim.StepCancel, Kind: falsim.Hang}}},
		},
		{
			name: "the runner ignores it", after: time.Second, took: time.Second + outcomeTime, job: InProgress, row: Completed, billed: 1, cancels: 1,
			script: falsim.Script{RunTime: 30 * time.Second, IgnoreCancel: true},
		},
		{
			name: "while a refused submission waits to be repeated", after: time.Second, took: time.Second, job: Cancelled, row: Cancelled,
			script: falsim.Script{Faults: []falsim.Fault{{Step: falsim.StepSubmit, Status: 429, Headers: map[string]string{"Retry-After": "10"}}}},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, tc.script, setup{})
				call := r.start(prompt("p", 10*time.Minute))
				time.Sleep(tc.after)
				call.stop()
				job, err := call.wait()
				if !errors.Is(err, context.Canceled) || call.took != tc.took || job.Status != tc.job {
					t.Errorf("after %v: %s, %v; want after %v: %s", call.took, job.Status, err, tc.took, tc.job)
				}
				r.m.Settle(job, NotTold)
				time.Sleep(time.Minute)
				if row := r.rows()[0]; row.Status != tc.row {
					t.Errorf("the row is %s, want %s", row.Status, tc.row)
				}
				st := r.sim.Stats()
				if st.Billed != tc.billed || st.Requests.Cancel != tc.cancels || st.Cancelled != tc.cancelled || st.Requests.Submit != 1 {
					t.Errorf("fal: %+v", st)
				}
			})
		})
	}
}

func TestHostsCancelBeforeTheSubmissionIsSent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, falsim.Script{}, setup{dial: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }})
		call := r.start(prompt("p", 10*time.Minute))
		time.Sleep(time.Second)
		call.stop()
		job, err := call.wait()
		if !errors.Is(err, context.Canceled) || call.took != time.Second {
			t.Errorf("after %v: %v", call.took, err)
		}
		r.is(job, Cancelled, JobCancelled)
		if !strings.Contains(job.Failure.Message, "nothing is billed") {
			t.Errorf("%q", job.Failure.Message)
		}
		if n := r.sim.Stats().Requests.Submit; n != 0 {
			t.Errorf("%d submissions", n)
		}
	})
}

// The cancel has 5 s of its own, and no more, though the call is dead.
func TestCancelIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var had time.Duration
		r := newRig(t, falsim.Script{}, setup{fal: &stub{cancel: func(ctx context.Context) (falclient.CancelOutcome, error) {
			began := time.Now()
			<-ctx.Done()
			had = time.Since(began)
			return "", ctx.Err()
		}}})
		call := r.start(prompt("p", 10*time.Minute))
		synctest.Wait()
		call.stop()
		job, _ := call.wait()
		r.m.Settle(job, NotTold)
		time.Sleep(time.Minute)
		synctest.Wait()
		if had != cancelTime {
			t.Errorf("the cancel had %v", had)
		}
		if n := len(r.lines("cancel not accepted")); n != 1 {
			t.Errorf("%d log lines", n)
		}
	})
}

func TestHandedBackJobOutlivesItsCall(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, falsim.Script{RunTime: time.Minute}, setup{})
		call := r.start(prompt("p", time.Second))
		job, err := call.wait() // and ends its context
		if err != nil {
			t.Fatal(err)
		}
		r.m.Settle(job, NotTold)
		r.is(r.status(job.RequestID, 2*time.Minute), Completed, "")
		if n := r.sim.Stats().Requests.Cancel; n != 0 {
			t.Errorf("%d cancels", n)
		}
	})
}

// The host ends the call in the moment in which the result is read.
func TestResultAtTheEndOfTheContextIsKept(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		r := newRig(t, falsim.Script{}, setup{fal: &stub{watch: done, result: func(ctx context.Context) (falclient.Result, error) {
			stop()
			synctest.Wait() // the call knows, and has asked for the cancel
			return (&stub{}).Result(ctx, falclient.Endpoint{}, "")
		}}})
		job, err := r.m.Generate(ctx, prompt("p", time.Minute), nil)
		if !errors.Is(err, context.Canceled) || job.Status != Completed || job.Output != "answer" {
			t.Errorf("%s %q, %v", job.Status, job.Output, err)
		}
	})
}

// Whichever comes first at the same moment, the job is told as fal has it.
func TestResultAndCancelAtTheSameMoment(t *testing.T) {
	t.Parallel()
	for range 30 {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, falsim.Script{RunTime: 5 * time.Second}, setup{})
			ctx, stop := context.WithTimeout(t.Context(), 5*time.Second)
			defer stop()
			job, _ := r.m.Generate(ctx, prompt("p", time.Minute), nil)
			r.m.Settle(job, NotTold)
			want := Completed
			if r.sim.Stats().Cancelled == 1 {
				want = Cancelled
			}
			if job.Status != want {
				t.Errorf("the call got %s, fal has %s", job.Status, want)
			}
		})
	}
}

func TestWaitOfAFinishedJobBeatsADeadContext(t *testing.T) {
	t.Parallel()
	l := newLive(Job{Status: Completed}, falclient.Endpoint{})
	defer l.abandon()
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if job, err := l.wait(ctx, nil, nil); err != nil || job.Status != Completed {
		t.Errorf("%s, %v", job.Status, err)
	}
}

func TestWaitTellsTheCauseOfTheEnd(t *testing.T) {
	t.Parallel()
	l := newLive(Job{ID: "a", Status: InQueue}, falclient.Endpoint{})
	defer l.abandon()
	gone := errors.New("host gone")
	ctx, stop := context.WithCancelCause(t.Context())
	stop(gone)
	if job, err := l.wait(ctx, nil, nil); !errors.Is(err, gone) || job.ID != "a" {
		t.Errorf("%+v, %v", job, err)
	}
}

func TestCancelWishes(t *testing.T) {
	t.Parallel()
	named := Job{RequestID: "r", Status: InQueue}
	for _, tc := range []struct {
		name  string
		job   Job
		state cancelState
		ask   bool
		next  cancelState
		due   bool // once the submission was answered
	}{
		{"before the submission was answered", Job{Status: Submitting}, notWanted, false, wanted, true},
		{"the same again", Job{Status: Submitting}, wanted, false, wanted, true},
		{"a job of fal's", named, notWanted, true, asking, false},
		{"while fal is being asked", named, asking, false, asking, false},
		{"after fal has answered", named, asked, true, asking, false},
		{"after the end", Job{RequestID: "r", Status: Completed}, notWanted, false, notWanted, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			l := newLive(tc.job, falclient.Endpoint{})
			defer l.abandon()
			l.cancel = tc.state
			if ask := l.wantCancel(); ask != tc.ask || l.cancel != tc.next {
				t.Errorf("ask %v, state %d; want %v, %d", ask, l.cancel, tc.ask, tc.next)
			}
			if due := l.cancelDue(); due != tc.due {
				t.Errorf("due %v, want %v", due, tc.due)
			}
		})
	}
}

// A call that lost a job to a proxy's trouble for a moment is not told of it
// for ever.
func TestRefusalIsTakenBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var asked atomic.Int32
		r := newRig(t, falsim.Script{}, setup{fal: &stub{watch: func(ctx context.Context, tell func(falclient.Status)) (falclient.Status, error) {
			if asked.Add(1) == 1 {
				return falclient.Status{}, &falclient.APIError{Op: "status", StatusCode: 401, Structured: true}
			}
			tell(falclient.Status{State: falclient.InProgress})
			<-ctx.Done()
			return falclient.Status{}, ctx.Err()
		}}})
		job, err := r.m.Generate(t.Context(), prompt("p", time.Minute), nil)
		if code(err) != AuthFailed || err.(*Error).RequestID != "req-1" || job.Status != InQueue {
			t.Fatalf("%s, %v", job.Status, err)
		}
		r.m.Settle(job, ToldAll)
		time.Sleep(time.Second)
		if job := r.status("req-1", 0); job.Status != InProgress {
			t.Errorf("then: %s", job.Status)
		}
	})
}
