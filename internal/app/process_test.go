package app_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"nemotron-mcp/internal/falsim"
)

const testKey = "test-key-0123456789abcdef"

// process is the program, started as a host starts it.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    io.ReadCloser
	lines  chan string // what it wrote to stdout; closed at its end
	stderr *lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func startSimulator(t *testing.T, script falsim.Script) *falsim.Server {
	t.Helper()
	sim := falsim.New(script)
	if _, err := sim.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sim.Close() })
	return sim
}

// startProcess starts the server; read says whether its stdout is read.
func startProcess(t *testing.T, sim *falsim.Server, read bool) *process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // against a hang only
	t.Cleanup(cancel)
	p := &process{t: t, cmd: exec.CommandContext(ctx, self), lines: make(chan string, 4096), stderr: &lockedBuffer{}}
	p.cmd.Env = append(os.Environ(), childEnv+"=1", "FAL_KEY="+testKey, "FAL_QUEUE_URL="+sim.QueueURL())
	p.cmd.Stderr = p.stderr
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if p.out, err = p.cmd.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if read {
		go p.read()
	}
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
		if read {
			for range p.lines { //nolint:revive // joins the reader
			}
		}
		if strings.Contains(p.stderr.String(), testKey) {
			t.Error("the key is in the log")
		}
	})
	p.send(`{"jsonrpc":"2.0","id":"init","method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}`)
	p.send(`{"jsonrpc":"2.0","method":"notifications/initialized"}`)
	if read {
		p.answer("\"init\"")
	}
	return p
}

func (p *process) read() {
	defer close(p.lines)
	scanner := bufio.NewScanner(p.out)
	scanner.Buffer(nil, 16<<20)
	for scanner.Scan() {
		p.lines <- scanner.Text()
	}
}

func (p *process) send(line string) {
	p.t.Helper()
	if _, err := io.WriteString(p.in, line+"\n"); err != nil {
		p.t.Fatal(err)
	}
}

func generateLine(id int, prompt string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"nemotron_generate","arguments":{"prompt":%q}}}`, id, prompt)
}

// answer reads until the response with that id, and fails on anything that is
// not the protocol or holds the key.
func (p *process) answer(id string) string {
	p.t.Helper()
	for line := range p.lines {
		var message struct {
			JSONRPC string          `json:"jsonrpc"`
			ID      json.RawMessage `json:"id"`
		}
		if err := json.Unmarshal([]byte(line), &message); err != nil || message.JSONRPC != "2.0" {
			p.t.Fatalf("not the protocol: %s", line)
		}
		if strings.Contains(line, testKey) {
			p.t.Fatalf("the key is on stdout: %s", line)
		}
		if string(message.ID) == id {
			return line
		}
	}
	p.t.Fatalf("the process ended without an answer to %s; its log: %s", id, p.stderr)
	return ""
}

func (p *process) wait() error {
	for range p.lines { //nolint:revive // Wait may only follow the last read
	}
	return p.cmd.Wait()
}

func TestThousandCallsInFlight(t *testing.T) {
	t.Parallel()
	const calls = 1000
	sim := startSimulator(t, falsim.Script{RunTime: time.Second, Output: "done"})
	p := startProcess(t, sim, true)
	for id := range calls {
		p.send(generateLine(id, fmt.Sprint("prompt ", id)))
	}
	if err := sim.WaitFor(t.Context(), func(s falsim.Stats) bool { return s.Accepted == calls }); err != nil {
		t.Fatal(err)
	}
	p.send(`{"jsonrpc":"2.0","id":"list","method":"tools/call","params":{"name":"queue_list","arguments":{"state":"running","limit":1}}}`)
	left := map[string]bool{`"list"`: true}
	for id := range calls {
		left[fmt.Sprint(id)] = true
	}
	for line := range p.lines {
		var message struct {
			ID     json.RawMessage
			Result struct{ IsError bool }
		}
		if err := json.Unmarshal([]byte(line), &message); err != nil || message.Result.IsError || !left[string(message.ID)] {
			t.Fatalf("not an expected answer: %s", line)
		}
		if delete(left, string(message.ID)); len(left) == 0 {
			break
		}
	}
	if s := sim.Stats(); s.Accepted != calls || s.Billed != calls {
		t.Errorf("accepted %d, billed %d; want %d each", s.Accepted, s.Billed, calls)
	}
}

func TestCancelAtOnceNeverRunsToTheEnd(t *testing.T) {
	t.Parallel()
	const calls = 100
	sim := startSimulator(t, falsim.Script{QueueDelay: time.Hour})
	p := startProcess(t, sim, true)
	for id := range calls {
		p.send(generateLine(id, fmt.Sprint("prompt ", id)))
		p.send(fmt.Sprintf(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":%d}}`, id))
	}
	p.send(`{"jsonrpc":"2.0","id":"ping","method":"ping"}`)
	if line := p.answer(`"ping"`); !strings.Contains(line, "result") {
		t.Errorf("ping answered by %s", line)
	}
	_ = p.in.Close()
	if err := p.wait(); err != nil {
		t.Errorf("exit: %v; log: %s", err, p.stderr)
	}
	if s := sim.Stats(); s.Billed != 0 || s.Cancelled != s.Accepted {
		t.Errorf("%+v: every job taken should have been cancelled in the queue", s)
	}
}

func TestEOFServesWhatWasRead(t *testing.T) {
	t.Parallel()
	sim := startSimulator(t, falsim.Script{RunTime: 300 * time.Millisecond, Output: "done"})
	p := startProcess(t, sim, true)
	if _, err := io.WriteString(p.in, generateLine(1, "last line, without a newline")); err != nil {
		t.Fatal(err)
	}
	_ = p.in.Close()
	if line := p.answer("1"); !strings.Contains(line, "done") {
		t.Errorf("answered by %s", line)
	}
	if err := p.wait(); err != nil {
		t.Errorf("exit: %v", err)
	}
}

// TestEnds is how a host goes away while a job runs: in each case the process
// is gone within 6 s and has asked fal to cancel what nobody waits for.
func TestEnds(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name string
		read bool
		end  func(p *process)
	}{
		{"EOF, and the job outlasts the drain window", true, func(p *process) { _ = p.in.Close() }},
		{"SIGTERM", true, func(p *process) { p.signal(syscall.SIGTERM) }},
		{"stdout closed", false, func(p *process) {
			_ = p.out.Close()
			_, _ = io.WriteString(p.in, `{"jsonrpc":"2.0","id":9,"method":"ping"}`+"\n")
		}},
		{"stdin and stdout closed, as by a killed parent", false, func(p *process) { _ = p.out.Close(); _ = p.in.Close() }},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			sim := startSimulator(t, falsim.Script{QueueDelay: time.Hour})
			p := startProcess(t, sim, c.read)
			p.send(generateLine(1, "waits"))
			if err := sim.WaitFor(t.Context(), func(s falsim.Stats) bool { return s.OpenStreams == 1 }); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			c.end(p)
			if !c.read {
				close(p.lines)
			}
			_ = p.wait()
			if took := time.Since(began); took > 8*time.Second { // 6 s, and room for a busy machine
				t.Errorf("took %s to end", took)
			}
			if s := sim.Stats(); s.Cancelled != 1 || s.Billed != 0 {
				t.Errorf("%+v: the job should have been cancelled; log: %s", s, p.stderr)
			}
		})
	}
}

func (p *process) signal(s os.Signal) {
	if runtime.GOOS == "windows" {
		p.t.Skip("Windows has no SIGTERM for another process")
	}
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// TestHostThatStopsReading: answers pile up until the pipe is full, and the
// process still ends with its stdin.
func TestHostThatStopsReading(t *testing.T) {
	t.Parallel()
	sim := startSimulator(t, falsim.Script{Output: strings.Repeat("long answer ", 4000), OutputTokens: 12000})
	p := startProcess(t, sim, false)
	for id := range 50 {
		p.send(strings.Replace(generateLine(id, fmt.Sprint(id)), `"prompt"`, `"max_tokens":20000,"prompt"`, 1))
	}
	if err := sim.WaitFor(t.Context(), func(s falsim.Stats) bool { return s.Requests.Result == 50 }); err != nil {
		t.Fatal(err)
	}
	_ = p.in.Close()
	close(p.lines)
	done := make(chan error, 1)
	go func() { done <- p.cmd.Wait() }()
	<-done
	if s := sim.Stats(); s.Accepted != 50 {
		t.Errorf("%+v: want 50 accepted", s)
	}
}

// TestOneAuditLine: a paid submission leaves one line in the log, with the
// facts and without the prompt or the answer.
func TestOneAuditLine(t *testing.T) {
	t.Parallel()
	sim := startSimulator(t, falsim.Script{Output: "a very private answer"})
	p := startProcess(t, sim, true)
	p.send(generateLine(1, "a very private prompt"))
	p.answer("1")
	_ = p.in.Close()
	if err := p.wait(); err != nil {
		t.Fatal(err)
	}
	log := p.stderr.String()
	if strings.Contains(log, "private") {
		t.Errorf("prompt or answer in the log: %s", log)
	}
	if n := strings.Count(log, `"message":"submission"`); n != 1 {
		t.Errorf("%d audit lines: %s", n, log)
	}
	for _, field := range []string{"request_id", "endpoint", "input_bytes", "output_bytes", "input_tokens", "output_tokens", "cost_usd", "queue_seconds", "inference_seconds", "total_seconds"} {
		if !strings.Contains(log, `"`+field+`":`) {
			t.Errorf("no %s in %s", field, log)
		}
	}
}
