package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// TakeOver implements Shared.
func (s *SQLite) TakeOver(ctx context.Context) (taken []Job, lost bool, err error) {
	if lost, err = s.Renew(ctx); err != nil {
		return nil, lost, err
	}
	rows, err := s.rows(`SELECT ` + rowColumns + ` FROM jobs WHERE finished = 0 AND owner NOT IN (SELECT id FROM processes)`)
	if err != nil {
		return nil, lost, err
	}
	for _, row := range rows {
		job, mine, err := s.Claim(ctx, row.job.ID)
		if err != nil && !errors.Is(err, ErrNoJob) {
			return taken, lost, err
		}
		if err == nil && mine && !job.Status.Finished() {
			taken = append(taken, job)
		}
	}
	return taken, lost, nil
}

// Renew implements Shared.
func (s *SQLite) Renew(context.Context) (lost bool, err error) {
	if lost, err = s.renew(); err != nil {
		return lost, err
	}
	return lost, errors.Join(s.buryDead(), s.tidy())
}

// renew reports lost where this process had been taken for dead.
func (s *SQLite) renew() (lost bool, err error) {
	changed, err := s.exec(`UPDATE processes SET renewed = ? WHERE id = ?`, time.Now().UnixMilli(), s.me.id)
	if err != nil || changed > 0 {
		return false, err
	}
	return true, s.register()
}

func (s *SQLite) register() error {
	_, err := s.exec(`INSERT INTO processes (id, machine, pid, started, renewed) VALUES (?, ?, ?, ?, ?)`,
		s.me.id, s.me.machine, s.me.pid, s.me.started, time.Now().UnixMilli())
	return err
}

// buryDead removes the processes that no longer watch their jobs.
func (s *SQLite) buryDead() error {
	var dead []process
	err := s.each(`SELECT id, machine, pid, started, renewed FROM processes WHERE id <> ?`, []any{s.me.id}, func(from scanner) error {
		var p process
		var renewed int64
		err := from.Scan(&p.id, &p.machine, &p.pid, &p.started, &renewed)
		if p.renewed = time.UnixMilli(renewed); p.dead(s.me, time.Now()) {
			dead = append(dead, p)
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, p := range dead {
		// Not one that has renewed its lease meanwhile.
		if _, err := s.exec(`DELETE FROM processes WHERE id = ? AND renewed = ?`, p.id, p.renewed.UnixMilli()); err != nil {
			return err
		}
	}
	return nil
}

// tidy empties the file beside the ledger of what was deleted. Where another
// process is reading it, a later round does so.
func (s *SQLite) tidy() error {
	if !s.dropped.Load() {
		return nil
	}
	return s.read(func() error {
		var waiting, frames, moved int
		if err := s.queryRow(`PRAGMA wal_checkpoint(TRUNCATE)`).Scan(&waiting, &frames, &moved); err != nil {
			return err
		}
		s.dropped.Store(waiting != 0)
		return nil
	})
}

// living are the processes that still watch and wait.
func (s *SQLite) living() (map[string]bool, error) {
	if err := s.buryDead(); err != nil {
		return nil, err
	}
	living := map[string]bool{}
	err := s.each(`SELECT id FROM processes`, nil, func(from scanner) error {
		var id string
		err := from.Scan(&id)
		living[id] = true
		return err
	})
	return living, err
}

// Claim implements Ledger.
func (s *SQLite) Claim(_ context.Context, id string) (Job, bool, error) {
	for range maxChanges {
		row, err := s.load(`id = ?`, id)
		if err != nil {
			return Job{}, false, err
		}
		if row.job.Status.Finished() || row.owner == s.me.id {
			return row.job, true, nil
		}
		if lives, err := s.lives(row.owner); lives || err != nil {
			return row.job, false, err
		}
		next := &storedRow{job: row.job, owner: s.me.id}
		if row.job.Status == Submitting {
			cutOff(&next.job)
		}
		if done, err := s.replace(row, next); done || err != nil {
			return next.job, true, err
		}
	}
	return Job{}, false, fmt.Errorf("row %s is changed by others all the time", id)
}

// Watched implements Shared.
func (s *SQLite) Watched(_ context.Context, id string) (Job, bool, error) {
	row, err := s.load(`id = ?`, id)
	if err != nil {
		return Job{}, false, err
	}
	lives, err := s.lives(row.owner)
	return row.job, lives, err
}

// lives reports whether a process that watches jobs is not known to be dead.
func (s *SQLite) lives(process string) (lives bool, err error) {
	var n int
	err = s.read(func() error {
		return s.queryRow(`SELECT count(*) FROM processes WHERE id = ?`, process).Scan(&n)
	})
	return n > 0, err
}

// cutOff ends a job whose submission was under way when its process died.
// Nobody can know whether fal has taken it.
func cutOff(j *Job) {
	j.Status, j.Ended = Unknown, time.Now()
	j.Failure = &Error{
		Code:    SubmitUnknown,
		Message: "The server ended in the middle of the submission, and nothing tells whether fal took it: fal may be running, and billing, it.",
		Action:  unknownAction,
	}
}

// pruneStep is how many rows are looked at in one go, so that no other process
// waits long.
const pruneStep = 500

// Prune implements Shared.
func (s *SQLite) Prune(ctx context.Context, before time.Time) error {
	return errors.Join(s.pruneJobs(ctx, before), s.pruneUploads(ctx))
}

// pruneJobs goes through the rows in the order in which they were written, which
// is that of their creation, and ends where all are younger.
func (s *SQLite) pruneJobs(ctx context.Context, before time.Time) error {
	var last int64
	for more := true; more && ctx.Err() == nil; {
		first, seen, old := last, 0, false
		err := s.each(`SELECT rowid, created FROM jobs WHERE rowid > ? ORDER BY rowid LIMIT ?`, []any{first, pruneStep}, func(from scanner) error {
			var created int64
			err := from.Scan(&last, &created)
			seen++
			old = old || created < before.UnixNano()
			return err
		})
		if err != nil {
			return err
		}
		more = old && seen == pruneStep
		if _, err := s.exec(`DELETE FROM jobs WHERE rowid > ? AND rowid <= ? AND finished = 1 AND created < ?`, first, last, before.UnixNano()); err != nil {
			return err
		}
	}
	return nil
}
