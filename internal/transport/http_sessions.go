package transport

import (
	"container/list"
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/mark3labs/mcp-go/server"
)

var (
	errNoSession = errors.New("no such session")
	errSameID    = errors.New("the id is that of a request in flight")
)

// sessions are those of streamable HTTP. mcp-go's own managers take any id of
// the right form; here an id is one that was given out, to this caller, and is
// still in use. It is safe for concurrent use.
type sessions struct {
	most int // of a caller's
	idle time.Duration

	mu       sync.Mutex
	byID     map[string]*httpSession
	byCaller map[string]*list.List // of *httpSession, the one idle longest first
	evicted  []string              // mcp-go has still to forget them
}

// httpSession is one client's.
type httpSession struct {
	id, caller string
	used       time.Time
	busy       int // requests and streams that are open
	place      *list.Element
	calls      map[idKey]*httpCall
}

// httpCall is a request in flight that a notification can cancel.
type httpCall struct{ cancel context.CancelCauseFunc }

func newSessions(most int, idle time.Duration) *sessions {
	return &sessions{most: most, idle: idle, byID: map[string]*httpSession{}, byCaller: map[string]*list.List{}}
}

// ResolveSessionIdManager implements server.SessionIdManagerResolver.
func (s *sessions) ResolveSessionIdManager(r *http.Request) server.SessionIdManager {
	if r == nil {
		return &callerSessions{s, ""}
	}
	return &callerSessions{s, callerOf(r.Context())}
}

// callerSessions are one caller's sessions, for mcp-go.
type callerSessions struct {
	all    *sessions
	caller string
}

// Generate makes a session.
func (c *callerSessions) Generate() string {
	s := c.all
	s.mu.Lock()
	defer s.mu.Unlock()
	own := s.byCaller[c.caller]
	if own == nil {
		own = list.New()
		s.byCaller[c.caller] = own
	}
	for e := own.Front(); e != nil && own.Len() >= s.most; {
		next := e.Next()
		if old := e.Value.(*httpSession); old.busy == 0 {
			s.drop(old)
		}
		e = next
	}
	session := &httpSession{id: rand.Text(), caller: c.caller, used: time.Now(), calls: map[idKey]*httpCall{}}
	session.place = own.PushBack(session)
	s.byCaller[c.caller] = own // where the last of the others was dropped
	s.byID[session.id] = session
	return session.id
}

// Validate implements server.SessionIdManager.
func (c *callerSessions) Validate(id string) (isTerminated bool, err error) {
	c.all.mu.Lock()
	defer c.all.mu.Unlock()
	if c.all.find(c.caller, id) == nil {
		return false, errNoSession
	}
	return false, nil
}

// Terminate implements server.SessionIdManager. Calls of the session are
// cancelled: no notification could do so any more.
func (c *callerSessions) Terminate(id string) (isNotAllowed bool, err error) {
	c.all.mu.Lock()
	defer c.all.mu.Unlock()
	session := c.all.find(c.caller, id)
	if session == nil {
		return false, nil
	}
	c.all.remove(session)
	for key, call := range session.calls {
		delete(session.calls, key)
		call.cancel(ErrCancelledByHost)
	}
	return false, nil
}

// find returns a caller's session. s.mu is held.
func (s *sessions) find(caller, id string) *httpSession {
	session := s.byID[id]
	if session == nil || session.caller != caller {
		return nil
	}
	return session
}

// remove forgets a session. s.mu is held.
func (s *sessions) remove(session *httpSession) {
	delete(s.byID, session.id)
	own := s.byCaller[session.caller]
	own.Remove(session.place)
	if own.Len() == 0 {
		delete(s.byCaller, session.caller)
	}
}

// drop is remove of a session that mcp-go does not know to be over. s.mu is held.
func (s *sessions) drop(session *httpSession) {
	s.remove(session)
	s.evicted = append(s.evicted, session.id)
}

// enter begins a request of a session, which keeps it alive; nil where the caller
// has no such session.
func (s *sessions) enter(caller, id string) (session *httpSession, leave func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if session = s.find(caller, id); session == nil {
		return nil, nil
	}
	session.busy++
	return session, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		session.busy--
		session.used = time.Now()
		if s.byID[session.id] == session {
			s.byCaller[caller].MoveToBack(session.place)
		}
	}
}

// begin makes a request one that a cancel finds. It fails where the session has
// ended since it was entered (errNoSession), and where another with this id is in
// flight (errSameID).
func (s *sessions) begin(session *httpSession, key idKey, cancel context.CancelCauseFunc) (*httpCall, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byID[session.id] != session {
		return nil, errNoSession
	}
	if session.calls[key] != nil {
		return nil, errSameID
	}
	call := &httpCall{cancel}
	session.calls[key] = call
	return call, nil
}

// end takes a call out of reach. It reports whether the call had not been
// cancelled before.
func (s *sessions) end(session *httpSession, key idKey, call *httpCall) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if session.calls[key] != call {
		return false
	}
	delete(session.calls, key)
	return true
}

// cancel ends the call that a notification names.
func (s *sessions) cancel(session *httpSession, key idKey) {
	s.mu.Lock()
	call := session.calls[key]
	delete(session.calls, key)
	s.mu.Unlock()
	if call != nil {
		call.cancel(ErrCancelledByHost)
	}
}

// expired ends the sessions that were idle for too long, and returns those that
// mcp-go has still to forget.
func (s *sessions) expired() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, session := range s.byID {
		if session.busy == 0 && time.Since(session.used) >= s.idle {
			s.drop(session)
		}
	}
	evicted := s.evicted
	s.evicted = nil
	return evicted
}

// takeEvicted returns the sessions that mcp-go has still to forget.
func (s *sessions) takeEvicted() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	evicted := s.evicted
	s.evicted = nil
	return evicted
}

func (s *sessions) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.byID)
}

// streams are the requests that last: their number is bounded, and they end when
// the server does.
type streams struct {
	most int // of a caller's

	mu       sync.Mutex
	byCaller map[string]int
	open     map[*context.CancelCauseFunc]string // → its caller
	over     bool
}

func newStreams(most int) *streams {
	return &streams{most: most, byCaller: map[string]int{}, open: map[*context.CancelCauseFunc]string{}}
}

// enter counts a stream, whose context cancel ends; nil where there are too many.
func (s *streams) enter(caller string, cancel context.CancelCauseFunc) (leave func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over || s.byCaller[caller] >= s.most {
		return nil
	}
	s.byCaller[caller]++
	s.open[&cancel] = caller
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.open, &cancel)
		if s.byCaller[caller]--; s.byCaller[caller] == 0 {
			delete(s.byCaller, caller)
		}
	}
}

// endUnless ends the streams of callers that are not known any more.
func (s *streams) endUnless(known func(caller string) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for cancel, caller := range s.open {
		if !known(caller) {
			(*cancel)(ErrDisconnected)
		}
	}
}

// end ends all streams, and takes no more.
func (s *streams) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	for cancel := range s.open {
		(*cancel)(ErrShutdown)
	}
}
