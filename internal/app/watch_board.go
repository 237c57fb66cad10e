package app

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"nemotron-mcp/internal/jobs"
)

const (
	// insertTime is how much later than it was created a row may appear: as long
	// as a process waits for the others that write.
	insertTime = 10 * time.Second
	// newestRows is how many of the newest rows are read at once.
	newestRows = 50
	// endedTime is how long a job that has ended stays on the board, and maxEnded
	// how many do.
	endedTime = 10 * time.Minute
	maxEnded  = 200
)

// board is the jobs as they were when the ledger was last looked at. Only one
// goroutine uses it.
type board struct {
	manager *jobs.Manager
	only    *jobs.Job // the one that is watched; nil for all
	began   time.Time
	looked  time.Time // when the ledger was last looked at

	running map[string]jobs.Job  // by ID
	ended   []jobs.Job           // since began, the last one first
	endings int                  // how many there were
	told    map[string]time.Time // when the ended ones were created that a look may meet again, by ID

	today  []jobs.UsageRow // what the jobs of this UTC day took
	summed time.Time       // when that was read
}

func newBoard(manager *jobs.Manager, began time.Time) *board {
	return &board{manager: manager, began: began, looked: began, running: map[string]jobs.Job{}, told: map[string]time.Time{}}
}

// look reads the ledger and returns the jobs that have changed, the oldest first;
// at first these are all that run.
func (b *board) look(ctx context.Context) ([]jobs.Job, error) {
	now := time.Now()
	rows, err := b.read(ctx)
	if err != nil {
		return nil, err
	}
	var changed []jobs.Job
	for _, id := range slices.Sorted(maps.Keys(rows)) { // IDs grow with time
		if job := shown(rows[id]); b.take(job) {
			changed = append(changed, job)
		}
	}
	b.forget(now)
	if err := b.addUp(ctx, now, len(changed) > 0); err != nil {
		return nil, err
	}
	b.looked = now
	return changed, nil
}

// take puts a row on the board and reports whether it is news.
func (b *board) take(job jobs.Job) bool {
	before, ran := b.running[job.ID]
	if !job.Status.Finished() {
		b.running[job.ID] = job
		if !ran { // maybe an UNKNOWN one that fal has after all
			delete(b.told, job.ID)
			b.ended = slices.DeleteFunc(b.ended, func(j jobs.Job) bool { return j.ID == job.ID })
		}
		return !ran || !sameToSee(before, job)
	}
	delete(b.running, job.ID)
	if _, known := b.told[job.ID]; known || !ran && b.only == nil && job.Ended.Before(b.began) {
		return false
	}
	b.told[job.ID] = job.Created
	b.endings++
	b.ended = append(b.ended, job)
	return true
}

// sameToSee reports whether two rows of a running job look the same.
func sameToSee(x, y jobs.Job) bool {
	position := func(j jobs.Job) int {
		if j.QueuePosition == nil || j.Status != jobs.InQueue {
			return -1
		}
		return *j.QueuePosition
	}
	return x.Status == y.Status && x.RequestID == y.RequestID && x.CancelRequested == y.CancelRequested && position(x) == position(y)
}

// read returns the rows that may have changed, by ID.
func (b *board) read(ctx context.Context) (map[string]jobs.Job, error) {
	rows := map[string]jobs.Job{}
	if b.only != nil {
		job, err := b.manager.Look(ctx, b.only.Caller, b.only.ID)
		if err != nil {
			return nil, err
		}
		*b.only = job
		rows[job.ID] = job
		return rows, nil
	}
	err := b.list(ctx, rows, jobs.Query{State: "running", Limit: maxListed}, time.Time{})
	if err == nil {
		// Read after it, so that what has ended in between is in both.
		err = b.list(ctx, rows, jobs.Query{Limit: newestRows}, b.looked.Add(-insertTime))
	}
	if err != nil {
		return nil, err
	}
	for id := range b.running {
		if _, listed := rows[id]; listed {
			continue
		}
		job, err := b.manager.Find(ctx, id)
		var f *jobs.Error
		switch {
		case errors.As(err, &f) && f.Code == jobs.JobNotFound:
			delete(b.running, id)
		case err != nil:
			return nil, err
		default:
			rows[id] = job
		}
	}
	return rows, nil
}

// list adds the rows of a query that were created since then. They come by their
// IDs, which grow with time, so that no more than these are read.
func (b *board) list(ctx context.Context, rows map[string]jobs.Job, q jobs.Query, since time.Time) error {
	q.Everyone = true
	for {
		page, next, _, err := b.manager.List(ctx, q)
		if err != nil {
			return err
		}
		for _, job := range page {
			if !job.Created.Before(since) {
				rows[job.ID] = job
			}
		}
		if next == "" || ctx.Err() != nil || page[len(page)-1].Created.Before(since) {
			return nil
		}
		q.Before = next
	}
}

// forget takes down what ended long ago.
func (b *board) forget(now time.Time) {
	b.ended = slices.DeleteFunc(b.ended, func(job jobs.Job) bool { return now.Sub(job.Ended) > endedTime })
	slices.SortStableFunc(b.ended, func(x, y jobs.Job) int { return y.Ended.Compare(x.Ended) })
	b.ended = b.ended[:min(len(b.ended), maxEnded)]
	maps.DeleteFunc(b.told, func(_ string, created time.Time) bool { return created.Before(now.Add(-insertTime)) })
}

// addUp reads what the jobs of this UTC day took, where that may have changed.
func (b *board) addUp(ctx context.Context, now time.Time, news bool) error {
	now = now.UTC()
	if b.only != nil || !news && b.summed.Format(time.DateOnly) == now.Format(time.DateOnly) {
		return nil
	}
	rows, err := b.manager.Usage(ctx, now)
	if err == nil {
		b.today, b.summed = rows, now
	}
	return err
}
