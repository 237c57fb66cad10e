package jobs

import (
	"context"
	"time"
)

// HandBack ends all waiting: calls return with their job as it stands, from now
// on as soon as it has its request_id. The jobs go on.
func (m *Manager) HandBack() { m.release() }

// Ready reports whether the ledger can be used.
func (m *Manager) Ready(ctx context.Context) error {
	if !m.enter() {
		return shuttingDown()
	}
	defer m.entering.Done()
	if _, err := m.ledger.Spent(ctx, "", time.Now()); err != nil {
		return ledgerFailure("read", err)
	}
	return nil
}

// deadline fires when a call has waited for that long, or is to wait no longer.
func (m *Manager) deadline(wait time.Duration) (due <-chan time.Time, stop func()) {
	fired := make(chan time.Time, 1)
	fire := func() {
		select {
		case fired <- time.Now():
		default:
		}
	}
	timer := time.AfterFunc(wait, fire)
	released := context.AfterFunc(m.handBack, fire)
	return fired, func() { timer.Stop(); released() }
}
