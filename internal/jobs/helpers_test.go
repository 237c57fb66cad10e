package jobs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"nemotron-mcp/falclient"
	"nemotron-mcp/internal/falsim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	me        = "me"
	secretKey = "k3y-id:k3y-very-secret"
)

// bubble runs f where time is the test's own: hours pass at once, and in a
// known order.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, f)
}

// tester is what a rig needs of *testing.T and of *rapid.T.
type tester interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// rig is a Manager in front of the simulator, over pipes, in a bubble.
type rig struct {
	t      tester
	ctx    context.Context
	sim    *falsim.Server
	ledger *faultyLedger
	m      *Manager
	log    *logBuffer

	calls sync.WaitGroup
	end   []func()
}

// setup is what a test wants to be different.
type setup struct {
	manyCallers bool
	inFlight    int
	noKey       bool
	prices      Prices
	submit      falclient.SubmitOptions
	fal         Fal // instead of the simulator
	dial        func(ctx context.Context) error
	onRequest   func(*http.Request) // at the simulator's door
}

func newRig(t *testing.T, script falsim.Script, s setup) *rig {
	t.Helper()
	r := openRig(t.Context(), t, script, s)
	t.Cleanup(r.close)
	return r
}

func openRig(ctx context.Context, t tester, script falsim.Script, s setup) *rig {
	t.Helper()
	r := &rig{t: t, ctx: ctx, sim: falsim.New(script), ledger: &faultyLedger{Ledger: NewMemory()}, log: &logBuffer{}}
	fal := s.fal
	if fal == nil {
		fal = r.connect(s)
	}
	if s.prices == nil {
		s.prices = DefaultPrices()
	}
	r.m = New(fal, r.ledger, Options{
		Prices: s.prices, Submit: s.submit, KnowsKey: !s.noKey, OneCaller: !s.manyCallers, MaxInFlight: s.inFlight, Log: zerolog.New(r.log),
	})
	return r
}

// connect serves the simulator over pipes and makes a client of it.
func (r *rig) connect(s setup) *falclient.Client {
	p := pipes{make(chan net.Conn), make(chan struct{})}
	srv := &http.Server{ReadHeaderTimeout: time.Hour, Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if s.onRequest != nil {
			s.onRequest(req)
		}
		r.sim.ServeHTTP(w, req)
	})}
	served := make(chan struct{})
	go func() { defer close(served); _ = srv.Serve(p) }()
	tr := &http.Transport{MaxIdleConnsPerHost: 1000, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		if s.dial != nil {
			if err := s.dial(ctx); err != nil {
				return nil, err
			}
		}
		a, b := net.Pipe()
		select {
		case p.conns <- b:
			return a, nil
		case <-p.done:
			return nil, net.ErrClosed
		}
	}}
	key := secretKey
	if s.noKey {
		key = ""
	}
	client, err := falclient.New(falclient.Config{Key: key, QueueURL: "http://127.0.0.1", Transport: tr})
	if err != nil {
		r.t.Fatalf("client: %v", err)
	}
	r.end = append(r.end, func() {
		client.Close()
		_ = r.sim.Close()
		close(p.done)
		_ = srv.Close()
		<-served
	})
	return client
}

// close joins everything; the bubble fails where a goroutine stays behind.
func (r *rig) close() {
	r.calls.Wait()
	ctx, done := context.WithTimeout(context.Background(), 2*time.Minute)
	defer done()
	if err := r.m.Close(ctx); err != nil {
		r.t.Errorf("Close: %v", err)
	}
	for _, f := range r.end {
		f()
	}
}

type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func (p pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}
func (p pipes) Close() error   { return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

// prompt is a call of the plainest kind.
func prompt(text string, wait time.Duration) Request {
	return Request{Caller: me, Endpoint: falclient.Nemotron, Input: falclient.NemotronInput{Prompt: text}, Wait: wait}
}

// generate makes a call that must not fail, and leaves it unsettled.
func (r *rig) generate(req Request) Job {
	r.t.Helper()
	job, err := r.m.Generate(r.ctx, req, nil)
	if err != nil {
		r.t.Fatalf("Generate: %v", err)
	}
	return job
}

// handBack submits a job and lets go of it with its request_id.
func (r *rig) handBack(text string) Job {
	r.t.Helper()
	job := r.generate(prompt(text, 0))
	if job.RequestID == "" || job.Status.Finished() {
		r.t.Fatalf("handed back as %s with request_id %q", job.Status, job.RequestID)
	}
	r.m.Settle(job, ToldAll)
	return job
}

// status reads a job, and settles it as delivered.
func (r *rig) status(id string, wait time.Duration) Job {
	r.t.Helper()
	job, err := r.m.Status(r.ctx, me, id, wait, nil)
	if err != nil {
		r.t.Fatalf("Status: %v", err)
	}
	r.m.Settle(job, ToldAll)
	return job
}

// pending is a call in flight.
type pending struct {
	stop context.CancelFunc
	done chan struct{}
	job  Job
	err  error
	took time.Duration
}

func (r *rig) start(req Request) *pending {
	ctx, stop := context.WithCancel(r.ctx)
	p := &pending{stop: stop, done: make(chan struct{})}
	began := time.Now()
	r.calls.Go(func() {
		defer close(p.done)
		p.job, p.err = r.m.Generate(ctx, req, nil)
		p.took = time.Since(began)
	})
	return p
}

func (p *pending) wait() (Job, error) {
	<-p.done
	p.stop()
	return p.job, p.err
}

// rows are all of a caller's, the newest first.
func (r *rig) rows() []Job {
	r.t.Helper()
	rows, err := r.ledger.Ledger.List(r.ctx, Query{Caller: me, Limit: 1 << 20})
	if err != nil {
		r.t.Fatalf("List: %v", err)
	}
	for i, row := range rows { // a list leaves out the outputs
		if rows[i], _, err = r.ledger.Claim(r.ctx, row.ID); err != nil {
			r.t.Fatalf("Claim: %v", err)
		}
	}
	return rows
}

// held is how many jobs the manager still knows of.
func (r *rig) held() int {
	synctest.Wait()
	r.m.mu.Lock()
	defer r.m.mu.Unlock()
	return len(r.m.live)
}

// count compares what fal has counted.
func (r *rig) count(accepted, bills int) {
	r.t.Helper()
	if st := r.sim.Stats(); st.Accepted != accepted || st.Billed != bills {
		r.t.Errorf("fal took %d submissions and billed %d, want %d and %d", st.Accepted, st.Billed, accepted, bills)
	}
}

// is compares a job's end.
func (r *rig) is(job Job, want Status, code Code) {
	r.t.Helper()
	var got Code
	if job.Failure != nil {
		got = job.Failure.Code
	}
	if job.Status != want || got != code {
		r.t.Errorf("job is %s %q (%v), want %s %q", job.Status, got, job.Failure, want, code)
	}
}

// code is what an error tells to the one who must act.
func code(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// lines are the log's events with that message.
func (r *rig) lines(message string) []map[string]any {
	r.t.Helper()
	var found []map[string]any
	dec := json.NewDecoder(bytes.NewReader([]byte(r.log.String())))
	for dec.More() {
		var line map[string]any
		if err := dec.Decode(&line); err != nil {
			r.t.Fatalf("log: %v", err)
		}
		if line["message"] == message {
			found = append(found, line)
		}
	}
	return found
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}
