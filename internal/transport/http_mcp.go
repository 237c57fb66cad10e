package transport

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"nemotron-mcp/tools"
)

func (s *httpServer) serveMCP(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodPost:
		s.post(w, r)
	case http.MethodGet:
		s.listen(w, r)
	default:
		s.endSession(w, r)
	}
}

func callerOf(ctx context.Context) string { return tools.CallerFrom(ctx) }

// post serves one message.
func (s *httpServer) post(w http.ResponseWriter, r *http.Request) {
	body, free, no := s.readMessage(w, r)
	if no != nil {
		no.write(w)
		return
	}
	defer free()
	e, bad := parseEnvelope(body)
	if bad == nil && e.id.key.tooLarge() {
		bad = invalid(nil, "an id over HTTP must be a string or an integer of at most 2^53")
	}
	if bad != nil {
		s.refuseMessage(w, bad)
		return
	}
	if e.response {
		s.takeResponse(r, &e)
		w.WriteHeader(http.StatusAccepted)
		return
	}
	// The protocol without a handshake has no sessions, and ignores the header.
	var session *httpSession
	if !isModern(r, e.params) && e.method != string(mcp.MethodInitialize) {
		id := r.Header.Get(server.HeaderKeySessionID)
		var leave func()
		if session, leave = s.sessions.enter(callerOf(r.Context()), id); session == nil {
			noSession(id).write(w)
			return
		}
		defer leave()
	}
	if e.id.raw == nil && e.method == string(mcp.MethodNotificationCancelled) {
		// Without a session it can't be told whose call it means: mcp-go would
		// cancel another client's of the same id (v1.2.1).
		if id, ok := cancelledID(e.params); ok && session != nil {
			s.sessions.cancel(session, id.key)
		}
		w.WriteHeader(http.StatusAccepted)
		return
	}
	s.serveRequest(w, r, &e, session)
}

// takeResponse hands what answers a request of ours to mcp-go, which knows whether
// the session was asked it. What is of no session of the caller's answers nothing.
func (s *httpServer) takeResponse(r *http.Request, e *envelope) {
	if e.id.raw == nil {
		return
	}
	session, leave := s.sessions.enter(callerOf(r.Context()), r.Header.Get(server.HeaderKeySessionID))
	if session == nil {
		return
	}
	defer leave()
	message := e.canonicalResponse()
	inner := r.WithContext(r.Context())
	inner.Body, inner.ContentLength = io.NopCloser(bytes.NewReader(message)), int64(len(message))
	s.mcp.ServeHTTP(discard{http.Header{}}, inner)
}

func noSession(id string) *refusal {
	if id == "" {
		return &refusal{http.StatusBadRequest, "The request belongs to a session: initialize, and send its id.", nil}
	}
	return &refusal{http.StatusNotFound, "This session is not known, or over: initialize again.", nil}
}

// isModern reports whether a message is of the protocol without a handshake, as
// mcp-go will judge: by its header or by what it says itself.
func isModern(r *http.Request, params []byte) bool {
	if mcp.IsModernProtocol(r.Header.Get(mcp.HeaderProtocolVersion)) {
		return true
	}
	if params == nil {
		return false
	}
	var meta mcp.Meta
	for key, value := range members(params) {
		if strings.EqualFold(key, "_meta") && json.Unmarshal(value, &meta) != nil {
			return false
		}
	}
	return mcp.IsModernProtocol(meta.ProtocolVersion())
}

// refuseMessage answers a message that is not served.
func (s *httpServer) refuseMessage(w http.ResponseWriter, f *fault) {
	var buf bytes.Buffer
	if f.code == 0 {
		f = invalid(nil, "params must be an object")
	}
	encodeFault(&buf, f)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusBadRequest)
	_, _ = w.Write(buf.Bytes())
}

// serveRequest has mcp-go handle a message.
func (s *httpServer) serveRequest(w http.ResponseWriter, r *http.Request, e *envelope, session *httpSession) {
	ctx, cancel := disconnected(r)
	defer cancel(nil)
	leave := s.takeIn(w, r, e, cancel)
	if leave == nil {
		return
	}
	defer leave()
	cancelled := func() bool { return false }
	if session != nil && e.id.raw != nil {
		call, err := s.sessions.begin(session, e.id.key, cancel)
		if errors.Is(err, errNoSession) {
			noSession(session.id).write(w)
			return
		}
		if err != nil {
			s.refuseMessage(w, invalid(nil, err.Error()))
			return
		}
		cancelled = func() bool { return !s.sessions.end(session, e.id.key, call) }
	}
	p := s.newReply(w, r)
	p.id = e.id.raw
	delivery := new(tools.Delivery)
	delivered := false
	defer func() {
		if delivered {
			delivery.Delivered()
		} else {
			delivery.Dropped()
		}
	}()
	ctx = tools.WithNotifier(tools.WithDelivery(ctx, delivery), p)
	refused := new(tools.Refusal)
	ctx = tools.WithRefusal(ctx, refused)
	message := e.canonical()
	inner := r.WithContext(ctx)
	inner.Body, inner.ContentLength = io.NopCloser(bytes.NewReader(message)), int64(len(message))
	stop := func() {}
	if e.method == string(mcp.MethodSubscriptionsListen) {
		stop = p.keepingAlive(ctx, s.times.keepAlive)
	}
	genuine := s.handle(p, inner)
	stop()
	if code, text, ok := refused.Refused(); ok {
		p.refuse(&fault{id: e.id.raw, code: code, message: text}, isModern(r, e.params))
	}
	delivered = p.finish(ctx, !cancelled()) && genuine
	if e.method == string(mcp.MethodInitialize) {
		s.forget(s.sessions.takeEvicted())
	}
}

// handle lets mcp-go answer. A panic becomes an answer without its text, which
// is not genuine.
func (s *httpServer) handle(p *reply, r *http.Request) (genuine bool) {
	defer func() {
		if v := recover(); v != nil {
			s.Log.Error().Str("panic", fmt.Sprint(v)).Msg("a handler panicked")
			p.fail()
		}
	}()
	s.mcp.ServeHTTP(p, r)
	return true
}

// takeIn counts a request. It answers, and returns nil, where there are too many.
func (s *httpServer) takeIn(w http.ResponseWriter, r *http.Request, e *envelope, cancel context.CancelCauseFunc) (leave func()) {
	if e.method == string(mcp.MethodSubscriptionsListen) {
		if leave = s.streams.enter(callerOf(r.Context()), cancel); leave == nil {
			busy().write(w)
		}
		return leave
	}
	caller := callerOf(r.Context())
	if s.flight.enter(caller, load{requests: 1}) {
		return func() { s.flight.leave(caller, load{requests: 1}) }
	}
	if e.method != string(mcp.MethodToolsCall) || e.id.raw == nil {
		busy().write(w)
		return nil
	}
	var buf bytes.Buffer
	if err := encodeLine(&buf, e.id.raw, "result", busyResult("too many requests are in flight at this server; wait until some have been answered, then call again")); err != nil {
		s.Log.Error().Err(err).Msg("a refusal could not be encoded")
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(buf.Bytes()) // the client may be gone
	return nil
}

// listen serves the stream on which a session's client is told what no request of
// its own asked for.
func (s *httpServer) listen(w http.ResponseWriter, r *http.Request) {
	caller := callerOf(r.Context())
	if !isModern(r, nil) {
		id := r.Header.Get(server.HeaderKeySessionID)
		session, done := s.sessions.enter(caller, id)
		if session == nil {
			noSession(id).write(w)
			return
		}
		defer done()
	}
	ctx, cancel := disconnected(r)
	defer cancel(nil)
	leave := s.streams.enter(caller, cancel)
	if leave == nil {
		busy().write(w)
		return
	}
	defer leave()
	p := s.newReply(w, r)
	stop := p.keepingAlive(ctx, s.times.keepAlive)
	s.mcp.ServeHTTP(p, r.WithContext(ctx))
	stop()
	cancel(nil)
	p.finish(ctx, true)
}

func (s *httpServer) endSession(w http.ResponseWriter, r *http.Request) {
	if !isModern(r, nil) {
		id := r.Header.Get(server.HeaderKeySessionID)
		session, done := s.sessions.enter(callerOf(r.Context()), id)
		if session == nil {
			noSession(id).write(w)
			return
		}
		defer done()
	}
	s.mcp.ServeHTTP(w, r)
}

// forget has mcp-go drop what it keeps of sessions that are over. Its one way to
// do so is a DELETE.
func (s *httpServer) forget(ids []string) {
	for _, id := range ids {
		r := (&http.Request{Method: http.MethodDelete, URL: &url.URL{Path: pathMCP}, Header: http.Header{}}).WithContext(s.base)
		r.Header.Set(server.HeaderKeySessionID, id)
		s.mcp.ServeHTTP(discard{http.Header{}}, r)
	}
}

// discard is a response that nobody reads.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}

// tooLarge reports whether mcp-go, which reads numbers as float64, would answer
// with another id.
func (k idKey) tooLarge() bool {
	const exact = 1 << 53
	return k.number > exact || k.number < -exact
}
