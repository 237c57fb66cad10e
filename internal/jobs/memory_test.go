package jobs

import (
	"errors"
	"fmt"
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

func insert(t *testing.T, m Ledger, jobs ...Job) {
	t.Helper()
	for _, j := range jobs {
		if err := m.Insert(t.Context(), j, DayCaps{}); err != nil {
			t.Fatalf("Insert %s: %v", j.ID, err)
		}
	}
}

func change(t *testing.T, m Ledger, n int, f func(*Job)) Job {
	t.Helper()
	job, err := m.Update(t.Context(), id(n), f)
	if err != nil {
		t.Fatalf("Update %d: %v", n, err)
	}
	return job
}

// has reports whether the row is there, by its request.
func has(t *testing.T, m Ledger, n int) bool {
	t.Helper()
	job, err := m.ByRequest(t.Context(), me, fmt.Sprintf("req-%d", n))
	if err != nil && !errors.Is(err, ErrNoJob) {
		t.Fatal(err)
	}
	return err == nil && job.ID == id(n)
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
	if err := m.Insert(t.Context(), row(memoryRows, running), DayCaps{}); err == nil {
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
