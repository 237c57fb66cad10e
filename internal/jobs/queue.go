package jobs

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"nemotron-mcp/falclient"
)

// cancelSettle is how long queue_cancel waits for a running job to obey, so
// that most answers can say how it ended.
const cancelSettle = 1500 * time.Millisecond

// Status returns a job of the caller's, waiting up to that long for its end.
// A job that failed is no error here; an *Error means that there is no such
// job or that fal could not be asked. The end of ctx leaves the job alone.
//
// Until Settle is called with it, the job counts as waited for.
func (m *Manager) Status(ctx context.Context, caller, requestID string, wait time.Duration, onChange func(Job)) (Job, error) {
	l, err := m.find(ctx, caller, requestID)
	if err != nil {
		return Job{}, err
	}
	if job := l.snapshot(); wait > 0 && !job.Status.Finished() && job.WaitedBy == "" {
		m.note(l, func(j *Job) {
			if j.WaitedBy == "" {
				j.WaitedBy = here
			}
		})
	}
	due, stop := m.deadline(wait)
	defer stop()
	job, err := l.wait(ctx, due, onChange)
	if err != nil {
		return job, err
	}
	return job, l.trouble()
}

// Cancel asks fal to end a job of the caller's and returns it with the true
// outcome: CancelledInQueue is not billed, CancelRequested may be, CancelTooLate
// means that the job had ended, whatever way, before.
//
// Until Settle is called with it, the job counts as waited for.
func (m *Manager) Cancel(ctx context.Context, caller, requestID string) (Job, falclient.CancelOutcome, error) {
	l, err := m.find(ctx, caller, requestID)
	if err != nil {
		return Job{}, "", err
	}
	if job := l.snapshot(); job.Status.Finished() {
		return job, falclient.CancelTooLate, nil
	}
	m.cancel(l)
	outcome, err := l.waitCancel(ctx)
	if err != nil {
		job := l.snapshot()
		if job.Status.Finished() {
			return job, falclient.CancelTooLate, nil
		}
		f := UpstreamFailure(err)
		f.RequestID = requestID
		return job, "", f
	}
	timer := time.NewTimer(cancelSettle)
	defer timer.Stop()
	job, err := l.wait(ctx, timer.C, nil)
	return job, outcome, err
}

// List returns the caller's jobs from the newest to the oldest, the cursor of
// the next page, empty where there is none, and what the caller's jobs of this
// UTC day count, in USD: their cost, or the worst case where it is not known.
func (m *Manager) List(ctx context.Context, q Query) (page []Job, next string, spent float64, err error) {
	limit := max(q.Limit, 1)
	q.Limit = limit + 1 // one more tells whether there is a next page
	m.tend()
	page, err = m.ledger.List(ctx, q)
	if err == nil {
		spent, err = m.ledger.Spent(ctx, q.Caller, time.Now())
	}
	if err != nil {
		return nil, "", 0, ledgerFailure("read", err)
	}
	if len(page) > limit {
		page = page[:limit]
		next = page[limit-1].ID
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, job := range page {
		if l := m.live[job.ID]; l != nil && !job.Status.Finished() {
			page[i] = l.snapshot() // knows the queue position
		}
	}
	return page, next, spent, nil
}

// Find returns a job of any caller's as the ledger has it, by its ID or by fal's
// request id. It is the operator's.
func (m *Manager) Find(ctx context.Context, id string) (Job, error) {
	m.tend()
	job, err := m.ledger.Find(ctx, id)
	if errors.Is(err, ErrNoJob) {
		return Job{}, &Error{Code: JobNotFound, Message: "The ledger has no job with this id or request_id.", RequestID: id}
	}
	if err != nil {
		return Job{}, ledgerFailure("read", err)
	}
	return job, nil
}

// Look returns a job of the caller's as it stands, by its ID or by fal's request
// id. It only reads: fal is not asked, and nothing counts as delivered or waited
// for.
func (m *Manager) Look(ctx context.Context, caller, id string) (Job, error) {
	if !m.enter() {
		return Job{}, shuttingDown()
	}
	defer m.entering.Done()
	job, err := m.row(ctx, caller, id)
	if errors.Is(err, ErrNoJob) {
		if job, err = m.ledger.Find(ctx, id); err == nil && job.Caller != caller {
			err = ErrNoJob
		}
	}
	var f *Error
	switch {
	case errors.Is(err, ErrNoJob):
		return Job{}, notFound(id)
	case errors.As(err, &f):
		return Job{}, err
	case err != nil:
		return Job{}, ledgerFailure("read", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if l := m.live[job.ID]; l != nil && !job.Status.Finished() {
		return l.snapshot(), nil // knows the queue position
	}
	return job, nil
}

// Usage returns what the jobs of all callers took since the UTC day of that
// moment, the newest day first. It is the operator's.
func (m *Manager) Usage(ctx context.Context, since time.Time) ([]UsageRow, error) {
	rows, err := m.ledger.Usage(ctx, since)
	if err != nil {
		return nil, ledgerFailure("read", err)
	}
	return rows, nil
}

// DayCap is the cap in USD on what a caller's jobs of a UTC day count together;
// 0 is none. For the one without a name it is that of all jobs.
func (m *Manager) DayCap(caller string) float64 {
	caps := m.dayCaps(caller)
	if caller == "" {
		return caps.All
	}
	return caps.Caller
}

// Counts is how many unfinished jobs this process knows, by status.
func (m *Manager) Counts() map[string]int {
	m.mu.Lock()
	defer m.mu.Unlock()
	counts := map[string]int{}
	for _, l := range m.live {
		if job := l.snapshot(); !job.Status.Finished() {
			counts[string(job.Status)]++
		}
	}
	return counts
}

// find joins a job by fal's id: one that is watched here, one of the ledger's,
// or, where there is one caller only, one that fal knows and the ledger does not.
func (m *Manager) find(ctx context.Context, caller, requestID string) (*live, error) {
	if !falclient.ValidRequestID(requestID) {
		return nil, UpstreamFailure(falclient.ErrInvalidID)
	}
	m.tend()
	l, err := m.known(ctx, caller, requestID)
	own := errors.Is(err, errLostAnswer)
	if !own && !errors.Is(err, ErrNoJob) {
		return l, err
	}
	if !own && !m.opts.OneCaller {
		return nil, notFound(requestID)
	}
	endpoint, err := falclient.ParseEndpoint(falclient.Nemotron)
	if err != nil {
		return nil, &Error{Code: Internal, Message: err.Error()}
	}
	st, err := m.fal.Status(ctx, endpoint, requestID, false)
	switch {
	case errors.Is(err, falclient.ErrNotFound) && own:
		return m.joinRow(ctx, caller, requestID)
	case errors.Is(err, falclient.ErrNotFound):
		return nil, notFound(requestID)
	case err != nil:
		f := UpstreamFailure(err)
		f.RequestID = requestID
		return nil, f
	}
	return m.adopt(ctx, caller, requestID, st)
}

// errLostAnswer tells a row whose submission's answer was lost but for the
// request's id: fal can say more of it than the ledger.
var errLostAnswer = errors.New("the submission's answer was lost")

// known joins a job of the ledger's.
func (m *Manager) known(ctx context.Context, caller, requestID string) (*live, error) {
	if m.isClosed() {
		return nil, shuttingDown()
	}
	job, err := m.row(ctx, caller, requestID)
	if err != nil {
		return nil, err
	}
	if job.Status == Unknown {
		return nil, errLostAnswer
	}
	return m.pickUp(job)
}

// row reads a job of the ledger's; ErrNoJob where there is none.
func (m *Manager) row(ctx context.Context, caller, requestID string) (Job, error) {
	job, err := m.ledger.ByRequest(ctx, caller, requestID)
	if err == nil {
		return job, nil
	}
	if !errors.Is(err, ErrNoJob) {
		return Job{}, ledgerFailure("read", err)
	}
	// Its id may be known to this process only, where the ledger failed.
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range m.live {
		if job := l.snapshot(); job.RequestID == requestID && job.Caller == caller {
			return job, nil
		}
	}
	return Job{}, ErrNoJob
}

// joinRow joins a job of the ledger's as it stands there.
func (m *Manager) joinRow(ctx context.Context, caller, requestID string) (*live, error) {
	job, err := m.row(ctx, caller, requestID)
	if errors.Is(err, ErrNoJob) {
		return nil, notFound(requestID)
	}
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.join(job), nil
}

// adopt takes a request into the ledger that fal knows and the ledger does
// not, or knew only as UNKNOWN, and watches it.
func (m *Manager) adopt(ctx context.Context, caller, requestID string, st falclient.Status) (*live, error) {
	request := m.lockOf(requestID)
	request.Lock()
	defer request.Unlock()
	if l, err := m.known(ctx, caller, requestID); !errors.Is(err, ErrNoJob) && !errors.Is(err, errLostAnswer) {
		return l, err
	}
	job, err := m.row(ctx, caller, requestID)
	revive := func(j *Job) { j.revive(requestID, st.QueuePosition) }
	if err == nil {
		job, err = m.ledger.Update(ctx, job.ID, revive)
	} else {
		job = Job{
			ID: uuid.Must(uuid.NewV7()).String(), Caller: caller, Endpoint: falclient.Nemotron, Created: time.Now(),
		}
		revive(&job)
		err = m.ledger.Insert(ctx, job, DayCaps{})
	}
	if errors.Is(err, ErrKnownJob) { // another process was faster
		return m.known(ctx, caller, requestID)
	}
	if err != nil {
		return nil, ledgerFailure("written", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, shuttingDown()
	}
	l := m.join(job)
	m.start(l, func() { m.resume(l) })
	return l, nil
}

// revive makes a job of an UNKNOWN one that fal is known to have.
func (j *Job) revive(requestID string, position *int) {
	j.RequestID, j.Status, j.QueuePosition, j.Failure, j.Ended = requestID, InQueue, position, nil, time.Time{}
	j.Delivered = false
	if j.Submitted.IsZero() {
		j.Submitted = j.Created
	}
}

func notFound(requestID string) *Error {
	return &Error{Code: JobNotFound, Message: "Neither this server nor fal knows this request_id.", Action: listAction, RequestID: requestID}
}
