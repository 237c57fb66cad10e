package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
)

// server is a process that is spoken to in JSON-RPC lines, as a host does.
type server struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	gone chan struct{} // closed when the process has ended and all it wrote was read

	killed atomic.Bool // with no time to cancel anything

	writing sync.Mutex
	mu      sync.Mutex
	next    int
	waiting map[int]chan answer
	closed  bool
}

// answer is a tool's result, as far as it is looked at.
type answer struct {
	IsError bool
	Content []struct{ Text string }
	Data    struct {
		Status    string
		RequestID string `json:"request_id"`
		Output    string
	} `json:"structuredContent"`
}

var errGone = errors.New("the server has ended")

func startServer(o options, dir, queueURL string) (*server, error) {
	cmd := exec.Command(o.binary)
	// Not the caller's key and settings: fal itself would be asked, and paid.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(setting string) bool {
		name, _, _ := strings.Cut(strings.ToUpper(setting), "=")
		return strings.HasPrefix(name, "FAL_") || strings.HasPrefix(name, "NEMOTRON_MCP_")
	})
	cmd.Env = append(append(cmd.Env, "FAL_KEY="+key, "FAL_QUEUE_URL="+queueURL, "NEMOTRON_MCP_STATE_DIR="+dir), o.environ...)
	cmd.Stderr = o.stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &server{cmd: cmd, in: in, gone: make(chan struct{}), waiting: map[int]chan answer{}}
	go func() {
		defer close(s.gone)
		s.read(out)
		_ = cmd.Wait()
	}()
	_, err = s.request("initialize", map[string]any{
		"protocolVersion": "2025-11-25", "capabilities": map[string]any{},
		"clientInfo": map[string]any{"name": "chaos", "version": "1"},
	})
	if err == nil {
		err = s.notify("notifications/initialized", nil)
	}
	if err != nil {
		s.kill()
	}
	return s, err
}

func (s *server) read(out io.Reader) {
	lines := bufio.NewReaderSize(out, 64<<10)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			break
		}
		var r struct {
			ID     *int
			Result answer
		}
		if json.Unmarshal(line, &r) != nil || r.ID == nil {
			continue
		}
		s.mu.Lock()
		ch := s.waiting[*r.ID]
		delete(s.waiting, *r.ID)
		s.mu.Unlock()
		if ch != nil {
			ch <- r.Result
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, ch := range s.waiting {
		close(ch)
	}
}

// begin sends a request. The channel gives its answer, or is closed where the
// process ends without one.
func (s *server) begin(method string, params any) (id int, reply <-chan answer, err error) {
	ch := make(chan answer, 1)
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return 0, nil, errGone
	}
	s.next++
	id = s.next
	s.waiting[id] = ch
	s.mu.Unlock()
	return id, ch, s.write(map[string]any{"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

func (s *server) request(method string, params any) (answer, error) {
	_, ch, err := s.begin(method, params)
	if err != nil {
		return answer{}, err
	}
	a, ok := <-ch
	if !ok {
		return answer{}, errGone
	}
	return a, nil
}

func (s *server) notify(method string, params any) error {
	message := map[string]any{"jsonrpc": "2.0", "method": method}
	if params != nil {
		message["params"] = params
	}
	return s.write(message)
}

func (s *server) write(message any) error {
	line, err := json.Marshal(message)
	if err != nil {
		return err
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	if _, err := s.in.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("%w: %w", errGone, err)
	}
	return nil
}

func tool(name string, arguments any) map[string]any {
	return map[string]any{"name": name, "arguments": arguments}
}

// kill ends the process at once and waits for its end.
func (s *server) kill() {
	s.killed.Store(true)
	_ = s.cmd.Process.Kill()
	<-s.gone
}

// hangUp ends the input, as a host does that goes away.
func (s *server) hangUp() {
	_ = s.in.Close()
	<-s.gone
}

// terminate asks the process to end, where the system knows how.
func (s *server) terminate() {
	if s.cmd.Process.Signal(syscall.SIGTERM) != nil {
		_ = s.in.Close()
	}
	<-s.gone
}
