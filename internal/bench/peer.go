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
	"strconv"
	"strings"
	"sync"
)

// peer is a process that is spoken to in JSON-RPC lines.
type peer struct {
	cmd *exec.Cmd
	in  io.WriteCloser

	writing sync.Mutex
	mu      sync.Mutex
	next    int64
	waiting map[int64]chan reply
	closed  bool
}

type reply struct {
	ID     *int64          `json:"id"`
	Result json.RawMessage `json:"result"`
	Error  json.RawMessage `json:"error"`
}

// environ is the caller's environment without what configures the server: its
// key and its hosts have no place in a measurement.
func environ() []string {
	return slices.DeleteFunc(os.Environ(), func(setting string) bool {
		name, _, _ := strings.Cut(strings.ToUpper(setting), "=")
		return strings.HasPrefix(name, "FAL_") || strings.HasPrefix(name, "NEMOTRON_MCP_")
	})
}

func startPeer(binary string, args []string, env ...string) (*peer, error) {
	cmd := exec.Command(binary, args...)
	cmd.Env = append(environ(), env...)
	cmd.Stderr = os.Stderr
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
	p := &peer{cmd: cmd, in: in, waiting: map[int64]chan reply{}}
	go p.read(out)
	return p, nil
}

func (p *peer) read(out io.Reader) {
	lines := bufio.NewReaderSize(out, 64<<10)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			break
		}
		var r reply
		if json.Unmarshal(line, &r) != nil || r.ID == nil {
			continue // a notification
		}
		p.mu.Lock()
		ch := p.waiting[*r.ID]
		delete(p.waiting, *r.ID)
		p.mu.Unlock()
		if ch != nil {
			ch <- r
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, ch := range p.waiting {
		close(ch)
	}
}

func (p *peer) request(method string, params any) (json.RawMessage, error) {
	ch := make(chan reply, 1)
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil, errors.New("the process has ended")
	}
	p.next++
	id := p.next
	p.waiting[id] = ch
	p.mu.Unlock()
	if err := p.write(map[string]any{"jsonrpc": "2.0", "id": id, "method": method, "params": params}); err != nil {
		return nil, err
	}
	r, ok := <-ch
	if !ok {
		return nil, errors.New("the process ended before it answered")
	}
	if r.Error != nil {
		return nil, fmt.Errorf("%s: %s", method, r.Error)
	}
	return r.Result, nil
}

func (p *peer) write(message any) error {
	line, err := json.Marshal(message)
	if err != nil {
		return err
	}
	p.writing.Lock()
	defer p.writing.Unlock()
	_, err = p.in.Write(append(line, '\n'))
	return err
}

func (p *peer) handshake() error {
	_, err := p.request("initialize", map[string]any{
		"protocolVersion": "2025-11-25", "capabilities": map[string]any{},
		"clientInfo": map[string]any{"name": "bench", "version": "1"},
	})
	if err != nil {
		return err
	}
	return p.write(map[string]any{"jsonrpc": "2.0", "method": "notifications/initialized"})
}

func (p *peer) call(tool string, args any) (json.RawMessage, error) {
	raw, err := p.request("tools/call", map[string]any{"name": tool, "arguments": args})
	if err != nil {
		return nil, err
	}
	var result struct {
		IsError bool `json:"isError"`
	}
	if err := json.Unmarshal(raw, &result); err != nil {
		return nil, err
	}
	if result.IsError {
		return nil, fmt.Errorf("%s: %s", tool, raw)
	}
	return raw, nil
}

func (p *peer) generate(prompt string) error {
	_, err := p.call("nemotron_generate", map[string]any{"prompt": prompt})
	return err
}

// rss is the process's resident memory in KiB, 0 where the system does not
// tell it in /proc.
func (p *peer) rss() float64 { return p.memory("VmRSS:") }

// memory is a figure in KiB of the process's.
func (p *peer) memory(field string) float64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	return statusField(string(b), field)
}

// statusField finds a figure in the text of /proc/…/status.
func statusField(status, name string) float64 {
	for line := range strings.Lines(status) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == name {
			n, _ := strconv.ParseFloat(fields[1], 64)
			return n
		}
	}
	return 0
}

func (p *peer) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}
