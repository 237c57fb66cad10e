package transport

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
	"go.uber.org/goleak"

	"nemotron-mcp/tools"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serveFunc is Stdio.Serve or mcp-go's own stdio server.
type serveFunc func(ctx context.Context, s *server.MCPServer, in io.Reader, out io.Writer) error

func serveOurs(o Stdio) serveFunc {
	return func(ctx context.Context, s *server.MCPServer, in io.Reader, out io.Writer) error {
		served := o
		served.Server = s
		return served.Serve(ctx, in, out)
	}
}

func serveReference(ctx context.Context, s *server.MCPServer, in io.Reader, out io.Writer) error {
	stdio := server.NewStdioServer(s)
	stdio.SetErrorLogger(log.New(io.Discard, "", 0))
	return stdio.Listen(ctx, in, out)
}

// fixture is a server whose tools tell the test what happens to them.
type fixture struct {
	server  *server.MCPServer
	started chan string   // a call of gate or deaf has begun; its name argument
	ended   chan error    // a call of gate has ended; the cause, nil where released
	release chan struct{} // ends gate and deaf
	once    sync.Once
	roots   chan string // notifications/roots/list_changed, notifications/initialized
}

const secret = "s3cret-in-a-panic"

func newFixture(opts ...server.ServerOption) *fixture {
	f := &fixture{
		server:  server.NewMCPServer("fixture", "1", append([]server.ServerOption{server.WithToolCapabilities(false)}, opts...)...),
		started: make(chan string, 4096),
		ended:   make(chan error, 4096),
		release: make(chan struct{}),
		roots:   make(chan string, 16),
	}
	for name, handler := range map[string]server.ToolHandlerFunc{
		"echo": f.echo, "gate": f.gate, "deaf": f.deaf, "chatter": f.chatter, "channel": f.channel, "boom": f.boom,
	} {
		f.server.AddTool(mcp.NewToolWithRawSchema(name, "fixture", json.RawMessage(`{"type":"object","properties":{}}`)), handler)
	}
	for _, method := range []string{"notifications/roots/list_changed", "notifications/initialized"} {
		f.server.AddNotificationHandler(method, func(context.Context, mcp.JSONRPCNotification) { f.roots <- method })
	}
	return f
}

// free ends whatever waits in gate and deaf.
func (f *fixture) free() { f.once.Do(func() { close(f.release) }) }

func (f *fixture) echo(_ context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	return mcp.NewToolResultText(r.GetString("text", "")), nil
}

func (f *fixture) gate(ctx context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	f.started <- r.GetString("name", "")
	select {
	case <-f.release:
		f.ended <- nil
		return mcp.NewToolResultText("released"), nil
	case <-ctx.Done():
		f.ended <- context.Cause(ctx)
		return nil, ctx.Err()
	}
}

func (f *fixture) deaf(_ context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	f.started <- r.GetString("name", "")
	<-f.release
	return mcp.NewToolResultText("released"), nil
}

// chatter sends notifications as fast as it may.
func (f *fixture) chatter(ctx context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	notifier := tools.NotifierFrom(ctx)
	for i := range r.GetInt("n", 0) {
		params := map[string]any{"progressToken": r.GetInt("token", 1), "progress": i}
		if notifier == nil {
			_ = f.server.SendNotificationToClient(ctx, "notifications/progress", params)
			continue
		}
		var n mcp.JSONRPCNotification
		n.JSONRPC = mcp.JSONRPC_VERSION
		n.Method = "notifications/progress"
		n.Params.AdditionalFields = params
		if err := notifier.Notify(n); err != nil {
			return nil, err
		}
	}
	return mcp.NewToolResultText("done"), nil
}

// channel sends through mcp-go, whatever the session.
func (f *fixture) channel(ctx context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	for i := range r.GetInt("n", 0) {
		if err := f.server.SendNotificationToClient(ctx, "notifications/progress", map[string]any{"progress": i}); err != nil {
			return nil, err
		}
	}
	return mcp.NewToolResultText("done"), nil
}

func (f *fixture) boom(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	panic(secret)
}

// message is any line of the server.
type message struct {
	JSONRPC string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Method  string          `json:"method"`
	Params  json.RawMessage `json:"params"`
	Result  json.RawMessage `json:"result"`
	Error   *struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
	line string
}

// host is the other end of the streams.
type host struct {
	*fixture
	t        testing.TB
	in       *io.PipeWriter
	outR     *io.PipeReader
	lines    chan message
	served   chan error
	stop     context.CancelCauseFunc
	patience time.Duration
}

// start serves f until the test ends. With mute nothing reads the output.
func start(t testing.TB, f *fixture, serve serveFunc, patience time.Duration, mute bool) *host {
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	ctx, stop := context.WithCancelCause(context.Background())
	h := &host{
		fixture: f, t: t, in: inW, outR: outR, stop: stop, patience: patience,
		lines: make(chan message, 20000), served: make(chan error, 1),
	}
	var all sync.WaitGroup
	all.Go(func() {
		h.served <- serve(ctx, f.server, inR, outW)
		outW.Close()
	})
	if !mute {
		all.Go(h.readAll)
	}
	t.Cleanup(func() {
		f.free()
		stop(nil)
		inW.Close()
		outR.Close()
		all.Wait()
	})
	return h
}

func (h *host) readAll() {
	defer close(h.lines)
	r := bufio.NewReader(h.outR)
	for {
		line, err := r.ReadString('\n')
		if line != "" {
			m := message{line: line}
			if json.Unmarshal([]byte(line), &m) != nil || m.JSONRPC != "2.0" {
				m.Method = "NOT JSON-RPC"
			}
			h.lines <- m
		}
		if err != nil {
			return
		}
	}
}

// send writes lines in one Write, so that the server finds them all at once.
func (h *host) send(lines ...string) error { return h.sendRaw(strings.Join(lines, "\n") + "\n") }

func (h *host) sendRaw(text string) error {
	done := make(chan error, 1)
	go func() {
		_, err := io.WriteString(h.in, text)
		done <- err
	}()
	err, ok := within(h, done)
	if !ok {
		return errors.New("the server does not read")
	}
	return err
}

func within[T any](h *host, from <-chan T) (value T, ok bool) {
	timer := time.NewTimer(h.patience)
	defer timer.Stop()
	select {
	case value, ok = <-from:
		return value, ok
	case <-timer.C:
		return value, false
	}
}

// next returns the next line of the server.
func (h *host) next() (message, error) {
	m, ok := within(h, h.lines)
	if !ok {
		return m, errors.New("no message in time")
	}
	if m.Method == "NOT JSON-RPC" {
		return m, fmt.Errorf("not JSON-RPC: %.200s", m.line)
	}
	return m, nil
}

// answerTo passes over lines until the response with this id.
func (h *host) answerTo(id string) (message, error) {
	for {
		m, err := h.next()
		if err != nil {
			return m, fmt.Errorf("answer to %s: %w", id, err)
		}
		if m.Method == "" && string(m.ID) == id {
			return m, nil
		}
	}
}

// roundTrip shows that everything before has been read.
func (h *host) roundTrip(id string) error {
	if err := h.send(ping(id)); err != nil {
		return err
	}
	_, err := h.answerTo(id)
	return err
}

// rest ends the input and returns what comes until the server has ended.
func (h *host) rest() ([]message, error) {
	h.in.Close()
	if err, ok := within(h, h.served); !ok || err != nil {
		return nil, fmt.Errorf("ended %v: %w", ok, errors.Join(err, errNotEnded(ok)))
	}
	var all []message
	for m := range h.lines {
		all = append(all, m)
	}
	return all, nil
}

func errNotEnded(ended bool) error {
	if ended {
		return nil
	}
	return errors.New("the server does not end")
}

func ping(id string) string { return `{"jsonrpc":"2.0","id":` + id + `,"method":"ping"}` }

func call(id, tool, arguments string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"method":"tools/call","params":{"name":%q,"arguments":%s}}`, id, tool, arguments)
}

func cancelOf(id string) string {
	return `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":` + id + `}}`
}

const initialize = `{"jsonrpc":"2.0","id":"init","method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"host","version":"1"}}}`

// handshake makes the session one that takes notifications.
func (h *host) handshake() error {
	if err := h.send(initialize); err != nil {
		return err
	}
	if _, err := h.answerTo(`"init"`); err != nil {
		return err
	}
	return h.send(`{"jsonrpc":"2.0","method":"notifications/initialized"}`)
}

func (h *host) wantStarted() error {
	if _, ok := within(h, h.started); !ok {
		return errors.New("the call has not begun")
	}
	return nil
}

func (h *host) wantEnded(want error) error {
	got, ok := within(h, h.ended)
	if !ok {
		return errors.New("the call goes on")
	}
	if !errors.Is(got, want) {
		return fmt.Errorf("the call ended with %v, not %v", got, want)
	}
	return nil
}
