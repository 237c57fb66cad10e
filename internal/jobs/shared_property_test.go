package jobs

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

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
