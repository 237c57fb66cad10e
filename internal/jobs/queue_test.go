package jobs

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nemotron-mcp/falclient"
	"nemotron-mcp/internal/falsim"
)

func TestStatusWaitsForTheEnd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, falsim.Script{RunTime: 5 * time.Second, Output: "the answer"}, setup{})
		id := r.handBack("p").RequestID
		began := time.Now()
		if job := r.status(id, 2*time.Second); job.Status != InProgress || time.Since(began) != 2*time.Second {
			t.Errorf("after %v: %s", time.Since(began), job.Status)
		}
		if job := r.status(id, time.Minute); job.Output != "the answer" || time.Since(began) != 5*time.Second {
			t.Errorf("after %v: %s %q", time.Since(began), job.Status, job.Output)
		}
		if job := r.status(id, 0); job.Output != "the answer" {
			t.Errorf("again: %s %q", job.Status, job.Output)
		}
		if n := r.sim.Stats().Requests.Result; n != 1 {
			t.Errorf("the result was read %d times", n)
		}
	})
}

func TestStatusTellsChanges(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, falsim.Script{QueueDelay: 3 * time.Second, QueuePositions: []int{2, 1, 0}, RunTime: time.Second}, setup{})
		id := r.handBack("p").RequestID
		var told []int
		job, err := r.m.Status(t.Context(), me, id, time.Minute, func(j Job) {
			if j.Status == InQueue && j.QueuePosition != nil && (len(told) == 0 || told[len(told)-1] != *j.QueuePosition) {
				told = append(told, *j.QueuePosition)
			}
		})
		if err != nil || job.Status != Completed {
			t.Errorf("%s, %v", job.Status, err)
		}
		if len(told) != 3 || told[0] != 2 || told[2] != 0 {
			t.Errorf("positions told: %v", told)
		}
	})
}

func TestEndOfAStatusCallLeavesTheJobAlone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, falsim.Script{RunTime: 5 * time.Second}, setup{})
		id := r.handBack("p").RequestID
		ctx, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		job, err := r.m.Status(ctx, me, id, time.Minute, nil)
		if !errors.Is(err, context.DeadlineExceeded) || job.RequestID != id {
			t.Errorf("%q, %v", job.RequestID, err)
		}
		r.m.Settle(job, NotTold)
		r.is(r.status(id, time.Minute), Completed, "")
		if n := r.sim.Stats().Requests.Cancel; n != 0 {
			t.Errorf("%d cancels", n)
		}
	})
}

func TestStatusRefuses(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		id     string
		script falsim.Script
		setup  setup
		code   Code
		asked  int // status requests
	}{
		{name: "not an id", id: "../../evil", code: JobNotFound},
		{name: "empty", id: "", code: JobNotFound},
		{name: "unknown everywhere", id: "no-such-job", code: JobNotFound, asked: 1},
		{name: "unknown here, many callers", id: "no-such-job", setup: setup{manyCallers: true}, code: JobNotFound},
		{name: "bad key", id: "no-such-job", script: falsim.Script{Key: "other"}, code: AuthFailed, asked: 1},
		{
			name: "fal is down", id: "no-such-job", code: UpstreamUnavailable, asked: 5,
			script: falsim.Script{Faults: []falsim.Fault{{Step: falsim.StepStatus, Status: 503}}},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, tc.script, tc.setup)
				_, err := r.m.Status(t.Context(), me, tc.id, 0, nil)
				if code(err) != tc.code {
					t.Fatalf("%v, want %s", err, tc.code)
				}
				if told := err.(*Error); told.Action == "" || told.RequestID != "" && told.RequestID != "no-such-job" {
					t.Errorf("%+v", told)
				}
				if n := r.sim.Stats().Requests.Status; n != tc.asked {
					t.Errorf("fal was asked %d times, want %d", n, tc.asked)
				}
				if len(r.rows()) != 0 {
					t.Error("a row was written")
				}
			})
		})
	}
}

func TestCallersSeeTheirOwnJobsOnly(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, falsim.Script{RunTime: time.Hour}, setup{manyCallers: true})
		id := r.handBack("p").RequestID
		if _, err := r.m.Status(t.Context(), "other", id, 0, nil); code(err) != JobNotFound {
			t.Errorf("Status: %v", err)
		}
		if _, _, err := r.m.Cancel(t.Context(), "other", id); code(err) != JobNotFound {
			t.Errorf("Cancel: %v", err)
		}
		if page, _, _, err := r.m.List(t.Context(), Query{Caller: "other", Limit: 10}); err != nil || len(page) != 0 {
			t.Errorf("List: %v, %v", page, err)
		}
		if n := r.sim.Stats().Requests.Cancel; n != 0 {
			t.Errorf("%d cancels", n)
		}
	})
}

// elsewhere submits a job that the rig's ledger does not know.
func (r *rig) elsewhere(t *testing.T) string {
	t.Helper()
	endpoint, err := falclient.ParseEndpoint(falclient.Nemotron)
	if err != nil {
		t.Fatal(err)
	}
	sub, err := r.m.fal.Submit(t.Context(), endpoint, falclient.NemotronInput{Prompt: "elsewhere"}, falclient.SubmitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return sub.RequestID
}

func TestAdoption(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		run  time.Duration
	}{{"unfinished", time.Minute}, {"finished", 0}} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, falsim.Script{RunTime: tc.run, Output: "the answer", Usage: &falsim.Usage{InputTokens: 600, OutputTokens: 400}}, setup{})
				id := r.elsewhere(t)
				job := r.status(id, 2*time.Minute)
				r.is(job, Completed, "")
				if job.Output != "the answer" || job.CostUSD != 0.01 || job.Created.IsZero() || job.Submitted.IsZero() {
					t.Errorf("adopted: %+v", job)
				}
				if rows := r.rows(); len(rows) != 1 || rows[0].RequestID != id {
					t.Errorf("rows: %+v", rows)
				}
			})
		})
	}
}

// A row that nobody watches is one that another process left.
func TestStatusTakesUpAnUnwatchedRow(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, falsim.Script{RunTime: time.Minute, Output: "the answer"}, setup{manyCallers: true})
		id := r.elsewhere(t)
		left := Job{ID: "left", RequestID: id, Caller: me, Endpoint: falclient.Nemotron, Status: InQueue, Created: time.Now()}
		if err := r.ledger.Insert(t.Context(), left, DayCaps{}); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			r.calls.Go(func() {
				if job := r.status(id, 2*time.Minute); job.ID != left.ID || job.Output != "the answer" {
					t.Errorf("%+v", job)
				}
			})
		}
		r.calls.Wait()
		if n := len(r.lines("resumed")); n != 1 || r.held() != 0 {
			t.Errorf("%d watchers, %d jobs held", n, r.held())
		}
	})
}

func TestAdoptionIsForOneCallerOnly(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, falsim.Script{}, setup{manyCallers: true})
		id := r.elsewhere(t)
		if _, err := r.m.Status(t.Context(), me, id, 0, nil); code(err) != JobNotFound {
			t.Errorf("Status: %v", err)
		}
		if _, _, err := r.m.Cancel(t.Context(), me, id); code(err) != JobNotFound {
			t.Errorf("Cancel: %v", err)
		}
	})
}

func TestAdoptionsAtOnceAreOne(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, falsim.Script{RunTime: 20 * time.Second, Faults: []falsim.Fault{{Step: falsim.StepStatus, Delay: time.Second}}}, setup{})
		id := r.elsewhere(t)
		for range 5 {
			r.calls.Go(func() { r.is(r.status(id, 2*time.Minute), Completed, "") })
		}
		r.calls.Wait()
		if rows := r.rows(); len(rows) != 1 {
			t.Errorf("%d rows", len(rows))
		}
		if st := r.sim.Stats(); st.Requests.Stream != 1 || st.Requests.Result != 1 {
			t.Errorf("%d streams and %d results for one job", st.Requests.Stream, st.Requests.Result)
		}
	})
}

// lostAnswer submits a job whose answer arrives but for its header.
func lostAnswer(t *testing.T, run time.Duration, s setup) (*rig, Job) {
	t.Helper()
	r := newRig(t, falsim.Script{RunTime: run, Output: "the answer", Faults: []falsim.Fault{
		{Step: falsim.StepSubmit, Kind: falsim.TruncateBody, Accept: true, Times: 1},
	}}, s)
	job := r.generate(prompt("p", time.Minute))
	r.is(job, Unknown, SubmitUnknown)
	if job.RequestID == "" || !strings.Contains(job.Failure.Action, "queue_status") {
		t.Fatalf("request_id %q, action %q", job.RequestID, job.Failure.Action)
	}
	return r, job
}

func TestUnknownIsAdoptedByItsHint(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		settled bool // the call that was told UNKNOWN
		setup   setup
	}{
		{"after it was told", true, setup{}},
		{"while it is being told", false, setup{}},
		// The row is the caller's own, so the request is too.
		{"many callers", true, setup{manyCallers: true}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r, told := lostAnswer(t, time.Minute, tc.setup)
				if tc.settled {
					r.m.Settle(told, ToldAll)
				}
				job, err := r.m.Status(t.Context(), me, told.RequestID, 0, nil)
				if err != nil || job.ID != told.ID || job.Status.Finished() {
					t.Fatalf("%+v, %v", job, err)
				}
				if !tc.settled {
					r.m.Settle(told, ToldAll)
				}
				if rows := r.rows(); len(rows) != 1 || rows[0].Delivered {
					t.Errorf("rows: %+v", rows)
				}
				r.m.Settle(job, ToldAll)
				again := r.generate(prompt("p", 2*time.Minute))
				if again.ID != told.ID || again.Output != "the answer" || again.Failure != nil {
					t.Errorf("the same call got %+v", again)
				}
				r.count(1, 1)
			})
		})
	}
}

func TestUnknownThatFalDoesNotKnowStaysUnknown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r, told := lostAnswer(t, 0, setup{})
		r.m.Settle(told, ToldAll)
		time.Sleep(2 * time.Hour) // fal has forgotten it
		r.is(r.status(told.RequestID, 0), Unknown, SubmitUnknown)
		if rows := r.rows(); len(rows) != 1 {
			t.Errorf("%d rows", len(rows))
		}
	})
}

func TestUnknownIsCancelledByItsHint(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r, told := lostAnswer(t, time.Hour, setup{})
		r.m.Settle(told, ToldAll)
		r.sim.SetScript(falsim.Script{Faults: []falsim.Fault{{Step: falsim.StepStream, Status: 404}}})
		job, outcome, err := r.m.Cancel(t.Context(), me, told.RequestID)
		if err != nil || outcome != falclient.CancelRequested {
			t.Errorf("%q, %v", outcome, err)
		}
		r.is(job, Cancelled, JobCancelled)
	})
}

func TestList(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, falsim.Script{
			QueueDelay: time.Hour, QueuePositions: []int{9, 7}, Usage: &falsim.Usage{InputTokens: 600, OutputTokens: 400},
		}, setup{})
		queued := r.handBack("queued")
		time.Sleep(31 * time.Minute) // the position that the row was written with is an old one
		r.sim.SetScript(falsim.Script{Usage: &falsim.Usage{InputTokens: 600, OutputTokens: 400}})
		for _, p := range []string{"a", "b", "c"} {
			r.m.Settle(r.generate(prompt(p, time.Minute)), ToldAll)
		}
		synctest.Wait()
		for _, tc := range []struct {
			name string
			q    Query
			want string // previews
			more bool
		}{
			{"all", Query{Limit: 10}, "c b a queued", false},
			{"exactly all", Query{Limit: 4}, "c b a queued", false},
			{"first page", Query{Limit: 3}, "c b a", true},
			{"running", Query{Limit: 10, State: "running"}, "queued", false},
			{"finished", Query{Limit: 2, State: "finished"}, "c b", true},
			{"no limit given", Query{}, "c", true},
			{"a negative limit", Query{Limit: -5}, "c", true},
		} {
			tc.q.Caller = me
			page, next, spent, err := r.m.List(t.Context(), tc.q)
			var got []string
			for _, j := range page {
				got = append(got, j.Preview)
				if j.ID == queued.ID && (j.QueuePosition == nil || *j.QueuePosition != 7) {
					t.Errorf("%s: queue position %v", tc.name, j.QueuePosition)
				}
			}
			if strings.Join(got, " ") != tc.want || (next != "") != tc.more || err != nil {
				t.Errorf("%s: %v, next %q, %v", tc.name, got, next, err)
			}
			// The queued one counts what it may cost.
			want := 0.03 + DefaultPrices().WorstCase(falclient.Nemotron, falclient.NemotronInput{Prompt: "queued"})
			if spent < want-1e-9 || spent > want+1e-9 {
				t.Errorf("%s: spent %v", tc.name, spent)
			}
		}
		_, next, _, _ := r.m.List(t.Context(), Query{Caller: me, Limit: 3})
		page, next, _, err := r.m.List(t.Context(), Query{Caller: me, Limit: 3, Before: next})
		if err != nil || len(page) != 1 || page[0].ID != queued.ID || next != "" {
			t.Errorf("second page: %+v, next %q, %v", page, next, err)
		}
	})
}

// A row that has ended is shown as the ledger has it, even while its watcher
// has not yet told this process.
func TestListNeverTakesAnEndBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, falsim.Script{RunTime: time.Hour}, setup{})
		job := r.handBack("p")
		_, err := r.ledger.Update(t.Context(), job.ID, func(j *Job) { j.Status = Completed })
		if err != nil {
			t.Fatal(err)
		}
		page, _, _, err := r.m.List(t.Context(), Query{Caller: me, Limit: 1, State: "finished"})
		if err != nil || len(page) != 1 || page[0].Status != Completed {
			t.Errorf("%+v, %v", page, err)
		}
	})
}

func TestListSaysWhenTheLedgerFails(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, falsim.Script{}, setup{})
		r.ledger.set(&r.ledger.list, errDisk)
		r.ledger.set(&r.ledger.find, errDisk)
		if _, _, _, err := r.m.List(t.Context(), Query{Caller: me, Limit: 1}); code(err) != Internal {
			t.Errorf("List: %v", err)
		}
		if _, err := r.m.Status(t.Context(), me, "some-id", 0, nil); code(err) != Internal {
			t.Errorf("Status: %v", err)
		}
	})
}
