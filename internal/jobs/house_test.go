package jobs

import (
	"context"
	"database/sql"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"nemotron-mcp/falclient"
	"nemotron-mcp/internal/falsim"
)

// house is several managers, each as in a process of its own, in front of one
// simulator and on one ledger, in a bubble.
type house struct {
	t      *testing.T
	dir    string
	sim    *falsim.Server
	conns  pipes
	ledger *SQLite // an onlooker's, which takes nothing over
	db     *sql.DB
}

func newHouse(t *testing.T, script falsim.Script) *house {
	t.Helper()
	f := &house{t: t, dir: state(t), sim: falsim.New(script), conns: pipes{make(chan net.Conn), make(chan struct{})}}
	f.ledger, f.db = openLedger(t, f.dir), rawLedger(t, f.dir)
	srv := &http.Server{ReadHeaderTimeout: time.Hour, Handler: f.sim}
	served := make(chan struct{})
	go func() { defer close(served); _ = srv.Serve(f.conns) }()
	t.Cleanup(func() {
		_ = f.sim.Close()
		close(f.conns.done)
		_ = srv.Close()
		<-served
	})
	return f
}

// member is one manager of a house. Its rig's rows and its faulty ledger are not
// for use.
type member struct {
	*rig
	f      *house
	client *falclient.Client
	shared *mortal
	line   *line
	asked  atomic.Int64 // requests to fal
}

// join adds a manager.
func (f *house) join(changes ...func(*Options)) *member {
	f.t.Helper()
	m := &member{rig: &rig{t: f.t, ctx: f.t.Context(), sim: f.sim, log: &logBuffer{}}, f: f, line: &line{to: f.conns}}
	opts := Options{Prices: DefaultPrices(), KnowsKey: true, OneCaller: true, Log: zerolog.New(m.log)}
	for _, change := range changes {
		change(&opts)
	}
	tr := &http.Transport{MaxIdleConnsPerHost: 1000, DialContext: m.line.dial}
	client, err := falclient.New(falclient.Config{
		Key: secretKey, QueueURL: "http://127.0.0.1", PlatformURL: "http://127.0.0.1/v1", Transport: counted{tr, &m.asked},
	})
	if err != nil {
		f.t.Fatalf("client: %v", err)
	}
	ledger, err := OpenSQLite(f.dir, opts.MetadataOnly, opts.Log)
	if err != nil {
		f.t.Fatalf("OpenSQLite: %v", err)
	}
	m.client, m.shared = client, &mortal{Shared: ledger, id: ledger.me.id}
	m.m = New(client, m.shared, opts)
	f.t.Cleanup(func() {
		if !m.shared.closed.Load() {
			m.close()
		}
		client.Close()
		tr.CloseIdleConnections()
	})
	return m
}

// leave ends a member in good order.
func (m *member) leave() {
	m.t.Helper()
	if _, err := m.closing(time.Second); err != nil {
		m.t.Errorf("Close: %v", err)
	}
}

// kill lets a member neither write nor ask any more, and lets the others know.
func (m *member) kill() {
	m.t.Helper()
	m.shared.dead.Store(true)
	m.line.cut()
	m.unregister()
}

// unregister takes a member for dead.
func (m *member) unregister() {
	m.t.Helper()
	run(m.f.t, m.f.db, 1, `DELETE FROM processes WHERE id = ?`, m.shared.id)
}

// row is the only one of the ledger, or fails.
func (f *house) row() Job {
	f.t.Helper()
	rows := f.rows()
	if len(rows) != 1 {
		f.t.Fatalf("%d rows, want one", len(rows))
	}
	return rows[0]
}

// rows are all of the ledger, the oldest first.
func (f *house) rows() []Job {
	f.t.Helper()
	synctest.Wait()
	page, err := f.ledger.List(f.t.Context(), Query{Everyone: true, Limit: 1 << 20})
	if err != nil {
		f.t.Fatalf("List: %v", err)
	}
	rows := make([]Job, len(page))
	for i, row := range page {
		if rows[len(page)-1-i], err = f.ledger.Find(f.t.Context(), row.ID); err != nil {
			f.t.Fatalf("Find: %v", err)
		}
	}
	return rows
}

// spent is what the day's rows count together.
func (f *house) spent() (usd float64) {
	for _, row := range f.rows() {
		usd += row.CountedUSD
	}
	return usd
}

// mortal is a ledger that fails after its process's death.
type mortal struct {
	Shared
	id           string
	dead, closed atomic.Bool
}

var errKilled = errors.New("the process is dead")

func (m *mortal) Insert(ctx context.Context, job Job, caps DayCaps) error {
	if m.dead.Load() {
		return errKilled
	}
	return m.Shared.Insert(ctx, job, caps)
}

func (m *mortal) Update(ctx context.Context, id string, change func(*Job)) (Job, error) {
	if m.dead.Load() {
		return Job{}, errKilled
	}
	return m.Shared.Update(ctx, id, change)
}

func (m *mortal) Claim(ctx context.Context, id string) (Job, bool, error) {
	if m.dead.Load() {
		return Job{}, false, errKilled
	}
	return m.Shared.Claim(ctx, id)
}

func (m *mortal) TakeOver(ctx context.Context) ([]Job, bool, error) {
	if m.dead.Load() {
		return nil, false, errKilled
	}
	return m.Shared.TakeOver(ctx)
}

func (m *mortal) Close() error {
	m.closed.Store(true)
	return m.Shared.Close()
}

// line is a process's connections.
type line struct {
	to   pipes
	mu   sync.Mutex
	ends []net.Conn
	down bool
}

func (l *line) dial(context.Context, string, string) (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down {
		return nil, errKilled
	}
	a, b := net.Pipe()
	select {
	case l.to.conns <- b:
		l.ends = append(l.ends, a)
		return a, nil
	case <-l.to.done:
		return nil, net.ErrClosed
	}
}

func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = true
	for _, c := range l.ends {
		_ = c.Close()
	}
}

// counted counts requests.
type counted struct {
	http.RoundTripper
	n *atomic.Int64
}

func (c counted) RoundTrip(r *http.Request) (*http.Response, error) {
	c.n.Add(1)
	return c.RoundTripper.RoundTrip(r)
}
