package jobs

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"
)

const (
	// inspectBusy is how long a look waits for another process's statement.
	inspectBusy = 2 * time.Second
	// maxDamage is how many faults of a file are told.
	maxDamage = 5
	// maxLooked is how many of the newest rows are looked at for a lock.
	maxLooked = 100
)

// Inspection is what a look at a ledger has found.
type Inspection struct {
	// Exists is false where there is no ledger yet; all else but Remote is then
	// zero.
	Exists bool
	// Remote says that the folder, or the one in which it would be made, is on a
	// network file system, as far as the system tells.
	Remote bool
	// OthersMayRead says that the folder or the file is open to other users, which
	// the next server mends.
	OthersMayRead bool
	// Schema is the file's, and Known the newest that this program knows.
	Schema, Known int
	// Damage is what the file's own check complains of, a line each, at most 5;
	// empty where it is sound. Unchecked says that the check took too long.
	Damage    []string
	Unchecked bool
	// Rows counts all jobs, Unfinished those under way, and Unknown those of which
	// nobody knows whether fal took them.
	Rows, Unfinished, Unknown int
	// Today is what the jobs of this UTC day count, a row each caller; only Day,
	// Caller, Jobs and CountedUSD are set.
	Today []UsageRow
	// Exhausted is when fal last refused a job because the account is locked, zero
	// where a later one was completed.
	Exhausted time.Time
}

// Inspect looks at the ledger in that folder and leaves it as it is: it makes
// no folder and no ledger, brings none to the present schema, sets none aside and
// takes no job over. It ends with ctx.
//
// Errors match [ErrStateFolder], [ErrNewerLedger] and the kinds of io/fs as those
// of [OpenSQLite] do; what was found until then comes with them. A damaged file is
// no error.
func Inspect(ctx context.Context, dir string) (Inspection, error) {
	found := Inspection{Known: len(migrations)}
	there, err := inspectFolder(dir, &found)
	if err != nil || !there {
		return found, err
	}
	path := filepath.Join(dir, LedgerFile)
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return found, nil
	}
	if err != nil {
		return found, err
	}
	found.Exists = true
	if err := judgeFile(path, info); err != nil {
		return found, err
	}
	found.OthersMayRead = found.OthersMayRead || othersMayRead(info)
	// SQLite falls back to reading only.
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return found, err
	}
	if err := f.Close(); err != nil {
		return found, err
	}
	if err := inspectFile(ctx, path, &found); err != nil {
		return found, fmt.Errorf("ledger %s: %w", path, err)
	}
	return found, nil
}

// inspectFolder judges the folder, or whether it could be made.
func inspectFolder(dir string, found *Inspection) (there bool, err error) {
	info, err := os.Lstat(dir)
	if err == nil {
		found.Remote, found.OthersMayRead = remote(dir), othersMayRead(info)
		if err := judgeFolder(dir, info); err != nil {
			return true, err
		}
		return true, writable(dir)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	for above := filepath.Dir(dir); ; above = filepath.Dir(above) {
		info, err := os.Stat(above)
		switch {
		case errors.Is(err, fs.ErrNotExist) && filepath.Dir(above) != above:
			continue
		case err != nil:
			return false, err
		case !info.IsDir():
			return false, &fs.PathError{Op: "mkdir", Path: dir, Err: fmt.Errorf("%s is not a folder", above)}
		}
		found.Remote = remote(above)
		return false, writable(above)
	}
}

// inspectFile reads what a file holds. SQLite keeps two files beside it while it
// is open, and takes them away at the end.
func inspectFile(ctx context.Context, path string, found *Inspection) (err error) {
	query := url.Values{"mode": {"rw"}, "_pragma": {fmt.Sprintf("busy_timeout(%d)", inspectBusy.Milliseconds()), "query_only(on)", "temp_store(memory)"}}
	db, err := sql.Open("sqlite", fileURI(path)+"?"+query.Encode())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	err = inspectRows(ctx, db, found)
	if damaged(err) {
		found.Damage = append(found.Damage, err.Error())
		return nil
	}
	return err
}

func inspectRows(ctx context.Context, db *sql.DB, found *Inspection) error {
	if err := db.QueryRowContext(ctx, `PRAGMA user_version`).Scan(&found.Schema); err != nil {
		return err
	}
	if found.Schema > found.Known {
		return fmt.Errorf("%w (schema %d, this one knows %d)", ErrNewerLedger, found.Schema, found.Known)
	}
	if found.Schema > 0 { // else no server has come to write anything
		if err := countRows(ctx, db, found); err != nil {
			return err
		}
	}
	// Last, because it reads the whole file.
	err := quickCheck(ctx, db, found)
	if ctx.Err() != nil {
		found.Unchecked = true
		return nil
	}
	return err
}

func countRows(ctx context.Context, db *sql.DB, found *Inspection) error {
	err := db.QueryRowContext(ctx, `SELECT count(*), count(*) FILTER (WHERE finished = 0), count(*) FILTER (WHERE status = ?) FROM jobs`, string(Unknown)).
		Scan(&found.Rows, &found.Unfinished, &found.Unknown)
	if err != nil {
		return err
	}
	today := day(time.Now())
	err = each(ctx, db, `SELECT caller, count(*), sum(counted) FROM jobs WHERE day = ? GROUP BY caller ORDER BY caller`, []any{today}, func(scan func(...any) error) (bool, error) {
		row := UsageRow{Day: dayName(today)}
		var counted int64
		if err := scan(&row.Caller, &row.Jobs, &counted); err != nil {
			return false, err
		}
		row.CountedUSD = usd(counted)
		found.Today = append(found.Today, row)
		return true, nil
	})
	if err != nil {
		return err
	}
	return each(ctx, db, `SELECT facts FROM jobs ORDER BY id DESC LIMIT ?`, []any{maxLooked}, func(scan func(...any) error) (bool, error) {
		var facts string
		if err := scan(&facts); err != nil {
			return false, err
		}
		var job Job
		if json.Unmarshal([]byte(facts), &job) != nil {
			return true, nil
		}
		if job.Failure != nil && job.Failure.Code == BalanceExhausted {
			found.Exhausted = job.Created
			return false, nil
		}
		return job.Status != Completed, nil
	})
}

func quickCheck(ctx context.Context, db *sql.DB, found *Inspection) error {
	return each(ctx, db, fmt.Sprintf(`PRAGMA quick_check(%d)`, maxDamage), nil, func(scan func(...any) error) (bool, error) {
		var line string
		if err := scan(&line); err != nil {
			return false, err
		}
		if line != "ok" {
			found.Damage = append(found.Damage, line)
		}
		return true, nil
	})
}

// each calls row for each row of an answer until it wants no more.
func each(ctx context.Context, db *sql.DB, query string, args []any, row func(scan func(...any) error) (more bool, err error)) error {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if more, err := row(rows.Scan); err != nil || !more {
			return err
		}
	}
	return rows.Err()
}
