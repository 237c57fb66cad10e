package jobs

import (
	"context"
	"errors"
	"time"
)

const (
	// mirrorTime is how often a job that another process watches is looked up in
	// the ledger while a caller of this one waits for it.
	mirrorTime = 200 * time.Millisecond
	// keepTime is how long finished rows are kept, pruneTime how often the older
	// ones are deleted.
	keepTime  = 30 * 24 * time.Hour
	pruneTime = time.Hour
)

// Collect takes over what dead processes have left unfinished, and goes on to
// do so until Close; not without a key. The first use of the Manager does the same; it is for a
// process in which none may come, and returns when the first round is done.
func (m *Manager) Collect() {
	if !m.isClosed() {
		m.tend()
	}
}

// tend keeps this process's lease on a ledger that others use too.
func (m *Manager) tend() {
	shared, ok := m.ledger.(Shared)
	if !ok {
		return
	}
	m.tending.Do(func() {
		m.round(shared)
		m.mu.Lock()
		defer m.mu.Unlock()
		if !m.closed {
			m.workers.Go(func() { m.keepTending(shared) })
		}
	})
}

func (m *Manager) keepTending(shared Shared) {
	ticks := time.NewTicker(renewTime)
	defer ticks.Stop()
	var pruned time.Time
	for {
		if m.trouble == "" && time.Since(pruned) >= pruneTime {
			pruned = time.Now()
			if err := shared.Prune(m.ending, time.Now().Add(-keepTime)); err != nil {
				m.opts.Log.Warn().Err(err).Msg("old jobs could not be deleted from the ledger")
			}
		}
		select {
		case <-m.ending.Done():
			return
		case <-ticks.C:
			m.round(shared)
		}
	}
}

// round renews the lease and takes over what dead processes have left. Without a
// key this process could follow nothing at fal, and would keep the jobs from one
// that can: it leaves them.
func (m *Manager) round(shared Shared) {
	var taken []Job
	var lost bool
	var err error
	if m.opts.KnowsKey {
		taken, lost, err = shared.TakeOver(m.ending)
	} else {
		lost, err = shared.Renew(m.ending)
	}
	if err != nil && err.Error() != m.trouble {
		m.opts.Log.Warn().Err(err).Msg("the ledger could not be looked through for jobs to take over")
	}
	m.trouble = ""
	if err != nil {
		m.trouble = err.Error()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return
	}
	if lost {
		for _, l := range m.live {
			l.yield()
		}
	}
	for _, job := range taken {
		if l := m.live[job.ID]; l != nil && l.running {
			l.again = true // mirrored so far, and maybe about to be let go
			continue
		}
		l := m.join(job)
		l.waiters--
		m.start(l, func() { m.resume(l) })
	}
}

// resume follows a job that was submitted earlier.
func (m *Manager) resume(l *live) {
	if m.attend(l) {
		m.audit(l, "resumed")
	}
}

// attend follows a job to its end: at fal where this process is the one to do
// so, else in the ledger for as long as a caller waits. It reports whether the
// job was watched at fal.
func (m *Manager) attend(l *live) (watched bool) {
	for !l.letGo() {
		row, mine, err := m.claim(l)
		switch {
		case errors.Is(err, ErrNoJob):
			mine = true // it could not be written; this process knows it
		case err != nil:
			m.opts.Log.Warn().Err(err).Str("request_id", l.snapshot().RequestID).Msg("the ledger could not be read; the job is watched all the same")
			mine = true
		default:
			l.refresh(row)
		}
		job := l.snapshot()
		if job.Status.Finished() {
			return watched
		}
		// Wanted while another process was submitting it.
		if job.RequestID != "" && l.cancelDue() {
			m.askCancel(l)
		}
		if mine && job.RequestID != "" && job.CancelRequested && l.cancelAgain() {
			m.workers.Go(func() { m.askCancel(l) }) // whoever wanted it may have died before fal heard
		}
		if mine {
			watched = true
			if m.watch(l) {
				return watched
			}
			continue
		}
		if m.isClosed() || !m.waitedFor(l) || !sleep(l.context(), mirrorTime) {
			return watched
		}
	}
	return watched
}

// claim makes this process the one to watch a job, where no living one is. Without
// a key it only tells who waits that nobody watches.
func (m *Manager) claim(l *live) (row Job, mine bool, err error) {
	shared, ok := m.ledger.(Shared)
	if m.opts.KnowsKey || !ok {
		return m.ledger.Claim(context.Background(), l.id)
	}
	row, watched, err := shared.Watched(context.Background(), l.id)
	switch {
	case err != nil:
	case watched || row.Status.Finished():
		l.refuse(nil)
	default:
		l.refuse(NoKey())
	}
	return row, false, err
}

func (m *Manager) waitedFor(l *live) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return l.waiters > 0
}
