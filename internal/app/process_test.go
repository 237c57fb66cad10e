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
	"path/filepath"
	"slices"
	"strings"
	"sync"
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
	others []string // lines that answer skipped and wait read
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

// environ is the caller's environment without what configures the program: a
// key of the caller's would have the tests run on fal, and be billed. The ledger
// is one of its own.
func environ(t *testing.T, settings ...string) []string {
	env := slices.DeleteFunc(os.Environ(), func(setting string) bool {
		name, _, _ := strings.Cut(strings.ToUpper(setting), "=")
		return strings.HasPrefix(name, "FAL_") || strings.HasPrefix(name, "NEMOTRON_MCP_")
	})
	return append(append(env, childEnv+"=1", "GORACE="+noRaceSleep, "NEMOTRON_MCP_STATE_DIR="+stateDir(t)), settings...)
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

// startProcess starts the server; read says whether its stdout is read, and
// settings are added to its environment.
func startProcess(t *testing.T, sim *falsim.Server, read bool, settings ...string) *process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // against a hang only
	t.Cleanup(cancel)
	p := &process{t: t, cmd: exec.CommandContext(ctx, self), lines: make(chan string, 4096), stderr: &lockedBuffer{}}
	p.cmd.Env = append(environ(t, "FAL_KEY="+testKey, "FAL_QUEUE_URL="+sim.QueueURL()), settings...)
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
		p.others = append(p.others, line)
	}
	p.t.Fatalf("the process ended without an answer to %s; its log: %s", id, p.stderr)
	return ""
}

func (p *process) wait() error {
	for line := range p.lines { // Wait may only follow the last read
		p.others = append(p.others, line)
	}
	return p.cmd.Wait()
}

// TestThousandCallsInFlight: nothing is lost or paid twice, and the queue tools
// answer meanwhile.
func TestThousandCallsInFlight(t *testing.T) {
	t.Parallel()
	const calls = 1000
	sim := startSimulator(t, falsim.Script{RunTime: 1500 * time.Millisecond, Output: "done"})
	p := startProcess(t, sim, true)
	for id := range calls {
		p.send(generateLine(id, fmt.Sprint("prompt ", id)))
	}
	if err := sim.WaitFor(t.Context(), func(s falsim.Stats) bool { return s.Accepted == calls }); err != nil {
		t.Fatal(err)
	}
	left := map[string]string{} // by id, what its answer must hold
	for id := range calls {
		left[fmt.Sprint(id)] = "done"
	}
	p.send(`{"jsonrpc":"2.0","id":"list","method":"tools/call","params":{"name":"queue_list","arguments":{"state":"running","limit":1}}}`)
	left[`"list"`] = `"jobs":`
	for i, job := range sim.Jobs() {
		if i%100 == 0 {
			p.send(fmt.Sprintf(`{"jsonrpc":"2.0","id":"status %d","method":"tools/call","params":{"name":"queue_status","arguments":{"request_id":%q}}}`, i, job.RequestID))
			left[fmt.Sprintf(`"status %d"`, i)] = job.RequestID
		}
	}
	for line := range p.lines {
		var message struct {
			ID     json.RawMessage
			Result struct{ IsError bool }
		}
		err := json.Unmarshal([]byte(line), &message)
		want, expected := left[string(message.ID)]
		if err != nil || message.Result.IsError || !expected || !strings.Contains(line, want) {
			t.Fatalf("not an expected answer: %s", line)
		}
		if delete(left, string(message.ID)); len(left) == 0 {
			break
		}
	}
	if len(left) > 0 {
		t.Errorf("%d answers are missing; log: %s", len(left), p.stderr)
	}
	if s := sim.Stats(); s.Accepted != calls || s.Billed != calls {
		t.Errorf("accepted %d, billed %d; want %d each", s.Accepted, s.Billed, calls)
	}
}

// stateDir is a folder for a ledger, as the program would make it.
func stateDir(t *testing.T) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "state")
}
