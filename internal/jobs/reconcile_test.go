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

// lose makes the answers to submissions be lost, of which fal takes some.
func lose(prompt string, accept bool) falsim.Fault {
	return falsim.Fault{Step: falsim.StepSubmit, Kind: falsim.ResetAfterRead, Accept: accept, PromptContains: prompt}
}

// unknown makes a call whose submission's answer is lost.
func (m *member) unknown(text string) Job {
	m.t.Helper()
	job := m.generate(prompt(text, time.Minute))
	m.is(job, Unknown, SubmitUnknown)
	m.m.Settle(job, ToldAll)
	return job
}

func (m *member) reconcile() []Reconciled {
	m.t.Helper()
	found, err := m.m.Reconcile(m.ctx, m.client, time.Time{})
	if err != nil {
		m.t.Fatalf("Reconcile: %v", err)
	}
	return found
}

func TestReconcile(t *testing.T) {
	t.Parallel()
	taken := falsim.Script{RunTime: time.Second, Output: "the answer", Faults: []falsim.Fault{lose("", true)}}
	with := func(change func(*falsim.Script)) falsim.Script {
		s := taken
		change(&s)
		return s
	}
	for _, tc := range []struct {
		name       string
		script     falsim.Script
		after      time.Duration // from the submission to the question
		finding    Finding
		told       Status // as it is returned
		later      Status // an hour later
		candidates int
		bills      int
	}{
		{name: "finished", script: taken, after: time.Minute, finding: FoundTaken, told: Completed, later: Completed, bills: 1},
		{name: "finished, and the queue has deleted it", script: taken, after: 3 * time.Hour, finding: FoundTaken, told: Completed, later: Completed, bills: 1},
		{name: "running, and it ends soon", script: with(func(s *falsim.Script) { s.RunTime = 20 * time.Second }), after: time.Second, finding: FoundTaken, told: Completed, later: Completed, bills: 1},
		{name: "running for long", script: with(func(s *falsim.Script) { s.RunTime = 5 * time.Minute }), after: time.Second, finding: FoundTaken, told: InProgress, later: Completed, bills: 1},
		{name: "queued", script: with(func(s *falsim.Script) { s.QueueDelay = 5 * time.Minute }), after: time.Second, finding: FoundTaken, told: InQueue, later: Completed, bills: 1},
		{name: "failed", script: with(func(s *falsim.Script) {
			s.Faults = append(s.Faults, falsim.Fault{Step: falsim.StepJob, Kind: falsim.Fail, Error: "boom", ErrorType: "internal_server_error"})
		}), after: time.Minute, finding: FoundTaken, told: Failed, later: Failed, bills: 1},
		{name: "not taken", script: falsim.Script{Faults: []falsim.Fault{lose("", false)}}, after: time.Minute, finding: FoundNone, told: Unknown, later: Unknown},
		{name: "not in the history yet", script: with(func(s *falsim.Script) { s.HistoryDelay = time.Hour }), after: time.Minute, finding: FoundNone, told: Unknown, later: Unknown, bills: 1},
		{name: "payloads are not kept", script: with(func(s *falsim.Script) { s.DiscardPayloads = true }), after: time.Minute, finding: FoundUnclear, told: Unknown, later: Unknown, candidates: 1, bills: 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				f := newHouse(t, tc.script)
				m := f.join()
				lost := m.unknown("p")
				m.leave()
				time.Sleep(tc.after)
				m = f.join()
				found := m.reconcile()
				if len(found) != 1 || found[0].Finding != tc.finding || found[0].Job.ID != lost.ID || found[0].Job.Status != tc.told || len(found[0].Candidates) != tc.candidates {
					t.Fatalf("found %+v", found)
				}
				time.Sleep(6 * time.Minute)
				row := f.row()
				if row.Status != tc.later || (row.RequestID != "") != (tc.finding == FoundTaken) {
					t.Errorf("the row: %s of request %q (%v)", row.Status, row.RequestID, row.Failure)
				}
				if row.Status == Completed && (row.Output != "the answer" || row.CountedUSD != row.CostUSD || row.Usage == nil || row.Delivered || row.Failure != nil) {
					t.Errorf("the row: %+v", row)
				}
				if row.Status == Unknown && (row.CountedUSD != lost.CountedUSD || row.Failure == nil) {
					t.Errorf("the row: %+v", row)
				}
				m.count(tc.bills, tc.bills)
				if n := f.sim.Stats().Requests.Submit; n != 1 {
					t.Errorf("%d submissions", n)
				}
				if n := m.held(); n != 0 {
					t.Errorf("%d jobs are still held", n)
				}
			})
		})
	}
}

// Two calls of the same input were lost, of which fal took two, one or none: no
// request becomes two jobs.
func TestReconcileGivesEachRequestToOneJob(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		taken int
	}{{"both taken", 2}, {"one taken", 1}, {"none taken", 0}} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				accept := lose("", true)
				accept.Times = tc.taken
				script := falsim.Script{RunTime: time.Second, Faults: []falsim.Fault{accept, lose("", false)}}
				if tc.taken == 0 {
					script.Faults = script.Faults[1:]
				}
				f := newHouse(t, script)
				m := f.join()
				one, two := m.start(prompt("p", time.Minute)), m.start(prompt("p", time.Minute))
				for _, call := range []*pending{one, two} {
					job, _ := call.wait()
					m.is(job, Unknown, SubmitUnknown)
					m.m.Settle(job, ToldAll)
				}
				time.Sleep(time.Minute)
				seen := map[string]bool{}
				for _, found := range m.reconcile() {
					switch found.Finding {
					case FoundTaken:
						m.is(found.Job, Completed, "")
						seen[found.Job.RequestID] = true
					case FoundNone:
						m.is(found.Job, Unknown, SubmitUnknown)
					default:
						t.Errorf("found %+v", found)
					}
				}
				if len(seen) != tc.taken {
					t.Errorf("%d requests were adopted, want %d", len(seen), tc.taken)
				}
				// Those are known now.
				for _, found := range m.reconcile() {
					if found.Finding != FoundNone {
						t.Errorf("asked again: %+v", found)
					}
				}
				m.count(tc.taken, tc.taken)
			})
		})
	}
}

// Requests that are other jobs', or of another input, time or endpoint, are not
// adopted.
func TestReconcileAdoptsNoOthers(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		other func(f *house, m *member)
	}{
		{"another job's of the same input", func(_ *house, m *member) {
			m.m.Settle(m.generate(prompt("p", time.Minute)), ToldAll)
		}},
		{"another process's job of the same input", func(f *house, _ *member) {
			other := f.join()
			other.m.Settle(other.generate(prompt("p", time.Minute)), ToldAll)
		}},
		{"of another input, and not in the ledger", func(f *house, m *member) { submit(f, m, "q") }},
		{"of the same input, an hour later", func(f *house, m *member) {
			time.Sleep(time.Hour)
			submit(f, m, "p")
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				f := newHouse(t, falsim.Script{Faults: []falsim.Fault{lose("", false)}})
				m := f.join()
				lost := m.unknown("p")
				f.sim.SetScript(falsim.Script{})
				tc.other(f, m)
				time.Sleep(time.Second)
				found := m.reconcile()
				if len(found) != 1 || found[0].Finding != FoundNone || found[0].Job.ID != lost.ID {
					t.Errorf("found %+v", found)
				}
			})
		})
	}
}

// submit makes a request to fal that no ledger knows.
func submit(f *house, m *member, text string) {
	f.t.Helper()
	endpoint, err := falclient.ParseEndpoint(falclient.Nemotron)
	if err != nil {
		f.t.Fatal(err)
	}
	if _, err := m.client.Submit(m.ctx, endpoint, falclient.NemotronInput{Prompt: text}, falclient.SubmitOptions{}); err != nil {
		f.t.Fatal(err)
	}
}

// The request was written with fal's defaults by the one and without by the other.
func TestReconcileKnowsDefaults(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newHouse(t, falsim.Script{Faults: []falsim.Fault{lose("", true)}})
		m := f.join()
		tokens, heat, req := 1024, 0.7, prompt("p", time.Minute)
		req.Input.MaxTokens, req.Input.Temperature, req.WebhookURL = &tokens, &heat, "https://example.com/hook"
		m.m.Settle(m.generate(req), ToldAll)
		time.Sleep(time.Second)
		if found := m.reconcile(); len(found) != 1 || found[0].Finding != FoundTaken {
			t.Errorf("found %+v", found)
		}
	})
}

func TestReconcileOfACutOffSubmission(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newHouse(t, falsim.Script{
			RunTime: time.Second, Output: "the answer", Faults: []falsim.Fault{{Step: falsim.StepSubmit, Kind: falsim.Hang, Accept: true}},
		})
		a := f.join()
		call := a.start(prompt("p", time.Minute))
		synctest.Wait()
		a.kill()
		b := f.join()
		b.m.Collect()
		b.is(f.row(), Unknown, SubmitUnknown)
		time.Sleep(time.Minute)
		found := b.reconcile()
		if len(found) != 1 || found[0].Finding != FoundTaken || found[0].Job.Output != "the answer" {
			t.Errorf("found %+v", found)
		}
		b.count(1, 1)
		_, _ = call.wait()
	})
}

func TestReconcileFailures(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		fault falsim.Fault
		want  Code
	}{
		{"fal is down", falsim.Fault{Step: falsim.StepHistory, Status: 500, Body: `{"detail":"no"}`}, UpstreamUnavailable},
		{"the key may not", falsim.Fault{Step: falsim.StepHistory, Status: 401, Body: `{"detail":"no"}`}, AuthFailed},
		{"not a list", falsim.Fault{Step: falsim.StepHistory, Status: 200, Body: `<html>`}, UpstreamInvalid},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				f := newHouse(t, falsim.Script{Faults: []falsim.Fault{lose("", true), tc.fault}})
				m := f.join()
				m.unknown("p")
				found, err := m.m.Reconcile(t.Context(), m.client, time.Time{})
				if code(err) != tc.want || len(found) != 0 {
					t.Errorf("Reconcile: %+v, %v", found, err)
				}
				m.is(f.row(), Unknown, SubmitUnknown)
			})
		})
	}
}

// cutHistory tells only a part.
type cutHistory struct{}

func (cutHistory) Requests(context.Context, falclient.HistoryQuery) ([]falclient.PastRequest, error) {
	return nil, falclient.ErrTruncated
}

type noHistory struct{}

func (noHistory) Requests(context.Context, falclient.HistoryQuery) ([]falclient.PastRequest, error) {
	return nil, errors.New("asked all the same")
}

func TestReconcileOfACutHistoryIsUnclear(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newHouse(t, falsim.Script{Faults: []falsim.Fault{lose("", true)}})
		m := f.join()
		m.unknown("p")
		found, err := m.m.Reconcile(t.Context(), cutHistory{}, time.Time{})
		if err != nil || len(found) != 1 || found[0].Finding != FoundUnclear {
			t.Errorf("found %+v, %v", found, err)
		}
	})
}

func TestReconcileAsksForWhatIsUnknownSince(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newHouse(t, falsim.Script{Faults: []falsim.Fault{lose("lost", true)}})
		m := f.join()
		m.m.Settle(m.generate(prompt("p", time.Minute)), ToldAll)
		m.unknown("lost")
		time.Sleep(time.Second)
		if found, err := m.m.Reconcile(t.Context(), noHistory{}, time.Now()); err != nil || len(found) != 0 {
			t.Errorf("found %+v, %v", found, err)
		}
		if _, err := m.m.Reconcile(t.Context(), noHistory{}, time.Now().Add(-time.Minute)); err == nil {
			t.Error("fal was not asked")
		}
		keyless := f.join(func(o *Options) { o.KnowsKey = false })
		if _, err := keyless.m.Reconcile(t.Context(), noHistory{}, time.Time{}); code(err) != AuthFailed || !strings.Contains(err.(*Error).Action, "FAL_KEY") {
			t.Errorf("without a key: %v", err)
		}
	})
}
