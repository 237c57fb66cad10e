package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/mark3labs/mcp-go/server"
	"github.com/rs/zerolog"
)

// Defaults of [Stdio].
const (
	DefaultDrainWindow      = 5 * time.Second
	DefaultGrace            = 800 * time.Millisecond
	DefaultMaxLine          = 16 << 20
	DefaultMaxInFlight      = 2048
	DefaultMaxInFlightBytes = 256 << 20
)

// Why the context of a call ended, as context.Cause tells it.
var (
	// ErrCancelledByHost: the host sent notifications/cancelled for the call.
	ErrCancelledByHost = errors.New("cancelled by the host")
	// ErrShutdown: the input ended and the drain window has passed, or the
	// context of Serve ended. The answer is still written if it comes in time.
	ErrShutdown = errors.New("the server is shutting down")
	// ErrDisconnected: the output can't be written to any more. Serve returns
	// it too, together with the error of the write.
	ErrDisconnected = errors.New("the host has disconnected")
)

// joinWindow is for goroutines that have been released and only need to be
// scheduled once more to end. It is spent in full only where one is stuck.
const joinWindow = 50 * time.Millisecond

// Stdio serves one MCP host over a pair of streams. Only Server is required; a
// field left at zero has its default. Serve may be called several times, also
// at once: nothing is shared between two calls but the Server.
type Stdio struct {
	Server *server.MCPServer
	Log    zerolog.Logger

	// DrainWindow is how long calls in flight may go on after the end of the
	// input; default 5 s, negative for none.
	DrainWindow time.Duration
	// Grace is how long cancelled calls may take to end and to be answered;
	// default 800 ms, negative for none.
	Grace time.Duration
	// MaxLine is the longest message in bytes, its line end not counted;
	// default 16 MiB.
	MaxLine int
	// MaxInFlight is how many requests may be in work or waiting for the host
	// to read their answer; default 2048. One more is refused, and costs
	// nothing.
	MaxInFlight int
	// MaxInFlightBytes is how large these requests may be together; default
	// 256 MiB, and never less than MaxLine.
	MaxInFlightBytes int

	// Mask hides secrets in what a JSON-RPC error says, which can repeat what
	// the host sent; nil hides none. Results are their makers' business.
	Mask func([]byte) []byte

	newDelivery func(context.Context) (context.Context, delivery) // tests watch it

	// enter asks whether there is room beside other connections for a request of
	// that many bytes, and leave gives it back; nil where there are no others.
	enter func(size int) bool
	leave func(size int)
}

// Serve reads messages from in and answers on out until in ends (nil), ctx ends
// (its cause), or in or out fails (that error; [ErrDisconnected] for out). See
// the package comment for how long that may take and what is left behind. It
// closes neither stream.
//
// The context of each call carries the values of ctx, the session and, for
// tools/call, a tools.Delivery that is told in the end whether the handler's
// answer was written in full.
func (s *Stdio) Serve(ctx context.Context, in io.Reader, out io.Writer) error {
	o := s.withDefaults()
	c := newStdioConn(ctx, o, out)
	if err := o.Server.RegisterSession(c.base, c.session); err != nil {
		return fmt.Errorf("register the stdio session: %w", err)
	}
	defer o.Server.UnregisterSession(c.base, c.session.SessionID())

	pumped := make(chan struct{})
	go func() {
		defer close(pumped)
		c.pump()
	}()
	read := make(chan error, 1)
	go func() { read <- c.read(in, o.MaxLine) }()

	var err error
	select {
	case err = <-read:
		c.session.roots.end(ErrShutdown)
		c.cancelSubscriptions()
		c.waitIdle(ctx, o.DrainWindow)
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-c.out.closed:
	}
	c.end(o.Grace, pumped)
	if broken := c.out.failure(); broken != nil {
		return fmt.Errorf("%w: %w", ErrDisconnected, broken)
	}
	return err
}

func (s *Stdio) withDefaults() Stdio {
	o := *s
	if o.DrainWindow == 0 {
		o.DrainWindow = DefaultDrainWindow
	}
	if o.Grace == 0 {
		o.Grace = DefaultGrace
	}
	if o.MaxLine <= 0 {
		o.MaxLine = DefaultMaxLine
	}
	if o.MaxInFlight <= 0 {
		o.MaxInFlight = DefaultMaxInFlight
	}
	if o.MaxInFlightBytes <= 0 {
		o.MaxInFlightBytes = DefaultMaxInFlightBytes
	}
	if o.Mask == nil {
		o.Mask = func(b []byte) []byte { return b }
	}
	if o.enter == nil {
		o.enter, o.leave = func(int) bool { return true }, func(int) {}
	}
	if o.newDelivery == nil {
		o.newDelivery = toolsDelivery
	}
	// A canonical message is up to a few dozen bytes longer than its line.
	o.MaxInFlightBytes = max(o.MaxInFlightBytes, o.MaxLine+1024)
	return o
}

// end cancels what is still in flight, waits for it as long as it may, and
// closes the output for everything that did not make it.
func (c *stdioConn) end(grace time.Duration, pumped <-chan struct{}) {
	cause := ErrShutdown
	if c.out.failure() != nil {
		cause = ErrDisconnected
	}
	c.stop(cause)

	deadline := time.Now().Add(grace)
	await(c.idle(), grace)
	close(c.quit)
	await(pumped, max(time.Until(deadline), joinWindow))
	c.out.close()
	await(pumped, joinWindow)
	c.workers.Close()
	joined := make(chan struct{})
	go func() { c.workers.Wait(); close(joined) }()
	await(joined, joinWindow)
}

// await waits until done is closed, but no longer than limit.
func await(done <-chan struct{}, limit time.Duration) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
}
