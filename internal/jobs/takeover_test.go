package jobs

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nemotron-mcp/falclient"
	"nemotron-mcp/internal/falsim"
)

// TestJobIsBroughtHomeByAnother: what one process handed back another brings
// home, whatever way the first one ended.
func TestJobIsBroughtHomeByAnother(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		queue time.Duration
		end   func(*member)
	}{
		{"closed", 0, (*member).leave},
		{"closed while it was queued", 10 * time.Second, (*member).leave},
		{"killed", 0, (*member).kill},
		{"killed while it was queued", 10 * time.Second, (*member).kill},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				f := newHouse(t, falsim.Script{QueueDelay: tc.queue, RunTime: 30 * time.Second, Output: "the answer"})
				a, b := f.join(), f.join()
				b.m.Collect()
				a.handBack("p")
				synctest.Wait()
				tc.end(a)
				time.Sleep(time.Minute)
				row := f.row()
				a.is(row, Completed, "")
				if row.Output != "the answer" || row.Usage == nil || row.CountedUSD != row.CostUSD || row.Delivered {
					t.Errorf("the row: %+v", row)
				}
				a.count(1, 1)
				if n := f.sim.Stats().Requests.Submit; n != 1 {
					t.Errorf("%d submissions", n)
				}
				if n := len(b.lines("resumed")); n != 1 || len(b.lines("submission")) != 0 {
					t.Errorf("b has told of it %d times: %s", n, b.log.String())
				}
			})
		})
	}
}

// A result is fetched before fal deletes it, which it does to a large one after
// 6 minutes, though nobody asks.
func TestJobIsBroughtHomeAfterARestart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newHouse(t, falsim.Script{RunTime: 30 * time.Second, Output: strings.Repeat("long ", 4000)})
		a := f.join()
		tokens, req := 20_000, prompt("p", 0)
		req.Input.MaxTokens = &tokens
		a.m.Settle(a.generate(req), ToldAll)
		a.kill()
		time.Sleep(time.Minute) // it ends with nobody there
		b := f.join()
		b.m.Collect()
		time.Sleep(time.Hour)
		b.is(f.row(), Completed, "")
		if job := b.status(f.row().RequestID, 0); job.Output != strings.Repeat("long ", 4000) {
			t.Errorf("%d bytes of output", len(job.Output))
		}
		b.count(1, 1)
	})
}

func TestSubmissionThatWasCutOffIsUnknown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newHouse(t, falsim.Script{Faults: []falsim.Fault{{Step: falsim.StepSubmit, Delay: 10 * time.Second, Accept: true}}})
		a, b := f.join(), f.join()
		b.m.Collect()
		call := a.start(prompt("p", time.Minute))
		synctest.Wait()
		a.kill()
		time.Sleep(10 * time.Second)
		b.is(f.row(), Unknown, SubmitUnknown)
		page, _, spent, err := b.m.List(t.Context(), Query{Caller: me, Limit: 10})
		if err != nil || len(page) != 1 || page[0].Failure == nil || spent == 0 {
			t.Errorf("queue_list: %+v, $%v, %v", page, spent, err)
		}
		// The same call is told what is known, and pays for nothing.
		again := b.generate(prompt("p", time.Minute))
		b.is(again, Unknown, SubmitUnknown)
		b.m.Settle(again, ToldAll)
		if n := f.sim.Stats().Requests.Submit; n != 1 {
			t.Errorf("%d submissions", n)
		}
		_, _ = call.wait()
	})
}

func TestIdenticalCallInAnotherProcess(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		wait   time.Duration // of the first call
		then   func(a *member, first Job)
		attach bool
		asked  bool // whether the second process has anything to ask of fal
	}{
		{"its answer was never delivered, and its process is gone", time.Minute, func(a *member, first Job) {
			a.m.Settle(first, NotTold)
			a.leave()
		}, true, false},
		{"its process was killed before it could say so", time.Minute, func(a *member, _ Job) { a.kill() }, true, false},
		{"its answer was not delivered, and its process lives", time.Minute, func(a *member, first Job) { a.m.Settle(first, NotTold) }, true, false},
		{"its caller still has it", time.Minute, func(*member, Job) {}, false, true},
		{"delivered", time.Minute, func(a *member, first Job) { a.m.Settle(first, ToldAll) }, false, true},
		{"delivered in part", time.Minute, func(a *member, first Job) { a.m.Settle(first, ToldPart) }, false, true},
		{"delivered, and its process is gone", time.Minute, func(a *member, first Job) {
			a.m.Settle(first, ToldAll)
			a.leave()
		}, false, true},
		{"handed back, and watched by its process", 0, func(a *member, first Job) { a.m.Settle(first, ToldAll) }, true, false},
		{"handed back, and its process was killed", 0, func(a *member, first Job) {
			a.m.Settle(first, ToldAll)
			a.kill()
		}, true, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				f := newHouse(t, falsim.Script{RunTime: 30 * time.Second, Output: "the answer"})
				a, b := f.join(), f.join()
				first := a.generate(prompt("p", tc.wait))
				tc.then(a, first)
				second := b.generate(prompt("p", 2*time.Minute))
				if got := second.ID == first.ID; got != tc.attach {
					t.Errorf("attached: %v", got)
				}
				if second.Status != Completed || second.Output != "the answer" {
					t.Errorf("the second call got %s %q", second.Status, second.Output)
				}
				if asked := b.asked.Load() > 0; asked != tc.asked {
					t.Errorf("b asked fal %d times", b.asked.Load())
				}
				b.m.Settle(second, ToldAll)
				want := 2
				if tc.attach {
					want = 1
				}
				b.count(want, want)
			})
		})
	}
}

// Two processes make the same call at once: samples, each with a job of its own.
func TestIdenticalCallsAtOnceInTwoProcesses(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newHouse(t, falsim.Script{RunTime: 30 * time.Second})
		a, b := f.join(), f.join()
		one, two := a.start(prompt("p", time.Minute)), b.start(prompt("p", time.Minute))
		first, _ := one.wait()
		second, _ := two.wait()
		if first.ID == second.ID || first.Status != Completed || second.Status != Completed {
			t.Errorf("%s %s, %s %s", first.ID, first.Status, second.ID, second.Status)
		}
		a.m.Settle(first, ToldAll)
		b.m.Settle(second, ToldAll)
		a.count(2, 2)
	})
}

func TestStatusInAnotherProcessAsksTheLedger(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newHouse(t, falsim.Script{QueueDelay: 5 * time.Second, RunTime: 30 * time.Second, Output: "the answer"})
		a, b := f.join(), f.join()
		handed := a.handBack("p")
		if job := b.status(handed.RequestID, 0); job.Status != InQueue {
			t.Errorf("at first it is %s", job.Status)
		}
		time.Sleep(10 * time.Second)
		var seen []Status
		began := time.Now()
		job, err := b.m.Status(t.Context(), me, handed.RequestID, time.Minute, func(j Job) { seen = append(seen, j.Status) })
		if err != nil || job.Status != Completed || job.Output != "the answer" {
			t.Errorf("%s %q, %v", job.Status, job.Output, err)
		}
		if took := time.Since(began); took < 24*time.Second || took > 26*time.Second {
			t.Errorf("it took %v of 25 s", took)
		}
		b.m.Settle(job, ToldAll)
		if len(seen) == 0 || seen[len(seen)-1] != InProgress {
			t.Errorf("on the way it was %v", seen)
		}
		if n := b.asked.Load(); n != 0 {
			t.Errorf("b asked fal %d times", n)
		}
		if row := f.row(); !row.Delivered {
			t.Error("that it was delivered is not in the ledger")
		}
		a.count(1, 1)
		if n := b.held(); n != 0 {
			t.Errorf("b still holds %d jobs", n)
		}
	})
}

// The process that watches dies while a caller of another waits: that one goes
// on.
func TestStatusOutlivesTheWatchingProcess(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newHouse(t, falsim.Script{RunTime: 30 * time.Second, Output: "the answer"})
		a, b := f.join(), f.join()
		handed := a.handBack("p")
		b.calls.Go(func() {
			time.Sleep(10 * time.Second)
			a.kill()
		})
		if job := b.status(handed.RequestID, time.Minute); job.Output != "the answer" {
			t.Errorf("%s %q", job.Status, job.Output)
		}
		if b.asked.Load() == 0 {
			t.Error("b has not asked fal")
		}
		b.count(1, 1)
	})
}

func TestCancelInAnotherProcess(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		ignore  bool
		outcome falclient.CancelOutcome
		status  Status
		bills   int
	}{
		{"running", false, falclient.CancelRequested, Cancelled, 1},
		{"running, and the runner goes on", true, falclient.CancelRequested, Completed, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				f := newHouse(t, falsim.Script{RunTime: 30 * time.Second, IgnoreCancel: tc.ignore})
				a, b := f.join(), f.join()
				handed := a.handBack("p")
				time.Sleep(time.Second)
				job, outcome, err := b.m.Cancel(t.Context(), me, handed.RequestID)
				if err != nil || outcome != tc.outcome || !tc.ignore && job.Status != Cancelled {
					t.Errorf("Cancel: %s, %q, %v", job.Status, outcome, err)
				}
				b.m.Settle(job, ToldAll)
				time.Sleep(time.Minute)
				row := f.row()
				if row.Status != tc.status || !row.CancelRequested || row.CountedUSD == 0 {
					t.Errorf("the row: %s, counted $%v (%v)", row.Status, row.CountedUSD, row.Failure)
				}
				a.count(1, tc.bills)
				if n := f.sim.Stats().Requests.Cancel; n != 1 {
					t.Errorf("%d cancels", n)
				}
				if a.held()+b.held() != 0 {
					t.Error("a job is still held")
				}
			})
		})
	}
}

// A process that was stopped for long has lost its jobs to another. It yields,
// and its callers get the end all the same.
func TestLostLease(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newHouse(t, falsim.Script{RunTime: time.Minute, Output: "the answer"})
		a, b := f.join(), f.join()
		b.m.Collect()
		time.Sleep(2 * time.Second)
		call := a.start(prompt("p", 2*time.Minute))
		time.Sleep(6 * time.Second)
		a.unregister() // at 8 s; b's next round is at 10 s, and a's at 12 s
		time.Sleep(6 * time.Second)
		asked := a.asked.Load()
		job, err := call.wait()
		if err != nil || job.Output != "the answer" {
			t.Errorf("the caller got %s %q, %v", job.Status, job.Output, err)
		}
		a.m.Settle(job, ToldAll)
		if a.asked.Load() != asked {
			t.Error("a went on to ask fal")
		}
		row := f.row()
		if row.Status != Completed || !row.Delivered {
			t.Errorf("the row: %s, delivered %v", row.Status, row.Delivered)
		}
		a.count(1, 1)
	})
}

// The submission is answered after another process has called it UNKNOWN.
func TestLateAnswerToASubmissionRevivesTheJob(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newHouse(t, falsim.Script{
			RunTime: 10 * time.Second, Output: "the answer",
			Faults: []falsim.Fault{{Step: falsim.StepSubmit, Delay: 12 * time.Second, Accept: true}},
		})
		a, b := f.join(), f.join()
		b.m.Collect()
		call := a.start(prompt("p", 2*time.Minute))
		synctest.Wait()
		a.unregister()
		if _, _, err := b.shared.TakeOver(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.is(f.row(), Unknown, SubmitUnknown)
		job, err := call.wait()
		if err != nil || job.Status != Completed || job.Output != "the answer" {
			t.Errorf("the caller got %s %q, %v", job.Status, job.Output, err)
		}
		a.m.Settle(job, ToldAll)
		row := f.row()
		if row.Status != Completed || row.Failure != nil || row.Output != "the answer" || row.CountedUSD != row.CostUSD || !row.Delivered {
			t.Errorf("the row: %+v", row)
		}
		a.count(1, 1)
		if n := f.sim.Stats().Requests.Submit; n != 1 {
			t.Errorf("%d submissions", n)
		}
	})
}

func TestCollectKeepsAMonth(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newHouse(t, falsim.Script{})
		month := 30 * 24 * time.Hour
		old, young := time.Now().Add(-month-time.Minute), time.Now().Add(-month+time.Minute)
		at := func(created time.Time) func(*Job) { return func(j *Job) { j.Created = created } }
		insert(t, f.ledger, row(1, at(old)), row(2, at(young)), row(3, at(old), running), row(4, at(old), func(j *Job) { j.Status = Failed }))
		f.join().m.Collect()
		synctest.Wait()
		got := ""
		for _, row := range f.rows() {
			got += row.ID[len(row.ID)-1:]
		}
		if got != "23" {
			t.Errorf("rows %s are kept, want 2, which is young, and 3, which is unfinished", got)
		}
		time.Sleep(time.Hour + time.Minute)
		if rows := f.rows(); len(rows) != 1 {
			t.Errorf("%d rows are kept an hour later", len(rows))
		}
	})
}
