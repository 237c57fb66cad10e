package jobs

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// takeOver runs one round and returns the IDs taken.
func takeOver(t *testing.T, s *SQLite) (ids string, lost bool) {
	t.Helper()
	taken, lost, err := s.TakeOver(t.Context())
	if err != nil {
		t.Fatalf("TakeOver: %v", err)
	}
	var all []string
	for _, job := range taken {
		all = append(all, job.ID)
	}
	return strings.Join(all, " "), lost
}

// find reads a row.
func find(t *testing.T, m Ledger, n int) Job {
	t.Helper()
	job, err := m.Find(t.Context(), id(n))
	if err != nil {
		t.Fatalf("Find %d: %v", n, err)
	}
	return job
}

func queued(j *Job)     { j.Status = InQueue }
func submitting(j *Job) { j.Status, j.RequestID = Submitting, "" }

// cutOffRow checks a row whose submission was cut off.
func cutOffRow(t *testing.T, job Job) {
	t.Helper()
	if job.Status != Unknown || job.Failure == nil || job.Failure.Code != SubmitUnknown || job.Ended.IsZero() || job.CountedUSD != 0.5 {
		t.Errorf("the submission that was cut off is %s, counted $%v, ended %v: %v", job.Status, job.CountedUSD, job.Ended, job.Failure)
	}
	if job.Failure != nil && !strings.Contains(job.Failure.Action, "reconcile") {
		t.Errorf("it does not say what to do: %s", job.Failure.Action)
	}
}

// TestTakeOver lets one process insert rows, something happen to what is known
// of it, and another take over.
func TestTakeOver(t *testing.T) {
	t.Parallel()
	const gone = 1 << 30 // a pid that no system gives
	type ago time.Duration
	for _, tc := range []struct {
		name  string
		scene string // SQL on the row of the first process
		args  []any
		taken bool
	}{
		{name: "it lives"},
		{name: "it has closed the ledger", scene: `DELETE FROM processes WHERE id = ?`, taken: true},
		{name: "it renewed its lease 15 s ago", scene: `UPDATE processes SET renewed = ? WHERE id = ?`, args: []any{ago(15 * time.Second)}},
		{name: "it renewed its lease 21 s ago", scene: `UPDATE processes SET renewed = ? WHERE id = ?`, args: []any{ago(21 * time.Second)}, taken: true},
		{name: "its pid is gone", scene: `UPDATE processes SET pid = ? WHERE id = ?`, args: []any{gone}, taken: true},
		{name: "its pid is gone, on another machine", scene: `UPDATE processes SET pid = ?, machine = 'other' WHERE id = ?`, args: []any{gone}},
		{name: "on another machine, 21 s ago", scene: `UPDATE processes SET renewed = ?, machine = 'other' WHERE id = ?`, args: []any{ago(21 * time.Second)}, taken: true},
		{name: "its pid is a later process's", scene: `UPDATE processes SET started = 'earlier' WHERE id = ?`, taken: true},
		{name: "its clock is ahead", scene: `UPDATE processes SET renewed = ? WHERE id = ?`, args: []any{ago(-time.Hour)}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			a, db := openLedger(t, dir), rawLedger(t, dir)
			insert(t, a, row(1, running), row(2, queued), row(3, submitting, func(j *Job) { j.CountedUSD = 0.5 }), row(4, running))
			change(t, a, 4, func(j *Job) { j.Status, j.Output = Completed, "answer" })
			before := find(t, a, 4)
			if tc.scene != "" {
				var args []any
				for _, arg := range tc.args {
					if d, ok := arg.(ago); ok {
						arg = time.Now().Add(-time.Duration(d)).UnixMilli()
					}
					args = append(args, arg)
				}
				run(t, db, 1, tc.scene, append(args, before.WaitedBy)...)
			}
			b := openLedger(t, dir)
			want := ""
			if tc.taken {
				want = id(1) + " " + id(2)
			}
			if got, lost := takeOver(t, b); got != want || lost {
				t.Errorf("taken: %q, lost %v; want %q", got, lost, want)
			}
			if got, _ := takeOver(t, b); got != "" {
				t.Errorf("taken again: %q", got)
			}
			if tc.taken {
				cutOffRow(t, find(t, b, 3))
			} else if job := find(t, b, 3); job.Status != Submitting {
				t.Errorf("a living process's submission is %s", job.Status)
			}
			if after := find(t, b, 4); after.Output != "answer" || after.Status != Completed || !after.Ended.Equal(before.Ended) {
				t.Errorf("the finished row: %+v", after)
			}
			for n, want := range []bool{tc.taken, tc.taken, true, true} {
				if n == 2 && !tc.taken {
					want = false
				}
				if _, mine, err := b.Claim(t.Context(), id(n+1)); mine != want || err != nil {
					t.Errorf("Claim %d: mine %v, %v; want %v", n+1, mine, err, want)
				}
			}
		})
	}
}

func TestTakeOverIsTakenOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a := openLedger(t, dir)
	const rows, processes = 50, 4
	for n := range rows {
		insert(t, a, row(n, running))
	}
	others := make([]*SQLite, processes)
	for i := range others {
		others[i] = openLedger(t, dir)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	type result struct {
		jobs []Job
		err  error
	}
	results := make(chan result)
	for _, s := range others {
		go func() {
			jobs, _, err := s.TakeOver(context.Background())
			results <- result{jobs, err}
		}()
	}
	seen := map[string]int{}
	for range others {
		r := <-results
		if r.err != nil {
			t.Errorf("TakeOver: %v", r.err)
		}
		for _, job := range r.jobs {
			seen[job.ID]++
		}
	}
	for n := range rows {
		if seen[id(n)] != 1 {
			t.Errorf("row %d was taken %d times", n, seen[id(n)])
		}
	}
}

func TestTakeOverTellsThatTheLeaseWasLost(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, b, db := openLedger(t, dir), openLedger(t, dir), rawLedger(t, dir)
	insert(t, a, row(1, running), row(2, running))
	owner := find(t, a, 1).WaitedBy
	if _, lost := takeOver(t, a); lost {
		t.Error("lost, though nothing has happened")
	}
	run(t, db, 1, `DELETE FROM processes WHERE id = ?`, owner)
	if got, _ := takeOver(t, b); got != id(1)+" "+id(2) {
		t.Fatalf("b took %q", got)
	}
	if got, lost := takeOver(t, a); !lost || got != "" {
		t.Errorf("lost %v; a took %q back", lost, got)
	}
	if _, mine, err := a.Claim(t.Context(), id(1)); mine || err != nil {
		t.Errorf("a's claim on b's row: %v, %v", mine, err)
	}
	if _, lost := takeOver(t, a); lost {
		t.Error("told twice")
	}
	if n := number(t, db, `SELECT count(*) FROM processes`); n != 2 {
		t.Errorf("%d processes are registered", n)
	}
}

func TestTakeOverRenewsTheLease(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, db := openLedger(t, dir), rawLedger(t, dir)
	insert(t, a, row(1, running))
	run(t, db, 1, `UPDATE processes SET renewed = 0`)
	if _, lost := takeOver(t, a); lost {
		t.Error("a lease that nobody took is lost")
	}
	if n := number(t, db, `SELECT renewed FROM processes`); time.Since(time.UnixMilli(n)) > time.Minute {
		t.Error("the lease was not renewed")
	}
}

func TestClaimTakesADeadProcessesRow(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, b := openLedger(t, dir), openLedger(t, dir)
	insert(t, a, row(1, running), row(2, submitting, func(j *Job) { j.CountedUSD = 0.5 }))
	if _, mine, err := b.Claim(t.Context(), id(1)); mine || err != nil {
		t.Errorf("a living process's row: %v, %v", mine, err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if job, mine, err := b.Claim(t.Context(), id(1)); !mine || err != nil || job.Status != InProgress {
		t.Errorf("%s, %v, %v", job.Status, mine, err)
	}
	job, _, err := b.Claim(t.Context(), id(2))
	if err != nil {
		t.Fatal(err)
	}
	cutOffRow(t, job)
}

// A submission that was answered after its process was taken for dead is a job
// again, and the process's own.
func TestSubmissionAnsweredAfterTheTakeOver(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, b, db := openLedger(t, dir), openLedger(t, dir), rawLedger(t, dir)
	insert(t, a, row(1, submitting))
	run(t, db, 1, `DELETE FROM processes WHERE id = ?`, find(t, a, 1).WaitedBy)
	if got, _ := takeOver(t, b); got != "" || find(t, b, 1).Status != Unknown {
		t.Fatalf("b took %q; the row is %s", got, find(t, b, 1).Status)
	}
	takeOver(t, a) // registers again
	change(t, a, 1, func(j *Job) { j.Status, j.RequestID, j.Failure = InQueue, "req-1", nil })
	if _, mine, err := b.Claim(t.Context(), id(1)); mine || err != nil {
		t.Errorf("b's claim: %v, %v", mine, err)
	}
	if _, mine, err := a.Claim(t.Context(), id(1)); !mine || err != nil {
		t.Errorf("a's claim: %v, %v", mine, err)
	}
}

func TestUndeliveredLeavesWhatAnotherProcessWaitsFor(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, b, c := openLedger(t, dir), openLedger(t, dir), openLedger(t, dir)
	insert(t, a, row(1, running))
	ask := func(s *SQLite) error {
		_, err := s.Undelivered(t.Context(), me, "hash-1", noon, yes)
		return err
	}
	if ask(b) == nil {
		t.Error("a waits for it, and b attached")
	}
	change(t, a, 1, func(j *Job) { j.WaitedBy = "" })
	if err := ask(b); err != nil {
		t.Errorf("nobody waits for it, and b can't attach: %v", err)
	}
	if ask(c) == nil || ask(a) == nil {
		t.Error("b waits for it, and another attached")
	}
	if err := ask(b); err != nil {
		t.Errorf("b itself: %v", err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if err := ask(c); err != nil {
		t.Errorf("b is gone, and c can't attach: %v", err)
	}
}

// One of many processes that ask at once gets the row.
func TestUndeliveredIsGivenToOne(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a := openLedger(t, dir)
	const processes, rounds = 4, 20
	others := make([]*SQLite, processes)
	for i := range others {
		others[i] = openLedger(t, dir)
	}
	for n := range rounds {
		insert(t, a, row(n))
		change(t, a, n, func(j *Job) { j.WaitedBy = "" })
		errs := make(chan error)
		for _, s := range others {
			go func() {
				_, err := s.Undelivered(context.Background(), me, fmt.Sprintf("hash-%d", n), noon, yes)
				errs <- err
			}()
		}
		got := 0
		for range others {
			if <-errs == nil {
				got++
			}
		}
		if got != 1 {
			t.Fatalf("%d processes got the row", got)
		}
	}
}

// childFolder names the folder to the copy of this program that is to be killed.
const childFolder = "JOBS_TEST_LEDGER_FOLDER"

// TestChild is the program that TestKilledProcess kills.
func TestChild(t *testing.T) {
	dir := os.Getenv(childFolder)
	if dir == "" {
		t.Skip("run by TestKilledProcess")
	}
	s, err := OpenSQLite(dir, false, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	insert(t, s, row(1, running), row(2, submitting, func(j *Job) { j.CountedUSD = 0.5 }), row(3, running))
	change(t, s, 3, func(j *Job) { j.Status, j.Output = Completed, "answer" })
	fmt.Println("written")
	select {}
}

// TestKilledProcess ends a real process between two writes. What it wrote is
// there, and its jobs are free as soon as it is dead, waited for or not.
func TestKilledProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := openLedger(t, dir)
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestChild$", "-test.timeout=60s")
	child.Env = append(os.Environ(), childFolder+"="+dir)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "written\n" {
		t.Fatalf("the child said %q, %v", line, err)
	}
	if got, _ := takeOver(t, b); got != "" {
		t.Errorf("taken from the living process: %q", got)
	}
	began := time.Now()
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait()
	if got, _ := takeOver(t, b); got != id(1) {
		t.Errorf("taken after its death: %q", got)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	cutOffRow(t, find(t, b, 2))
	if job := find(t, b, 3); job.Output != "answer" {
		t.Errorf("the answer is lost: %+v", job)
	}
	if n := number(t, rawLedger(t, dir), `SELECT count(*) FROM processes`); n != 1 {
		t.Errorf("%d processes are registered", n)
	}
}
