package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"slices"
	"strings"
	"syscall"
)

// process is one that runs until its end is asked for.
type process struct {
	*exec.Cmd
	output bytes.Buffer // after the line that was waited for
	read   chan error
}

// launch starts a command and waits for a line that ready finds something in.
func launch(c *exec.Cmd, stdout bool, ready func(line string) bool) (*process, error) {
	if _, err := c.StdinPipe(); err != nil { // some end with it
		return nil, err
	}
	pipe := c.StderrPipe
	if stdout {
		pipe = c.StdoutPipe
	}
	out, err := pipe()
	if err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		return nil, err
	}
	p := &process{Cmd: c, read: make(chan error, 1)}
	lines := bufio.NewScanner(out)
	var seen []string
	for lines.Scan() {
		seen = append(seen, lines.Text())
		if ready(lines.Text()) {
			go func() {
				_, err := io.Copy(&p.output, out)
				p.read <- err
			}()
			return p, nil
		}
	}
	return nil, fmt.Errorf("%v, after: %s", c.Wait(), strings.Join(seen, "\n"))
}

// end asks a process to end, and says how it did.
func (p *process) end(signal syscall.Signal) error {
	err := p.Process.Signal(signal)
	<-p.read
	return errors.Join(err, p.Wait()) // which closes its stdin
}

// simulate starts the simulator of fal; env is for a server to take it for fal.
func simulate(binary string) (p *process, env []string, err error) {
	p, err = launch(exec.Command(binary, "simulate", "--listen", "127.0.0.1:0"), true, func(line string) bool {
		var urls map[string]string
		if json.Unmarshal([]byte(line), &urls) != nil || urls["queue_url"] == "" {
			return false
		}
		env = []string{
			"FAL_KEY=key-id:key-secret", "FAL_QUEUE_URL=" + urls["queue_url"],
			"FAL_REST_URL=" + urls["rest_url"], "FAL_PLATFORM_URL=" + urls["platform_url"],
		}
		return true
	})
	return p, env, err
}

// session is what a host says in a short life.
const session = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"host","version":"1"}}}
{"jsonrpc":"2.0","method":"notifications/initialized"}
{"jsonrpc":"2.0","id":2,"method":"tools/list"}
{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"nemotron_generate","arguments":{"prompt":"Hello"}}}
`

// stdio has a session with the image's default command.
func (i *image) stdio(env []string) error {
	c := i.command(env, slices.Concat(i.entrypoint, i.cmd)...)
	c.Stdin = strings.NewReader(session)
	var log bytes.Buffer
	c.Stderr = &log
	out, err := c.Output()
	if err != nil {
		return fmt.Errorf("%w: %s", err, log.String())
	}
	for _, wanted := range []string{`"version":"v1.2.3"`, `"name":"nemotron_generate"`, `"status":"COMPLETED"`} {
		if !bytes.Contains(out, []byte(wanted)) {
			return fmt.Errorf("no %s in %s%s", wanted, out, log.String())
		}
	}
	if strings.Contains(log.String(), "memory only") || strings.Contains(log.String(), `"level":"error"`) {
		return errors.New(log.String())
	}
	return nil
}

// http serves HTTP with the image's default command, and asks for its health
// before and after its end.
func (i *image) http(env []string) error {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	address := free.Addr().String()
	if err := free.Close(); err != nil {
		return err
	}
	env = append(slices.Clone(env), "NEMOTRON_MCP_HTTP="+address)
	if i.stop != "SIGTERM" {
		return fmt.Errorf("stop signal %q is not the server's", i.stop)
	}
	server, err := launch(i.command(env, slices.Concat(i.entrypoint, i.cmd)...), false, func(line string) bool {
		return strings.Contains(line, "serving MCP over HTTP")
	})
	if err != nil {
		return err
	}
	healthy, checkErr := i.command(env, i.check...).CombinedOutput()
	if err := server.end(syscall.SIGTERM); err != nil {
		return err
	}
	if checkErr != nil {
		return fmt.Errorf("the health check of a server that is well: %w: %s", checkErr, healthy)
	}
	if out, err := i.command(env, i.check...).CombinedOutput(); err == nil {
		return fmt.Errorf("the health check of no server is well: %s", out)
	}
	if out, err := i.command(nil, i.check...).CombinedOutput(); err != nil {
		return fmt.Errorf("the health check of a server on stdio: %w: %s", err, out)
	}
	return nil
}
