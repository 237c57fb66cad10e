package transport

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
)

// isCancelled says whether the host has cancelled a call before it began.
func (c *stdioConn) isCancelled(call *stdioCall) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return call.cancelled
}

// claim says whether a call may be answered. From then on a cancel has no
// effect, and the host may use the id again: it may do so as soon as it has
// the answer, which is before Write returns.
func (c *stdioConn) claim(call *stdioCall) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forget(call)
	return !call.cancelled
}

// finish makes room for another call.
func (c *stdioConn) finish(call *stdioCall) {
	call.cancel(nil)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forget(call)
	c.inFlight--
	c.bytes -= call.size
	c.leave(call.size)
	c.tellIdle()
}

// forget takes a call out of reach. Its id may be that of a later call by now.
func (c *stdioConn) forget(call *stdioCall) {
	if c.calls[call.id.key] == call {
		delete(c.calls, call.id.key)
	}
}

// cancelCall ends the call that a notifications/cancelled names. One that
// names none, or says so badly, is ignored as the specification asks.
func (c *stdioConn) cancelCall(params []byte) {
	id, ok := cancelledID(params)
	if !ok {
		return
	}
	c.mu.Lock()
	call := c.calls[id.key]
	if call != nil {
		call.cancelled = true
		c.forget(call)
	}
	c.mu.Unlock()
	if call != nil {
		call.cancel(ErrCancelledByHost)
	}
}

func cancelledID(params []byte) (id requestID, ok bool) {
	if params == nil {
		return requestID{}, false
	}
	for key, value := range members(params) {
		if key != "requestId" {
			continue
		}
		if id.raw != nil {
			return requestID{}, false
		}
		if id, ok = parseID(value); !ok {
			return requestID{}, false
		}
	}
	return id, ok
}

// cancelSubscriptions ends the calls that would never end by themselves; their
// last message is the result that closes the subscription.
func (c *stdioConn) cancelSubscriptions() {
	c.mu.Lock()
	var open []*stdioCall
	for _, call := range c.calls {
		if call.method == string(mcp.MethodSubscriptionsListen) {
			open = append(open, call)
		}
	}
	c.mu.Unlock()
	for _, call := range open {
		call.cancel(ErrShutdown)
	}
}

// stop cancels every call and takes in no more.
func (c *stdioConn) stop(cause error) {
	c.mu.Lock()
	c.stopped = true
	c.mu.Unlock()
	c.session.roots.end(cause)
	c.stopAll(cause)
}

// idle returns a channel that is closed once nothing is in flight.
func (c *stdioConn) idle() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	done := make(chan struct{})
	c.waiting = append(c.waiting, done)
	c.tellIdle()
	return done
}

// tellIdle is called with mu held.
func (c *stdioConn) tellIdle() {
	if c.inFlight > 0 || c.queued > 0 {
		return
	}
	for _, done := range c.waiting {
		close(done)
	}
	c.waiting = nil
}

// waitIdle waits until everything is answered, at most for window, and not
// beyond the end of ctx or of the output.
func (c *stdioConn) waitIdle(ctx context.Context, window time.Duration) {
	timer := time.NewTimer(window)
	defer timer.Stop()
	select {
	case <-c.idle():
	case <-timer.C:
	case <-ctx.Done():
	case <-c.out.closed:
	}
}

// refuse answers a message that is not served.
func (c *stdioConn) refuse(f *fault) {
	if f.code == 0 {
		return
	}
	c.log.Debug().Int("code", f.code).Str("reason", f.message).Msg("refused a message")
	var buf bytes.Buffer
	encodeFault(&buf, f)
	c.enqueue(buf.Bytes())
}

// refuseBusy answers a request beyond the limit: in words for the model where
// it is a tool call.
func (c *stdioConn) refuseBusy(e *envelope) {
	c.log.Warn().Str("method", e.method).Msg("refused a request: too many in flight")
	message := fmt.Sprintf("too many requests are in flight on this connection (at most %d, and %d bytes together); "+
		"wait until some have been answered, then send this one again", c.maxCalls, c.maxBytes)
	if e.method != string(mcp.MethodToolsCall) {
		c.refuse(&fault{id: e.id.raw, code: codeBusy, message: message})
		return
	}
	var buf bytes.Buffer
	if err := encodeLine(&buf, e.id.raw, "result", busyResult(message)); err != nil {
		c.log.Error().Err(err).Msg("a refusal could not be encoded")
		return
	}
	c.enqueue(buf.Bytes())
}

// busyTime is when what was refused for a limit may be tried again, in seconds.
const busyTime = 5

// busyResult is the answer to a tool call beyond a limit, for the model.
func busyResult(message string) *mcp.CallToolResult {
	result := mcp.NewToolResultError("RATE_LIMITED: " + message + ". Nothing was submitted.")
	result.ResultType = mcp.ResultTypeComplete
	result.Meta = mcp.NewMetaFromMap(map[string]any{
		"nemotron/error": map[string]any{"code": "RATE_LIMITED", "retryable": true, "retry_after_seconds": busyTime},
	})
	return result
}

// enqueue leaves a line to the pump, since the reader must not wait for a
// write. Where the host reads nothing and the outbox is full, it waits.
func (c *stdioConn) enqueue(line []byte) {
	c.mu.Lock()
	c.queued++
	c.mu.Unlock()
	select {
	case c.outbox <- line:
	case <-c.out.closed:
		c.dequeued()
	}
}

func (c *stdioConn) dequeued() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queued--
	c.tellIdle()
}

// pump writes what nobody waits for: the reader's answers and the notifications
// of mcp-go.
func (c *stdioConn) pump() {
	for {
		select {
		case line := <-c.outbox:
			c.writeQueued(line)
		case n := <-c.session.notifications:
			c.writeNotification(n)
		case done := <-c.flushes:
			c.drainNotifications()
			close(done)
		case <-c.quit:
			c.drainNotifications()
			return
		case <-c.out.closed:
			return
		}
	}
}

func (c *stdioConn) writeQueued(line []byte) {
	defer c.dequeued()
	if _, err := c.out.write(line, nil); err != nil {
		c.log.Debug().Err(err).Msg("an answer was not written")
	}
}

func (c *stdioConn) drainNotifications() {
	for {
		select {
		case n := <-c.session.notifications:
			c.writeNotification(n)
		default:
			return
		}
	}
}

func (c *stdioConn) writeNotification(n mcp.JSONRPCNotification) {
	if err := c.session.Notify(n); err != nil {
		c.log.Debug().Err(err).Str("method", n.Method).Msg("a notification was not written")
	}
}

// flush waits until the notifications that mcp-go sent before are written: they
// belong before the response.
func (c *stdioConn) flush() {
	done := make(chan struct{})
	select {
	case c.flushes <- done:
	case <-c.out.closed:
		return
	}
	select {
	case <-done:
	case <-c.out.closed:
	}
}
