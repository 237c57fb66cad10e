package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"nemotron-mcp/falclient"
)

const (
	// historyBefore and historyAfter say where in fal's history a submission of
	// ours can be: its clock and ours differ, and a try may wait for another.
	historyBefore = 2 * time.Minute
	historyAfter  = 5 * time.Minute
)

// History is what reconciling asks of fal; *falclient.Client implements it.
type History interface {
	Requests(ctx context.Context, q falclient.HistoryQuery) ([]falclient.PastRequest, error)
}

// Finding is what fal's history says of an UNKNOWN job.
type Finding string

// The findings.
const (
	// FoundTaken: fal took it; it is a job like any other now.
	FoundTaken Finding = "taken"
	// FoundNone: fal's history of that time holds no request with this input. fal
	// does not say how soon a request appears there, so the job stays UNKNOWN.
	FoundNone Finding = "not found"
	// FoundUnclear: there are requests of that time whose input fal does not tell,
	// because payloads are not stored; the job stays UNKNOWN.
	FoundUnclear Finding = "unclear"
)

// Reconciled is one UNKNOWN job and what was found.
type Reconciled struct {
	Job     Job     `json:"job"`
	Finding Finding `json:"finding"`
	// Candidates are the request ids of that time that may be the job's, where the
	// finding is unclear.
	Candidates []string `json:"candidates,omitempty"`
}

// Reconcile asks fal's history for each UNKNOWN job created since then, adopts
// those that fal has taken, and brings their results home for as long as ctx
// lasts. Errors are those of the ledger and of fal; what was found before one is
// returned with it.
func (m *Manager) Reconcile(ctx context.Context, history History, since time.Time) ([]Reconciled, error) {
	if !m.opts.KnowsKey {
		return nil, NoKey()
	}
	m.tend()
	// All at once: an adopted one would move the pages.
	unknown, err := m.ledger.List(ctx, Query{Everyone: true, State: "unknown", Since: since, Limit: maxReconciled})
	if err != nil {
		return nil, ledgerFailure("read", err)
	}
	var all []Reconciled
	for i := len(unknown) - 1; i >= 0; i-- { // the oldest first, as fal took them
		found, err := m.reconcile(ctx, history, unknown[i])
		if err != nil {
			return all, err
		}
		all = append(all, found)
	}
	return all, nil
}

// maxReconciled bounds how many jobs are asked for at once.
const maxReconciled = 1000

func (m *Manager) reconcile(ctx context.Context, history History, job Job) (Reconciled, error) {
	found := Reconciled{Job: job, Finding: FoundNone}
	endpoint, err := falclient.ParseEndpoint(job.Endpoint)
	if err != nil {
		return found, &Error{Code: Internal, Message: err.Error()}
	}
	past, err := history.Requests(ctx, falclient.HistoryQuery{
		Endpoint: endpoint, Start: job.Created.Add(-historyBefore), End: job.Created.Add(historyAfter),
	})
	if err != nil && !errors.Is(err, falclient.ErrTruncated) {
		return found, UpstreamFailure(err)
	}
	for i := len(past) - 1; i >= 0; i-- {
		request := past[i]
		known, err := m.knownToAnyone(ctx, request.RequestID, job.ID)
		if err != nil {
			return found, err
		}
		switch {
		case known:
		case request.Input == nil:
			found.Finding = FoundUnclear
			found.Candidates = append(found.Candidates, request.RequestID)
		case m.sameInput(job, request.Input):
			found.Job, err = m.adoptUnknown(ctx, job, request)
			found.Finding, found.Candidates = FoundTaken, nil
			return found, err
		}
	}
	if err != nil && found.Finding == FoundNone {
		found.Finding = FoundUnclear // the history was cut off
	}
	return found, nil
}

// knownToAnyone reports whether another row has that request.
func (m *Manager) knownToAnyone(ctx context.Context, requestID, except string) (bool, error) {
	row, err := m.ledger.Find(ctx, requestID)
	if errors.Is(err, ErrNoJob) {
		return false, nil
	}
	if err != nil {
		return false, ledgerFailure("read", err)
	}
	return row.ID != except, nil
}

func (m *Manager) sameInput(job Job, sent json.RawMessage) bool {
	var input falclient.NemotronInput
	if json.Unmarshal(sent, &input) != nil {
		return false
	}
	hash, err := sentHash(job.Endpoint, input)
	return err == nil && hash == job.SentHash
}

// adoptUnknown makes an UNKNOWN job the request that fal has, and waits for its
// end. Where fal's queue has deleted the result, the history's copy is taken.
func (m *Manager) adoptUnknown(ctx context.Context, job Job, request falclient.PastRequest) (Job, error) {
	_, err := m.ledger.Update(ctx, job.ID, func(j *Job) {
		if j.Status == Unknown {
			j.revive(request.RequestID, nil)
			j.Submitted, j.Started = request.Sent, request.Started
		}
	})
	if err != nil {
		return job, ledgerFailure("written", err)
	}
	if request.StatusCode == 200 && request.Output != nil {
		m.mu.Lock()
		l := m.join(job)
		m.mu.Unlock()
		if row, _, err := m.ledger.Claim(ctx, job.ID); err == nil {
			l.refresh(row)
		}
		m.keep(l, falclient.Result{Body: request.Output})
		job = l.snapshot()
		m.Settle(job, NotTold)
		return job, nil
	}
	done, err := m.Status(ctx, job.Caller, request.RequestID, reconcileWait, nil)
	m.Settle(done, NotTold)
	if done.ID == "" {
		return job, err
	}
	return done, nil
}

// reconcileWait is how long the end of a job that was found is waited for; it
// is watched for longer where the process lives on, or by another.
const reconcileWait = 30 * time.Second

// keepFromHistory brings home a result that fal's queue has deleted, where the
// account's payloads are stored.
func (m *Manager) keepFromHistory(l *live) bool {
	history, ok := m.fal.(History)
	if !ok {
		return false
	}
	job := l.snapshot()
	past, err := history.Requests(l.context(), falclient.HistoryQuery{Endpoint: l.endpoint, RequestID: job.RequestID})
	if err != nil {
		m.opts.Log.Debug().Err(err).Str("request_id", job.RequestID).Msg("the result is gone, and fal's history could not be asked")
		return false
	}
	for _, request := range past {
		if request.RequestID == job.RequestID && request.StatusCode == 200 && request.Output != nil {
			m.keep(l, falclient.Result{Body: request.Output})
			return true
		}
	}
	return false
}
