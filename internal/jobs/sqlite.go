package jobs

import (
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// LedgerFile is the name of the ledger in its folder.
const LedgerFile = "ledger.db"

const (
	// busyTime is how long a statement waits for another process's. Each of ours
	// takes well under a millisecond; only a stopped process holds one for long.
	busyTime = 10 * time.Second
	// checkpointPages is how much is written before it is moved to the main file,
	// for which SQLite waits for the disk: 16 MiB, some hundred calls.
	checkpointPages = 4096
	// keptRows is how many rows this process remembers as it wrote them, so that a
	// change need not read them again.
	keptRows = 4096
)

// ErrNewerLedger is returned for a file that a later version of this program
// has written. It is left as it is.
var ErrNewerLedger = errors.New("the ledger was written by a newer version of nemotron-mcp")

// SQLite is a ledger in a file that several processes share. Make it with
// [OpenSQLite].
//
// What is written survives the end of the process, however it comes. A power
// failure may take the last moments with it: waiting for the disk at each write
// would take longer than all the rest of a call.
type SQLite struct {
	me   process
	log  zerolog.Logger
	path string

	statements statements
	queue      chan *work
	quit       chan struct{} // closed by Close
	served     chan struct{} // closed at the end of serve
	closing    sync.Once

	db *sql.DB

	// dropped says that answers were taken out whose text the file beside the
	// ledger still holds.
	dropped atomic.Bool

	mu    sync.Mutex
	known map[string]*storedRow
}

// storedRow is a row as the file holds it.
type storedRow struct {
	job     Job
	facts   string
	owner   string
	version int64
}

// OpenSQLite opens the ledger in that folder, and makes both where they are not
// there: the folder with mode 0700 and the file with 0600. With secureDelete,
// what is deleted is overwritten in the file.
//
// Errors match [ErrNewerLedger], [ErrStateFolder] for a folder that must not be
// used, and fs.ErrPermission and their like for one that can't. A file that is
// damaged is set aside, which is told in the log, and a new one begun.
func OpenSQLite(dir string, secureDelete bool, log zerolog.Logger) (*SQLite, error) {
	if err := prepareFolder(dir); err != nil {
		return nil, err
	}
	s := &SQLite{
		me: thisProcess(), log: log, path: filepath.Join(dir, LedgerFile), known: map[string]*storedRow{},
		queue: make(chan *work),
	}
	s.dropped.Store(secureDelete) // by a process that was killed, perhaps
	if err := prepareFile(s.path); err != nil {
		return nil, err
	}
	// One process at a time: a damaged file must be set aside once, and with all
	// that belongs to it.
	unlock, err := lockOpening(s.path + ".lock")
	if err != nil {
		return nil, err
	}
	defer unlock()
	for try := 0; ; try++ {
		err := s.openFile(secureDelete)
		if err == nil {
			return s, nil
		}
		if !damaged(err) || try == 2 {
			return nil, fmt.Errorf("ledger %s: %w", s.path, err)
		}
		if err := s.setAside(err); err != nil {
			return nil, err
		}
	}
}

// openFile connects and writes this process down.
func (s *SQLite) openFile(secureDelete bool) (err error) {
	if err := prepareFile(s.path); err != nil {
		return err
	}
	if s.db, err = connect(s.path, secureDelete); err != nil {
		return err
	}
	s.statements = statements{byText: map[string]*sql.Stmt{}}
	s.quit, s.served = make(chan struct{}), make(chan struct{})
	go s.serve()
	if err := s.sound(); err != nil {
		return errors.Join(err, s.shut())
	}
	return nil
}

// sound writes this process down and reads what each take-over reads, which
// finds damage beyond the first page.
func (s *SQLite) sound() error {
	if err := s.register(); err != nil {
		return err
	}
	if _, err := s.rows(`SELECT ` + rowColumns + ` FROM jobs INDEXED BY jobs_unfinished WHERE finished = 0`); err != nil {
		return err
	}
	if _, err := s.rows(`SELECT ` + rowColumns + ` FROM jobs ORDER BY id DESC LIMIT 1`); err != nil {
		return err
	}
	return errors.Join(s.soundUploads(), s.tidy())
}

// lockOpening takes a lock that ends with the process. SQLite's own is on every
// system; the file stays empty.
func lockOpening(path string) (unlock func(), err error) {
	if err := prepareFile(path); err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite", fmt.Sprintf("%s?_txlock=exclusive&_pragma=busy_timeout(%d)", fileURI(path), busyTime.Milliseconds()))
	if err != nil {
		return nil, err
	}
	tx, err := db.Begin()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("the ledger is being opened by another process: %w", err), db.Close())
	}
	return func() {
		_ = tx.Rollback()
		_ = db.Close()
	}, nil
}

// Close implements Ledger. What this process watched is free for others.
func (s *SQLite) Close() (err error) {
	s.closing.Do(func() {
		_, err = s.exec(`DELETE FROM processes WHERE id = ?`, s.me.id)
		err = errors.Join(err, s.shut())
	})
	return err
}

func (s *SQLite) shut() error {
	close(s.quit)
	<-s.served
	return s.db.Close()
}

// connect opens a file and brings it to the present schema.
func connect(path string, secureDelete bool) (*sql.DB, error) {
	query := url.Values{"_txlock": {"immediate"}, "_pragma": {
		fmt.Sprintf("busy_timeout(%d)", busyTime.Milliseconds()), "synchronous(normal)", "temp_store(memory)",
		fmt.Sprintf("wal_autocheckpoint(%d)", checkpointPages),
	}}
	if secureDelete {
		query.Add("_pragma", "secure_delete(on)")
	}
	db, err := sql.Open("sqlite", fileURI(path)+"?"+query.Encode())
	if err != nil {
		return nil, err
	}
	// One connection: SQLite writes one at a time in any case, and readers are
	// through in microseconds.
	db.SetMaxOpenConns(1)
	if err := migrate(db); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// fileURI is how SQLite is told of a path that may hold any character.
func fileURI(path string) string {
	path = filepath.ToSlash(path)
	if runtime.GOOS == "windows" {
		path = "/" + path
	}
	return "file:" + (&url.URL{Path: path}).EscapedPath()
}

// migrations are the steps from an empty file to the present schema. A step
// that was released is never changed.
var migrations = []string{
	`CREATE TABLE processes (
		id      TEXT PRIMARY KEY,
		machine TEXT NOT NULL,
		pid     INTEGER NOT NULL,
		started TEXT NOT NULL,
		renewed INTEGER NOT NULL
	) WITHOUT ROWID;
	CREATE TABLE jobs (
		id            TEXT PRIMARY KEY,
		version       INTEGER NOT NULL,
		owner         TEXT NOT NULL,
		waited_by     TEXT NOT NULL,
		request_id    TEXT NOT NULL,
		caller        TEXT NOT NULL,
		host          TEXT NOT NULL,
		endpoint      TEXT NOT NULL,
		input_hash    TEXT NOT NULL,
		status        TEXT NOT NULL,
		finished      INTEGER NOT NULL,
		delivered     INTEGER NOT NULL,
		created       INTEGER NOT NULL,
		day           INTEGER NOT NULL,
		input_tokens  INTEGER NOT NULL,
		output_tokens INTEGER NOT NULL,
		cost          INTEGER NOT NULL,
		counted       INTEGER NOT NULL,
		facts         TEXT NOT NULL,
		output        TEXT NOT NULL
	);
	CREATE INDEX jobs_request ON jobs (request_id) WHERE request_id <> '';
	CREATE INDEX jobs_input ON jobs (caller, input_hash) WHERE delivered = 0 AND input_hash <> '';
	CREATE INDEX jobs_unfinished ON jobs (owner) WHERE finished = 0;
	CREATE INDEX jobs_day ON jobs (day, caller, counted);`,
	createUploads,
}

// migrate runs the steps that a file lacks, in one transaction.
func migrate(db *sql.DB) error {
	var version int
	if err := db.QueryRow(`PRAGMA user_version`).Scan(&version); err != nil {
		return err
	}
	if version > len(migrations) {
		return fmt.Errorf("%w (schema %d, this one knows %d): update nemotron-mcp, or use another state folder",
			ErrNewerLedger, version, len(migrations))
	}
	// Not before: a newer file is left as it is.
	if _, err := db.Exec(`PRAGMA journal_mode = wal`); err != nil {
		return err
	}
	if version == len(migrations) {
		return nil
	}
	tx, err := db.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback()
	for _, step := range migrations[version:] {
		if _, err := tx.Exec(step); err != nil {
			return err
		}
	}
	if _, err := tx.Exec(fmt.Sprintf(`PRAGMA user_version = %d`, len(migrations))); err != nil {
		return err
	}
	return tx.Commit()
}

func hasCode(err error, codes ...int) bool {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return false
	}
	for _, code := range codes {
		if e.Code()&0xff == code {
			return true
		}
	}
	return false
}

func damaged(err error) bool { return hasCode(err, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) }

// setAside renames a damaged file, and what belongs to it. The lock is held.
func (s *SQLite) setAside(why error) error {
	aside := s.path + ".damaged-" + time.Now().UTC().Format("20060102T150405") + "-" + s.me.id[:8]
	for _, suffix := range []string{"-wal", "-shm", ""} {
		if err := os.Rename(s.path+suffix, aside+suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("the ledger is damaged (%w) and can't be set aside: %w", why, err)
		}
	}
	s.log.Error().Err(why).Str("kept_as", aside).
		Msg("the ledger was damaged; it is kept under another name, and a new one begun. Jobs of before are in it and in fal's dashboard only, and what they cost today is not counted any more")
	return nil
}

// questions writes n placeholders.
func questions(n int) string { return strings.TrimSuffix(strings.Repeat("?, ", n), ", ") }

func newProcessID() string { return uuid.NewString() }
