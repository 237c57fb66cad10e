package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// TakeOver implements Shared.
func (s *SQLite) TakeOver(ctx context.Context) (taken []Job, lost bool, err error) {
	if lost, err = s.renew(); err != nil {
		return nil, lost, err
	}
	if err := s.buryDead(); err != nil {
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
	found, err := s.query(`SELECT id, machine, pid, started, renewed FROM processes WHERE id <> ?`, s.me.id)
	if err != nil {
		return err
	}
	defer found.Close()
	var dead []process
	for found.Next() {
		var p process
		var renewed int64
		if err := found.Scan(&p.id, &p.machine, &p.pid, &p.started, &renewed); err != nil {
			return err
		}
		if p.renewed = time.UnixMilli(renewed); p.dead(s.me, time.Now()) {
			dead = append(dead, p)
		}
	}
	if err := errors.Join(found.Err(), found.Close()); err != nil {
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
		var living int
		if err := s.queryRow(`SELECT count(*) FROM processes WHERE id = ?`, row.owner).Scan(&living); err != nil {
			return Job{}, false, err
		}
		if living > 0 {
			return row.job, false, nil
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

// cutOff ends a job whose submission was under way when its process died.
// Nobody can know whether fal has taken it.
func cutOff(j *Job) {
	j.Status, j.Ended = Unknown, time.Now()
	j.Failure = &Error{
		Code:    SubmitUnknown,
		Message: "The server ended in the middle of the submission, and nothing tells whether fal took it: fal may be running, and billing, it.",
		Action: "It was not sent again. 'nemotron-mcp jobs reconcile' asks fal whether it took the job, and https://fal.ai/dashboard/requests shows it. " +
			"Calling again submits, and may pay for, a second job.",
	}
}

// Prune implements Shared.
func (s *SQLite) Prune(_ context.Context, before time.Time) error {
	_, err := s.exec(`DELETE FROM jobs WHERE finished = 1 AND created < ?`, before.UnixNano())
	return err
}
