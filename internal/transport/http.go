package transport

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mark3labs/mcp-go/server"
	"github.com/rs/zerolog"
)

// Defaults of [HTTP].
const (
	DefaultMaxBody        = 16 << 20
	DefaultMaxSessions    = 1000
	DefaultSessionIdle    = 30 * time.Minute
	DefaultMaxConnections = 4096
)

// times are how long a client may take.
type times struct {
	header    time.Duration // to send a request's header
	body      time.Duration // to send its body
	idle      time.Duration // between two requests
	write     time.Duration // to take what is written
	keepAlive time.Duration // how often an idle stream of ours says that it is there
}

func defaultTimes() times {
	return times{header: 10 * time.Second, body: 30 * time.Second, idle: 2 * time.Minute, write: 30 * time.Second, keepAlive: 25 * time.Second}
}

const (
	// maxHeader is beyond what a token can be, so that a very long one is refused
	// as a token.
	maxHeader = 1<<20 + 64<<10
	// sweepTime is how often sessions are looked through.
	sweepTime = time.Minute
)

// HTTP serves many MCP clients: streamable HTTP at /mcp, HTTP with SSE (the
// protocol of 2024) at /sse and /message. Only Server is required; a field left
// at zero has its default.
//
// Every request goes through one guard: Host, Origin, token, method, content
// type, size, session. A disconnect cancels the calls of its request, with
// [ErrDisconnected] as the cause, and a notifications/cancelled those of its own
// session, with [ErrCancelledByHost], as does the end of that session. A client
// that sends more on the connection while a call runs (pipelining) is an
// exception: net/http looks for the end of a connection only up to the first byte
// that follows, so that such a call goes on after a disconnect.
type HTTP struct {
	Server *server.MCPServer
	Log    zerolog.Logger

	// Caller tells whose a token is. Without it there are no tokens, and one
	// caller without a name.
	Caller func(token string) (name string, ok bool)
	// Knows tells whether a caller of that name still has a token; the streams of one
	// that has none end within a minute. Without it streams last.
	Knows func(name string) bool
	// AllowHosts are the names under which the server may be addressed, without
	// port, besides its own address and, on loopback, localhost.
	AllowHosts []string
	// AllowOrigins are the web origins that may use it, such as
	// https://app.example.com, besides its own.
	AllowOrigins []string
	// Health says why the server is not ready, in words that anyone may read.
	Health func(context.Context) error
	// Metrics serves /metrics; without it there is none.
	Metrics http.Handler
	// Page serves a person's page: /, its style and program, and what it asks for
	// below /api/. It is asked with GET and HEAD, and finds the caller in the
	// context; without it there is none.
	Page http.Handler
	// Observe is told of each request at its end: its path, where a job's id is
	// {id}, empty where nothing is served there, and how long it took, negative for
	// a stream.
	Observe func(path, method string, status int, took time.Duration)
	// Serving is told, once, how the present state can be asked for.
	Serving func(State)
	// Draining is called once when the end has begun and calls in flight are waited
	// for, before that.
	Draining func()

	// MaxBody is the longest message in bytes; default 16 MiB.
	MaxBody int
	// MaxInFlight is how many requests may be served at once, over both protocols,
	// streams aside; default 2048. With tokens a caller has half of them at most,
	// and half of the bytes. One tool call more is answered as a tool's error,
	// RATE_LIMITED, which says when to try again; any other request with 503 and
	// Retry-After.
	MaxInFlight int
	// MaxInFlightBytes is how large their bodies may be together; default 256 MiB.
	// A body that finds no room is not read, whatever is in it: 503.
	MaxInFlightBytes int
	// MaxSessions is how many sessions, and how many streams, a caller may have;
	// default 1000. With one more the session that was idle longest ends, and a
	// stream is refused.
	MaxSessions int
	// SessionIdle is how long a session lives without a request; default 30 min.
	SessionIdle time.Duration
	// MaxConnections bounds the connections; default 4096. One more waits.
	MaxConnections int
	// DrainWindow is how long calls in flight may go on after the end of Serve's
	// context; default 5 s, negative for none.
	DrainWindow time.Duration
	// Mask hides secrets in what a JSON-RPC error says, which can repeat what the
	// client sent; nil hides none.
	Mask func([]byte) []byte

	times times // tests are in more of a hurry
}

// State tells how much is going on. Its functions are safe for concurrent use.
type State struct {
	InFlight    func() int // requests, streams aside
	Sessions    func() int // of both protocols
	Connections func() int
}

// httpServer is one Serve at work.
type httpServer struct {
	HTTP
	mcp      *server.StreamableHTTPServer
	sessions *sessions
	streams  *streams
	events   *eventConns
	origins  map[string]bool
	hosts    map[string]bool

	flight      *flight
	connections atomic.Int64
	headers     atomic.Int64 // bytes of those that are not whole yet
	health      lastHealth

	base     context.Context // of every request
	stopAll  context.CancelCauseFunc
	draining atomic.Bool
}

// Serve accepts connections until ctx ends, which is no error, or the listener
// fails. Then it stops accepting, ends the streams, and gives the calls in flight
// the drain window before they are cancelled. It closes the listener.
func (h *HTTP) Serve(ctx context.Context, listener net.Listener) error {
	s := newHTTPServer(ctx, *h)
	srv := &http.Server{
		Handler: s, ReadHeaderTimeout: s.times.header, IdleTimeout: s.times.idle, MaxHeaderBytes: maxHeader,
		BaseContext: func(net.Listener) context.Context { return s.base },
		ConnContext: withConn,
		// OPTIONS * goes through the guard as all else.
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     quietLog(h.Log),
		ConnState:                    s.countConnection,
	}
	if s.Serving != nil {
		s.Serving(State{
			InFlight:    func() int { return s.flight.requests() },
			Sessions:    func() int { return s.sessions.count() + s.events.count() },
			Connections: func() int { return int(s.connections.Load()) },
		})
	}
	var all sync.WaitGroup
	failed := make(chan error, 1)
	all.Go(func() { failed <- srv.Serve(limited(listener, s.MaxConnections, &s.headers)) })
	sweeping, stop := context.WithCancel(ctx)
	all.Go(func() { s.sweep(sweeping) })

	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	s.draining.Store(true)
	if s.Draining != nil {
		s.Draining()
	}
	s.streams.end()
	window, done := context.WithTimeout(context.WithoutCancel(ctx), max(s.DrainWindow, 0))
	defer done()
	if srv.Shutdown(window) != nil {
		s.stopAll(ErrShutdown)
		late, done := context.WithTimeout(context.WithoutCancel(ctx), DefaultGrace)
		defer done()
		_ = srv.Shutdown(late)
	}
	_ = srv.Close()
	stop()
	s.stopAll(ErrShutdown)
	s.events.wait()
	all.Wait()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

func newHTTPServer(ctx context.Context, o HTTP) *httpServer {
	o.MaxBody = cmp.Or(o.MaxBody, DefaultMaxBody)
	o.MaxInFlight = cmp.Or(o.MaxInFlight, DefaultMaxInFlight)
	o.MaxInFlightBytes = cmp.Or(o.MaxInFlightBytes, DefaultMaxInFlightBytes)
	o.MaxSessions = cmp.Or(o.MaxSessions, DefaultMaxSessions)
	o.SessionIdle = cmp.Or(o.SessionIdle, DefaultSessionIdle)
	o.MaxConnections = cmp.Or(o.MaxConnections, DefaultMaxConnections)
	o.DrainWindow = cmp.Or(o.DrainWindow, DefaultDrainWindow)
	if o.times == (times{}) {
		o.times = defaultTimes()
	}
	if o.Mask == nil {
		o.Mask = func(b []byte) []byte { return b }
	}
	s := &httpServer{
		HTTP: o, sessions: newSessions(o.MaxSessions, o.SessionIdle), streams: newStreams(o.MaxSessions),
		origins: set(o.AllowOrigins), hosts: set(o.AllowHosts),
		flight: newFlight(load{o.MaxInFlight, o.MaxInFlightBytes}, o.Caller != nil),
	}
	s.events = newEventConns(s)
	s.mcp = server.NewStreamableHTTPServer(o.Server,
		server.WithSessionIdManagerResolver(s.sessions),
		// The guard's checks are stricter, and hold on every path.
		server.WithDisableLocalhostProtection(true),
		server.WithStreamableHTTPLogger(quietSlog(o.Log)),
	)
	s.base, s.stopAll = context.WithCancelCause(context.WithoutCancel(ctx))
	return s
}

// sweep ends idle sessions.
func (s *httpServer) sweep(ctx context.Context) {
	ticker := time.NewTicker(min(sweepTime, s.SessionIdle))
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			s.forget(s.sessions.expired())
			if s.Knows != nil {
				s.streams.endUnless(s.Knows)
			}
		}
	}
}

func (s *httpServer) countConnection(c net.Conn, state http.ConnState) {
	switch state {
	case http.StateIdle:
		headerNext(c)
	case http.StateNew:
		s.connections.Add(1)
	case http.StateClosed, http.StateHijacked:
		s.connections.Add(-1)
	}
}
