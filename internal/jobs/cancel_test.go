package jobs

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"nemotron-mcp/falclient"
	"nemotron-mcp/internal/falsim"
)

// TestCancel cancels a job that was handed back, a second after its submission.
func TestCancel(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		script  falsim.Script
		after   time.Duration
		outcome falclient.CancelOutcome
		status  Status
		code    Code
		later   Status // a minute later
		billed  int
		puts    int
	}{
		{
			name: "queued", script: falsim.Script{QueueDelay: time.Hour},
			outcome: falclient.CancelledInQueue, status: Cancelled, code: JobCancelled, later: Cancelled, puts: 1,
		},
		{
			name: "running", script: falsim.Script{RunTime: time.Hour},
			outcome: falclient.CancelRequested, status: Cancelled, code: JobCancelled, later: Cancelled, billed: 1, puts: 1,
		},
		{
			name: "running, and fal's answer is late", outcome: falclient.CancelRequested, status: Cancelled, code: JobCancelled, later: Cancelled, billed: 1, puts: 1,
			script: falsim.Script{RunTime: time.Hour, Faults: []falsim.Fault{{Step: falsim.StepCancel, Delay: 2 * time.Second, Accept: true}}},
		},
		{
			name: "queued, and fal's answer is late", outcome: falclient.CancelledInQueue, status: Cancelled, code: JobCancelled, later: Cancelled, puts: 1,
			script: falsim.Script{QueueDelay: time.Hour, Faults: []falsim.Fault{{Step: falsim.StepCancel, Delay: 2 * time.Second, Accept: true}}},
		},
		{
			name: "completed, and known to be", script: falsim.Script{}, after: time.Minute,
			outcome: falclient.CancelTooLate, status: Completed, later: Completed, billed: 1,
		},
		{
			name: "completed, and not known to be", after: 7 * time.Second,
			script: falsim.Script{RunTime: 5 * time.Second, Faults: []falsim.Fault{
				{Step: falsim.StepStream, Kind: falsim.Silent, After: 1},
				{Step: falsim.StepStatus, Status: 503, Times: 3},
			}},
			outcome: falclient.CancelTooLate, status: InProgress, later: Completed, billed: 1, puts: 1,
		},
		{
			name: "the runner ignores it", script: falsim.Script{RunTime: 30 * time.Second, IgnoreCancel: true},
			outcome: falclient.CancelRequested, status: InProgress, later: Completed, billed: 1, puts: 1,
		},
		{
			name: "it ends while fal is asked", outcome: falclient.CancelTooLate, status: Completed, later: Completed, billed: 1, puts: 1,
			script: falsim.Script{RunTime: 2 * time.Second, Faults: []falsim.Fault{{Step: falsim.StepCancel, Delay: 3 * time.Second}}},
		},
		{
			name: "it ends while fal can't be asked", outcome: falclient.CancelTooLate, status: Completed, later: Completed, billed: 1, puts: 1,
			script: falsim.Script{RunTime: 2 * time.Second, Faults: []falsim.Fault{{Step: falsim.StepCancel, Kind: falsim.Hang}}},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, tc.script, setup{})
				handed := r.generate(prompt("p", 0))
				r.m.Settle(handed, ToldAll)
				time.Sleep(max(tc.after, time.Second))
				job, outcome, err := r.m.Cancel(t.Context(), me, handed.RequestID)
				if err != nil || outcome != tc.outcome {
					t.Errorf("outcome %q, %v; want %q", outcome, err, tc.outcome)
				}
				r.is(job, tc.status, tc.code)
				if tc.status == Cancelled {
					says := map[falclient.CancelOutcome]string{
						falclient.CancelledInQueue: "not billed", falclient.CancelRequested: "may be billed",
					}[tc.outcome]
					if !strings.Contains(job.Failure.Message, says) {
						t.Errorf("%q does not say %q", job.Failure.Message, says)
					}
				}
				if tc.status == Completed && job.Output == "" {
					t.Error("the answer was lost")
				}
				r.m.Settle(job, ToldAll)
				time.Sleep(time.Minute)
				r.is(r.status(handed.RequestID, 0), tc.later, tc.code)
				if st := r.sim.Stats(); st.Billed != tc.billed || st.Requests.Cancel != tc.puts {
					t.Errorf("%d bills and %d cancels, want %d and %d", st.Billed, st.Requests.Cancel, tc.billed, tc.puts)
				}
			})
		})
	}
}

func TestCancelThatFailsCanBeRepeated(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		fault falsim.Fault
		code  Code
	}{
		{"fal does not answer", falsim.Fault{Kind: falsim.Hang, Times: 1}, UpstreamUnavailable},
		{"fal refuses", falsim.Fault{Status: 403, Body: `{"detail":"no"}`, Times: 1}, AuthFailed},
		{"a proxy's page", falsim.Fault{Status: 502, Body: "<html>", Delay: 2 * time.Second, Times: 3}, UpstreamUnavailable},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				tc.fault.Step = falsim.StepCancel
				r := newRig(t, falsim.Script{RunTime: time.Hour, Faults: []falsim.Fault{tc.fault}}, setup{})
				handed := r.handBack("p")
				time.Sleep(time.Second)
				job, _, err := r.m.Cancel(t.Context(), me, handed.RequestID)
				if code(err) != tc.code || err.(*Error).RequestID != handed.RequestID {
					t.Errorf("Cancel: %v", err)
				}
				if job.Status != InProgress {
					t.Errorf("job is %s", job.Status)
				}
				r.m.Settle(job, ToldAll)
				time.Sleep(10 * time.Second)
				job, outcome, err := r.m.Cancel(t.Context(), me, handed.RequestID)
				if err != nil || outcome != falclient.CancelRequested {
					t.Errorf("again: %q, %v", outcome, err)
				}
				r.is(job, Cancelled, JobCancelled)
			})
		})
	}
}

func TestCancelsAtOnceAreOne(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		script falsim.Script
		want   falclient.CancelOutcome
	}{
		{"queued", falsim.Script{QueueDelay: time.Hour}, falclient.CancelledInQueue},
		{"running", falsim.Script{RunTime: time.Hour}, falclient.CancelRequested},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				tc.script.Faults = []falsim.Fault{{Step: falsim.StepCancel, Delay: time.Second}}
				r := newRig(t, tc.script, setup{})
				handed := r.handBack("p")
				time.Sleep(time.Second)
				for range 5 {
					r.calls.Go(func() {
						job, outcome, err := r.m.Cancel(t.Context(), me, handed.RequestID)
						if err != nil || outcome != tc.want {
							t.Errorf("%q, %v", outcome, err)
						}
						r.is(job, Cancelled, JobCancelled)
						r.m.Settle(job, ToldAll)
					})
				}
				r.calls.Wait()
				if n := r.sim.Stats().Requests.Cancel; n != 1 {
					t.Errorf("%d cancels were sent", n)
				}
			})
		})
	}
}

func TestCancelAgainAfterTheEnd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, falsim.Script{QueueDelay: time.Hour}, setup{})
		handed := r.handBack("p")
		for i, want := range []falclient.CancelOutcome{falclient.CancelledInQueue, falclient.CancelTooLate} {
			job, outcome, err := r.m.Cancel(t.Context(), me, handed.RequestID)
			if err != nil || outcome != want {
				t.Errorf("cancel %d: %q, %v", i+1, outcome, err)
			}
			r.is(job, Cancelled, JobCancelled)
			r.m.Settle(job, ToldAll)
		}
		r.count(1, 0)
	})
}

// The end of a queue_cancel does not stop the cancel.
func TestEndOfACancelCall(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, falsim.Script{QueueDelay: time.Hour, Faults: []falsim.Fault{{Step: falsim.StepCancel, Delay: 3 * time.Second}}}, setup{})
		handed := r.handBack("p")
		ctx, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		began := time.Now()
		job, _, err := r.m.Cancel(ctx, me, handed.RequestID)
		if err == nil || time.Since(began) != time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		r.m.Settle(job, NotTold)
		time.Sleep(time.Minute)
		r.is(r.rows()[0], Cancelled, JobCancelled)
	})
}

// A waiting call is told of a cancel that somebody else asked for.
func TestCancelReachesTheWaiter(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, falsim.Script{QueueDelay: time.Hour}, setup{})
		call := r.start(prompt("p", 10*time.Minute))
		time.Sleep(time.Second)
		if _, _, err := r.m.Cancel(t.Context(), me, r.rows()[0].RequestID); err != nil {
			t.Error(err)
		}
		job, err := call.wait()
		if err != nil || call.took != time.Second {
			t.Errorf("after %v: %v", call.took, err)
		}
		r.is(job, Cancelled, JobCancelled)
		if !strings.Contains(job.Failure.Message, "not billed") {
			t.Errorf("%q", job.Failure.Message)
		}
	})
}

// fal's word that it does not know the job is no end: the watcher finds out.
func TestCancelOfAJobThatFalDoesNotKnow(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, falsim.Script{}, setup{fal: &stub{cancel: func(context.Context) (falclient.CancelOutcome, error) {
			return falclient.CancelRequestUnknown, nil
		}}})
		handed := r.handBack("p")
		job, outcome, err := r.m.Cancel(t.Context(), me, handed.RequestID)
		if err != nil || outcome != falclient.CancelRequestUnknown || job.Status != InQueue {
			t.Errorf("%s, %q, %v", job.Status, outcome, err)
		}
	})
}

// What an earlier cancel failed with is not told to the next one.
func TestOldCancelErrorIsForgotten(t *testing.T) {
	bubble(t, func(t *testing.T) {
		first := true
		r := newRig(t, falsim.Script{}, setup{fal: &stub{cancel: func(context.Context) (falclient.CancelOutcome, error) {
			if first {
				first = false
				return "", errors.New("broken")
			}
			return falclient.CancelRequested, nil
		}}})
		handed := r.handBack("p")
		if _, _, err := r.m.Cancel(t.Context(), me, handed.RequestID); err == nil {
			t.Error("the first cancel did not fail")
		}
		if _, outcome, err := r.m.Cancel(t.Context(), me, handed.RequestID); err != nil || outcome != falclient.CancelRequested {
			t.Errorf("the second: %q, %v", outcome, err)
		}
	})
}
