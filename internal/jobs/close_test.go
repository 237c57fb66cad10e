package jobs

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"nemotron-mcp/internal/falsim"
)

// closing gives Close a time.
func (r *rig) closing(limit time.Duration) (took time.Duration, err error) {
	began := time.Now()
	ctx, done := context.WithTimeout(context.Background(), limit)
	defer done()
	err = r.m.Close(ctx)
	return time.Since(began), err
}

func TestCloseLeavesHandedBackJobsRunning(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, falsim.Script{RunTime: time.Hour}, setup{})
		handed := r.handBack("p")
		if took, err := r.closing(time.Second); err != nil || took != 0 {
			t.Errorf("Close took %v: %v", took, err)
		}
		st := r.sim.Stats()
		if st.Running != 1 || st.Requests.Cancel != 0 {
			t.Errorf("fal: %+v", st)
		}
		if rows := r.rows(); len(rows) != 1 || rows[0].Status.Finished() || rows[0].RequestID != handed.RequestID {
			t.Errorf("rows: %+v", rows)
		}
	})
}

func TestCloseRefusesNewCalls(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, falsim.Script{RunTime: time.Hour}, setup{})
		handed := r.handBack("p")
		if _, err := r.closing(time.Second); err != nil {
			t.Fatal(err)
		}
		if _, err := r.m.Generate(t.Context(), prompt("q", time.Minute), nil); code(err) != UpstreamUnavailable {
			t.Errorf("Generate: %v", err)
		}
		began := time.Now()
		if _, err := r.m.Status(t.Context(), me, handed.RequestID, time.Minute, nil); code(err) != UpstreamUnavailable {
			t.Errorf("Status: %v", err)
		}
		if _, _, err := r.m.Cancel(t.Context(), me, handed.RequestID); code(err) != UpstreamUnavailable {
			t.Errorf("Cancel: %v", err)
		}
		if _, err := r.m.Status(t.Context(), me, "unknown-to-us", 0, nil); code(err) != UpstreamUnavailable {
			t.Errorf("adoption: %v", err)
		}
		if time.Since(began) != 0 {
			t.Errorf("the refusals took %v", time.Since(began))
		}
		r.count(1, 1)
	})
}

func TestCloseReleasesWaiters(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, falsim.Script{RunTime: time.Hour}, setup{})
		call := r.start(prompt("p", 10*time.Minute))
		synctest.Wait()
		if _, err := r.closing(time.Second); err != nil {
			t.Fatal(err)
		}
		job, err := call.wait()
		if code(err) != UpstreamUnavailable || err.(*Error).RequestID == "" || job.Status != InProgress || call.took != 0 {
			t.Errorf("after %v the waiter got %s, %v", call.took, job.Status, err)
		}
	})
}

func TestCloseLetsACancelFinish(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name      string
		ignore    bool // the runner goes on, and is not waited for
		cancelled int
	}{{"obeyed", false, 1}, {"ignored", true, 0}} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, falsim.Script{
					RunTime: time.Hour, IgnoreCancel: tc.ignore,
					Faults: []falsim.Fault{{Step: falsim.StepCancel, Delay: 2 * time.Second}},
				}, setup{})
				call := r.start(prompt("p", 10*time.Minute))
				synctest.Wait()
				call.stop()
				synctest.Wait()
				if took, err := r.closing(5 * time.Second); err != nil || took != 2*time.Second {
					t.Errorf("Close took %v: %v", took, err)
				}
				if st := r.sim.Stats(); st.Cancelled != tc.cancelled || st.Requests.Cancel != 1 {
					t.Errorf("fal: %+v", st)
				}
			})
		})
	}
}

func TestCloseLetsACancelOfASubmissionFinish(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, falsim.Script{
			QueueDelay: time.Hour, Faults: []falsim.Fault{{Step: falsim.StepSubmit, Delay: 3 * time.Second, Accept: true}},
		}, setup{})
		call := r.start(prompt("p", 10*time.Minute))
		synctest.Wait()
		call.stop()
		synctest.Wait()
		if took, err := r.closing(5 * time.Second); err != nil || took != 3*time.Second {
			t.Errorf("Close took %v: %v", took, err)
		}
		if st := r.sim.Stats(); st.Cancelled != 1 || st.Billed != 0 {
			t.Errorf("fal: %+v", st)
		}
	})
}

// The call whose cancel is under way learns how it ends.
func TestCloseTellsTheEndOfACancel(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, falsim.Script{
			QueueDelay: time.Hour, Faults: []falsim.Fault{{Step: falsim.StepCancel, Delay: outcomeTime / 2}},
		}, setup{})
		call := r.start(prompt("p", 10*time.Minute))
		synctest.Wait()
		call.stop()
		synctest.Wait()
		if took, err := r.closing(5 * time.Second); err != nil || took != outcomeTime/2 {
			t.Errorf("Close took %v: %v", took, err)
		}
		job, _ := call.wait()
		r.is(job, Cancelled, JobCancelled)
	})
}

func TestCloseStopsASubmissionThatIsNotSent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, falsim.Script{}, setup{dial: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }})
		call := r.start(prompt("p", 10*time.Minute))
		synctest.Wait()
		if took, err := r.closing(5 * time.Second); err != nil || took != 0 {
			t.Errorf("Close took %v: %v", took, err)
		}
		_, _ = call.wait()
		r.is(r.rows()[0], Cancelled, JobCancelled)
		if n := r.sim.Stats().Requests.Submit; n != 0 || call.took != 0 {
			t.Errorf("%d submissions; the call took %v", n, call.took)
		}
	})
}

// A job that was found alive has a new watcher, which the end of the old one
// must not drop.
func TestForgetDropsItsOwnOnly(t *testing.T) {
	t.Parallel()
	m := New(&stub{}, NewMemory(), Options{})
	m.mu.Lock()
	defer m.mu.Unlock()
	old := m.join(Job{ID: "a"})
	delete(m.live, "a")
	revived := m.join(Job{ID: "a"})
	old.waiters = 0
	m.forget(old)
	if m.live["a"] != revived {
		t.Error("the new one was dropped")
	}
	revived.waiters = 0
	m.forget(revived)
	if len(m.live) != 0 {
		t.Error("the new one can't be dropped")
	}
}

func TestCloseIsBoundedWhileASubmissionHangs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, falsim.Script{Faults: []falsim.Fault{{Step: falsim.StepSubmit, Kind: falsim.Hang}}}, setup{})
		call := r.start(prompt("p", 10*time.Minute))
		synctest.Wait()
		if took, err := r.closing(time.Second); err == nil || took != time.Second {
			t.Errorf("Close took %v: %v", took, err)
		}
		if _, err := call.wait(); code(err) != UpstreamUnavailable {
			t.Errorf("the waiter got %v", err)
		}
		if lines := r.lines("submission"); len(lines) != 1 || lines[0]["status"] != string(Submitting) {
			t.Errorf("what may be paid for is not accounted for: %v", lines)
		}
		// What was sent is brought to its end, and written down.
		if took, err := r.closing(time.Minute); err != nil || took != 29*time.Second {
			t.Errorf("the second Close took %v: %v", took, err)
		}
		r.is(r.rows()[0], Unknown, SubmitUnknown)
		if lines := r.lines("submission"); len(lines) != 1 {
			t.Errorf("accounted for %d times", len(lines))
		}
		if n := r.sim.Stats().Requests.Submit; n != 1 {
			t.Errorf("%d submissions", n)
		}
	})
}

func TestCancelAfterCloseIsHarmless(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, falsim.Script{RunTime: time.Hour}, setup{})
		job := r.handBack("p")
		r.m.mu.Lock()
		l := r.m.live[job.ID]
		r.m.mu.Unlock()
		if _, err := r.closing(time.Second); err != nil {
			t.Fatal(err)
		}
		r.m.cancel(l) // as of a call whose context ended in this moment
		synctest.Wait()
		if n := r.sim.Stats().Requests.Cancel; n != 0 {
			t.Errorf("%d cancels were sent after Close", n)
		}
	})
}
