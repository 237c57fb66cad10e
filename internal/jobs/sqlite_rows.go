package jobs

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

const (
	// rowColumns is what a row is read from. The other columns repeat parts of
	// facts for SQLite to select and to sum.
	rowColumns = `facts, output, owner, waited_by, version`
	// maxChanges bounds how often a change is tried against those of others.
	maxChanges = 100
)

// Insert implements Ledger.
func (s *SQLite) Insert(_ context.Context, job Job, caps DayCaps) error {
	job.WaitedBy = s.me.id
	row := &storedRow{job: job, owner: s.me.id, version: 1}
	args, err := row.columns()
	if err != nil {
		return err
	}
	query := `INSERT INTO jobs (facts, output, owner, waited_by, request_id, host, status, finished, delivered,
		input_tokens, output_tokens, cost, counted, id, version, caller, endpoint, input_hash, created, day) `
	args = append(args, job.ID, row.version, job.Caller, job.Endpoint, job.InputHash, job.Created.UnixNano(), day(job.Created))
	// In one statement, so that no other process's row comes between.
	query += `SELECT ` + questions(len(args)) + ` WHERE true`
	if caps.All > 0 {
		query += ` AND (SELECT coalesce(sum(counted), 0) FROM jobs WHERE day = ?) + ? <= ?`
		args = append(args, day(job.Created), nano(job.CountedUSD), nano(caps.All))
	}
	if caps.Caller > 0 {
		query += ` AND (SELECT coalesce(sum(counted), 0) FROM jobs WHERE day = ? AND caller = ?) + ? <= ?`
		args = append(args, day(job.Created), job.Caller, nano(job.CountedUSD), nano(caps.Caller))
	}
	if job.RequestID != "" {
		query += ` AND NOT EXISTS (SELECT 1 FROM jobs WHERE request_id <> '' AND request_id = ? AND caller = ?)`
		args = append(args, job.RequestID, job.Caller)
	}
	changed, err := s.exec(query, args...)
	if err != nil {
		return err
	}
	if changed == 0 {
		return s.whyNot(job, caps)
	}
	s.remember(row)
	return nil
}

// whyNot says why a row was not inserted.
func (s *SQLite) whyNot(job Job, caps DayCaps) error {
	if _, err := s.ByRequest(context.Background(), job.Caller, job.RequestID); !errors.Is(err, ErrNoJob) {
		return cmp.Or(err, ErrKnownJob)
	}
	var ofCaller, all int64
	err := s.read(func() error {
		return s.queryRow(`SELECT coalesce(sum(counted) FILTER (WHERE caller = ?), 0), coalesce(sum(counted), 0) FROM jobs WHERE day = ?`,
			job.Caller, day(job.Created)).Scan(&ofCaller, &all)
	})
	over := caps.over(nano(job.CountedUSD), ofCaller, all)
	switch {
	case over != nil:
	case caps.Caller > 0: // something was settled meanwhile
		over = &OverCapError{usd(ofCaller), caps.Caller, true}
	default:
		over = &OverCapError{usd(all), caps.All, false}
	}
	return errors.Join(over, err)
}

// columns are a row's values in the order of INSERT's and UPDATE's first
// columns. It sets facts.
func (r *storedRow) columns() ([]any, error) {
	job := r.job
	job.Output = ""
	facts, err := json.Marshal(job)
	if err != nil {
		return nil, err
	}
	r.facts = string(facts)
	var in, out int
	if job.Usage != nil {
		in, out = job.Usage.InputTokens, job.Usage.OutputTokens
	}
	return []any{
		r.facts, r.job.Output, r.owner, job.WaitedBy, job.RequestID, job.Host, string(job.Status), job.Status.Finished(), job.Delivered,
		in, out, nano(job.CostUSD), nano(job.CountedUSD),
	}, nil
}

// Update implements Ledger.
func (s *SQLite) Update(_ context.Context, id string, change func(*Job)) (Job, error) {
	row := s.recall(id)
	for range maxChanges {
		if row == nil {
			var err error
			if row, err = s.load(`id = ?`, id); err != nil {
				return Job{}, err
			}
		}
		next := &storedRow{job: row.job, owner: row.owner}
		change(&next.job)
		done, err := s.replace(row, next)
		if done || err != nil {
			return next.job, err
		}
		row = nil // another was faster
	}
	return Job{}, fmt.Errorf("row %s is changed by others all the time", id)
}

// replace writes next over row, unless that is not what the file holds any
// more.
func (s *SQLite) replace(row, next *storedRow) (done bool, err error) {
	next.version = row.version + 1
	switch next.job.WaitedBy {
	case "":
		if row.job.WaitedBy != s.me.id {
			next.job.WaitedBy = row.job.WaitedBy // each process takes back its own only
		}
	case here:
		next.job.WaitedBy = s.me.id
	}
	switch {
	case next.job.Status.Finished():
		next.owner = ""
	case next.owner == "":
		next.owner = s.me.id // found alive again
	}
	args, err := next.columns()
	if err != nil {
		return false, err
	}
	if next.facts == row.facts && next.job.Output == row.job.Output && next.owner == row.owner {
		return true, nil
	}
	query := `UPDATE jobs SET facts = ?, output = ?, owner = ?, waited_by = ?, request_id = ?, host = ?, status = ?, finished = ?,
		delivered = ?, input_tokens = ?, output_tokens = ?, cost = ?, counted = ?, version = version + 1
		WHERE id = ? AND version = ?`
	changed, err := s.exec(query, append(args, row.job.ID, row.version)...)
	if err != nil || changed == 0 {
		s.forget(row.job.ID)
		return false, err
	}
	if row.job.Output != "" && next.job.Output == "" {
		s.dropped.Store(true)
	}
	s.remember(next)
	return true, nil
}

// remember keeps a row that is likely to change again.
func (s *SQLite) remember(row *storedRow) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if row.job.Status.Finished() && row.job.WaitedBy == "" {
		delete(s.known, row.job.ID)
		return
	}
	for id := range s.known {
		if len(s.known) < keptRows {
			break
		}
		delete(s.known, id)
	}
	s.known[row.job.ID] = row
}

func (s *SQLite) recall(id string) *storedRow {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known[id]
}

func (s *SQLite) forget(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.known, id)
}

// load reads the first row for which a condition holds; ErrNoJob where none is.
func (s *SQLite) load(condition string, args ...any) (row *storedRow, err error) {
	err = s.read(func() error {
		row, err = scan(s.queryRow(`SELECT `+rowColumns+` FROM jobs WHERE `+condition, args...))
		return err
	})
	if errors.Is(err, sql.ErrNoRows) {
		return nil, ErrNoJob
	}
	return row, err
}

func scan(from scanner) (*storedRow, error) {
	var row storedRow
	var output, waitedBy string
	if err := from.Scan(&row.facts, &output, &row.owner, &waitedBy, &row.version); err != nil {
		return nil, err
	}
	if err := json.Unmarshal([]byte(row.facts), &row.job); err != nil {
		return nil, fmt.Errorf("a row of the ledger can't be read: %w", err)
	}
	row.job.Output, row.job.WaitedBy = output, waitedBy
	return &row, nil
}

// ByRequest implements Ledger.
func (s *SQLite) ByRequest(_ context.Context, caller, requestID string) (Job, error) {
	if requestID == "" {
		return Job{}, ErrNoJob
	}
	row, err := s.load(`request_id <> '' AND request_id = ? AND caller = ? ORDER BY +id LIMIT 1`, requestID, caller)
	if err != nil {
		return Job{}, err
	}
	return row.job, nil
}

// Find implements Ledger.
func (s *SQLite) Find(_ context.Context, id string) (Job, error) {
	row, err := s.load(`id = ?`, id)
	if errors.Is(err, ErrNoJob) {
		row, err = s.load(`request_id <> '' AND request_id = ? ORDER BY +id LIMIT 1`, id)
	}
	if err != nil {
		return Job{}, err
	}
	return row.job, nil
}

// Undelivered implements Ledger.
func (s *SQLite) Undelivered(_ context.Context, caller, inputHash string, since time.Time, free func(Job) bool) (Job, error) {
	if inputHash == "" {
		return Job{}, ErrNoJob
	}
	for range maxChanges {
		job, changed, err := s.undelivered(caller, inputHash, since, free)
		if !changed {
			return job, err
		}
	}
	return Job{}, errors.New("the rows of this input are changed by others all the time")
}

// undelivered reports changed where a row that it would have taken was changed
// meanwhile, so that it has to look again: passing it over would pay twice.
func (s *SQLite) undelivered(caller, inputHash string, since time.Time, free func(Job) bool) (job Job, changed bool, err error) {
	rows, err := s.rows(`SELECT `+rowColumns+` FROM jobs
		INDEXED BY jobs_input WHERE delivered = 0 AND input_hash <> '' AND caller = ? AND input_hash = ? AND created >= ?
		AND status NOT IN ('FAILED', 'CANCELLED') ORDER BY id LIMIT 100`, caller, inputHash, since.UnixNano())
	if err != nil {
		return Job{}, false, err
	}
	var living map[string]bool
	for _, row := range rows {
		if waiter := row.job.WaitedBy; waiter != "" && waiter != s.me.id {
			// One that was killed since the last round waits for nothing any more.
			if living == nil {
				if living, err = s.living(); err != nil {
					return Job{}, false, err
				}
			}
			if living[waiter] {
				continue
			}
		}
		if !free(row.job) {
			continue
		}
		next := &storedRow{job: row.job, owner: row.owner}
		next.job.WaitedBy = s.me.id
		done, err := s.replace(row, next)
		return next.job, !done && err == nil, err
	}
	return Job{}, false, ErrNoJob
}

func (s *SQLite) rows(query string, args ...any) (all []*storedRow, err error) {
	err = s.each(query, args, func(from scanner) error {
		row, err := scan(from)
		all = append(all, row)
		return err
	})
	return all, err
}

type scanner interface{ Scan(...any) error }

// each reads the rows of a query.
func (s *SQLite) each(query string, args []any, one func(scanner) error) error {
	return s.read(func() error {
		found, err := s.query(query, args...)
		if err != nil {
			return err
		}
		defer found.Close()
		for found.Next() {
			if err := one(found); err != nil {
				return err
			}
		}
		return found.Err()
	})
}

// List implements Ledger.
func (s *SQLite) List(_ context.Context, q Query) ([]Job, error) {
	query := `SELECT facts, '', owner, waited_by, version FROM jobs WHERE created >= ?`
	args := []any{int64(0)}
	if !q.Since.IsZero() {
		args[0] = q.Since.UnixNano()
	}
	if !q.Everyone {
		query += ` AND caller = ?`
		args = append(args, q.Caller)
	}
	switch q.State {
	case "running":
		query += ` AND finished = 0`
	case "finished":
		query += ` AND finished = 1`
	case "unknown":
		query += ` AND status = 'UNKNOWN'`
	}
	if q.Before != "" {
		query += ` AND id < ?`
		args = append(args, q.Before)
	}
	rows, err := s.rows(query+` ORDER BY id DESC LIMIT ?`, append(args, q.Limit)...)
	if err != nil {
		return nil, err
	}
	page := make([]Job, len(rows))
	for i, row := range rows {
		page[i] = row.job
	}
	return page, nil
}

// Spent implements Ledger.
func (s *SQLite) Spent(_ context.Context, caller string, on time.Time) (float64, error) {
	var spent int64
	err := s.read(func() error {
		return s.queryRow(`SELECT coalesce(sum(counted), 0) FROM jobs WHERE day = ? AND caller = ?`, day(on), caller).Scan(&spent)
	})
	return usd(spent), err
}

// Usage implements Ledger.
func (s *SQLite) Usage(_ context.Context, since time.Time) ([]UsageRow, error) {
	var all []UsageRow
	err := s.each(`SELECT day, endpoint, host, caller, count(*), sum(input_tokens), sum(output_tokens), sum(cost), sum(counted)
		FROM jobs WHERE day >= ? GROUP BY day, endpoint, host, caller ORDER BY day DESC, endpoint, host, caller`, []any{day(since)},
		func(from scanner) error {
			var row UsageRow
			var on, cost, counted int64
			err := from.Scan(&on, &row.Endpoint, &row.Host, &row.Caller, &row.Jobs, &row.InputTokens, &row.OutputTokens, &cost, &counted)
			row.Day, row.CostUSD, row.CountedUSD = dayName(on), usd(cost), usd(counted)
			all = append(all, row)
			return err
		})
	return all, err
}
