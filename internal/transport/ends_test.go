package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// These run in a synctest bubble, so the times are exact and take none.

const (
	forever = time.Hour
	slack   = 3 * joinWindow
)

// span checks when Serve has returned, and how.
func (h *host) span(t *testing.T, from time.Time, least, most time.Duration, want error) {
	t.Helper()
	err, ok := within(h, h.served)
	if !ok {
		t.Fatal("Serve has not returned")
	}
	if took := time.Since(from); took < least || took > most {
		t.Errorf("Serve took %v, want %v to %v", took, least, most)
	}
	if !errors.Is(err, want) {
		t.Errorf("Serve returned %v, want %v", err, want)
	}
}

func check(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func TestEnds(t *testing.T) {
	t.Parallel()
	errSignal := errors.New("SIGTERM")
	cases := []struct {
		name  string
		mute  bool     // the host never reads
		calls []string // tools
		end   func(h *host)
		least time.Duration
		most  time.Duration
		want  error
		// what a call of gate sees, and whether it is answered
		cause    error
		answered int
	}{
		{name: "input ends, nothing in flight", end: closeInput},
		{
			name: "input ends, the call goes on until it is cancelled", calls: []string{"gate"}, end: closeInput,
			least: DefaultDrainWindow, most: DefaultDrainWindow, cause: ErrShutdown, answered: 1,
		},
		{
			name: "input ends, the call ignores its context", calls: []string{"deaf"}, end: closeInput,
			least: DefaultDrainWindow + DefaultGrace, most: DefaultDrainWindow + DefaultGrace + slack,
		},
		{
			name: "input ends, one call ignores its context, the other is answered", calls: []string{"deaf", "gate"}, end: closeInput,
			least: DefaultDrainWindow + DefaultGrace, most: DefaultDrainWindow + DefaultGrace + slack, cause: ErrShutdown, answered: 1,
		},
		{
			name: "context ends, the call is cancelled at once", calls: []string{"gate"}, end: func(h *host) { h.stop(errSignal) },
			want: errSignal, cause: ErrShutdown, answered: 1,
		},
		{
			name: "context ends, the call ignores its context", calls: []string{"deaf"}, end: func(h *host) { h.stop(errSignal) },
			least: DefaultGrace, most: DefaultGrace + slack, want: errSignal,
		},
		{
			name: "context ends, the reader is in Read", end: func(h *host) { h.stop(errSignal) }, want: errSignal,
		},
		{
			name: "input ends, then the context", calls: []string{"gate"},
			end:   func(h *host) { closeInput(h); time.Sleep(time.Second); h.stop(errSignal) },
			least: time.Second, most: time.Second, cause: ErrShutdown, answered: 1,
		},
		{
			name: "input ends, the host has stopped reading", mute: true, calls: []string{"echo", "echo", "echo"}, end: closeInput,
			least: DefaultDrainWindow + DefaultGrace, most: DefaultDrainWindow + DefaultGrace + slack,
		},
		{
			name: "context ends, the host has stopped reading", mute: true, calls: []string{"echo", "echo", "gate"},
			end:   func(h *host) { h.stop(errSignal) },
			least: DefaultGrace, most: DefaultGrace + slack, want: errSignal, cause: ErrShutdown,
		},
		{
			name: "output closed while nothing is written", calls: []string{"gate"}, end: func(h *host) { h.outR.Close(); h.free() },
			want: ErrDisconnected,
		},
		{
			name: "output closed, another call is in work", calls: []string{"gate", "echo"}, mute: true,
			end:  func(h *host) { h.outR.CloseWithError(io.ErrClosedPipe) },
			want: ErrDisconnected, cause: ErrDisconnected,
		},
		{
			name: "input ends, then the output is closed", calls: []string{"gate", "echo"}, mute: true,
			end:   func(h *host) { closeInput(h); time.Sleep(time.Second); h.outR.CloseWithError(io.ErrClosedPipe) },
			least: time.Second, most: time.Second, want: ErrDisconnected, cause: ErrDisconnected,
		},
		{
			name: "output closed, another call ignores its context", calls: []string{"deaf", "echo"}, mute: true,
			end:   func(h *host) { h.outR.CloseWithError(io.ErrClosedPipe) },
			least: DefaultGrace, most: DefaultGrace + slack, want: ErrDisconnected,
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := start(t, newFixture(), serveOurs(Stdio{}), forever, c.mute)
				for i, tool := range c.calls {
					check(t, h.send(call(fmt.Sprint(i), tool, `{}`)))
				}
				synctest.Wait()
				from := time.Now()
				c.end(h)
				h.span(t, from, c.least, c.most, c.want)
				if c.cause != nil {
					check(t, h.wantEnded(c.cause))
				}
				if c.mute {
					return
				}
				h.outR.CloseWithError(nil)
				n := 0
				for range h.lines {
					n++
				}
				if n != c.answered {
					t.Errorf("%d answers, want %d", n, c.answered)
				}
			})
		})
	}
}

func closeInput(h *host) { h.in.Close() }

func TestDrainWindowAndGraceCanBeNone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := start(t, newFixture(), serveOurs(Stdio{DrainWindow: -1, Grace: -1}), forever, false)
		check(t, h.send(call("1", "deaf", `{}`)), h.wantStarted())
		from := time.Now()
		h.in.Close()
		h.span(t, from, 0, slack, nil)
	})
}

// TestNothingIsWrittenAfterServe lets a deaf call end after Serve has returned.
func TestNothingIsWrittenAfterServe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture()
		inR, inW := io.Pipe()
		var out lockedBuffer
		served := make(chan error, 1)
		go func() { served <- (&Stdio{Server: f.server}).Serve(t.Context(), inR, &out) }()
		_, err := io.WriteString(inW, call("1", "deaf", `{}`)+"\n")
		check(t, err)
		<-f.started
		inW.Close()
		check(t, <-served)
		f.free()
		synctest.Wait()
		if got := out.String(); got != "" {
			t.Errorf("written: %s", got)
		}
	})
}

type lockedBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// TestMuteHost floods a host that reads nothing: calls are taken up to the
// limit, then refusals fill the outbox, then the reader waits; the end of the
// context ends all of it. A host that reads again gets every answer.
func TestMuteHost(t *testing.T) {
	t.Parallel()
	const limit = 100
	flood := func(h *host) (sent chan int) {
		sent = make(chan int, 1)
		go func() {
			n := 0
			for ; n < 3000; n++ {
				if _, err := io.WriteString(h.in, call(fmt.Sprint(n), "echo", `{}`)+"\n"); err != nil {
					break
				}
			}
			sent <- n
		}()
		return sent
	}
	t.Run("context ends", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			h := start(t, newFixture(), serveOurs(Stdio{MaxInFlight: limit}), forever, true)
			sent := flood(h)
			synctest.Wait()
			from := time.Now()
			h.stop(nil)
			h.span(t, from, DefaultGrace, DefaultGrace+slack, context.Canceled)
			h.in.CloseWithError(io.ErrClosedPipe)
			if n := <-sent; n < limit+outboxLines || n > limit+outboxLines+3 {
				t.Errorf("%d lines were read, want %d and a few", n, limit+outboxLines)
			}
		})
	})
	t.Run("reads again", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			h := start(t, newFixture(), serveOurs(Stdio{MaxInFlight: limit}), forever, true)
			sent := flood(h)
			synctest.Wait()
			go h.readAll()
			if n := <-sent; n != 3000 {
				t.Fatalf("%d of 3000 lines were read", n)
			}
			all, err := h.rest()
			check(t, err)
			seen := map[string]int{}
			for _, m := range all {
				seen[string(m.ID)]++
			}
			if len(all) != 3000 || len(seen) != 3000 {
				t.Errorf("%d answers to %d ids, want 3000", len(all), len(seen))
			}
		})
	})
}

// TestSlowHost reads what was refused a second after the end of the input.
func TestSlowHost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := start(t, newFixture(), serveOurs(Stdio{}), forever, true)
		const n = 200
		check(t, h.sendRaw(strings.Repeat("rubbish\n", n)))
		from := time.Now()
		h.in.Close()
		time.Sleep(time.Second)
		go h.readAll()
		h.span(t, from, time.Second, time.Second, nil)
		got := 0
		for range h.lines {
			got++
		}
		if got != n {
			t.Errorf("%d answers, want %d", got, n)
		}
	})
}

func TestReadErrorIsReturned(t *testing.T) {
	t.Parallel()
	errTorn := errors.New("torn")
	h := start(t, newFixture(), serveOurs(Stdio{}), 20*time.Second, false)
	check(t, h.send(ping("1")), h.sendRaw(`{"jsonrpc":"2.0","id":2,"method":"ping"}`))
	h.in.CloseWithError(errTorn)
	if err, ok := within(h, h.served); !ok || !errors.Is(err, errTorn) {
		t.Errorf("Serve returned %v (%v), want %v", err, ok, errTorn)
	}
	// The half line before the error is not a message.
	if m, err := h.next(); err != nil || string(m.ID) != "1" {
		t.Errorf("got %s: %v", m.line, err)
	}
	if m, ok := within(h, h.lines); ok {
		t.Errorf("also got %s", m.line)
	}
}

// TestStuckOnReference shows why these ends are ours to make: mcp-go's server
// waits for all of them.
func TestStuckOnReference(t *testing.T) {
	cases := []struct {
		name string
		mute bool
		tool string
		end  func(h *host)
	}{
		{"a call ignores its context", false, "deaf", closeInput},
		{"the host has stopped reading", true, "echo", func(h *host) { h.stop(nil) }},
		{"the output is closed", false, "echo", func(h *host) { h.outR.Close() }},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := start(t, newFixture(), serveReference, 300*time.Millisecond, c.mute)
			check(t, h.send(call("1", c.tool, `{}`)))
			if c.tool == "deaf" {
				check(t, h.wantStarted())
			}
			if c.mute {
				// One byte shows that the answer is being written.
				_, err := h.outR.Read(make([]byte, 1))
				check(t, err)
			}
			c.end(h)
			if err, ok := within(h, h.served); ok {
				t.Errorf("mcp-go's server ends now, with %v", err)
			}
		})
	}
}
