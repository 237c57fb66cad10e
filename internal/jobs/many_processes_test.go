package jobs

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"nemotron-mcp/falclient"
	"nemotron-mcp/internal/falsim"
)

// Processes that find the damage at the same moment agree on one new ledger, and
// the damaged one is kept.
func TestDamagedLedgerIsSetAsideOnce(t *testing.T) {
	t.Parallel()
	damage := bytes.Repeat([]byte("\xde\xad\xbe\xef"), 4096)
	const rounds, processes = 20, 4
	for range rounds {
		dir := state(t)
		if err := os.WriteFile(filepath.Join(dir, LedgerFile), damage, 0o600); err != nil {
			t.Fatal(err)
		}
		var opening sync.WaitGroup
		start := make(chan struct{})
		ledgers := make([]*SQLite, processes)
		for n := range processes {
			opening.Go(func() {
				<-start
				s, err := OpenSQLite(dir, false, zerolog.Nop())
				if err != nil {
					t.Errorf("OpenSQLite: %v", err)
					return
				}
				ledgers[n] = s
				if err := s.Insert(t.Context(), row(n), DayCaps{}); err != nil {
					t.Errorf("Insert: %v", err)
				}
			})
		}
		close(start)
		opening.Wait()
		for _, s := range ledgers {
			if s != nil {
				_ = s.Close()
			}
		}
		kept := 0
		for file, b := range contents(t, dir) {
			if strings.HasPrefix(file, LedgerFile+".damaged-") && bytes.Equal(b, damage) {
				kept++
			}
		}
		if rows := openLedgerRows(t, dir); len(rows) != processes || kept != 1 {
			t.Fatalf("%d of %d rows are in the new ledger, and the damaged one is kept %d times", len(rows), processes, kept)
		}
	}
}

func TestMetadataOnlyWhereFalRepeatsThePrompt(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("xy", 50) + promptMark
	echo := `{"detail":[{"loc":["body","prompt"],"msg":"may not be ` + long + `","type":"value_error","input":"` + long + `"}]}`
	for _, tc := range []struct {
		name   string
		script falsim.Script
	}{
		{"in a refusal", falsim.Script{Faults: []falsim.Fault{{Step: falsim.StepSubmit, Status: 422, Body: echo}}}},
		{"in the job's end", falsim.Script{Faults: []falsim.Fault{{Step: falsim.StepJob, Kind: falsim.Fail, Status: 422, Body: echo}}}},
		{"in the logs of a job that fails", falsim.Script{
			RunTime: time.Second, Logs: []falsim.Log{{Message: "got " + long}},
			Faults: []falsim.Fault{{Step: falsim.StepJob, Kind: falsim.Fail, Status: 500, Error: "boom"}},
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				f := newHouse(t, tc.script)
				m := f.join(metadataOnly)
				job := m.generate(prompt(long, time.Minute))
				m.is(job, Failed, job.Failure.Code)
				m.m.Settle(job, ToldAll)
				m.leave()
				if found := f.search(promptMark); found != nil {
					t.Errorf("found %v: %v %v", found, job.Failure, job.Logs)
				}
				if strings.Contains(m.log.String(), promptMark) {
					t.Errorf("the log has it: %s", m.log.String())
				}
			})
		})
	}
}

func TestNewerLedgerInAnotherMode(t *testing.T) {
	t.Parallel()
	dir := state(t)
	db := rawLedger(t, dir)
	script(t, db, `CREATE TABLE later (x); PRAGMA user_version = 99`)
	must(t, db.Close())
	before := contents(t, dir)[LedgerFile]
	_, err := OpenSQLite(dir, false, zerolog.Nop())
	if err == nil || !bytes.Equal(before, contents(t, dir)[LedgerFile]) {
		t.Errorf("the newer file was changed (%v)", err)
	}
}

func TestDamagedTable(t *testing.T) {
	t.Parallel()
	dir := state(t)
	b := filled(t)
	copy(b[4096:], bytes.Repeat([]byte("\xde\xad\xbe\xef"), 1024))
	must(t, os.WriteFile(filepath.Join(dir, LedgerFile), b, 0o600))
	s, err := OpenSQLite(dir, false, zerolog.Nop())
	if err != nil {
		t.Fatalf("OpenSQLite: %v", err)
	}
	_ = s.Close()
}

// A's queue_status ends while B's call waits: a third call must not take B's job.
func TestSettleLeavesAnothersWait(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newHouse(t, falsim.Script{RunTime: time.Minute})
		a, b, c := f.join(), f.join(), f.join()
		handed := a.handBack("p")
		second := b.start(prompt("p", 2*time.Minute))
		synctest.Wait()
		a.status(handed.RequestID, 0)
		third := c.start(prompt("p", 2*time.Minute))
		two, _ := second.wait()
		three, _ := third.wait()
		if two.ID == three.ID {
			t.Errorf("two calls at once have one job; waited by %q", f.row().WaitedBy)
		}
		b.m.Settle(two, ToldAll)
		c.m.Settle(three, ToldAll)
	})
}

func TestNoAttachWhileAnotherProcessesStatusWaits(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newHouse(t, falsim.Script{RunTime: time.Minute})
		a, b := f.join(), f.join()
		handed := a.handBack("p")
		a.calls.Go(func() { a.status(handed.RequestID, 2*time.Minute) })
		synctest.Wait()
		second := b.generate(prompt("p", 2*time.Minute))
		if second.ID == handed.ID {
			t.Error("attached to a job that queue_status of another process waits for")
		}
		b.m.Settle(second, ToldAll)
		a.calls.Wait()
	})
}

func TestCancelInQueueByAnother(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newHouse(t, falsim.Script{QueueDelay: time.Hour, Faults: []falsim.Fault{{Step: falsim.StepCancel, Delay: time.Second, Accept: true}}})
		a, b := f.join(), f.join()
		handed := a.handBack("p")
		time.Sleep(time.Second)
		job, outcome, err := b.m.Cancel(t.Context(), me, handed.RequestID)
		b.m.Settle(job, ToldAll)
		row := f.row()
		if err != nil || outcome != falclient.CancelledInQueue || row.CountedUSD != 0 || !strings.Contains(row.Failure.Message, "not billed") {
			t.Errorf("%q, %v; the row counts $%v: %v (started %v)", outcome, err, row.CountedUSD, row.Failure, row.Started)
		}
		a.count(1, 0)
	})
}

// Nobody here knows how far it had got: what it may cost stays counted.
func TestCancelByTheDashboard(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newHouse(t, falsim.Script{QueueDelay: time.Hour})
		a := f.join()
		handed := a.handBack("p")
		time.Sleep(time.Second)
		e, _ := falclient.ParseEndpoint(falclient.Nemotron)
		_, err := a.client.Cancel(t.Context(), e, handed.RequestID)
		must(t, err)
		time.Sleep(time.Second)
		row := f.row()
		if row.Status != Cancelled || row.CountedUSD == 0 || !row.Started.IsZero() || !strings.Contains(row.Failure.Message, "running or queued") {
			t.Errorf("%s counts $%v, started %v: %v", row.Status, row.CountedUSD, row.Started, row.Failure)
		}
		a.count(1, 0)
	})
}

// closingLedger has its manager closed in the middle of an Insert.
type closingLedger struct {
	Ledger
	m      *Manager
	closed chan struct{}
}

func (c *closingLedger) Insert(ctx context.Context, job Job, caps DayCaps) error {
	go func() {
		defer close(c.closed)
		_ = c.m.Close(context.Background())
	}()
	synctest.Wait()
	return c.Ledger.Insert(ctx, job, caps)
}

// Close in the middle of Insert: the row is told as never submitted, and costs
// nothing.
func TestCallThatCloseForgoes(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		open func(t *testing.T, dir string) Ledger
		rows func(t *testing.T, dir string, used Ledger) []Job
	}{
		{"in memory", func(*testing.T, string) Ledger { return NewMemory() }, func(t *testing.T, _ string, used Ledger) []Job {
			rows, err := used.List(t.Context(), Query{Caller: me, Limit: 9})
			must(t, err)
			return rows
		}},
		{"in a file", func(t *testing.T, dir string) Ledger { return openLedger(t, dir) }, func(t *testing.T, dir string, _ Ledger) []Job {
			next := openLedger(t, dir)
			_, _, err := next.TakeOver(t.Context())
			must(t, err)
			rows, err := next.List(t.Context(), Query{Caller: me, Limit: 9})
			must(t, err)
			return rows
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				dir := state(t)
				ledger := &closingLedger{Ledger: tc.open(t, dir), closed: make(chan struct{})}
				ledger.m = New(&stub{}, ledger, Options{Prices: DefaultPrices(), KnowsKey: true})
				_, err := ledger.m.Generate(t.Context(), prompt("p", time.Minute), nil)
				<-ledger.closed
				rows := tc.rows(t, dir, ledger.Ledger)
				if len(rows) != 1 || rows[0].Status != Cancelled || rows[0].CountedUSD != 0 || code(err) != UpstreamUnavailable {
					t.Errorf("%v: rows %+v", err, rows)
				}
			})
		})
	}
}

// queue_status again and again, of a job that another process watches.
func TestMirrorEndsAsACallerJoins(t *testing.T) {
	dir := state(t)
	a, b := New(&stub{}, openLedger(t, dir), Options{Prices: DefaultPrices(), KnowsKey: true}), New(&stub{}, openLedger(t, dir), Options{Prices: DefaultPrices(), KnowsKey: true})
	job, err := a.Generate(t.Context(), prompt("p", 0), nil)
	must(t, err)
	a.Settle(job, ToldAll)
	var calls sync.WaitGroup
	stop := time.Now().Add(500 * time.Millisecond)
	for range 2 {
		calls.Go(func() {
			for n := 0; time.Now().Before(stop); n++ {
				got, err := b.Status(context.Background(), me, job.RequestID, 0, nil)
				if err != nil {
					t.Errorf("after %d calls: %v", n, err)
					return
				}
				b.Settle(got, NotTold)
			}
		})
	}
	calls.Wait()
	ctx, done := context.WithTimeout(context.Background(), time.Second)
	defer done()
	_, _ = b.Close(ctx), a.Close(ctx)
}

// The text of an answer that was dropped leaves the files while the ledger is in
// use, and those of a process that was killed when the next one opens it.
func TestDroppedAnswersLeaveTheFiles(t *testing.T) {
	t.Parallel()
	const mark = "an answer that must not stay"
	dir := state(t)
	found := func() (in []string) {
		for file, b := range contents(t, dir) {
			if bytes.Contains(b, []byte(mark)) {
				in = append(in, file)
			}
		}
		return in
	}
	for _, killed := range []bool{false, true} {
		s, err := OpenSQLite(dir, true, zerolog.Nop())
		must(t, err)
		job := row(map[bool]int{false: 1, true: 2}[killed], func(j *Job) { j.Output = strings.Repeat(mark, 1000) })
		must(t, s.Insert(t.Context(), job, DayCaps{}))
		if found() == nil {
			t.Fatal("the answer was never in the files")
		}
		_, err = s.Update(t.Context(), job.ID, func(j *Job) { j.Output, j.OutputDropped = "", true })
		must(t, err)
		if killed {
			copied := state(t) // as the kill leaves it
			for file, b := range contents(t, dir) {
				must(t, os.WriteFile(filepath.Join(copied, file), b, 0o600))
			}
			must(t, s.Close())
			dir = copied
			if s, err = OpenSQLite(dir, true, zerolog.Nop()); err != nil {
				t.Fatal(err)
			}
		} else {
			_, _, err = s.TakeOver(t.Context())
			must(t, err)
		}
		if in := found(); in != nil {
			t.Errorf("killed %v: it is still in %v", killed, in)
		}
		must(t, s.Close())
	}
}

// Processes that take the same request in at once make one row of it.
func TestRequestIsTakenInOnce(t *testing.T) {
	t.Parallel()
	dir := state(t)
	var taking sync.WaitGroup
	var mu sync.Mutex
	taken := 0
	for n := range 8 {
		s := openLedger(t, dir)
		taking.Go(func() {
			err := s.Insert(t.Context(), row(n, func(j *Job) { j.RequestID = "the-same" }), DayCaps{})
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				taken++
			case !errors.Is(err, ErrKnownJob):
				t.Error(err)
			}
		})
	}
	taking.Wait()
	other := openLedger(t, dir)
	must(t, other.Insert(t.Context(), row(9, func(j *Job) { j.RequestID, j.Caller = "the-same", "another" }), DayCaps{}))
	if taken != 1 {
		t.Errorf("%d rows have the request", taken)
	}
}

// Many calls with the same input failed before: the one that goes on is found
// behind them.
func TestUndeliveredBehindFailures(t *testing.T) {
	t.Parallel()
	s := openLedger(t, state(t))
	same := func(j *Job) { j.InputHash, j.Status, j.WaitedBy = "same", Failed, "" }
	for n := range 150 {
		must(t, s.Insert(t.Context(), row(n, same), DayCaps{}))
	}
	must(t, s.Insert(t.Context(), row(150, same, running), DayCaps{}))
	job, err := s.Undelivered(t.Context(), me, "same", noon.Add(-time.Minute), func(j Job) bool { return j.Status != Failed })
	if err != nil || job.ID != id(150) {
		t.Errorf("%s, %v", job.ID, err)
	}
}

// A row of a clock that was ahead does not keep the older ones after it.
func TestPruneBehindAYoungRow(t *testing.T) {
	t.Parallel()
	s := openLedger(t, state(t))
	must(t, s.Insert(t.Context(), row(0, func(j *Job) { j.Created = noon.Add(time.Hour) }), DayCaps{}))
	for n := 1; n < 2*pruneStep; n++ {
		must(t, s.Insert(t.Context(), row(n), DayCaps{}))
	}
	must(t, s.Prune(t.Context(), noon.Add(time.Minute)))
	rows, err := s.List(t.Context(), Query{Everyone: true, Limit: 10})
	if err != nil || len(rows) != 1 || rows[0].ID != id(0) {
		t.Errorf("%d rows are left, %v", len(rows), err)
	}
}
