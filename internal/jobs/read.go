package jobs

import (
	"context"
	"errors"

	"nemotron-mcp/falclient"
)

// Read returns a job of the caller's as this process or the ledger has it. fal is
// not asked, nothing is waited for, and nothing counts as delivered: an unfinished
// job is returned as it stands.
func (m *Manager) Read(ctx context.Context, caller, requestID string) (Job, error) {
	if !falclient.ValidRequestID(requestID) {
		return Job{}, notFound(requestID)
	}
	if !m.enter() {
		return Job{}, shuttingDown()
	}
	defer m.entering.Done()
	job, err := m.row(ctx, caller, requestID)
	if errors.Is(err, ErrNoJob) {
		return Job{}, notFound(requestID)
	}
	return job, err
}

// Finished returns the caller's finished jobs from the newest to the oldest,
// without their outputs, and the cursor of the next page, empty where there is
// none. fal is not asked.
func (m *Manager) Finished(ctx context.Context, caller, before string, limit int) (page []Job, next string, err error) {
	if m.isClosed() {
		return nil, "", shuttingDown()
	}
	limit = max(limit, 1)
	page, err = m.ledger.List(ctx, Query{Caller: caller, State: "finished", Before: before, Limit: limit + 1})
	if err != nil {
		return nil, "", ledgerFailure("read", err)
	}
	if len(page) > limit {
		page = page[:limit]
		next = page[limit-1].ID
	}
	return page, next, nil
}
