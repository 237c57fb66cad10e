package jobs

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func yes(Job) bool { return true }

// id is the n-th of IDs that grow with time.
func id(n int) string { return fmt.Sprintf("id-%07d", n) }

func row(n int, change ...func(*Job)) Job {
	job := Job{ID: id(n), RequestID: fmt.Sprintf("req-%d", n), Caller: me, InputHash: fmt.Sprintf("hash-%d", n), Status: Completed, Created: noon}
	for _, c := range change {
		c(&job)
	}
	return job
}

func delivered(j *Job) { j.Delivered = true }
func running(j *Job)   { j.Status = InProgress }

func insert(t *testing.T, m *Memory, jobs ...Job) {
	t.Helper()
	for _, j := range jobs {
		if err := m.Insert(t.Context(), j, 0); err != nil {
			t.Fatalf("Insert %s: %v", j.ID, err)
		}
	}
}

func change(t *testing.T, m *Memory, n int, f func(*Job)) Job {
	t.Helper()
	job, err := m.Update(t.Context(), id(n), f)
	if err != nil {
		t.Fatalf("Update %d: %v", n, err)
	}
	return job
}

// has reports whether the row is there, by its request.
func has(t *testing.T, m *Memory, n int) bool {
	t.Helper()
	job, err := m.ByRequest(t.Context(), me, fmt.Sprintf("req-%d", n))
	if err != nil && !errors.Is(err, ErrNoJob) {
		t.Fatal(err)
	}
	return err == nil && job.ID == id(n)
}

func TestMemoryUpdate(t *testing.T) {
	t.Parallel()
	m := NewMemory()
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
}

func TestMemoryByRequest(t *testing.T) {
	t.Parallel()
	m := NewMemory()
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
}

func TestMemoryUndelivered(t *testing.T) {
	t.Parallel()
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
		m := NewMemory()
		insert(t, m, rows...)
		job, err := m.Undelivered(t.Context(), tc.caller, tc.hash, tc.since, tc.free)
		if job.ID != tc.want || (err == nil) != (tc.want != "") || (err != nil && !errors.Is(err, ErrNoJob)) {
			t.Errorf("%s: %q, %v; want %q", tc.name, job.ID, err, tc.want)
		}
	}
}

func TestMemoryDeliveryCanBeTakenBack(t *testing.T) {
	t.Parallel()
	m := NewMemory()
	insert(t, m, row(1))
	for _, want := range []bool{false, true} {
		change(t, m, 1, func(j *Job) { j.Delivered = !want })
		if _, err := m.Undelivered(t.Context(), me, "hash-1", noon, yes); (err == nil) != want {
			t.Errorf("delivered %v: %v", !want, err)
		}
	}
}

func TestMemoryList(t *testing.T) {
	t.Parallel()
	m := NewMemory()
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
}

func TestMemorySpent(t *testing.T) {
	t.Parallel()
	m := NewMemory()
	costs := func(usd float64, at time.Time) func(*Job) {
		return func(j *Job) { j.CountedUSD, j.Created = usd, at }
	}
	insert(t, m,
		row(1, costs(1, noon)),
		row(2, costs(2, noon.Add(-12*time.Hour))),  // the day's first moment
		row(3, costs(4, noon.Add(12*time.Hour-1))), // its last
		row(4, costs(8, noon.Add(12*time.Hour))),   // the next day
		row(5, costs(16, noon), func(j *Job) { j.Caller = "other" }))
	change(t, m, 1, func(j *Job) { j.CountedUSD = 0.5 })
	// A clock of another zone, on which it is already the next day.
	east := time.FixedZone("east", 14*3600)
	for _, tc := range []struct {
		name, caller string
		on           time.Time
		want         float64
	}{
		{"the day", me, noon, 6.5},
		{"the same day, told by another clock", me, noon.In(east), 6.5},
		{"the next day", me, noon.Add(24 * time.Hour), 8},
		{"the day before", me, noon.Add(-24 * time.Hour), 0},
		{"another caller", "other", noon, 16},
	} {
		if got, err := m.Spent(t.Context(), tc.caller, tc.on); err != nil || math.Abs(got-tc.want) > 1e-9 {
			t.Errorf("%s: %v, %v; want %v", tc.name, got, err, tc.want)
		}
	}
}

func TestMemoryEvictsByRows(t *testing.T) {
	t.Parallel()
	m := NewMemory()
	for n := range memoryRows {
		job := row(n, func(j *Job) { j.CountedUSD = 1 })
		switch {
		case n == 0:
			running(&job)
		case n == 5 || n == 7:
			delivered(&job)
		}
		insert(t, m, job)
	}
	// First those that the host has, then the oldest, never an unfinished one.
	for i, gone := range []int{5, 7, 1, 2, 3, 4, 6} {
		if !has(t, m, gone) {
			t.Fatalf("%d went too early", gone)
		}
		insert(t, m, row(memoryRows+i, func(j *Job) { j.CountedUSD = 1 }))
		if has(t, m, gone) {
			t.Errorf("%d is still there", gone)
		}
		if _, err := m.Undelivered(t.Context(), me, fmt.Sprintf("hash-%d", gone), noon, yes); !errors.Is(err, ErrNoJob) {
			t.Errorf("%d is still found by its input: %v", gone, err)
		}
	}
	if !has(t, m, 0) || len(m.rows) != memoryRows || len(m.order) != memoryRows {
		t.Errorf("%d rows, in order %d", len(m.rows), len(m.order))
	}
	if spent, _ := m.Spent(t.Context(), me, noon); spent != memoryRows+7 {
		t.Errorf("spent %v: the cost of what was evicted was forgotten", spent)
	}
}

func TestMemoryEvictsByBytes(t *testing.T) {
	t.Parallel()
	m := NewMemory()
	large := strings.Repeat("x", memoryBytes/4)
	for n := range 4 {
		insert(t, m, row(n, running))
	}
	for n := range 4 {
		change(t, m, n, func(j *Job) { j.Status, j.Output = Completed, large })
	}
	if has(t, m, 0) || !has(t, m, 1) || !has(t, m, 3) {
		t.Error("the oldest did not make room, or more than it went")
	}
	if m.bytes > memoryBytes || m.bytes < 3*len(large) {
		t.Errorf("%d bytes are counted", m.bytes)
	}
	for n := 1; n < 4; n++ {
		change(t, m, n, func(j *Job) { j.Output = "" })
	}
	if m.bytes != 3*1024 {
		t.Errorf("%d bytes are counted for 3 empty rows", m.bytes)
	}
}

func TestMemoryRefusesWhenFullOfUnfinishedRows(t *testing.T) {
	t.Parallel()
	m := NewMemory()
	for n := range memoryRows {
		insert(t, m, row(n, running))
	}
	before := m.bytes
	if err := m.Insert(t.Context(), row(memoryRows, running), 0); err == nil {
		t.Error("it took one more")
	}
	if len(m.rows) != memoryRows || len(m.order) != memoryRows || m.bytes != before || len(m.byInput) != memoryRows || has(t, m, memoryRows) {
		t.Errorf("the refused row left something behind: %d rows, %d bytes", len(m.rows), m.bytes)
	}
	change(t, m, 3, func(j *Job) { j.Status = Completed })
	insert(t, m, row(memoryRows, running))
	if has(t, m, 3) {
		t.Error("the finished row did not make room")
	}
}

// At its bounds the ledger must not slow to a crawl.
func TestMemoryStaysFast(t *testing.T) {
	t.Parallel()
	m := NewMemory()
	for n := range 2 * memoryRows {
		insert(t, m, row(n, running, func(j *Job) { j.InputHash = "same" }))
		change(t, m, n, func(j *Job) { j.Status = Completed })
		change(t, m, n, delivered)
	}
	if len(m.rows) != memoryRows || len(m.byInput) != 0 || len(m.byRequest) != memoryRows {
		t.Errorf("%d rows, %d inputs, %d requests", len(m.rows), len(m.byInput), len(m.byRequest))
	}
	if page, err := m.List(t.Context(), Query{Caller: me, Limit: 100, Before: id(memoryRows + 50)}); err != nil || len(page) != 50 {
		t.Errorf("%d rows before the cursor, %v", len(page), err)
	}
}

func TestMemoryIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	m := NewMemory()
	finished := make(chan error)
	const writers, each = 8, 100
	for w := range writers {
		go func() {
			var err error
			for n := range each {
				job := row(w*each + n)
				err = errors.Join(err, m.Insert(context.Background(), job, 0))
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
}
