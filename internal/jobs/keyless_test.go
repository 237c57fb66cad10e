package jobs

import (
	"testing"
	"testing/synctest"
	"time"

	"nemotron-mcp/internal/falsim"
)

// keyless adds a manager that knows no key.
func (f *house) keyless() *member {
	return f.join(func(o *Options) { o.KnowsKey = false })
}

// owner is the process that watches the only row.
func (f *house) owner() (id string) {
	f.t.Helper()
	if err := f.db.QueryRow(`SELECT owner FROM jobs`).Scan(&id); err != nil {
		f.t.Fatalf("owner: %v", err)
	}
	return id
}

// TestKeylessTakesNothingOver: a process that can ask fal for nothing leaves the
// jobs of dead ones to one that can.
func TestKeylessTakesNothingOver(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		end  func(*member)
	}{
		{"closed", (*member).leave},
		{"killed", (*member).kill},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				f := newHouse(t, falsim.Script{RunTime: 30 * time.Second, Output: "the answer"})
				a, b := f.join(), f.keyless()
				b.m.Collect()
				handed := a.handBack("p")
				synctest.Wait()
				tc.end(a)
				time.Sleep(time.Minute)
				if row := f.row(); row.Status.Finished() || b.held() != 0 {
					t.Errorf("it is %s, and b holds %d jobs", row.Status, b.held())
				}
				// Nor does it for a caller, who is told what is amiss.
				if job, err := b.m.Status(t.Context(), me, handed.RequestID, time.Minute, nil); code(err) != AuthFailed || job.Status.Finished() {
					t.Errorf("queue_status: %s, %v", job.Status, err)
				} else {
					b.m.Settle(job, ToldAll)
				}
				time.Sleep(mirrorTime)
				synctest.Wait()
				if got := f.owner(); got != a.shared.id || b.held() != 0 || b.asked.Load() != 0 {
					t.Errorf("%s owns the job, not %s; b holds %d and asked fal %d times", got, a.shared.id, b.held(), b.asked.Load())
				}

				c := f.join()
				c.m.Collect()
				time.Sleep(time.Minute)
				if row := f.row(); row.Status != Completed || row.Output != "the answer" || len(c.lines("resumed")) != 1 {
					t.Errorf("with c it is %s, %q: %s", row.Status, row.Output, c.log.String())
				}
				if job := b.status(handed.RequestID, 0); job.Output != "the answer" {
					t.Errorf("b has %s %q", job.Status, job.Output)
				}
				c.count(1, 1)
				run(t, f.db, 1, `UPDATE processes SET pid = pid WHERE id = ?`, b.shared.id) // its lease is renewed
			})
		})
	}
}

// TestKeylessMirrors: what a living process watches, its callers wait for.
func TestKeylessMirrors(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newHouse(t, falsim.Script{RunTime: 30 * time.Second, Output: "the answer"})
		a, b, c := f.join(), f.keyless(), f.join()
		handed := a.handBack("p")
		c.m.Collect()
		if job := b.status(handed.RequestID, time.Minute); job.Output != "the answer" || b.asked.Load() != 0 {
			t.Errorf("%s %q; b asked fal %d times", job.Status, job.Output, b.asked.Load())
		}
		a.count(1, 1)
	})
}

// TestKeylessLeavesWhatWasCutOff to one with a key, too.
func TestKeylessLeavesWhatWasCutOff(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newHouse(t, falsim.Script{Faults: []falsim.Fault{{Step: falsim.StepSubmit, Delay: 10 * time.Second, Accept: true}}})
		a, b := f.join(), f.keyless()
		b.m.Collect()
		call := a.start(prompt("p", time.Minute))
		synctest.Wait()
		a.kill()
		time.Sleep(10 * time.Second)
		if row := f.row(); row.Status != Submitting || f.owner() != a.shared.id {
			t.Errorf("it is %s and %s's", row.Status, f.owner())
		}
		c := f.join()
		c.m.Collect()
		time.Sleep(10 * time.Second)
		c.is(f.row(), Unknown, SubmitUnknown)
		_, _ = call.wait()
	})
}
