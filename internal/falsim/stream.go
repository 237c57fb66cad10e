package falsim

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

// pingEvery is fal's: a comment line keeps idle streams alive.
const pingEvery = 15 * time.Second

func wantsLogs(r *http.Request) bool {
	switch r.URL.Query().Get("logs") {
	case "1", "true", "True":
		return true
	}
	return false
}

// stream serves the status stream: the present state at once, then each change
// at its moment, and the end after COMPLETED.
func (s *Server) stream(c *call, f *Fault) {
	s.mu.Lock()
	now := time.Now()
	s.settle(now)
	j := s.find(c, now)
	if j != nil {
		s.stats.OpenStreams++
		s.wake()
	}
	s.mu.Unlock()
	if j == nil {
		c.write(jsonText(404, `{"status":"NOT_FOUND"}`))
		return
	}
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.stats.OpenStreams--
		s.wake()
	}()

	h := c.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-cache")
	h.Set("X-Fal-Request-Id", j.id)
	c.w.WriteHeader(http.StatusOK)
	st := &streaming{s: s, c: c, j: j, f: f, logs: wantsLogs(c.r)}
	if f == nil {
		st.f = &Fault{}
	}
	if st.run(now) && st.f.Kind == HoldOpen {
		s.pause(c, st.f.Hold)
	}
}

// streaming is one open stream.
type streaming struct {
	s      *Server
	c      *call
	j      *job
	f      *Fault // never nil; its kind is empty on a healthy stream
	logs   bool
	told   int // log lines sent
	events int
}

// run sends the events from at on; it is true once COMPLETED was sent.
func (st *streaming) run(at time.Time) bool {
	ping := time.NewTimer(pingEvery)
	defer ping.Stop()
	for {
		st.s.mu.Lock()
		body := st.j.statusAt(at, st.logs, st.told)
		st.told = st.j.logsAt(at)
		st.s.mu.Unlock()
		if !st.event(body) {
			return false
		}
		if body.Status == completed.String() {
			return true
		}
		var ok bool
		if at, ok = st.next(at, ping); !ok {
			return false
		}
	}
}

// next waits for the first change after at and gives its moment.
func (st *streaming) next(at time.Time, ping *time.Timer) (time.Time, bool) {
	for {
		st.s.mu.Lock()
		next, changed, gone := st.j.nextAfter(at), st.j.watch(), st.j.gone
		st.s.mu.Unlock()
		if gone {
			return at, false
		}
		var timer *time.Timer
		var reached <-chan time.Time
		if !next.IsZero() {
			wait := time.Until(next)
			if wait <= 0 {
				return next, true
			}
			timer = time.NewTimer(wait)
			reached = timer.C
		}
		ended := false
		select {
		case <-reached:
		case <-changed:
		case <-ping.C:
			ended = st.ping() != nil
			ping.Reset(pingEvery)
		case <-st.c.r.Context().Done():
			ended = true
		case <-st.s.done:
			ended = true
		}
		if timer != nil {
			timer.Stop()
		}
		if ended {
			return at, false
		}
	}
}

func (st *streaming) ping() error {
	if _, err := st.c.w.Write([]byte(": ping\n\n")); err != nil {
		return err
	}
	return http.NewResponseController(st.c.w).Flush()
}

// event sends one event, spoilt where it is the fault's turn. It is false when
// the stream must end.
func (st *streaming) event(body statusBody) bool {
	if st.f.Kind == Silent && st.events == st.f.After {
		return st.silence()
	}
	if st.f.Kind != "" && st.events == st.f.After && !st.misbehave(body) {
		return false
	}
	st.events++
	raw := frame(body)
	switch {
	case st.f.Kind == SplitEvent && st.events > st.f.After:
		return st.pieces(raw)
	case !st.send(raw):
		return false
	case st.f.Kind == Silent && st.events == st.f.After:
		return st.silence()
	}
	return true
}

// silence waits for the client to leave, and is always false.
func (st *streaming) silence() bool {
	st.c.flush()
	select {
	case <-st.c.r.Context().Done():
	case <-st.s.done:
	}
	return false
}

// misbehave plays the fault that is due before the next event; it is false when
// that ends the stream.
func (st *streaming) misbehave(body statusBody) bool {
	switch st.f.Kind {
	case BreakEvent:
		raw := frame(body)
		_ = st.send(raw[:len(raw)/2])
		st.c.sever(true)
		return false
	case EndEarly:
		st.c.flush()
		return false
	case LongLine:
		body.Padding = strings.Repeat("x", int(min(st.f.bytesOr(defaultLine), 256<<20)))
		return st.send(frame(body))
	case Garbage:
		return st.send([]byte("data: {\"status\":\"IN_PROG\x00\xff<html>\n\n"))
	case UnknownStatus:
		return st.send(swapStatus(frame(body)))
	}
	return true
}

func frame(body statusBody) []byte {
	raw, _ := json.Marshal(body)
	b := bytes.NewBuffer(make([]byte, 0, len(raw)+8))
	b.WriteString("data: ")
	b.Write(raw)
	b.WriteString("\n\n")
	return b.Bytes()
}

func (st *streaming) send(raw []byte) bool {
	if _, err := st.c.w.Write(raw); err != nil {
		return false
	}
	return http.NewResponseController(st.c.w).Flush() == nil
}

func (st *streaming) pieces(raw []byte) bool {
	n := st.f.Pieces
	if n < 2 {
		n = 3
	}
	size := max(len(raw)/n, 1)
	for len(raw) > 0 {
		cut := min(size, len(raw))
		if !st.send(raw[:cut]) {
			return false
		}
		raw = raw[cut:]
		if len(raw) > 0 && !st.s.pause(st.c, st.f.Interval) {
			return false
		}
	}
	return true
}
