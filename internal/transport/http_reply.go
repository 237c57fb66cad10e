package transport

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
)

// reply is the response to one POST of streamable HTTP. What a tool tells of its
// progress goes out at once as an event, and the answer is then the last event;
// where nothing is told it is plain JSON. mcp-go's own way loses the last of the
// progress, and where two calls of a session are in flight it may put it on the
// other one's stream (v1.2.1).
//
// It is an http.ResponseWriter for mcp-go, and safe for concurrent use.
type reply struct {
	w        http.ResponseWriter
	rc       *http.ResponseController
	streamed bool          // the client takes events
	patience time.Duration // for it to take what is written
	mask     func([]byte) []byte
	id       []byte // of the request that is answered; nil where there is none

	mu     sync.Mutex
	header http.Header // until it is sent
	status int
	body   bytes.Buffer // the answer, until finish
	events bool         // sent as events, by us
	native bool         // sent as events, by mcp-go
	over   bool
	err    error // the first write that failed
}

func (s *httpServer) newReply(w http.ResponseWriter, r *http.Request) *reply {
	return &reply{
		w: w, rc: http.NewResponseController(w), header: http.Header{}, status: http.StatusOK, patience: s.times.write, mask: s.Mask,
		streamed: strings.Contains(r.Header.Get("Accept"), "text/event-stream"),
	}
}

// Header implements http.ResponseWriter.
func (p *reply) Header() http.Header { return p.header }

// WriteHeader implements http.ResponseWriter.
func (p *reply) WriteHeader(status int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status = status
	if p.header.Get("Content-Type") == "text/event-stream" && !p.events && !p.over {
		p.native = true
		p.send()
	}
}

// Write implements http.ResponseWriter.
func (p *reply) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.native {
		return p.body.Write(b)
	}
	return len(b), p.write(b)
}

// Flush implements http.Flusher.
func (p *reply) Flush() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.native {
		p.flush()
	}
}

// Notify implements tools.Notifier. A client that takes no events is told
// nothing.
func (p *reply) Notify(n mcp.JSONRPCNotification) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.over:
		return fmt.Errorf("notification %s: %w", n.Method, errOutputClosed)
	case !p.streamed || p.err != nil:
		return p.err
	case !p.events && !p.native:
		p.header = http.Header{"Content-Type": {"text/event-stream"}, "X-Accel-Buffering": {"no"}}
		p.events, p.status = true, http.StatusOK
		p.send()
	}
	var event bytes.Buffer
	if err := encodeJSON(&event, n); err != nil {
		return fmt.Errorf("encode the notification %s: %w", n.Method, err)
	}
	p.event(event.Bytes())
	return p.err
}

// finish sends the answer, and reports whether the client has it. Without one, as
// after a cancel, nothing more is sent.
func (p *reply) finish(ctx context.Context, answered bool) (delivered bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		return false
	}
	p.over = true
	p.maskError()
	if answered && p.id != nil && p.body.Len() == 0 && !p.native && p.status == http.StatusOK {
		p.interrupted()
	}
	switch {
	case p.native:
	case p.events && answered:
		p.event(bytes.TrimSpace(p.body.Bytes()))
	case p.events:
	case !answered:
		p.header, p.status = http.Header{}, http.StatusAccepted
		p.send()
	default:
		p.header.Set("Content-Length", strconv.Itoa(p.body.Len()))
		p.send()
		p.err = p.write(p.body.Bytes())
		p.flush()
	}
	return answered && p.err == nil && ctx.Err() == nil && p.status == http.StatusOK
}

// interrupted is the answer where mcp-go gives none: the request's context has
// ended, with the client, which may still read, or with the server. p.mu is held.
func (p *reply) interrupted() {
	encodeFault(&p.body, &fault{id: p.id, code: mcp.REQUEST_INTERRUPTED, message: "the request was interrupted before its answer could be sent"})
	p.status = http.StatusServiceUnavailable
	p.header.Set("Content-Type", "application/json")
}

// maskError hides secrets in what mcp-go says of an error, which repeats what the
// client has sent. Results are their makers' business. p.mu is held.
func (p *reply) maskError() {
	if !bytes.Contains(p.body.Bytes(), []byte(`"error"`)) {
		return
	}
	var answer struct {
		JSONRPC string          `json:"jsonrpc"`
		ID      json.RawMessage `json:"id"`
		Error   *struct {
			Code    int             `json:"code"`
			Message string          `json:"message"`
			Data    json.RawMessage `json:"data,omitempty"`
		} `json:"error"`
	}
	if json.Unmarshal(p.body.Bytes(), &answer) != nil || answer.Error == nil {
		return
	}
	masked := string(p.mask([]byte(answer.Error.Message)))
	if masked == answer.Error.Message {
		return
	}
	answer.Error.Message = masked
	p.body.Reset()
	_ = encodeJSON(&p.body, answer) // to memory, of what was just read
}

// send sends the header. p.mu is held.
func (p *reply) send() {
	maps.Copy(p.w.Header(), p.header)
	p.deadline()
	p.w.WriteHeader(p.status)
}

// keepingAlive is keepAlive until stop is called, which waits for its end.
func (p *reply) keepingAlive(ctx context.Context, every time.Duration) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var alive sync.WaitGroup
	alive.Go(func() { p.keepAlive(ctx, every) })
	return func() { cancel(); alive.Wait() }
}

// keepAlive lets proxies see that a stream is there, until ctx ends.
func (p *reply) keepAlive(ctx context.Context, every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			p.mu.Lock()
			if p.native && p.write([]byte(": still here\n\n")) == nil {
				p.flush()
			}
			p.mu.Unlock()
		}
	}
}

// event sends one message. p.mu is held.
func (p *reply) event(data []byte) {
	event := make([]byte, 0, len(data)+len("event: message\ndata: \n\n"))
	event = append(event, "event: message\ndata: "...)
	event = append(event, data...)
	event = append(event, "\n\n"...)
	if p.write(event) == nil {
		p.flush()
	}
}

// write and flush keep the first error. p.mu is held.
func (p *reply) write(b []byte) error {
	if p.err == nil {
		p.deadline()
		_, p.err = p.w.Write(b)
	}
	return p.err
}

func (p *reply) flush() {
	if p.err == nil {
		p.err = p.rc.Flush()
	}
}

// deadline bounds what a client that does not read can hold up.
func (p *reply) deadline() { _ = p.rc.SetWriteDeadline(time.Now().Add(p.patience)) }

// fail replaces the answer after a panic.
func (p *reply) fail() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.body.Reset()
	encodeFault(&p.body, &fault{code: mcp.INTERNAL_ERROR, message: "internal error"})
	p.header, p.status = http.Header{"Content-Type": {"application/json"}}, http.StatusInternalServerError
}

// refuse replaces the answer by an error. The protocol without a handshake wants a
// status of its own for what a request says wrong.
func (p *reply) refuse(f *fault, modern bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.body.Reset()
	encodeFault(&p.body, f)
	p.header.Set("Content-Type", "application/json")
	if modern && f.code == mcp.INVALID_PARAMS {
		p.status = http.StatusBadRequest
	}
}
