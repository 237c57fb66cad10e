package transport

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// eventConns are the clients of HTTP with SSE: each is a stream on which it is
// answered, and the POSTs in which it asks. They are served by the loop that
// serves stdio. mcp-go's handler does not end calls with their stream, answers
// those that were cancelled, and lets progress come late or not at all (v1.2.1).
type eventConns struct {
	s    *httpServer
	mu   sync.Mutex
	byID map[string]*eventConn
	all  sync.WaitGroup
}

type eventConn struct {
	caller  string
	conn    *stdioConn
	reading sync.Mutex // messages come one at a time, as on stdio
}

func newEventConns(s *httpServer) *eventConns {
	return &eventConns{s: s, byID: map[string]*eventConn{}}
}

func (c *eventConns) find(caller, id string) *eventConn {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.byID[id]; e != nil && e.caller == caller {
		return e
	}
	return nil
}

func (c *eventConns) set(id string, e *eventConn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e == nil {
		delete(c.byID, id)
		return
	}
	c.byID[id] = e
}

func (c *eventConns) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.byID)
}

func (c *eventConns) wait() { c.all.Wait() }

// serveSSE serves a client's stream until it ends.
func (s *httpServer) serveSSE(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := disconnected(r)
	defer cancel(nil)
	caller := callerOf(r.Context())
	leave := s.streams.enter(caller, cancel)
	if leave == nil {
		busy().write(w)
		return
	}
	defer leave()
	s.events.all.Add(1)
	defer s.events.all.Done()

	out := &eventWriter{w: w, rc: http.NewResponseController(w), times: s.times}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	id := rand.Text()
	conn := newStdioConn(context.WithoutCancel(r.Context()), s.stdio(caller), out)
	conn.session.remote = true
	if err := s.Server.RegisterSession(conn.base, conn.session); err != nil {
		(&refusal{http.StatusInternalServerError, "The session could not be made.", nil}).write(w)
		return
	}
	defer s.Server.UnregisterSession(conn.base, conn.session.SessionID())
	// Before the client knows where to post, which it may do at once.
	s.events.set(id, &eventConn{caller: caller, conn: conn})
	if out.send("event: endpoint\ndata: "+pathMessage+"?sessionId="+id+"\n\n") != nil {
		s.events.set(id, nil)
		return
	}
	pumped := make(chan struct{})
	go func() {
		defer close(pumped)
		conn.pump()
	}()
	out.keepAlive(ctx, conn.out)
	s.events.set(id, nil)
	if errors.Is(context.Cause(ctx), ErrDisconnected) {
		conn.out.shut(ErrDisconnected)
	} else {
		// What waits for a job has been told to go on without it.
		conn.waitIdle(s.base, s.DrainWindow)
	}
	conn.end(DefaultGrace, pumped)
}

// stdio is how the loop serves a caller's client. Its calls are counted with all
// others.
func (s *httpServer) stdio(caller string) Stdio {
	o := Stdio{
		Server: s.Server, Log: s.Log, Mask: s.Mask,
		MaxLine: s.MaxBody, MaxInFlight: s.MaxInFlight, MaxInFlightBytes: s.MaxInFlightBytes,
		enter: func(size int) bool { return s.flight.enter(caller, load{1, size}) },
		leave: func(size int) { s.flight.leave(caller, load{1, size}) },
	}
	return o.withDefaults()
}

// serveMessage takes in what a client asks.
func (s *httpServer) serveMessage(w http.ResponseWriter, r *http.Request) {
	id := r.URL.Query().Get("sessionId")
	e := s.events.find(callerOf(r.Context()), id)
	if e == nil {
		noSession(id).write(w)
		return
	}
	body, free, no := s.readMessage(w, r)
	if no != nil {
		no.write(w)
		return
	}
	defer free() // the loop counts what it keeps
	e.reading.Lock()
	e.conn.handleLine(body)
	e.reading.Unlock()
	w.WriteHeader(http.StatusAccepted)
}

// eventWriter makes an event of each line.
type eventWriter struct {
	w  http.ResponseWriter
	rc *http.ResponseController

	times times
	mu    sync.Mutex
}

// Write implements io.Writer for a line that ends in LF.
func (o *eventWriter) Write(line []byte) (int, error) {
	if err := o.send(fmt.Sprintf("event: message\ndata: %s\n", line)); err != nil {
		return 0, err
	}
	return len(line), nil
}

func (o *eventWriter) send(text string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	_ = o.rc.SetWriteDeadline(time.Now().Add(o.times.write))
	if _, err := o.w.Write([]byte(text)); err != nil {
		return err
	}
	return o.rc.Flush()
}

// keepAlive lets proxies see that the stream is there, until it ends or can't be
// written to.
func (o *eventWriter) keepAlive(ctx context.Context, out *lineWriter) {
	ticker := time.NewTicker(o.times.keepAlive)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-out.closed:
			return
		case <-ticker.C:
			if err := o.send(": still here\n\n"); err != nil {
				out.shut(err)
				return
			}
		}
	}
}
