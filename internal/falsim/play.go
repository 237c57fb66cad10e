package falsim

import (
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	// maxPut bounds one uploaded body.
	maxPut = 16 << 30

	defaultBomb = 1 << 30
	defaultLine = 1 << 20
)

// draw gives the fault that hits this request, if any.
func (s *Server) draw(c *call) *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, prompt := s.plan, c.prompt
	if c.plan != nil {
		p = c.plan
	}
	var j *job
	switch c.step {
	case StepStatus, StepStream, StepResult, StepCancel:
		if j = s.jobs[c.id]; j != nil {
			prompt = j.prompt
			if j.plan != nil {
				p = j.plan
			}
		}
	}
	f := p.draw(c.step, j, prompt)
	if f != nil {
		s.stats.Faults++
		s.wake()
	}
	return f
}

// reply answers as fal does.
func (s *Server) reply(c *call) {
	if c.step == StepStream {
		s.stream(c, nil)
		return
	}
	c.write(s.do(c))
}

// play answers as the fault says.
func (s *Server) play(c *call, f *Fault) {
	kind := f.kind()
	if c.step == StepStream && (kind.ofStream() || kind == Delay) {
		if !s.pause(c, f.Delay) {
			panic(http.ErrAbortHandler)
		}
		if kind == Delay {
			f = nil
		}
		s.stream(c, f)
		return
	}
	own := kind == Delay || kind == TruncateBody || kind == SlowBody || kind == UnknownStatus
	var a answer
	if f.Accept && c.step != StepStream {
		a = s.do(c)
	} else if !own {
		c.drain(maxPut)
	}
	if !s.pause(c, f.Delay) {
		panic(http.ErrAbortHandler)
	}
	if own && !f.Accept {
		a = s.do(c)
	}
	s.spoil(c, f, a)
}

func (s *Server) spoil(c *call, f *Fault, a answer) {
	switch f.kind() {
	case Respond:
		c.write(f.respond())
	case Delay:
		c.write(a)
	case Hang:
		s.hang(c)
	case ResetAfterRead:
		c.sever(true)
	case CloseAfterAccept:
		c.sever(false)
	case TruncateBody:
		c.truncate(f, a)
	case EmptyBody:
		a := answer{status: f.statusOr(200), header: map[string]string{"Content-Type": "application/json"}}
		maps.Copy(a.header, f.Headers)
		c.write(a)
	case NullBody:
		c.write(answer{status: f.statusOr(200), header: f.Headers, body: []byte("null")})
	case SlowBody:
		s.dribble(c, f, a)
	case GzipBomb:
		s.bomb(c, f)
	case HugeBody:
		s.flood(c, f)
	case UnknownStatus:
		c.write(answer{status: a.status, requestID: a.requestID, body: swapStatus(a.body)})
	}
}

// respond gives the scripted answer. A body that looks like a page is sent as
// one, unless the script names its type.
func (f *Fault) respond() answer {
	a := answer{status: f.statusOr(500), header: map[string]string{}, body: []byte(f.Body)}
	if strings.HasPrefix(f.Body, "<") {
		a.header["Content-Type"] = "text/html"
	}
	for k, v := range f.Headers {
		a.header[http.CanonicalHeaderKey(k)] = v
	}
	return a
}

func (f *Fault) statusOr(status int) int {
	if f.Status != 0 {
		return f.Status
	}
	return status
}

// swapStatus puts a status word that fal does not document into a status body.
func swapStatus(body []byte) []byte {
	for _, p := range []phase{queued, running, completed} {
		body = bytes.Replace(body, []byte(`"status":"`+p.String()+`"`), []byte(`"status":"PREEMPTED"`), 1)
	}
	return body
}

// pause waits; it is false when the client left or the server closed.
func (s *Server) pause(c *call, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-c.r.Context().Done():
	case <-s.done:
	}
	return false
}

// hang waits until the client leaves or the server closes, and answers neither.
func (s *Server) hang(c *call) {
	select {
	case <-c.r.Context().Done():
	case <-s.done:
	}
	panic(http.ErrAbortHandler)
}

// sever ends the connection without an answer: with a reset, or in good order.
// HTTP/2 has no connection of its own to end; there the stream is reset.
func (c *call) sever(reset bool) {
	conn, _, err := http.NewResponseController(c.w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer conn.Close()
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	if l, ok := conn.(interface{ SetLinger(int) error }); ok && reset {
		_ = l.SetLinger(0)
	}
}

func (c *call) truncate(f *Fault, a answer) {
	if f.Body != "" {
		a.body = []byte(f.Body)
	}
	n := len(a.body) / 2
	if f.Bytes > 0 {
		n = int(min(f.Bytes, int64(max(len(a.body)-1, 0))))
	}
	c.head(a, len(a.body))
	_, _ = c.w.Write(a.body[:n])
	c.flush()
	c.sever(false)
}

func (s *Server) dribble(c *call, f *Fault, a answer) {
	c.head(a, len(a.body))
	for i := range a.body {
		if _, err := c.w.Write(a.body[i : i+1]); err != nil {
			return
		}
		c.flush()
		if !s.pause(c, f.Interval) {
			panic(http.ErrAbortHandler)
		}
	}
}

// bomb sends one small gzip member over and over: gzip readers join members.
func (s *Server) bomb(c *call, f *Fault) {
	const member = 1 << 20
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(bytes.Repeat([]byte{' '}, member))
	_ = z.Close()
	c.w.Header().Set("Content-Encoding", "gzip")
	c.w.Header().Set("Content-Type", "application/json")
	for left := f.bytesOr(defaultBomb); left > 0; left -= member {
		if !s.keepsReading(c, b.Bytes()) {
			return
		}
	}
}

func (s *Server) flood(c *call, f *Fault) {
	c.w.Header().Set("Content-Type", "application/json")
	left := f.bytesOr(defaultBomb)
	c.w.Header().Set("Content-Length", strconv.FormatInt(left, 10))
	open := []byte(`{"output":"`)
	chunk := bytes.Repeat([]byte{'a'}, 64<<10)
	for first := true; left > 0; first = false {
		b := chunk[:min(left, int64(len(chunk)))]
		if first {
			b = open[:min(left, int64(len(open)))]
		}
		if !s.keepsReading(c, b) {
			return
		}
		left -= int64(len(b))
	}
}

func (f *Fault) bytesOr(n int64) int64 {
	if f.Bytes > 0 {
		return f.Bytes
	}
	return n
}

func (s *Server) keepsReading(c *call, b []byte) bool {
	select {
	case <-s.done:
		return false
	default:
	}
	_, err := c.w.Write(b)
	return err == nil
}
