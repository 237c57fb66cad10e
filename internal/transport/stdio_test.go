package transport

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
	"github.com/rs/zerolog"
)

func ours(t *testing.T, o Stdio, opts ...server.ServerOption) *host {
	return start(t, newFixture(opts...), serveOurs(o), 20*time.Second, false)
}

// wantBusy reads the refusal of a tools/call.
func (h *host) wantBusy(id string) error {
	m, err := h.next()
	if err != nil {
		return err
	}
	var result struct {
		IsError    bool   `json:"isError"`
		ResultType string `json:"resultType"`
		Meta       map[string]struct {
			Code      string `json:"code"`
			Retryable bool   `json:"retryable"`
		} `json:"_meta"`
	}
	if err := json.Unmarshal(m.Result, &result); err != nil {
		return fmt.Errorf("%s: %w", m.line, err)
	}
	meta := result.Meta["nemotron/error"]
	ok := string(m.ID) == id && result.IsError && result.ResultType == "complete" &&
		meta.Code == "RATE_LIMITED" && meta.Retryable &&
		strings.HasPrefix(text(m), "RATE_LIMITED: ") && strings.Contains(text(m), "wait")
	return errorIf(!ok, "not a refusal of %s: %s", id, m.line)
}

func TestMaxInFlight(t *testing.T) {
	t.Parallel()
	h := ours(t, Stdio{MaxInFlight: 2})
	check(
		t,
		h.send(call("1", "gate", `{}`)), h.wantStarted(),
		h.send(call("2", "gate", `{}`)), h.wantStarted(),
		h.send(call("3", "echo", `{}`)), h.wantBusy("3"),
		h.send(ping("4")), h.wantError("4", codeBusy),
		// A refused id was never in flight.
		h.send(call("3", "echo", `{}`)), h.wantBusy("3"),
		// A cancel is still read, and makes room.
		h.send(cancelOf("1")), h.wantEnded(ErrCancelledByHost),
	)
	h.free()
	check(t, h.wantEnded(nil))
	m, err := h.answerTo("2")
	check(t, err, errorIf(text(m) != "released", "%s", m.line))
	check(t, h.wantRest0())
}

func (h *host) wantRest0() error {
	all, err := h.rest()
	if err != nil {
		return err
	}
	return errorIf(len(all) != 0, "the rest is %v", all)
}

func TestMaxInFlightBytes(t *testing.T) {
	t.Parallel()
	h := ours(t, Stdio{MaxLine: 1000, MaxInFlightBytes: 1})
	// The least is MaxLine, so that each line can be served.
	large := fmt.Sprintf(`{"text":%q,"name":"x"}`, strings.Repeat("x", 850))
	check(
		t,
		h.send(call("1", "gate", large)), h.wantStarted(),
		h.send(call("2", "gate", large)), h.wantStarted(),
		h.send(call("3", "echo", large)), h.wantBusy("3"),
		h.send(cancelOf("1")), h.wantEnded(ErrCancelledByHost),
	)
	h.free()
	_, err := h.answerTo("2")
	check(t, err, h.send(call("4", "echo", large)))
	m, err := h.answerTo("4")
	check(t, err, errorIf(len(text(m)) != 850, "%s", m.line))
}

func TestMaxLine(t *testing.T) {
	t.Parallel()
	const limit = 200_000 // more than the read buffer
	line := func(n int) string {
		const frame = `{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":""}}`
		return strings.Replace(frame, `""`, `"`+strings.Repeat("x", n-len(frame))+`"`, 1)
	}
	cases := []struct {
		name string
		size int
		end  string
		ok   bool
	}{
		{"exactly", limit, "\n", true},
		{"exactly, CRLF", limit, "\r\n", true},
		{"exactly, without an end", limit, "", true},
		{"one more", limit + 1, "\n", false},
		{"one more, CRLF", limit + 1, "\r\n", false},
		{"one more, without an end", limit + 1, "", false},
		{"ten times", limit * 10, "\n", false},
		{"a read buffer", readBuffer, "\n", true},
		{"a read buffer with its end", readBuffer - 1, "\n", true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := ours(t, Stdio{MaxLine: limit})
			check(t, h.sendRaw(line(c.size)+c.end))
			if c.end == "" {
				check(t, h.in.Close())
			}
			if !c.ok {
				check(t, h.wantError("null", -32600))
			} else if m, err := h.next(); err != nil || m.Result == nil {
				t.Fatalf("answered by %.200s: %v", m.line, err)
			}
			if c.end != "" {
				check(t, h.roundTrip("2"))
			}
		})
	}
}

func TestMaxLineBelowReadBuffer(t *testing.T) {
	t.Parallel()
	h := ours(t, Stdio{MaxLine: 60})
	check(t, h.send(call("1", "echo", `{}`)), h.wantError("null", -32600), h.roundTrip("2"))
}

// TestLargeLinesAreNotKept has long lines served and refused, and then little
// in memory.
func TestLargeLinesAreNotKept(t *testing.T) {
	h := ours(t, Stdio{MaxLine: 5 << 20})
	check(t, h.handshake(), h.roundTrip("0"))
	before := heap()
	body := strings.Repeat("x", 4<<20)
	check(t, h.send(call("1", "echo", `{"text":"`+body+`"}`)))
	m, err := h.answerTo("1")
	check(t, err, errorIf(len(text(m)) != len(body), "%d bytes came back", len(text(m))))
	m = message{}
	check(t, h.send(call("2", "gate", `{"text":"`+body+body+`"}`)), h.wantError("null", -32600))
	body = ""
	check(t, h.roundTrip("3"))
	if grown := heap() - before; grown > 1<<20 {
		t.Errorf("%d bytes are still in memory", grown)
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC() // a pool gives up what it holds at the second one
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestCallsInFlightAreSmall leaves room for the tool's own connection in the
// 100 KiB that a call may cost.
func TestCallsInFlightAreSmall(t *testing.T) {
	h := ours(t, Stdio{})
	check(t, h.handshake(), h.roundTrip("0"))
	inUse := func() int64 {
		h := heap()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return h + int64(m.StackInuse)
	}
	before := inUse()
	const n = 1000
	for i := range n {
		check(t, h.send(call(fmt.Sprint(i+1), "gate", `{"text":"`+strings.Repeat("x", 1000)+`"}`)), h.wantStarted())
	}
	each := (inUse() - before) / n
	t.Logf("%d bytes a call", each)
	if each > 40<<10 {
		t.Errorf("%d bytes a call", each)
	}
}

// TestMessagesOfCallsAreNotKept leaves a call in flight with its arguments as
// mcp-go keeps them, parsed and raw, and without the message they came in.
func TestMessagesOfCallsAreNotKept(t *testing.T) {
	h := ours(t, Stdio{})
	check(t, h.handshake(), h.roundTrip("0"))
	before := heap()
	const n, size = 8, 1 << 20
	for i := range n {
		check(t, h.send(call(fmt.Sprint(i+1), "gate", `{"text":"`+strings.Repeat("x", size)+`"}`)), h.wantStarted())
	}
	check(t, h.roundTrip(`"last"`)) // the reader's buffer is free too
	if each := (heap() - before) / n; each > size*5/2 {
		t.Errorf("%d bytes a call", each)
	}
}

// TestPanics has everything panic that the transport calls. The text is in the
// log, with the stack, and nowhere else.
func TestPanics(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name   string
		line   string
		id     string // answered by -32603
		before func(f *fixture)
	}{
		{"a tool", call("1", "boom", `{}`), "1", func(*fixture) {}},
		{"a notification handler", `{"jsonrpc":"2.0","method":"notifications/boom"}`, "", func(f *fixture) {
			f.server.AddNotificationHandler("notifications/boom", func(context.Context, mcp.JSONRPCNotification) { panic(secret) })
		}},
		{"a hook of initialize", initialize, `"init"`, func(*fixture) {}},
		{"an answer that can't be encoded", call("1", "unencodable", `{}`), "1", func(f *fixture) {
			f.server.AddTool(mcp.NewTool("unencodable"), func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
				return &mcp.CallToolResult{StructuredContent: make(chan int)}, nil
			})
		}},
		{"an answer that panics", call("1", "bomb", `{}`), "1", func(f *fixture) {
			f.server.AddTool(mcp.NewTool("bomb"), func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
				return &mcp.CallToolResult{StructuredContent: bomb{}}, nil
			})
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			hooks := &server.Hooks{}
			hooks.AddBeforeInitialize(func(context.Context, any, *mcp.InitializeRequest) { panic(secret) })
			f := newFixture(server.WithHooks(hooks))
			c.before(f)
			var logged lockedBuffer
			h := start(t, f, serveOurs(Stdio{Log: zerolog.New(&logged)}), 20*time.Second, false)
			check(t, h.send(c.line))
			if c.id != "" {
				m, err := h.next()
				check(t, err)
				if string(m.ID) != c.id || m.Error == nil || m.Error.Code != -32603 || m.Error.Message != "internal error" {
					t.Errorf("answered by %s", m.line)
				}
			}
			check(t, h.roundTrip("2"), h.wantRest0())
			if got := logged.String(); !strings.Contains(got, `"level":"error"`) {
				t.Errorf("logged: %s", got)
			}
		})
	}
}

type bomb struct{}

func (bomb) MarshalJSON() ([]byte, error) { panic(secret) }

// TestOneWriteEach has each message written whole, in one Write.
func TestOneWriteEach(t *testing.T) {
	t.Parallel()
	var writes writeLog
	in := strings.Join([]string{initialize, ping("1"), "rubbish", call("2", "chatter", `{"n":50}`), call("3", "echo", `{"text":"a\nb"}`)}, "\n")
	s := &Stdio{Server: newFixture().server}
	check(t, s.Serve(t.Context(), strings.NewReader(in), &writes))
	if len(writes) != 55 {
		t.Errorf("%d writes, want 55", len(writes))
	}
	for _, w := range writes {
		if bytes.Count(w, []byte("\n")) != 1 || w[len(w)-1] != '\n' || !json.Valid(w) {
			t.Errorf("written: %s", w)
		}
	}
}

type writeLog [][]byte

func (w *writeLog) Write(p []byte) (int, error) {
	*w = append(*w, bytes.Clone(p))
	return len(p), nil
}

// TestFailedWrites ends at writers that fail in their own ways.
func TestFailedWrites(t *testing.T) {
	t.Parallel()
	errPipe := errors.New("broken pipe")
	cases := []struct {
		name  string
		write func(p []byte) (int, error)
		want  error
	}{
		{"an error", func([]byte) (int, error) { return 0, errPipe }, errPipe},
		{"half a line", func(p []byte) (int, error) { return len(p) / 2, errPipe }, errPipe},
		{"half a line and no error", func(p []byte) (int, error) { return len(p) / 2, nil }, io.ErrShortWrite},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				inR, inW := io.Pipe()
				n := 0
				out := writeFunc(func(p []byte) (int, error) { n++; return c.write(p) })
				served := make(chan error, 1)
				go func() { served <- (&Stdio{Server: newFixture().server}).Serve(t.Context(), inR, out) }()
				_, err := io.WriteString(inW, ping("1")+"\nrubbish\n"+ping("2")+"\n")
				if err != nil && !errors.Is(err, io.ErrClosedPipe) {
					t.Fatal(err)
				}
				err = <-served
				if !errors.Is(err, ErrDisconnected) || !errors.Is(err, c.want) {
					t.Errorf("Serve returned %v", err)
				}
				if n != 1 {
					t.Errorf("%d writes, want none after the failed one", n)
				}
				inW.Close()
			})
		})
	}
}

type writeFunc func(p []byte) (int, error)

func (f writeFunc) Write(p []byte) (int, error) { return f(p) }

// TestErrorsAreMasked: what the host sent comes back in an error without the
// secrets in it.
func TestErrorsAreMasked(t *testing.T) {
	t.Parallel()
	h := ours(t, Stdio{Mask: func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("s3cret"), []byte("[redacted]")) }})
	check(t, h.send(call("1", "s3cret", `{}`)))
	m, err := h.next()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(m.line, "s3cret") || !strings.Contains(m.line, "[redacted]") {
		t.Error(m.line)
	}
}
