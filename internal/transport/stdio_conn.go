package transport

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"runtime/debug"
	"sync"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
	"github.com/rs/zerolog"

	"nemotron-mcp/internal/workers"
	"nemotron-mcp/tools"
)

const (
	// outboxLines is how many answers the reader may leave for the pump. Beyond
	// it the reader waits: only a host that reads nothing while thousands of
	// its requests are unanswered gets there.
	outboxLines = 256
	// codeBusy is in the range that JSON-RPC leaves to servers.
	codeBusy = -32000
	// keptWorkers is how many goroutines of answered calls are kept for the next
	// ones.
	keptWorkers = 64
)

// stdioConn is one Serve at work.
type stdioConn struct {
	server   *server.MCPServer
	log      zerolog.Logger
	session  *stdioSession
	out      *lineWriter
	buffers  buffers
	workers  *workers.Pool // of the calls
	maxCalls int
	maxBytes int

	newDelivery func(context.Context) (context.Context, delivery)
	enter       func(size int) bool
	leave       func(size int)
	mask        func([]byte) []byte

	base    context.Context // of every call
	stopAll context.CancelCauseFunc

	outbox  chan []byte
	flushes chan chan struct{}
	quit    chan struct{} // closed: the pump ends after what is queued

	mu       sync.Mutex
	calls    map[idKey]*stdioCall // those a cancel can still reach
	inFlight int                  // requests taken and not yet done with
	bytes    int                  // of these requests
	queued   int                  // lines on their way through the outbox
	stopped  bool                 // no more calls are taken in
	waiting  []chan struct{}      // closed when nothing is in flight
}

// delivery is what the context of a tool's call carries: tools.Delivery. One of
// its methods is called, once, when the call is over.
type delivery interface {
	Delivered()
	Dropped()
}

func toolsDelivery(ctx context.Context) (context.Context, delivery) {
	d := new(tools.Delivery)
	return tools.WithDelivery(ctx, d), d
}

// stdioCall is one request in flight.
type stdioCall struct {
	id        requestID
	method    string
	message   []byte
	size      int
	ctx       context.Context
	cancel    context.CancelCauseFunc
	cancelled bool // by the host; guarded by stdioConn.mu
}

func newStdioConn(ctx context.Context, o Stdio, out io.Writer) *stdioConn {
	w := newLineWriter(out)
	pool := workers.New(keptWorkers)
	c := &stdioConn{
		server:   o.Server,
		log:      o.Log,
		session:  newStdioSession(w, pool.Go),
		out:      w,
		workers:  pool,
		maxCalls: o.MaxInFlight,
		maxBytes: o.MaxInFlightBytes,

		enter: o.enter,
		leave: o.leave,

		newDelivery: o.newDelivery,
		mask:        o.Mask,

		outbox:  make(chan []byte, outboxLines),
		flushes: make(chan chan struct{}),
		quit:    make(chan struct{}),
		calls:   make(map[idKey]*stdioCall),
	}
	// The end of ctx must reach the calls with a cause of ours.
	ctx = o.Server.WithContext(context.WithoutCancel(ctx), c.session)
	c.base, c.stopAll = context.WithCancelCause(ctx)
	return c
}

// handleLine runs on the reader, so it waits for nothing but room in the
// outbox. Handlers of notifications and of initialize run here too, which
// keeps their order.
func (c *stdioConn) handleLine(line []byte) {
	if len(bytes.Trim(line, " \t\r")) == 0 {
		return
	}
	e, bad := parseEnvelope(line)
	switch {
	case bad != nil:
		c.refuse(bad)
	case e.response:
		c.handleResponse(&e)
	case e.id.raw == nil && e.method == string(mcp.MethodNotificationCancelled):
		c.cancelCall(e.params)
	case e.id.raw == nil:
		if e.method == mcp.MethodNotificationRootsListChanged {
			c.session.roots.changed()
		}
		buf, _ := c.answer(c.base, nil, e.canonical())
		c.buffers.put(buf)
	default:
		c.handleRequest(&e)
	}
}

// handleResponse is where answers of the host arrive. The only request of ours
// is roots/list.
func (c *stdioConn) handleResponse(e *envelope) {
	if !c.session.roots.answer(e) {
		c.log.Debug().Msg("ignored a response: nobody waits for it")
	}
}

func (c *stdioConn) handleRequest(e *envelope) {
	// mcp-go puts this id, as a float64, into the notifications of the
	// subscription.
	const exact = 1 << 53
	n := e.id.key.number
	if e.method == string(mcp.MethodSubscriptionsListen) && (n > exact || n < -exact) {
		c.refuse(invalid(nil, "the id of subscriptions/listen must be a string or an integer of at most 2^53"))
		return
	}
	call, bad := c.begin(e)
	switch {
	case bad != nil:
		c.refuse(bad)
	case call == nil:
		c.refuseBusy(e)
	case e.method == string(mcp.MethodInitialize):
		c.initialize(call)
	default:
		c.workers.Go(func() { c.serve(call) })
	}
}

// begin takes a request in, so that a cancel finds it from now on. It returns
// no call where there are too many.
func (c *stdioConn) begin(e *envelope) (*stdioCall, *fault) {
	size := len(e.id.raw) + len(e.method) + len(e.params)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.stopped:
		return nil, &fault{}
	case c.calls[e.id.key] != nil:
		// Under its id the host would take this for the first one's answer.
		return nil, invalid(nil, "the id is that of a request in flight")
	case c.inFlight >= c.maxCalls || size > c.maxBytes-c.bytes || !c.enter(size):
		return nil, nil
	}
	call := &stdioCall{
		id:      requestID{raw: bytes.Clone(e.id.raw), key: e.id.key},
		method:  e.method,
		message: e.canonical(),
		size:    size,
	}
	call.ctx, call.cancel = context.WithCancelCause(c.base)
	c.calls[call.id.key] = call
	c.inFlight++
	c.bytes += size
	return call, nil
}

// initialize is answered like any call but handled at once. A cancel can't
// reach it, because none is read meanwhile.
func (c *stdioConn) initialize(call *stdioCall) {
	buf, _ := c.answer(call.ctx, call.id.raw, call.message)
	line := bytes.Clone(buf.Bytes())
	c.buffers.put(buf)
	c.finish(call)
	c.enqueue(line)
}

// serve handles one request and writes its answer, unless it was cancelled.
func (c *stdioConn) serve(call *stdioCall) {
	defer c.finish(call)
	if c.isCancelled(call) {
		return
	}
	if call.method != string(mcp.MethodToolsCall) {
		c.respond(call.ctx, call)
		return
	}
	ctx, d := c.newDelivery(call.ctx)
	delivered := false
	// Deferred, since a handler may end its goroutine.
	defer func() { c.settle(d, delivered) }()
	delivered = c.respond(ctx, call)
}

// respond returns whether the host now has what the handler answered.
func (c *stdioConn) respond(ctx context.Context, call *stdioCall) bool {
	// The message may be large, and the call long.
	message := call.message
	call.message = nil
	buf, genuine := c.answer(ctx, call.id.raw, message)
	defer c.buffers.put(buf)
	if c.session.channelUsed.Load() {
		c.flush()
	}
	written, err := c.out.write(buf.Bytes(), func() bool { return c.claim(call) })
	if err != nil {
		c.log.Debug().Err(err).Str("method", call.method).Msg("an answer was not written")
	}
	return written && genuine
}

// answer has mcp-go handle a message and encodes what it answers, which is
// meaningless without an id. A panic becomes an answer without its text, which
// is not genuine.
func (c *stdioConn) answer(ctx context.Context, id, message []byte) (buf *bytes.Buffer, genuine bool) {
	buf = c.buffers.get()
	defer func() {
		if r := recover(); r != nil {
			c.logPanic(r)
			c.encodeInternal(buf, id)
		}
	}()
	refused := new(tools.Refusal)
	response := c.server.HandleMessage(tools.WithRefusal(ctx, refused), message)
	if id == nil {
		return buf, true
	}
	if code, text, ok := refused.Refused(); ok {
		response = mcp.JSONRPCError{Error: mcp.JSONRPCErrorDetails{Code: code, Message: text}}
	}
	if refusal, ok := response.(mcp.JSONRPCError); ok {
		refusal.Error.Message = string(c.mask([]byte(refusal.Error.Message)))
		response = refusal
	}
	if err := encodeAnswer(buf, id, response); err != nil {
		c.log.Error().Err(err).Msg("an answer could not be encoded")
		c.encodeInternal(buf, id)
		return buf, false
	}
	return buf, true
}

func (c *stdioConn) encodeInternal(buf *bytes.Buffer, id []byte) {
	buf.Reset()
	if id == nil {
		return
	}
	encodeFault(buf, &fault{id: id, code: mcp.INTERNAL_ERROR, message: "internal error"})
}

func encodeFault(buf *bytes.Buffer, f *fault) {
	id := f.id
	if id == nil {
		id = []byte("null")
	}
	// Strings and a number can always be encoded.
	_ = encodeLine(buf, id, "error", mcp.JSONRPCErrorDetails{Code: f.code, Message: f.message})
}

// settle tells the handler of a tool what became of its answer.
func (c *stdioConn) settle(d delivery, delivered bool) {
	defer func() {
		if r := recover(); r != nil {
			c.logPanic(r)
		}
	}()
	if delivered {
		d.Delivered()
	} else {
		d.Dropped()
	}
}

func (c *stdioConn) logPanic(r any) {
	c.log.Error().Str("panic", fmt.Sprint(r)).Bytes("stack", debug.Stack()).Msg("a handler panicked")
}
