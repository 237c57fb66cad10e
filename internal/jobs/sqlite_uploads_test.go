package jobs

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"
)

func TestUploadsOutliveTheProcess(t *testing.T) {
	t.Parallel()
	dir := state(t)
	first := openLedger(t, dir)
	keep(t, first, upload(1))
	must(t, first.Close())
	if got := found(t, openLedger(t, dir), time.Now()); got != "url-1" {
		t.Errorf("after a restart: %q", got)
	}
}

func TestProcessesShareUploads(t *testing.T) {
	t.Parallel()
	dir := state(t)
	a, b := openLedger(t, dir), openLedger(t, dir)
	for _, step := range []struct {
		name string
		by   UploadLedger
		u    Upload
		want string
	}{
		{"a's", a, upload(1, at("a1")), "a1"},
		{"b's beside it", b, upload(2, at("b2"), lives(2*time.Hour)), "b2 a1"},
		{"b's in a's place", b, upload(1, at("b1"), lives(3*time.Hour)), "b1 b2"},
		{"a's that expires earlier", a, upload(2, at("a2")), "b1 b2"},
	} {
		keep(t, step.by, step.u)
		for _, s := range []UploadLedger{a, b} {
			if got := found(t, s, time.Now()); got != step.want {
				t.Errorf("%s: %q, want %q", step.name, got, step.want)
			}
		}
	}
}

func TestProcessesKeepTheSameUploadAtOnce(t *testing.T) {
	t.Parallel()
	dir := state(t)
	now := time.Now()
	var work sync.WaitGroup
	const processes, each = 3, 30
	for p := range processes {
		s := openLedger(t, dir)
		for n := range each {
			work.Go(func() {
				u := upload(1, at(fmt.Sprint(p, "-", n)), func(u *Upload) { u.ExpiresAt = now.Add(time.Hour + time.Duration(n*processes+p)) })
				if err := s.KeepUpload(t.Context(), u); err != nil {
					t.Errorf("KeepUpload: %v", err)
				}
			})
		}
	}
	work.Wait()
	if got, want := found(t, openLedger(t, dir), now), fmt.Sprint(processes-1, "-", each-1); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// schemaOne makes a ledger as the first version left it, with those rows.
func schemaOne(t *testing.T, dir string, rows ...Job) {
	t.Helper()
	present := state(t)
	s := openLedger(t, present)
	insert(t, s, rows...)
	must(t, s.Close())
	db := rawLedger(t, dir)
	script(t, db, `PRAGMA journal_mode = wal;`+migrations[0]+`PRAGMA user_version = 1`)
	run(t, db, 0, `ATTACH ? AS present`, filepath.Join(present, LedgerFile))
	run(t, db, int64(len(rows)), `INSERT INTO main.jobs SELECT * FROM present.jobs`)
	must(t, db.Close())
}

func TestLedgerOfSchemaOneIsBroughtUp(t *testing.T) {
	t.Parallel()
	dir := state(t)
	rows := []Job{
		row(1, func(j *Job) { j.Output, j.CountedUSD = "answer", 0.25 }), row(2, func(j *Job) { j.Caller = "other" }),
		row(3, running), row(4, func(j *Job) { j.Delivered, j.CountedUSD = true, 0.5 }),
	}
	schemaOne(t, dir, rows...)
	old := rawLedger(t, dir) // of a process of before, which goes on
	if got := number(t, old, `SELECT count(*) FROM jobs`) + number(t, old, `SELECT count(*) FROM sqlite_schema WHERE name LIKE 'uploads%'`); got != 4 {
		t.Fatalf("the scene is not as wanted: %d", got)
	}
	var log logBuffer
	s, err := OpenSQLite(dir, false, zerolog.New(&log))
	if err != nil {
		t.Fatalf("OpenSQLite: %v", err)
	}
	t.Cleanup(func() { _ = s.Close() })
	for _, want := range rows {
		got, err := s.Find(t.Context(), want.ID)
		got.WaitedBy = ""
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%v, row (-want +got):\n%s", err, diff)
		}
	}
	if spent, err := s.Spent(t.Context(), me, noon); err != nil || spent != 0.75 {
		t.Errorf("$%v, %v", spent, err)
	}
	change(t, s, 3, func(j *Job) { j.Status = Completed })
	insert(t, s, row(5))
	keep(t, s, upload(1))
	run(t, old, 1, `UPDATE jobs SET version = version + 1 WHERE id = ?`, id(5))
	again := openLedger(t, dir)
	if got := found(t, again, time.Now()); got != "url-1" || !has(t, again, 5) || !has(t, again, 3) {
		t.Errorf("another process finds %q", got)
	}
	if number(t, old, `PRAGMA user_version`) != int64(len(migrations)) || len(contents(t, dir)) != 3 || log.String() != "" {
		t.Errorf("files %d, log %s", len(contents(t, dir)), log.String())
	}
}

func TestPruneDeletesExpiredUploads(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := openLedger(t, state(t))
		const many = 2*pruneStep + 1
		for n := range many {
			keep(t, s, upload(n))
		}
		keep(t, s, upload(many, lives(time.Hour+1)), upload(many+1, lives(2*time.Hour)))
		insert(t, s, row(1))
		for _, step := range []struct {
			name  string
			wait  time.Duration
			count int64
		}{
			{"while all live", time.Hour - 1, many + 2},
			{"when most have expired", 1, 2},
			{"when the next has", 1, 1},
			{"when all have", time.Hour, 0},
		} {
			time.Sleep(step.wait)
			// The age limit of jobs is no matter to uploads.
			must(t, s.Prune(t.Context(), noon.Add(-time.Hour)))
			got := int64(-1)
			must(t, s.read(func() error { return s.queryRow(`SELECT count(*) FROM uploads`).Scan(&got) }))
			if got != step.count {
				t.Errorf("%s: %d are there, want %d", step.name, got, step.count)
			}
		}
		if !has(t, s, 1) {
			t.Error("a job that is young enough went with them")
		}
		must(t, s.Prune(t.Context(), noon.Add(time.Hour)))
		if has(t, s, 1) {
			t.Error("an old job stayed")
		}
	})
}

func TestExpiredUploadsAreWipedOut(t *testing.T) {
	bubble(t, func(t *testing.T) {
		dir := state(t)
		s, err := OpenSQLite(dir, true, zerolog.Nop())
		must(t, err)
		defer s.Close()
		const mark = "a-URL-that-must-not-stay"
		in := func() (files []string) {
			for file, b := range contents(t, dir) {
				if bytes.Contains(b, []byte(mark)) {
					files = append(files, file)
				}
			}
			return files
		}
		for n := range 100 {
			keep(t, s, upload(n, at(fmt.Sprint(strings.Repeat(mark, 10), n))))
		}
		if in() == nil {
			t.Fatal("it was never in the files")
		}
		time.Sleep(time.Hour)
		must(t, s.Prune(t.Context(), noon))
		_, _, err = s.TakeOver(t.Context())
		must(t, err)
		if files := in(); files != nil {
			t.Errorf("it is still in %v", files)
		}
	})
}

func TestDamagedUploadsAreSetAside(t *testing.T) {
	t.Parallel()
	for _, tree := range []string{"uploads", "uploads_expiry"} {
		t.Run(tree, func(t *testing.T) {
			t.Parallel()
			dir := state(t)
			s := openLedger(t, dir)
			keep(t, s, upload(1))
			must(t, s.Close())
			db := rawLedger(t, dir)
			page, size := number(t, db, `SELECT rootpage FROM sqlite_schema WHERE name = ?`, tree), number(t, db, `PRAGMA page_size`)
			must(t, db.Close())
			file := filepath.Join(dir, LedgerFile)
			b, err := os.ReadFile(file)
			must(t, err)
			noise := bytes.Repeat([]byte("\xde\xad\xbe\xef"), int(size/4))
			copy(b[(page-1)*size:], noise)
			must(t, os.WriteFile(file, b, 0o600))
			s = openLedger(t, dir)
			keep(t, s, upload(2))
			if got := found(t, s, time.Now()); got != "url-2" {
				t.Errorf("found %q", got)
			}
			if aside, err := filepath.Glob(file + ".damaged-*"); err != nil || len(aside) != 1 || !bytes.Contains(contents(t, dir)[filepath.Base(aside[0])], noise) {
				t.Errorf("the damaged file is not kept: %v, %v", aside, err)
			}
		})
	}
}
