package jobs

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"

	"nemotron-mcp/falclient"
	"nemotron-mcp/internal/workers"
)

const (
	// attachWindow is how long an answer that never reached the host is kept
	// ready for the same call.
	attachWindow = 10 * time.Minute
	// cancelTime is what a cancel at fal has, beyond the end of the call that
	// wanted it.
	cancelTime = 5 * time.Second
	// outcomeTime is how long a call that was ended waits to learn what became
	// of its cancel. It fits the grace that a transport gives at its end.
	outcomeTime = 500 * time.Millisecond
	// keptWorkers is how many goroutines of ended jobs are kept for the next ones.
	keptWorkers = 64
)

// Fal is what the Manager asks of fal; *falclient.Client implements it.
type Fal interface {
	Submit(ctx context.Context, endpoint falclient.Endpoint, input any, opts falclient.SubmitOptions) (falclient.Submission, error)
	Watch(ctx context.Context, endpoint falclient.Endpoint, id string, onChange func(falclient.Status)) (falclient.Status, error)
	Status(ctx context.Context, endpoint falclient.Endpoint, id string, logs bool) (falclient.Status, error)
	Result(ctx context.Context, endpoint falclient.Endpoint, id string) (falclient.Result, error)
	Cancel(ctx context.Context, endpoint falclient.Endpoint, id string) (falclient.CancelOutcome, error)
}

// Options are the operator's settings.
type Options struct {
	Prices Prices
	// Submit holds fal's switches that go with every submission.
	Submit falclient.SubmitOptions
	// SafetyChecker is sent as enable_safety_checker where it is not nil.
	SafetyChecker *bool
	// KnowsKey is false where no key is set: calls explain that instead of
	// being written down.
	KnowsKey bool
	// OneCaller lets queue_status and queue_cancel reach requests of the key's
	// that this ledger does not know. Not where callers are told apart: the
	// request might be another's.
	OneCaller bool
	// Mask hides secrets in what the ledger keeps of a prompt; nil hides none.
	Mask func(string) string
	// MaxCostPerCall is a cap in USD on the worst case of a call; 0 is none.
	MaxCostPerCall float64
	// MaxCostPerDay is a cap in USD on what the jobs of a UTC day count: those of
	// each caller that has a name, and all of them for the one who has none; 0 is
	// none. MaxCostPerDayTotal is one on all of them, whoever calls.
	MaxCostPerDay, MaxCostPerDayTotal float64
	// MaxInFlight is how many unfinished jobs a caller may have submitted in this
	// process; 0 is no limit. A job counts from before its row is written until it
	// has ended or is not watched here any more. One that was taken over from
	// another process, or that a call attaches to, does not count anew.
	MaxInFlight int
	// MetadataOnly keeps no prompt, and no output once it was delivered.
	MetadataOnly bool
	// Observe, unless nil, is told of each job that has ended here, once.
	Observe func(Job)
	Log     zerolog.Logger
}

// Manager runs jobs. It is safe for concurrent use.
type Manager struct {
	fal    Fal
	ledger Ledger
	opts   Options

	places  *places
	workers *workers.Pool  // of the watchers and of the cancels
	inputs  [64]sync.Mutex // one call of an input at a time looks for its job
	seed    maphash.Seed
	tending sync.Once
	// entering counts the calls that write to the ledger before they have a worker.
	entering sync.WaitGroup
	ending   context.Context // of Close
	end      context.CancelFunc
	trouble  string // of the last round; its goroutine's own

	handBack context.Context // ends when calls are not to wait any more
	release  context.CancelFunc

	mu     sync.Mutex
	closed bool
	live   map[string]*live // by job ID: the jobs that this process watches
}

// New makes a manager. It starts nothing.
func New(fal Fal, ledger Ledger, opts Options) *Manager {
	m := &Manager{
		fal: fal, ledger: ledger, opts: opts, places: newPlaces(opts.MaxInFlight), workers: workers.New(keptWorkers),
		seed: maphash.MakeSeed(), live: map[string]*live{},
	}
	m.ending, m.end = context.WithCancel(context.Background())
	m.handBack, m.release = context.WithCancel(context.Background())
	return m
}

// Close stops watching and waits for the goroutines, at most until ctx ends.
// Cancels that are under way are let finish. Jobs that run on at fal stay
// unfinished in the ledger, which is closed too, and calls that still wait for
// one return with an *Error. From then on every call is refused.
func (m *Manager) Close(ctx context.Context) error {
	m.mu.Lock()
	m.closed = true
	m.end()
	for _, l := range m.live {
		if !l.cancelWanted() {
			l.abandon()
		}
	}
	m.mu.Unlock()
	done := make(chan struct{})
	m.workers.Close()
	go func() {
		m.entering.Wait()
		m.workers.Wait()
		close(done)
	}()
	select {
	case <-done:
		return m.ledger.Close()
	case <-ctx.Done():
	}
	// What was paid for is accounted for, even where its end is not known.
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range m.live {
		if l.running {
			m.audit(l, "submission")
		}
	}
	return errors.New("some jobs could not be let go in time")
}

// enter keeps the ledger open until entering is done; false after Close.
func (m *Manager) enter() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.closed {
		m.entering.Add(1)
	}
	return !m.closed
}

func (m *Manager) isClosed() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.closed
}

// Generate runs one call: it attaches to a job of the same input whose answer
// never reached the host, or else writes a row and submits, once, and waits
// for the end or for req.Wait. The job it returns may be unfinished, failed or
// cancelled; that is not an error. An *Error means that there is no job to
// speak of. onChange, where it is not nil, is called from this goroutine each
// time the job has changed.
//
// When ctx ends first, the job is cancelled at fal, and the job is returned as
// it stands a moment later, with ctx's cause as the error.
//
// Until Settle is called with it, the job counts as waited for.
func (m *Manager) Generate(ctx context.Context, req Request, onChange func(Job)) (Job, error) {
	if ctx.Err() != nil {
		return Job{}, context.Cause(ctx)
	}
	if !m.opts.KnowsKey {
		return Job{}, NoKey()
	}
	due, stop := m.deadline(req.Wait)
	defer stop()
	l, err := m.attachOrStart(ctx, req)
	if err != nil {
		return Job{}, err
	}
	job, err := l.wait(ctx, due, onChange)
	if err == nil {
		return job, l.trouble()
	}
	m.cancel(l)
	outcome, end := context.WithTimeout(context.WithoutCancel(ctx), outcomeTime)
	defer end()
	job, _ = l.wait(outcome, nil, nil)
	return job, err
}

// attachOrStart finds or makes the job of a call and joins it as a waiter.
func (m *Manager) attachOrStart(ctx context.Context, req Request) (*live, error) {
	sent, hash, err := m.identify(&req)
	if err != nil {
		return nil, err
	}
	if !m.enter() {
		return nil, shuttingDown()
	}
	defer m.entering.Done()
	m.tend()
	input := m.lockOf(hash)
	input.Lock()
	defer input.Unlock()
	if l, err := m.undelivered(ctx, req, hash); l != nil || err != nil {
		return l, err
	}
	leavePlace, ok := m.places.take(req.Caller)
	if !ok {
		return nil, noPlace(m.opts.MaxInFlight)
	}
	var l *live
	defer func() {
		if l == nil { // also where it panicked
			leavePlace()
		}
	}()
	l, err = m.begin(ctx, req, sent, hash, leavePlace)
	return l, err
}

// begin writes a new job's row and has it submitted. Where it returns no job,
// there is none.
func (m *Manager) begin(ctx context.Context, req Request, sent, hash string, leavePlace func()) (*live, error) {
	job := Job{
		ID: uuid.Must(uuid.NewV7()).String(), Caller: req.Caller, Host: req.Host, Endpoint: req.Endpoint,
		InputHash: hash, SentHash: sent, InputSize: len(req.Input.Prompt) + len(req.Input.SystemPrompt),
		Preview: m.preview(req.Input.Prompt), Attachments: m.masked(req.Attachments),
		Thinking: req.Input.ReasoningMode == "think", HideReasoning: req.HideReasoning,
		Status: Submitting, Created: time.Now(), CountedUSD: m.opts.Prices.WorstCase(req.Endpoint, req.Input),
	}
	if req.Prompt != "" {
		job.SentPreview, job.Preview = job.Preview, m.preview(req.Prompt)
	}
	prompts := job.prompts()
	if m.opts.MetadataOnly {
		job.Preview, job.SentPreview = "", ""
	}
	if err := m.insert(ctx, job); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.join(job)
	l.leavePlace = leavePlace
	if m.closed {
		m.forgo(l)
		return nil, shuttingDown()
	}
	l.prompts = prompts
	m.start(l, func() {
		if m.submit(l, req) && !m.watch(l) {
			m.attend(l)
		}
		m.audit(l, "submission")
	})
	return l, nil
}

// lockOf is the lock of an input's hash, or of a request id, which it shares with
// some others.
func (m *Manager) lockOf(name string) *sync.Mutex {
	h := maphash.String(m.seed, name)
	return &m.inputs[h%uint64(len(m.inputs))]
}

// forgo ends a job whose row was written while Close began. m.mu is held.
func (m *Manager) forgo(l *live) {
	delete(m.live, l.id)
	m.update(l, func(j *Job) {
		j.Status, j.Failure = Cancelled, cancelled("The server was shutting down; nothing was submitted or billed.")
		j.Ended, j.CountedUSD = time.Now(), 0
	})
}

// start runs a job's watcher. m.mu is held.
func (m *Manager) start(l *live, run func()) {
	l.running = true
	m.workers.Go(func() {
		run()
		m.mu.Lock()
		defer m.mu.Unlock()
		// A caller may have joined while it was about to end.
		for l.again || l.waiters > 0 && !m.closed && !l.letGo() && !l.snapshot().Status.Finished() {
			l.again = false
			m.mu.Unlock()
			m.resume(l)
			m.mu.Lock()
		}
		l.abandon()
		l.freePlace()
		l.running = false
		m.forget(l)
	})
}

func shuttingDown() *Error {
	return &Error{Code: UpstreamUnavailable, Message: "The server is shutting down; nothing was submitted.", Action: "Start it again and call again."}
}

// undelivered finds a job with the same input that nobody waits for and whose
// end the host never got; nil where there is none. Where the ledger can't tell,
// it is an error: the job may be there, and paid for. The input's lock is held,
// so no other call can take it too.
func (m *Manager) undelivered(ctx context.Context, req Request, hash string) (*live, error) {
	job, err := m.ledger.Undelivered(ctx, req.Caller, hash, time.Now().Add(-attachWindow), func(j Job) bool {
		if j.CancelRequested && j.Status != Completed || j.Status == Failed || j.Status == Cancelled {
			return false
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		l := m.live[j.ID]
		return l == nil || l.waiters == 0 && !l.cancelWanted()
	})
	if errors.Is(err, ErrNoJob) {
		return nil, nil
	}
	if err != nil {
		return nil, ledgerFailure("read, so nothing was submitted", err)
	}
	l, err := m.pickUp(job)
	if err == nil && job.HideReasoning != req.HideReasoning {
		m.note(l, func(j *Job) { j.HideReasoning = req.HideReasoning })
	}
	return l, err
}

// pickUp joins a job of the ledger's, and sees to it that it is followed.
func (m *Manager) pickUp(job Job) (*live, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, shuttingDown()
	}
	l := m.join(job)
	if !l.running && !l.snapshot().Status.Finished() {
		m.start(l, func() { m.resume(l) })
	}
	return l, nil
}

func ledgerFailure(what string, err error) *Error {
	return &Error{
		Code: Internal, Message: fmt.Sprintf("The ledger can't be %s: %v", what, err),
		Action: "The operator should check the state folder.",
	}
}

// join makes the caller a waiter of a job, which from now on is one that this
// process knows. m.mu is held.
func (m *Manager) join(job Job) *live {
	l := m.live[job.ID]
	waiters := 0
	if l != nil && !l.running && l.snapshot().Status == Unknown && !job.Status.Finished() {
		// Somebody is still being told that it is UNKNOWN; it has been found alive.
		waiters, l = l.waiters, nil
	}
	if l == nil {
		endpoint, _ := falclient.ParseEndpoint(job.Endpoint) // was parsed before the row was written
		l = newLive(job, endpoint)
		l.waiters = waiters
		m.live[job.ID] = l
	}
	l.waiters++
	return l
}

// forget drops a job that nobody watches or waits for. m.mu is held.
func (m *Manager) forget(l *live) {
	if l.waiters <= 0 && !l.running && m.live[l.id] == l {
		delete(m.live, l.id)
	}
}
