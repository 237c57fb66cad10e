package jobs

import (
	"context"
	"strings"
	"sync"
	"time"

	"nemotron-mcp/falclient"
)

// live is a job that this process watches or waits for: the state that its
// watcher writes and its waiters read.
type live struct {
	id       string
	endpoint falclient.Endpoint

	// Guarded by Manager.mu.
	waiters int
	running bool // a watcher runs
	again   bool // it must not end before it has looked once more

	submitting context.Context // ends when the job is not to be submitted any more
	stopSubmit context.CancelFunc
	prompts    []string // their first characters, which no message may repeat

	accounted sync.Once // the line in the log
	observed  sync.Once // its end, by the operator's metrics

	// leavePlace ends the job's counting against its caller's limit; nil where it
	// does not count. It is set before the job is watched.
	leavePlace func()

	writing sync.Mutex // held while a change is written to the ledger and here

	mu        sync.Mutex
	watching  context.Context // ends when nobody need watch any more, or another process may
	stopWatch context.CancelFunc
	left      bool // nobody need watch any more
	job       Job
	changed   chan struct{} // closed and replaced at each change that somebody waits for
	curious   int           // waiters that want each change, not only the end
	cancel    cancelState
	cancelErr error // of the last cancel at fal
	outcome   falclient.CancelOutcome
	refused   *Error // what fal says lastingly instead of letting the job be read
}

// cancelState is how far a wish to cancel has got.
type cancelState int

const (
	notWanted cancelState = iota
	wanted                // and the submission is still to be answered
	asking                // fal is being asked
	asked                 // fal has answered
)

func newLive(job Job, endpoint falclient.Endpoint) *live {
	l := &live{id: job.ID, endpoint: endpoint, job: job, prompts: job.prompts(), changed: make(chan struct{})}
	l.submitting, l.stopSubmit = context.WithCancel(context.Background())
	l.watching, l.stopWatch = context.WithCancel(context.Background())
	return l
}

// set replaces the job's state. Waiters that want the end are not woken for
// what comes before it: most calls are such, and each wake-up costs as much as
// a request.
func (l *live) set(job Job) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.job = job
	if job.Status.Finished() {
		l.freePlace() // before a waiter wakes, who may have another call to make
	}
	if l.curious > 0 || job.Status.Finished() {
		l.broadcast()
	}
}

// freePlace makes place for another job of the caller's.
func (l *live) freePlace() {
	if l.leavePlace != nil {
		l.leavePlace()
	}
}

// wantChanges makes set wake for each change, until done is called.
func (l *live) wantChanges() (done func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.curious++
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.curious--
	}
}

// broadcast wakes the waiters. l.mu is held.
func (l *live) broadcast() {
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *live) snapshot() Job {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.job
}

// wait returns the job at its end, when the timer fires, when fal refuses it
// for good, or when it is let go; with ctx's cause where ctx ended first. A job
// is not handed back without its request_id: a submission on its way is waited
// for, whatever the timer says.
func (l *live) wait(ctx context.Context, timer <-chan time.Time, onChange func(Job)) (Job, error) {
	if onChange != nil {
		defer l.wantChanges()()
	}
	for due := false; ; {
		l.mu.Lock()
		job, changed, refused, letGo, watching := l.job, l.changed, l.refused, l.left, l.watching
		l.mu.Unlock()
		if job.Status.Finished() || refused != nil || letGo || due && job.Status != Submitting {
			return job, nil
		}
		if onChange != nil {
			onChange(job)
		}
		select {
		case <-changed:
		case <-timer:
			due = true
			defer l.wantChanges()() // of SUBMITTING; the timer fires once
		case <-watching.Done():
		case <-ctx.Done():
			return l.snapshot(), context.Cause(ctx)
		}
	}
}

// waitCancel returns what fal has answered to the cancel. The job's end is not
// waited for, nor is it enough: only the answer tells whether it is billed.
func (l *live) waitCancel(ctx context.Context) (falclient.CancelOutcome, error) {
	for {
		l.mu.Lock()
		changed, outcome, err := l.changed, l.outcome, l.cancelErr
		done := l.cancel == asked || l.cancel == notWanted || l.cancel == wanted && l.job.Status.Finished()
		l.mu.Unlock()
		if done {
			return outcome, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
}

// wantCancel records the wish. It reports whether fal is to be asked now: not
// where the job has ended or fal is being asked, and not before the submission
// was answered, when the watcher asks.
func (l *live) wantCancel() (ask bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.job.Status.Finished() || l.cancel == wanted || l.cancel == asking {
		return false
	}
	if l.job.RequestID == "" {
		l.cancel = wanted
		return false
	}
	l.cancel = asking
	return true
}

// cancelDue reports whether a cancel was wanted before the submission was
// answered; if so fal is to be asked now.
func (l *live) cancelDue() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cancel != wanted {
		return false
	}
	l.cancel = asking
	return true
}

// cancelAgain reports whether a cancel that the ledger tells of is to be asked
// for now, because this process has not.
func (l *live) cancelAgain() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cancel != notWanted {
		return false
	}
	l.cancel = asking
	return true
}

// cancelAnswered records what fal said. After an error the wish may be
// repeated.
func (l *live) cancelAnswered(outcome falclient.CancelOutcome, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.outcome, l.cancelErr, l.cancel = outcome, err, asked
	if err != nil {
		l.cancel = notWanted
	}
	l.broadcast()
}

func (l *live) cancelWanted() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cancel == wanted || l.cancel == asking
}

// abandon stops the watching; the job runs on at fal.
func (l *live) abandon() {
	l.stopSubmit()
	l.leave()
}

// leave ends the watching for good.
func (l *live) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.left = true
	l.stopWatch()
}

// yield ends the present watching, because another process may have become the
// one to watch.
func (l *live) yield() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.left {
		return
	}
	l.stopWatch()
	l.watching, l.stopWatch = context.WithCancel(context.Background())
}

// letGo reports whether nobody need watch any more.
func (l *live) letGo() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.left
}

// context is that of the present watching.
func (l *live) context() context.Context {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.watching
}

// refresh takes over the ledger's row, which another process may have written.
func (l *live) refresh(row Job) {
	l.writing.Lock()
	defer l.writing.Unlock()
	row.advance(l.snapshot())
	l.set(row)
}

// refuse records that fal lastingly refuses to let the job be read; nil that
// it no longer does.
func (l *live) refuse(e *Error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refused == nil && e == nil {
		return
	}
	l.refused = e
	l.broadcast()
}

// trouble is what keeps an unfinished job from being read, if anything does.
func (l *live) trouble() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var told Error
	switch {
	case l.job.Status.Finished():
		return nil
	case l.refused != nil:
		told = *l.refused
		told.Action = strings.TrimSuffix(told.Action, ".") + ". The job was taken and goes on: call queue_status with this request_id after that; do not submit it again."
	case l.left:
		told = Error{
			Code: UpstreamUnavailable, Retryable: true,
			Message: "The server is shutting down and no longer watches this job, which may go on at fal.",
			Action:  "Start the server again and call queue_status; do not submit it again.",
		}
	default:
		return nil
	}
	told.RequestID = l.job.RequestID
	return &told
}
