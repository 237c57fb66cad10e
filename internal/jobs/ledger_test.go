package jobs

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nemotron-mcp/falclient"
)

// eachLedger runs a test of the contract over each implementation.
func eachLedger(t *testing.T, f func(t *testing.T, open func(*testing.T) Ledger)) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		open func(*testing.T) Ledger
	}{
		{"memory", func(*testing.T) Ledger { return NewMemory() }},
		{"SQLite", func(t *testing.T) Ledger { return openLedger(t, t.TempDir()) }},
		{"SQLite, opened late", func(t *testing.T) Ledger {
			dir := t.TempDir()
			return NewLazy(func() (Ledger, error) { return openLedger(t, dir), nil })
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			f(t, tc.open)
		})
	}
}

func TestLedgerUpdate(t *testing.T) {
	eachLedger(t, func(t *testing.T, open func(*testing.T) Ledger) {
		m := open(t)
		insert(t, m, row(1, running, func(j *Job) { j.RequestID = "" }))
		got := change(t, m, 1, func(j *Job) { j.RequestID, j.Output = "req-1", "answer" })
		if got.Output != "answer" || !has(t, m, 1) {
			t.Errorf("updated: %+v", got)
		}
		got.Output = "changed by the reader"
		if again := change(t, m, 1, func(*Job) {}); again.Output != "answer" {
			t.Error("a reader's copy is the ledger's own row")
		}
		if _, err := m.Update(t.Context(), id(9), func(*Job) {}); !errors.Is(err, ErrNoJob) {
			t.Errorf("unknown row: %v", err)
		}
	})
}

func TestLedgerByRequest(t *testing.T) {
	eachLedger(t, func(t *testing.T, open func(*testing.T) Ledger) {
		m := open(t)
		insert(t, m, row(1), row(2, func(j *Job) { j.RequestID = "" }))
		for _, tc := range []struct {
			name, caller, request string
			found                 bool
		}{
			{"own", me, "req-1", true},
			{"another's", "other", "req-1", false},
			{"unknown", me, "req-9", false},
			{"empty, though a row has none", me, "", false},
		} {
			job, err := m.ByRequest(t.Context(), tc.caller, tc.request)
			if (err == nil) != tc.found || (err != nil && !errors.Is(err, ErrNoJob)) {
				t.Errorf("%s: %+v, %v", tc.name, job, err)
			}
		}
	})
}

func TestLedgerUndelivered(t *testing.T) {
	eachLedger(t, func(t *testing.T, open func(*testing.T) Ledger) {
		same := func(j *Job) { j.InputHash = "same" }
		at := func(d time.Duration) func(*Job) { return func(j *Job) { j.Created = noon.Add(d) } }
		rows := []Job{
			row(1, same, at(-time.Hour)), row(2, same, delivered), row(3, same, at(-10*time.Minute)), row(4, same),
			row(5, same, func(j *Job) { j.Caller = "other" }), row(6, func(j *Job) { j.InputHash = "" }),
		}
		for _, tc := range []struct {
			name, caller, hash string
			since              time.Time
			free               func(Job) bool
			want               string
		}{
			{"the oldest within the time, its border included", me, "same", noon.Add(-10 * time.Minute), yes, id(3)},
			{"later ones only", me, "same", noon.Add(-10*time.Minute + 1), yes, id(4)},
			{"none that late", me, "same", noon.Add(1), yes, ""},
			{"the first that is free", me, "same", noon.Add(-10 * time.Minute), func(j Job) bool { return j.ID != id(3) }, id(4)},
			{"none free", me, "same", noon.Add(-2 * time.Hour), func(Job) bool { return false }, ""},
			{"another caller's", "other", "same", noon.Add(-2 * time.Hour), yes, id(5)},
			{"unknown input", me, "different", noon.Add(-2 * time.Hour), yes, ""},
			{"a row without an input is nobody's", me, "", noon.Add(-2 * time.Hour), yes, ""},
		} {
			m := open(t)
			insert(t, m, rows...)
			job, err := m.Undelivered(t.Context(), tc.caller, tc.hash, tc.since, tc.free)
			if job.ID != tc.want || (err == nil) != (tc.want != "") || (err != nil && !errors.Is(err, ErrNoJob)) {
				t.Errorf("%s: %q, %v; want %q", tc.name, job.ID, err, tc.want)
			}
		}
	})
}

func TestLedgerDeliveryCanBeTakenBack(t *testing.T) {
	eachLedger(t, func(t *testing.T, open func(*testing.T) Ledger) {
		m := open(t)
		insert(t, m, row(1))
		for _, want := range []bool{false, true} {
			change(t, m, 1, func(j *Job) { j.Delivered = !want })
			if _, err := m.Undelivered(t.Context(), me, "hash-1", noon, yes); (err == nil) != want {
				t.Errorf("delivered %v: %v", !want, err)
			}
		}
	})
}

func TestLedgerList(t *testing.T) {
	eachLedger(t, func(t *testing.T, open func(*testing.T) Ledger) {
		m := open(t)
		insert(t, m,
			row(1), row(2, running), row(3, func(j *Job) { j.Caller = "other" }), row(4, running),
			row(5, func(j *Job) { j.Status = Unknown }), row(6, func(j *Job) { j.Status = Submitting }))
		for _, tc := range []struct {
			name string
			q    Query
			want []int
		}{
			{"all", Query{Caller: me, Limit: 10}, []int{6, 5, 4, 2, 1}},
			{"running", Query{Caller: me, Limit: 10, State: "running"}, []int{6, 4, 2}},
			{"finished", Query{Caller: me, Limit: 10, State: "finished"}, []int{5, 1}},
			{"another caller", Query{Caller: "other", Limit: 10}, []int{3}},
			{"nobody", Query{Caller: "nobody", Limit: 10}, nil},
			{"a page", Query{Caller: me, Limit: 2}, []int{6, 5}},
			{"the next page", Query{Caller: me, Limit: 2, Before: id(5)}, []int{4, 2}},
			{"the last page", Query{Caller: me, Limit: 2, Before: id(2)}, []int{1}},
			{"after the last row", Query{Caller: me, Limit: 2, Before: id(1)}, nil},
			{"a page of a state", Query{Caller: me, Limit: 2, State: "running", Before: id(5)}, []int{4, 2}},
			{"the cursor's row is another caller's", Query{Caller: me, Limit: 1, Before: id(3)}, []int{2}},
			{"the cursor's row is gone", Query{Caller: me, Limit: 1, Before: "id-0000004x"}, []int{4}},
			{"no room", Query{Caller: me}, nil},
		} {
			page, err := m.List(t.Context(), tc.q)
			var got []string
			for _, j := range page {
				got = append(got, j.ID)
			}
			var want []string
			for _, n := range tc.want {
				want = append(want, id(n))
			}
			if strings.Join(got, " ") != strings.Join(want, " ") || err != nil {
				t.Errorf("%s: %v, %v; want %v", tc.name, got, err, want)
			}
		}
	})
}

func TestLedgerIsSafeForConcurrentUse(t *testing.T) {
	eachLedger(t, func(t *testing.T, open func(*testing.T) Ledger) {
		m := open(t)
		finished := make(chan error)
		const writers, each = 8, 100
		for w := range writers {
			go func() {
				var err error
				for n := range each {
					job := row(w*each + n)
					err = errors.Join(err, m.Insert(context.Background(), job, DayCaps{}))
					_, e := m.Update(context.Background(), job.ID, func(j *Job) { j.CountedUSD++ })
					_, e2 := m.List(context.Background(), Query{Caller: me, Limit: 3})
					_, e3 := m.ByRequest(context.Background(), me, job.RequestID)
					err = errors.Join(err, e, e2, e3)
				}
				finished <- err
			}()
		}
		for range writers {
			if err := <-finished; err != nil {
				t.Error(err)
			}
		}
		if spent, _ := m.Spent(t.Context(), me, noon); spent != writers*each {
			t.Errorf("spent %v", spent)
		}
	})
}

func TestLedgerKeepsTheWholeRow(t *testing.T) {
	eachLedger(t, func(t *testing.T, open func(*testing.T) Ledger) {
		m := open(t)
		position := 3
		want := Job{
			ID: id(1), RequestID: "req-1", Caller: me, Host: "host", Endpoint: falclient.NemotronAudio, InputHash: "in", SentHash: "sent",
			Preview: "p\x00\xc3\xa9", Thinking: true, HideReasoning: true, InputSize: 7, Status: Failed, QueuePosition: &position,
			CancelRequested: true, Delivered: true, OutputDropped: true,
			Created: noon, Submitted: noon.Add(1), Started: noon.Add(2), Ended: noon.Add(3),
			Output: strings.Repeat("line\n", 20_000) + "\x00", FinishReason: "stop", Usage: &falclient.Usage{InputTokens: 1, OutputTokens: 2},
			CostUSD: 0.1, CountedUSD: 0.2, InferenceTime: 5, Failure: &Error{Code: JobFailed, Message: "m", Action: "a", Retryable: true, RetryAfter: 9, RequestID: "req-1"},
			Logs: []falclient.Log{{Message: "l"}},
		}
		insert(t, m, want)
		byRequest, err := m.ByRequest(t.Context(), me, "req-1")
		if err != nil || byRequest.WaitedBy == "" {
			t.Fatalf("waited for by %q, %v", byRequest.WaitedBy, err)
		}
		found, err := m.Find(t.Context(), id(1))
		if err != nil {
			t.Fatal(err)
		}
		for _, got := range []Job{byRequest, found} {
			got.WaitedBy = ""
			got.Failure.free = false
			if diff := cmp.Diff(want, got, cmp.AllowUnexported(Error{})); diff != "" {
				t.Errorf("read back (-want +got):\n%s", diff)
			}
		}
		if page, err := m.List(t.Context(), Query{Caller: me, Limit: 1}); err != nil || len(page) != 1 || page[0].Output != "" || page[0].Failure == nil {
			t.Errorf("List: %d rows, %v", len(page), err)
		}
	})
}

func TestLedgerFind(t *testing.T) {
	eachLedger(t, func(t *testing.T, open func(*testing.T) Ledger) {
		m := open(t)
		insert(t, m, row(1), row(2, func(j *Job) { j.Caller = "other" }), row(3, func(j *Job) { j.RequestID = "" }))
		for _, tc := range []struct{ name, id, want string }{
			{"by its ID", id(1), id(1)},
			{"by fal's id", "req-1", id(1)},
			{"another caller's", "req-2", id(2)},
			{"unknown", "req-9", ""},
			{"nothing", "", ""},
		} {
			job, err := m.Find(t.Context(), tc.id)
			if job.ID != tc.want || (err == nil) != (tc.want != "") || err != nil && !errors.Is(err, ErrNoJob) {
				t.Errorf("%s: %q, %v", tc.name, job.ID, err)
			}
		}
	})
}

func TestLedgerClaim(t *testing.T) {
	eachLedger(t, func(t *testing.T, open func(*testing.T) Ledger) {
		m := open(t)
		insert(t, m, row(1, running), row(2))
		for n := 1; n <= 2; n++ {
			if job, mine, err := m.Claim(t.Context(), id(n)); job.ID != id(n) || !mine || err != nil {
				t.Errorf("own row %d: %q, %v, %v", n, job.ID, mine, err)
			}
		}
		if _, _, err := m.Claim(t.Context(), id(9)); !errors.Is(err, ErrNoJob) {
			t.Errorf("unknown row: %v", err)
		}
	})
}

func TestLedgerListsEveryoneAndSince(t *testing.T) {
	eachLedger(t, func(t *testing.T, open func(*testing.T) Ledger) {
		m := open(t)
		at := func(d time.Duration) func(*Job) { return func(j *Job) { j.Created = noon.Add(d) } }
		insert(t, m, row(1, at(-time.Hour)), row(2, at(0)), row(3, at(time.Hour), func(j *Job) { j.Caller = "other" }),
			row(4, at(2*time.Hour), func(j *Job) { j.Status = Unknown }))
		for _, tc := range []struct {
			name string
			q    Query
			want string
		}{
			{"everyone's", Query{Everyone: true, Limit: 9}, "4321"},
			{"everyone's, though a caller is named", Query{Everyone: true, Caller: me, Limit: 9}, "4321"},
			{"one's, since a moment, it included", Query{Caller: me, Since: noon, Limit: 9}, "42"},
			{"since a moment later", Query{Everyone: true, Since: noon.Add(1), Limit: 9}, "43"},
			{"UNKNOWN", Query{Everyone: true, State: "unknown", Limit: 9}, "4"},
			{"finished, UNKNOWN among them", Query{Everyone: true, State: "finished", Limit: 9}, "4321"},
			{"all at once", Query{Everyone: true, State: "finished", Since: noon, Before: id(4), Limit: 1}, "3"},
		} {
			page, err := m.List(t.Context(), tc.q)
			got := ""
			for _, j := range page {
				got += strings.TrimLeft(strings.TrimPrefix(j.ID, "id-"), "0")
			}
			if got != tc.want || err != nil {
				t.Errorf("%s: %s, %v; want %s", tc.name, got, err, tc.want)
			}
		}
	})
}
