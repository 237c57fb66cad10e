package jobs

import (
	"context"
	"errors"
	"time"
)

// Check reports what would keep a call from being submitted as things stand: no
// key, a cap, a ledger that can't be used. It is for a call that has to upload
// something first, and reserves nothing. The error is an *Error.
func (m *Manager) Check(ctx context.Context, req Request) error {
	if !m.opts.KnowsKey {
		return NoKey()
	}
	_, hash, err := m.identify(&req)
	if err != nil {
		return err
	}
	if !m.enter() {
		return shuttingDown()
	}
	defer m.entering.Done()
	refused := m.overCap(ctx, m.opts.Prices.WorstCase(req.Endpoint, req.Input))
	if refused == nil {
		return nil
	}
	// A job that is there already costs nothing more.
	there := false
	_, err = m.ledger.Undelivered(ctx, req.Caller, hash, time.Now().Add(-attachWindow), func(Job) bool {
		there = true
		return false
	})
	if there && errors.Is(err, ErrNoJob) {
		return nil
	}
	return refused
}

// overCap is the refusal of a call that may cost that much, as things stand, or
// nil.
func (m *Manager) overCap(ctx context.Context, worst float64) error {
	if err := m.overCallCap(worst); err != nil {
		return err
	}
	most := m.opts.MaxCostPerDay
	if most == 0 {
		if _, err := m.ledger.Spent(ctx, "", time.Now()); err != nil {
			return ledgerFailure("read, so nothing was submitted", err)
		}
		return nil
	}
	today, err := m.ledger.Usage(ctx, time.Now())
	if err != nil {
		return ledgerFailure("read, so nothing was submitted", err)
	}
	var spent float64
	for _, row := range today {
		spent += row.CountedUSD
	}
	if nano(spent+worst) > nano(most) {
		return overDayCap(worst, spent, most, time.Now())
	}
	return nil
}

func (m *Manager) overCallCap(worst float64) error {
	if most := m.opts.MaxCostPerCall; most > 0 && nano(worst) > nano(most) {
		return overCallCap(worst, most)
	}
	return nil
}

// insert writes a job's row, within the caps.
func (m *Manager) insert(ctx context.Context, job Job) error {
	if err := m.overCallCap(job.CountedUSD); err != nil {
		return err
	}
	err := m.ledger.Insert(ctx, job, m.opts.MaxCostPerDay)
	if over := new(OverCapError); errors.As(err, &over) {
		return overDayCap(job.CountedUSD, over.SpentUSD, m.opts.MaxCostPerDay, time.Now())
	}
	if err != nil {
		return ledgerFailure("written, so nothing was submitted", err)
	}
	return nil
}
