package jobs

import (
	"context"
	"errors"
	"time"
)

// Check reports what would keep a call from being submitted as things stand: no
// key, a cap, no place in flight, a ledger that can't be used. It is for a call
// that has to upload something first, and reserves nothing. The error is an *Error.
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
	refused := m.refusal(ctx, req)
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

// refusal is that of a new job for a call, as things stand, or nil.
func (m *Manager) refusal(ctx context.Context, req Request) error {
	if m.places.full(req.Caller) {
		return noPlace(m.opts.MaxInFlight)
	}
	return m.overCap(ctx, req.Caller, m.opts.Prices.WorstCase(req.Endpoint, req.Input))
}

// overCap is the refusal of a call that may cost that much, as things stand, or
// nil.
func (m *Manager) overCap(ctx context.Context, caller string, worst float64) error {
	if err := m.overCallCap(worst); err != nil {
		return err
	}
	caps := m.dayCaps(caller)
	if caps == (DayCaps{}) {
		if _, err := m.ledger.Spent(ctx, caller, time.Now()); err != nil {
			return ledgerFailure("read, so nothing was submitted", err)
		}
		return nil
	}
	today, err := m.ledger.Usage(ctx, time.Now())
	if err != nil {
		return ledgerFailure("read, so nothing was submitted", err)
	}
	var ofCaller, all int64
	for _, row := range today {
		all += nano(row.CountedUSD)
		if row.Caller == caller {
			ofCaller += nano(row.CountedUSD)
		}
	}
	if over := caps.over(nano(worst), ofCaller, all); over != nil {
		return m.overDayCap(caller, worst, over)
	}
	return nil
}

// dayCaps are those for a new row of that caller's. The one without a name is
// alone, so that what holds for each caller holds for all rows.
func (m *Manager) dayCaps(caller string) DayCaps {
	each, all := m.opts.MaxCostPerDay, m.opts.MaxCostPerDayTotal
	switch {
	case caller != "":
		return DayCaps{All: all, Caller: each}
	case all == 0 || each > 0 && each < all:
		return DayCaps{All: each}
	}
	return DayCaps{All: all}
}

// overDayCap tells a caller of the cap that it has reached. What others have
// spent is told only to the one without a name, for whom there are no others.
func (m *Manager) overDayCap(caller string, worst float64, over *OverCapError) error {
	switch {
	case over.OfCaller:
		return overOwnCap(worst, over, time.Now())
	case caller == "" && over.CapUSD == m.opts.MaxCostPerDay:
		return overDayCap(worst, over, time.Now())
	}
	return overTotalCap(time.Now())
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
	err := m.ledger.Insert(ctx, job, m.dayCaps(job.Caller))
	if over := new(OverCapError); errors.As(err, &over) {
		return m.overDayCap(job.Caller, job.CountedUSD, over)
	}
	if err != nil {
		return ledgerFailure("written, so nothing was submitted", err)
	}
	return nil
}
