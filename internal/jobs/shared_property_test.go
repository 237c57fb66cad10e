package jobs

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"pgregory.net/rapid"

	"nemotron-mcp/falclient"
	"nemotron-mcp/internal/falsim"
)

// TestAnyCourseOfManyServers drives servers that share a ledger's file through
// calls, cancels, crashes and restarts in any order, at a fal in trouble. Then the
// trouble ends, and each job that fal took must be in the ledger with the end
// that fal has, once, whoever brought it home.
func TestAnyCourseOfManyServers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		rapid.Check(struct{ rapid.TB }{t}, func(rt *rapid.T) {
			c := newFleet(t, rt)
			defer c.close()
			c.script(rt)
			rt.Repeat(map[string]func(*rapid.T){
				"call": c.call, "host cancels": c.hostCancels, "settle": c.settle, "time": c.time, "status": c.status,
				"cancel": c.cancel, "script": c.script, "crash": c.crash, "restart": c.restart, "stop": c.stop, "": c.check,
			})
			c.finish(rt)
		})
	})
}

// fleet is some servers, the file they share and the fal that they ask.
type fleet struct {
	ctx     context.Context
	dir     string
	sim     *falsim.Server
	door    pipes
	end     func()
	servers []*mortalServer
	all     []*mortalServer // also those that have died
	calls   []*fleetCall
	started int
	ends    map[string]Job
}

type fleetCall struct {
	pending
	server *mortalServer
}

const fleetSize = 2

func newFleet(t *testing.T, rt tester) *fleet {
	dir, err := os.MkdirTemp(t.TempDir(), "ledger-")
	if err != nil {
		rt.Fatalf("%v", err)
	}
	c := &fleet{
		ctx: t.Context(), dir: dir, sim: falsim.New(falsim.Script{}), ends: map[string]Job{},
		door: pipes{make(chan net.Conn), make(chan struct{})},
	}
	srv := &http.Server{ReadHeaderTimeout: time.Hour, Handler: c.sim}
	served := make(chan struct{})
	go func() { defer close(served); _ = srv.Serve(c.door) }()
	c.end = func() {
		_ = c.sim.Close()
		close(c.door.done)
		_ = srv.Close()
		<-served
	}
	for range fleetSize {
		c.servers = append(c.servers, c.newServer(rt))
	}
	return c
}

func (c *fleet) close() {
	for _, s := range c.servers {
		s.shut()
	}
	for _, s := range c.all {
		<-s.gone
	}
	c.end()
	_ = os.RemoveAll(c.dir)
}

// mortalServer is a Manager that can be cut off from the world, as a kill does.
type mortalServer struct {
	m      *Manager
	fal    *falclient.Client
	ledger *mortalLedger
	dead   atomic.Bool
	calls  sync.WaitGroup
	gone   chan struct{}
	once   sync.Once

	mu    sync.Mutex
	conns []net.Conn
}

var errDead = errors.New("the process is dead")

func (c *fleet) newServer(t tester) *mortalServer {
	file, err := OpenSQLite(c.dir, false, zerolog.Nop())
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	s := &mortalServer{gone: make(chan struct{})}
	s.ledger = &mortalLedger{SQLite: file, dead: &s.dead}
	tr := &http.Transport{MaxIdleConnsPerHost: 100, DialContext: func(context.Context, string, string) (net.Conn, error) {
		if s.dead.Load() {
			return nil, errDead
		}
		a, b := net.Pipe()
		s.mu.Lock()
		s.conns = append(s.conns, a)
		s.mu.Unlock()
		select {
		case c.door.conns <- b:
			return a, nil
		case <-c.door.done:
			return nil, net.ErrClosed
		}
	}}
	s.fal, err = falclient.New(falclient.Config{Key: secretKey, QueueURL: "http://127.0.0.1", PlatformURL: "http://127.0.0.1/v1", Transport: tr})
	if err != nil {
		t.Fatalf("client: %v", err)
	}
	s.m = New(s.fal, s.ledger, Options{Prices: DefaultPrices(), KnowsKey: true, OneCaller: true, Log: zerolog.Nop()})
	c.all = append(c.all, s)
	return s
}

// kill lets nothing through any more, in either direction.
func (s *mortalServer) kill() {
	s.dead.Store(true)
	s.mu.Lock()
	for _, conn := range s.conns {
		_ = conn.Close()
	}
	s.mu.Unlock()
	s.shut()
}

// shut ends a server, and joins it in the background.
func (s *mortalServer) shut() {
	s.once.Do(func() {
		go func() {
			defer close(s.gone)
			ctx, done := context.WithTimeout(context.Background(), 3*time.Minute)
			defer done()
			_ = s.m.Close(ctx)
			s.calls.Wait()
			s.fal.Close()
			s.ledger.end()
		}()
	})
}

// mortalLedger is a file that a dead process can't reach.
type mortalLedger struct {
	*SQLite
	dead *atomic.Bool
}

func (l *mortalLedger) alive() error {
	if l.dead.Load() {
		return errDead
	}
	return nil
}

func (l *mortalLedger) Insert(ctx context.Context, job Job, dayCap float64) error {
	if err := l.alive(); err != nil {
		return err
	}
	return l.SQLite.Insert(ctx, job, dayCap)
}

func (l *mortalLedger) Update(ctx context.Context, id string, change func(*Job)) (Job, error) {
	if err := l.alive(); err != nil {
		return Job{}, err
	}
	return l.SQLite.Update(ctx, id, change)
}

func (l *mortalLedger) Claim(ctx context.Context, id string) (Job, bool, error) {
	if err := l.alive(); err != nil {
		return Job{}, false, err
	}
	return l.SQLite.Claim(ctx, id)
}

func (l *mortalLedger) Undelivered(ctx context.Context, caller, hash string, since time.Time, free func(Job) bool) (Job, error) {
	if err := l.alive(); err != nil {
		return Job{}, err
	}
	return l.SQLite.Undelivered(ctx, caller, hash, since, free)
}

func (l *mortalLedger) TakeOver(ctx context.Context) ([]Job, bool, error) {
	if err := l.alive(); err != nil {
		return nil, false, err
	}
	return l.SQLite.TakeOver(ctx)
}

// Close leaves the row of a dead process where it is.
func (l *mortalLedger) Close() error {
	if l.dead.Load() {
		l.end()
		return nil
	}
	return l.SQLite.Close()
}

func (l *mortalLedger) end() {
	l.closing.Do(func() {
		close(l.quit)
		<-l.served
		_ = l.db.Close()
	})
}

func (c *fleet) server(t *rapid.T) *mortalServer {
	return c.servers[rapid.IntRange(0, len(c.servers)-1).Draw(t, "server")]
}

func (c *fleet) call(t *rapid.T) {
	s := c.server(t)
	wait := rapid.SampledFrom([]time.Duration{0, time.Second, 20 * time.Second}).Draw(t, "wait")
	req := prompt(rapid.SampledFrom([]string{"a", "b"}).Draw(t, "prompt"), wait)
	ctx, stop := context.WithCancel(c.ctx)
	p := &fleetCall{pending: pending{stop: stop, done: make(chan struct{})}, server: s}
	s.calls.Go(func() {
		defer close(p.done)
		p.job, p.err = s.m.Generate(ctx, req, nil)
	})
	c.calls = append(c.calls, p)
	c.started++
}

func (c *fleet) pick(t *rapid.T) *fleetCall {
	if len(c.calls) == 0 {
		t.Skip("no calls")
	}
	return c.calls[rapid.IntRange(0, len(c.calls)-1).Draw(t, "call")]
}

func (c *fleet) hostCancels(t *rapid.T) { c.pick(t).stop() }

func (c *fleet) settle(t *rapid.T) {
	p := c.pick(t)
	select {
	case <-p.done:
		c.settled(p, rapid.Bool().Draw(t, "delivered"))
	default:
		t.Skip("in flight")
	}
}

func (c *fleet) settled(p *fleetCall, delivered bool) {
	for i, other := range c.calls {
		if other == p {
			c.calls = append(c.calls[:i:i], c.calls[i+1:]...)
			break
		}
	}
	p.stop()
	p.server.m.Settle(p.job, WasTold(delivered && !p.server.dead.Load(), false))
}

func (c *fleet) time(t *rapid.T) {
	time.Sleep(time.Duration(rapid.SampledFrom([]int{1, 100, 1500, 6000, 30000}).Draw(t, "ms")) * time.Millisecond)
}

func (c *fleet) request(t *rapid.T) string {
	var ids []string
	for _, row := range c.rows(t) {
		if row.RequestID != "" {
			ids = append(ids, row.RequestID)
		}
	}
	if len(ids) == 0 {
		t.Skip("no requests")
	}
	return rapid.SampledFrom(ids).Draw(t, "request")
}

func (c *fleet) status(t *rapid.T) {
	s, id := c.server(t), c.request(t)
	job, _ := s.m.Status(c.ctx, me, id, time.Second, nil)
	s.m.Settle(job, WasTold(rapid.Bool().Draw(t, "delivered"), false))
}

func (c *fleet) cancel(t *rapid.T) {
	s, id := c.server(t), c.request(t)
	job, _, _ := s.m.Cancel(c.ctx, me, id)
	s.m.Settle(job, WasTold(rapid.Bool().Draw(t, "delivered"), false))
}

func (c *fleet) script(t *rapid.T) { c.sim.SetScript(drawScript(t)) }

func (c *fleet) crash(t *rapid.T) { c.leave(t, (*mortalServer).kill) }
func (c *fleet) stop(t *rapid.T)  { c.leave(t, (*mortalServer).shut) }

func (c *fleet) leave(t *rapid.T, how func(*mortalServer)) {
	if len(c.servers) == 1 {
		t.Skip("the last one")
	}
	i := rapid.IntRange(0, len(c.servers)-1).Draw(t, "server")
	how(c.servers[i])
	c.servers = append(c.servers[:i:i], c.servers[i+1:]...)
}

func (c *fleet) restart(t *rapid.T) {
	if len(c.servers) >= fleetSize {
		t.Skip("all run")
	}
	c.servers = append(c.servers, c.newServer(t))
}

func (c *fleet) rows(t tester) []Job {
	ledger := c.servers[0].ledger
	rows, err := ledger.List(c.ctx, Query{Everyone: true, Limit: 1 << 20})
	if err != nil {
		t.Fatalf("List: %v", err)
	}
	for i, row := range rows {
		if rows[i], err = ledger.Find(c.ctx, row.ID); err != nil {
			t.Fatalf("Find: %v", err)
		}
	}
	return rows
}

// check holds what must be true at any time.
func (c *fleet) check(t *rapid.T) {
	synctest.Wait()
	accepted, rows := c.sim.Stats().Accepted, c.rows(t)
	if accepted > len(rows) || len(rows) > c.started {
		t.Fatalf("%d calls, %d rows, %d submissions taken", c.started, len(rows), accepted)
	}
	for _, row := range rows {
		was, ended := c.ends[row.ID]
		if ended && was.Status != Unknown && (row.Status != was.Status || row.Output != was.Output) {
			t.Fatalf("%s was %s and is %s", row.ID, was.Status, row.Status)
		}
		if row.Status.Finished() {
			c.ends[row.ID] = row
		}
	}
}

// finish ends the trouble and compares the ledger with fal.
func (c *fleet) finish(t *rapid.T) {
	c.sim.SetScript(falsim.Script{Output: "the answer"})
	for _, s := range c.servers {
		s.m.Collect()
	}
	unfinished := func() (n int) {
		for _, row := range c.rows(t) {
			if !row.Status.Finished() {
				n++
			}
		}
		return n
	}
	for minute := 0; unfinished() > 0 || len(c.calls) > 0; minute++ {
		if minute > 40 {
			t.Fatalf("%d rows and %d calls are still unfinished", unfinished(), len(c.calls))
		}
		time.Sleep(time.Minute)
		for _, p := range c.calls {
			select {
			case <-p.done:
				c.settled(p, false)
			default:
			}
		}
	}
	c.check(t)
	if _, err := c.servers[0].m.Reconcile(c.ctx, c.servers[0].fal, time.Time{}); err != nil {
		t.Fatalf("Reconcile: %v", err)
	}
	c.compare(t)
}

func (c *fleet) compare(t *rapid.T) {
	rows, counted := map[string]Job{}, 0.0
	for _, row := range c.rows(t) {
		counted += row.CountedUSD
		if row.RequestID == "" {
			if row.Status == Completed {
				t.Fatalf("a row of no request is %s", row.Status)
			}
			continue
		}
		if twin, double := rows[row.RequestID]; double {
			t.Fatalf("%s is in two rows, %s and %s", row.RequestID, row.ID, twin.ID)
		}
		rows[row.RequestID] = row
		if row.Status == Completed && nano(row.CountedUSD) != nano(row.CostUSD) {
			t.Fatalf("%s counts %v and costs %v", row.RequestID, row.CountedUSD, row.CostUSD)
		}
	}
	for _, job := range c.sim.Jobs() {
		row, found := rows[job.RequestID]
		if !found {
			t.Fatalf("%s is in no row: %s", job.RequestID, describe(c.rows(t)))
		}
		if err := (&course{}).compare(job, row); err != nil {
			t.Fatalf("%s: %v", job.RequestID, err)
		}
	}
	spent := 0.0
	usage, err := c.servers[0].m.Usage(c.ctx, time.Time{})
	for _, day := range usage {
		spent += day.CountedUSD
	}
	if err != nil || nano(spent) != nano(counted) {
		t.Fatalf("the days count %v, the rows %v (%v)", spent, counted, err)
	}
}

func describe(rows []Job) (text string) {
	for _, row := range rows {
		text += fmt.Sprintf("\n%s %s %s %s", row.ID, row.Status, row.RequestID, row.Preview)
	}
	return text
}
