package jobs

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/rs/zerolog"
)

// contents are the files of a folder.
func contents(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, e := range entries {
		if e.Name() == LedgerFile+".lock" {
			continue // stays empty
		}
		if files[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// state makes a folder that may hold a ledger.
func state(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "state")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

// filled makes a ledger of some rows, more than fit one page of the file, and
// returns the file.
func filled(t *testing.T) []byte {
	t.Helper()
	dir := state(t)
	s := openLedger(t, dir)
	for n := range 100 {
		insert(t, s, row(n, func(j *Job) { j.Output = strings.Repeat("x", 500) }))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return contents(t, dir)[LedgerFile]
}

func TestNewerLedgerIsLeftAlone(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		scene func(t *testing.T, db *sql.DB)
	}{
		{"in WAL mode", func(t *testing.T, db *sql.DB) { script(t, db, `PRAGMA journal_mode = wal`) }},
		{"with tables of ours", func(t *testing.T, db *sql.DB) {
			script(t, db, `PRAGMA journal_mode = wal;`+strings.Join(migrations, ""))
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			dir := state(t)
			db := rawLedger(t, dir)
			tc.scene(t, db)
			script(t, db, fmt.Sprintf(`CREATE TABLE later (x); INSERT INTO later VALUES ('kept'); PRAGMA user_version = %d`, len(migrations)+1))
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			before := contents(t, dir)
			var log logBuffer
			s, err := OpenSQLite(dir, false, zerolog.New(&log))
			if err == nil {
				_ = s.Close()
			}
			if !errors.Is(err, ErrNewerLedger) || !strings.Contains(fmt.Sprint(err), "update nemotron-mcp") {
				t.Errorf("OpenSQLite: %v", err)
			}
			after := contents(t, dir)
			if !bytes.Equal(before[LedgerFile], after[LedgerFile]) || len(after) != len(before) {
				t.Errorf("the file was touched, or others made: %d files, before %d", len(after), len(before))
			}
			if log.String() != "" {
				t.Errorf("logged %s", log.String())
			}
		})
	}
}

func TestManyProcessesMakeTheLedgerAtOnce(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "state")
	const processes = 20
	var opening sync.WaitGroup
	start := make(chan struct{})
	for n := range processes {
		opening.Go(func() {
			<-start
			s, err := OpenSQLite(dir, false, zerolog.Nop())
			if err != nil {
				t.Errorf("OpenSQLite: %v", err)
				return
			}
			t.Cleanup(func() { _ = s.Close() })
			if err := s.Insert(t.Context(), row(n), DayCaps{}); err != nil {
				t.Errorf("Insert: %v", err)
			}
		})
	}
	close(start)
	opening.Wait()
	db := rawLedger(t, dir)
	for query, want := range map[string]int64{
		`PRAGMA user_version`: int64(len(migrations)), `SELECT count(*) FROM jobs`: processes, `SELECT count(*) FROM processes`: processes,
	} {
		if got := number(t, db, query); got != want {
			t.Errorf("%s: %d, want %d", query, got, want)
		}
	}
}

// spoilt are ledgers that can't be used.
func spoilt(t *testing.T) map[string][]byte {
	good := filled(t)
	over := func(at int, with []byte) []byte {
		b := bytes.Clone(good)
		copy(b[at:], with)
		return b
	}
	noise := bytes.Repeat([]byte("\xde\xad\xbe\xef"), 1024)
	return map[string][]byte{
		"garbage":                     noise,
		"a few bytes":                 []byte("not a ledger"),
		"zeros":                       make([]byte, 1<<16),
		"a text":                      bytes.Repeat([]byte("plain text\n"), 1000),
		"no header":                   over(0, noise[:16]),
		"cut in the middle":           good[:len(good)/2],
		"cut after the first page":    good[:4096],
		"a header and nothing":        good[:100],
		"a corrupt schema":            over(100, noise[:3000]),
		"a schema that can't be read": bytes.Replace(good, []byte("CREATE TABLE jobs"), []byte("CREATE XXXXX jobs"), 1),
	}
}

func TestDamagedLedgerIsSetAside(t *testing.T) {
	t.Parallel()
	for name, damage := range spoilt(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := state(t)
			if err := os.WriteFile(filepath.Join(dir, LedgerFile), damage, 0o600); err != nil {
				t.Fatal(err)
			}
			var log logBuffer
			s, err := OpenSQLite(dir, false, zerolog.New(&log))
			if err != nil {
				t.Fatalf("OpenSQLite: %v", err)
			}
			defer s.Close()
			insert(t, s, row(1))
			if !has(t, s, 1) {
				t.Error("the new ledger does not work")
			}
			kept := 0
			for file, b := range contents(t, dir) {
				if strings.HasPrefix(file, LedgerFile+".damaged-") && bytes.Equal(b, damage) {
					kept++
				}
			}
			if kept != 1 {
				t.Errorf("%d copies of the damaged ledger are kept", kept)
			}
			if n := strings.Count(log.String(), `"level":"error"`); n != 1 || !strings.Contains(log.String(), ".damaged-") {
				t.Errorf("%d errors are logged: %s", n, log.String())
			}
			if len(openLedgerRows(t, dir)) != 1 {
				t.Error("another process does not see the new ledger")
			}
		})
	}
}

// script executes statements.
func script(t *testing.T, db *sql.DB, statements string) {
	t.Helper()
	if _, err := db.Exec(statements); err != nil {
		t.Fatalf("%s: %v", statements, err)
	}
}

func openLedgerRows(t *testing.T, dir string) []Job {
	t.Helper()
	rows, err := openLedger(t, dir).List(t.Context(), Query{Everyone: true, Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}
