package jobs

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

func TestLedgerRefusesTheSameIDTwice(t *testing.T) {
	t.Parallel()
	m := openLedger(t, t.TempDir())
	insert(t, m, row(1))
	if err := m.Insert(t.Context(), row(1, func(j *Job) { j.Caller = "other" }), DayCaps{}); err == nil {
		t.Error("a row was written over")
	}
}

// Processes that insert at once stay within the caps together.
func TestLedgerDayCapHoldsAcrossProcesses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const processes, each, fit, all = 5, 20, 17, 29
	caps := DayCaps{All: all * 0.1, Caller: fit * 0.1}
	var calls sync.WaitGroup
	results := make(chan error, processes*each)
	for p := range processes {
		s := openLedger(t, dir)
		for n := range each {
			calls.Go(func() {
				results <- s.Insert(context.Background(), row(p*each+n, func(j *Job) {
					j.CountedUSD, j.Caller = 0.1, []string{"a", "b"}[n%2]
				}), caps)
			})
		}
	}
	calls.Wait()
	close(results)
	taken := 0
	for err := range results {
		switch {
		case err == nil:
			taken++
		case !errors.As(err, new(*OverCapError)):
			t.Errorf("Insert: %v", err)
		}
	}
	s := openLedger(t, dir)
	a, errA := s.Spent(t.Context(), "a", noon)
	b, errB := s.Spent(t.Context(), "b", noon)
	must(t, errA, errB)
	if taken != all || nano(a) > nano(caps.Caller) || nano(b) > nano(caps.Caller) || nano(a+b) != nano(caps.All) {
		t.Errorf("%d rows, $%v and $%v; want %d within %+v", taken, a, b, all, caps)
	}
}

// Changes of one row by several goroutines of several processes are all there.
func TestLedgerUpdateIsAtomic(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const goroutines, each = 4, 25
	ledgers := []*SQLite{openLedger(t, dir), openLedger(t, dir)}
	insert(t, ledgers[0], row(1, running))
	var calls sync.WaitGroup
	for _, s := range ledgers {
		for range goroutines {
			calls.Go(func() {
				for range each {
					before := 0
					job, err := s.Update(context.Background(), id(1), func(j *Job) { before = j.InputSize; j.InputSize++ })
					if err != nil || job.InputSize != before+1 {
						t.Errorf("Update: %d after %d, %v", job.InputSize, before, err)
						return
					}
				}
			})
		}
	}
	calls.Wait()
	for _, s := range ledgers {
		if job, err := s.Find(t.Context(), id(1)); err != nil || job.InputSize != 2*goroutines*each {
			t.Errorf("%d changes are there, %v; want %d", job.InputSize, err, 2*goroutines*each)
		}
	}
}

func TestLedgerUpdateSeesWhatAnotherProcessWrote(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, b := openLedger(t, dir), openLedger(t, dir)
	insert(t, a, row(1, running, func(j *Job) { j.RequestID = "" }))
	change(t, b, 1, func(j *Job) { j.RequestID, j.Output = "req-1", "from b" })
	got := change(t, a, 1, func(j *Job) { j.FinishReason = "stop" })
	if got.RequestID != "req-1" || got.Output != "from b" || got.FinishReason != "stop" {
		t.Errorf("%+v", got)
	}
	if again, err := b.Find(t.Context(), id(1)); err != nil || again.FinishReason != "stop" || again.Output != "from b" {
		t.Errorf("%+v, %v", again, err)
	}
}

func TestLedgerWritesNothingWhereNothingChanges(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, db := openLedger(t, dir), rawLedger(t, dir)
	insert(t, s, row(1, running), row(2, running))
	change(t, s, 2, func(j *Job) { j.Status = Completed })
	version := func(n int) int64 { return number(t, db, `SELECT version FROM jobs WHERE id = ?`, id(n)) }
	for n := 1; n <= 2; n++ {
		before, written := version(n), number(t, db, `PRAGMA data_version`)
		change(t, s, n, func(j *Job) { j.Output += "" })
		if version(n) != before || number(t, db, `PRAGMA data_version`) != written {
			t.Errorf("row %d was written though nothing has changed", n)
		}
		change(t, s, n, func(j *Job) { j.Output = "x" })
		if version(n) == before {
			t.Errorf("row %d was not written", n)
		}
	}
}

func TestLedgerKeepsRowsAfterClose(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := openLedger(t, dir)
	insert(t, first, row(1, func(j *Job) { j.Output, j.CountedUSD = "answer", 0.25 }))
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second := openLedger(t, dir)
	job, err := second.Find(t.Context(), id(1))
	spent, _ := second.Spent(t.Context(), me, noon)
	if err != nil || job.Output != "answer" || spent != 0.25 {
		t.Errorf("%+v, %v, $%v", job, err, spent)
	}
}

func TestPruneDeletesOldFinishedRows(t *testing.T) {
	t.Parallel()
	s := openLedger(t, t.TempDir())
	at := func(d time.Duration) func(*Job) { return func(j *Job) { j.Created = noon.Add(d) } }
	insert(t, s, row(1, at(-1)), row(2, at(-1), running), row(3, at(0)), row(4, at(-time.Hour), func(j *Job) { j.Status = Unknown }))
	if err := s.Prune(t.Context(), noon); err != nil {
		t.Fatal(err)
	}
	for n, want := range map[int]bool{1: false, 2: true, 3: true, 4: false} {
		if has(t, s, n) != want {
			t.Errorf("row %d is there: %v", n, !want)
		}
	}
}

// openLedger opens the ledger of a folder as a process of its own would.
func openLedger(t *testing.T, dir string) *SQLite {
	t.Helper()
	s, err := OpenSQLite(dir, false, zerolog.Nop())
	if err != nil {
		t.Fatalf("OpenSQLite: %v", err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// rawLedger is the file itself, past the code that is tested.
func rawLedger(t *testing.T, dir string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(dir, LedgerFile)+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// run executes a statement that must change n rows.
func run(t *testing.T, db *sql.DB, n int64, query string, args ...any) {
	t.Helper()
	res, err := db.Exec(query, args...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	if changed, err := res.RowsAffected(); changed != n || err != nil {
		t.Fatalf("%s: %d rows, %v; want %d", query, changed, err, n)
	}
}

// number reads one.
func number(t *testing.T, db *sql.DB, query string, args ...any) (n int64) {
	t.Helper()
	if err := db.QueryRow(query, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

// The watcher writes at the moment at which the row is taken.
func TestUndeliveredOutlivesAChange(t *testing.T) {
	t.Parallel()
	l := openLedger(t, state(t))
	job := Job{ID: "1", InputHash: "h", Status: InQueue, RequestID: "r", Created: time.Now()}
	if err := l.Insert(t.Context(), job, DayCaps{}); err != nil {
		t.Fatal(err)
	}
	_, _ = l.Update(t.Context(), "1", func(j *Job) { j.WaitedBy = "" }) // handed back
	n := 0
	got, err := l.Undelivered(t.Context(), "", "h", time.Now().Add(-time.Minute), func(Job) bool {
		if n++; n == 1 { // its watcher writes at this moment
			_, _ = l.Update(t.Context(), "1", func(j *Job) { j.Status = InProgress })
		}
		return true
	})
	if err != nil || got.ID != "1" {
		t.Errorf("got %+v, %v; want the row", got, err)
	}
}
