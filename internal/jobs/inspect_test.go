package jobs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestInspect(t *testing.T) {
	t.Parallel()
	dir := state(t)
	s := openLedger(t, dir)
	now := time.Now().UTC()
	for n, change := range []func(*Job){
		func(j *Job) { j.Status, j.CountedUSD = Completed, 0.25 },
		func(j *Job) { j.Status, j.Caller, j.CountedUSD = Unknown, "alice", 0.5 },
		func(j *Job) { j.Status, j.Caller, j.CountedUSD = InProgress, "alice", 1 },
		func(j *Job) { j.Status, j.Created = InQueue, now.AddDate(0, 0, -2) },
		func(j *Job) {
			j.Status, j.Failure = Failed, &Error{Code: BalanceExhausted, Message: "locked"}
		},
	} {
		insert(t, s, row(n, func(j *Job) {
			j.Caller, j.Created, j.CountedUSD = "", now, 0
			change(j)
		}))
	}
	want := Inspection{
		Exists: true, Schema: len(migrations), Known: len(migrations), Rows: 5, Unfinished: 2, Unknown: 1, Exhausted: now,
		Today: []UsageRow{
			{Day: now.Format(time.DateOnly), Jobs: 2, CountedUSD: 0.25},
			{Day: now.Format(time.DateOnly), Caller: "alice", Jobs: 2, CountedUSD: 1.5},
		},
	}
	got, err := Inspect(t.Context(), dir) // while a server has it open
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("Inspect: %v (-want +got):\n%s", err, diff)
	}
	insert(t, s, row(9, func(j *Job) { j.Created, j.Status = now, Completed }))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	before := contents(t, dir)
	got, err = Inspect(t.Context(), dir)
	if err != nil || !got.Exhausted.IsZero() || got.Rows != 6 {
		t.Errorf("after a job that was completed: %+v, %v", got, err)
	}
	if diff := cmp.Diff(before, contents(t, dir)); diff != "" {
		t.Error("the ledger was changed")
	}
}

// TestInspectMakesNothing: what is not there stays so.
func TestInspectMakesNothing(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	must(t, os.WriteFile(filepath.Join(base, "file"), nil, 0o600), os.Mkdir(filepath.Join(base, "empty"), 0o700))
	for _, tc := range []struct {
		dir string
		ok  bool
	}{
		{filepath.Join(base, "empty"), true},
		{filepath.Join(base, "none"), true},
		{filepath.Join(base, "none", "below"), true},
		{filepath.Join(base, "file"), false},
		{filepath.Join(base, "file", "below"), false},
		{filepath.Join(base, "file", "far", "below"), false},
	} {
		got, err := Inspect(t.Context(), tc.dir)
		if got.Exists || (err == nil) != tc.ok {
			t.Errorf("%s: %+v, %v", tc.dir, got, err)
		}
	}
	found := []string{}
	must(t, filepath.WalkDir(base, func(path string, _ fs.DirEntry, err error) error {
		found = append(found, strings.TrimPrefix(path, base))
		return err
	}))
	if diff := cmp.Diff([]string{"", string(filepath.Separator) + "empty", string(filepath.Separator) + "file"}, found); diff != "" {
		t.Errorf("made (-want +got):\n%s", diff)
	}
}

func TestInspectNewerLedger(t *testing.T) {
	t.Parallel()
	dir := state(t)
	db := rawLedger(t, dir)
	script(t, db, fmt.Sprintf(`PRAGMA journal_mode = wal; CREATE TABLE later (x); PRAGMA user_version = %d`, len(migrations)+1))
	must(t, db.Close())
	before := contents(t, dir)
	got, err := Inspect(t.Context(), dir)
	if !errors.Is(err, ErrNewerLedger) || got.Schema != len(migrations)+1 {
		t.Errorf("Inspect: %+v, %v", got, err)
	}
	if diff := cmp.Diff(before, contents(t, dir)); diff != "" {
		t.Error("it was touched")
	}
}

// TestInspectOlderLedger: a file from before the last step is read and stays as
// it is.
func TestInspectOlderLedger(t *testing.T) {
	t.Parallel()
	dir := state(t)
	db := rawLedger(t, dir)
	script(t, db, `PRAGMA journal_mode = wal;`+migrations[0]+`PRAGMA user_version = 1`)
	must(t, db.Close())
	before := contents(t, dir)
	got, err := Inspect(t.Context(), dir)
	if err != nil || got.Schema != 1 || got.Rows != 0 || len(got.Damage) > 0 {
		t.Errorf("Inspect: %+v, %v", got, err)
	}
	if diff := cmp.Diff(before, contents(t, dir)); diff != "" {
		t.Error("it was touched")
	}
}

// TestInspectDamage: each ledger that a server would set aside is told to be
// damaged, and stays.
func TestInspectDamage(t *testing.T) {
	t.Parallel()
	damages := spoilt(t)
	// In a row's own page, which no server reads when it opens the ledger.
	late := filled(t)
	copy(late[len(late)-4096:], bytes.Repeat([]byte{0xff}, 4096))
	damages["the last page"] = late
	// Read without an error, and found by the check alone: the file's header counts
	// free pages that there are not.
	miscounted := filled(t)
	miscounted[39] = 7
	damages["a wrong count"] = miscounted
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := state(t)
			must(t, os.WriteFile(filepath.Join(dir, LedgerFile), damage, 0o600))
			got, err := Inspect(t.Context(), dir)
			if err != nil || !got.Exists || len(got.Damage) == 0 || len(got.Damage) > maxDamage {
				t.Errorf("Inspect: %+v, %v", got, err)
			}
			after := contents(t, dir)
			if len(after) != 1 || !bytes.Equal(after[LedgerFile], damage) {
				t.Errorf("%d files; the ledger was changed, or others made", len(after))
			}
		})
	}
}

func TestInspectEnds(t *testing.T) {
	t.Parallel()
	dir := state(t)
	must(t, os.WriteFile(filepath.Join(dir, LedgerFile), filled(t), 0o600))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := Inspect(ctx, dir); !errors.Is(err, context.Canceled) && !got.Unchecked {
		t.Errorf("Inspect: %+v, %v", got, err)
	}
}
