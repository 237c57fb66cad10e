package falsim

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// Server is a simulated fal: queue host, REST host, CDN and platform API in one,
// since their paths don't collide. It is an [http.Handler], and can listen by itself. It is
// safe for concurrent use.
type Server struct {
	done chan struct{} // closed by Close

	mu      sync.Mutex
	plan    *plan
	jobs    map[string]*job
	order   []*job // as accepted
	kept    int    // bytes of inputs and results in order
	agenda  agenda
	stats   Stats
	waiters chan struct{} // closed and dropped on each change; nil while nobody waits
	storage storage

	closed   bool
	listener net.Listener
	server   *http.Server
	served   chan struct{}
	busy     int // requests being served
	conns    int // connections of the own listener
}

// New gives a server that behaves by script. It panics where
// [Script.Validate] fails, because a script in Go is a programmer's.
func New(script Script) *Server {
	p, err := newPlan(script)
	if err != nil {
		panic(err)
	}
	return &Server{done: make(chan struct{}), plan: p, jobs: map[string]*job{}, storage: newStorage()}
}

// Start listens on a free port of 127.0.0.1 and serves until [Server.Close].
func (s *Server) Start() (queueURL string, err error) { return s.StartAddr("127.0.0.1:0") }

// StartAddr is [Server.Start] on an address of the caller's choice. It refuses
// an address that is not loopback: the simulator asks nobody for a password.
func (s *Server) StartAddr(addr string) (queueURL string, err error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", fmt.Errorf("falsim: listen address: %w", err)
	}
	if host == "localhost" {
		host = "127.0.0.1"
	}
	if ip, err := netip.ParseAddr(host); err != nil || !ip.IsLoopback() {
		return "", fmt.Errorf("falsim: listen address %q is not a loopback address", addr)
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.listener != nil {
		return "", errors.New("falsim: server was closed or is already listening")
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, port))
	if err != nil {
		return "", fmt.Errorf("falsim: %w", err)
	}
	s.listener = l
	s.served = make(chan struct{})
	s.server = &http.Server{
		Handler:           s,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    1 << 20,
		ConnState:         s.connState,
		// Broken connections are the purpose here, not news.
		ErrorLog: log.New(io.Discard, "", 0),
	}
	go func() {
		defer close(s.served)
		_ = s.server.Serve(l)
	}()
	return "http://" + l.Addr().String(), nil
}

func (s *Server) connState(_ net.Conn, state http.ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch state {
	case http.StateNew:
		s.conns++
	case http.StateClosed, http.StateHijacked:
		s.conns--
	}
	s.wake()
}

// Close ends streams and hanging requests and refuses new ones. Where the server
// listens by itself, Close also returns only when its listener, its connections
// and their goroutines have ended. Closing twice is harmless.
func (s *Server) Close() error {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.done)
	}
	server := s.server
	s.mu.Unlock()
	if server == nil {
		return nil
	}
	err := server.Close()
	<-s.served
	// A connection accepted while the first call ran is known only now.
	_ = server.Close()
	s.mu.Lock()
	for s.conns > 0 || s.busy > 0 {
		changed := s.watch()
		s.mu.Unlock()
		<-changed
		s.mu.Lock()
	}
	s.mu.Unlock()
	return err
}

// QueueURL gives the base URL of the queue, without a trailing slash; empty
// unless the server was started. Used as a plain handler, the server builds the
// URLs in its answers from the request's Host.
func (s *Server) QueueURL() string { return s.baseURL() }

// RESTURL gives the base URL of the upload API.
func (s *Server) RESTURL() string { return s.baseURL() }

// CDNURL gives the base URL that file URLs begin with.
func (s *Server) CDNURL() string { return s.baseURL() }

// PlatformURL gives the base URL of the platform API, its version included.
func (s *Server) PlatformURL() string {
	if base := s.baseURL(); base != "" {
		return base + platformPath
	}
	return ""
}

func (s *Server) baseURL() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener == nil {
		return ""
	}
	return "http://" + s.listener.Addr().String()
}

// SetScript replaces the script: for jobs submitted from now on, and for the
// faults of every request from now on. Jobs already accepted keep their course.
// It panics as [New] does.
func (s *Server) SetScript(script Script) {
	if err := s.setScript(script); err != nil {
		panic(err)
	}
}

func (s *Server) setScript(script Script) error {
	p, err := newPlan(script)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.plan = p
	return nil
}

// Reset forgets every job, every stored file and every count, ends the open
// streams, and lets the script's faults count from the start.
func (s *Server) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, j := range s.order {
		j.gone = true
		j.notify()
	}
	s.jobs, s.order, s.kept, s.agenda = map[string]*job{}, nil, 0, nil
	s.storage = newStorage()
	s.stats = Stats{OpenStreams: s.stats.OpenStreams}
	clear(s.plan.hits)
	s.wake()
}

// ServeHTTP answers as fal's queue host, REST host, CDN or platform API would.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.enter() {
		http.Error(w, "simulator closed", http.StatusServiceUnavailable)
		return
	}
	defer s.leave()
	c := &call{w: w, r: r, target: route(r)}
	if c.step == stepAdmin {
		s.admin(c)
		return
	}
	if a, ok := s.admit(c); !ok {
		c.drain(maxJSONBody)
		c.write(a)
		return
	}
	if c.step == StepSubmit {
		if a, ok := c.readSubmission(); !ok {
			c.write(a)
			return
		}
	}
	if f := s.draw(c); f != nil {
		s.play(c, f)
		return
	}
	s.reply(c)
}

func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.busy++
	return true
}

func (s *Server) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy--
	if s.closed {
		s.wake()
	}
}
