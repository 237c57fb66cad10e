package jobs

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"nemotron-mcp/falclient"
)

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

func (l *mortalLedger) Insert(ctx context.Context, job Job, caps DayCaps) error {
	if err := l.alive(); err != nil {
		return err
	}
	return l.SQLite.Insert(ctx, job, caps)
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
