package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"nemotron-mcp/internal/falsim"
)

// web is a server over HTTP, and what is asked of it.
type web struct {
	cmd    *exec.Cmd
	url    string
	client *http.Client
}

// http measures 1,000 generations of 5 s held by 50 clients, and then what
// 20,000 calls in 2,000 sessions leave behind.
func (b *bench) http() error {
	w, err := b.serveHTTP()
	if err != nil {
		return err
	}
	defer w.kill()
	return errors.Join(b.team(w), b.visitors(w))
}

func (b *bench) serveHTTP() (*web, error) {
	w := &web{cmd: exec.Command(b.binary, "serve", "--http=127.0.0.1:0"), client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 2000}}}
	w.cmd.Env = append(environ(), "FAL_KEY=bench-key-0123456789", "FAL_QUEUE_URL="+b.sim.QueueURL(),
		"NEMOTRON_MCP_STATE_DIR="+filepath.Join(b.state, "http"))
	log, err := w.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := w.cmd.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewReader(log)
	for w.url == "" {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return nil, fmt.Errorf("the server does not serve: %w", err)
		}
		var event struct{ Address string }
		if json.Unmarshal(line, &event) == nil && event.Address != "" {
			w.url = "http://" + event.Address
		}
	}
	go func() { _, _ = io.Copy(io.Discard, lines) }()
	return w, nil
}

func (w *web) kill() {
	w.client.CloseIdleConnections()
	_ = w.cmd.Process.Kill()
	_ = w.cmd.Wait()
}

// post sends a message of a session.
func (w *web) post(method, session, message string) (body []byte, newSession string, err error) {
	req, err := http.NewRequest(method, w.url+"/mcp", strings.NewReader(message))
	if err != nil {
		return nil, "", err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	if session != "" {
		req.Header.Set("Mcp-Session-Id", session)
	}
	res, err := w.client.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer res.Body.Close()
	if body, err = io.ReadAll(res.Body); err != nil {
		return nil, "", err
	}
	if res.StatusCode != http.StatusOK || bytes.Contains(body, []byte(`"isError":true`)) {
		return nil, "", fmt.Errorf("%s: %s", res.Status, body)
	}
	return body, res.Header.Get("Mcp-Session-Id"), nil
}

func (w *web) join() (session string, err error) {
	_, session, err = w.post(http.MethodPost, "", `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"bench","version":"1"}}}`)
	return session, err
}

func (w *web) tool(session string, id int, name, arguments string) error {
	_, _, err := w.post(http.MethodPost, session, fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":%q,"arguments":%s}}`, id, name, arguments))
	return err
}

// team is 50 clients with 20 generations each.
func (b *bench) team(w *web) error {
	const clients, each = 50, 20
	b.sim.Reset()
	b.sim.SetScript(falsim.Script{RunTime: 5 * time.Second, Output: "done"})
	var sessions []string
	for range clients {
		session, err := w.join()
		if err != nil {
			return err
		}
		sessions = append(sessions, session)
	}
	if err := w.tool(sessions[0], 1, "queue_list", `{}`); err != nil {
		return err
	}
	f := flown{calls: clients * each}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range f.calls {
		wg.Go(func() {
			err := w.tool(sessions[i%clients], 100+i, "nemotron_generate", fmt.Sprintf(`{"prompt":"team %d"}`, i))
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				f.answered++
			} else if f.failure == nil {
				f.failure = err
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	peak := 0.0
	for n, over := 0, false; !over; n++ {
		select {
		case <-done:
			over = true
			continue
		case <-time.After(20 * time.Millisecond):
		}
		peak = max(peak, w.memory())
		jobs := b.sim.Jobs()
		if len(jobs) == 0 {
			continue
		}
		began := time.Now()
		if err := w.tool(sessions[n%clients], 100_000+n, "queue_status", fmt.Sprintf(`{"request_id":%q}`, jobs[len(jobs)/2].RequestID)); err != nil {
			return err
		}
		f.status = append(f.status, time.Since(began))
	}
	f.bills = b.sim.Bills()
	fmt.Printf("%d in flight over HTTP    answered %d, bills %d, queue_status p50 %.1f ms p95 %.1f ms (goal 100), peak memory %.0f MiB (goal 128)\n",
		f.calls, f.answered, f.bills, ms(median(f.status)), ms(percentile(f.status, 95)), peak/1024)
	if missed := atMost("peak memory over HTTP", peak/1024, 128, " MiB"); missed != "" {
		return errors.Join(f.check(), errors.New(missed))
	}
	return f.check()
}

// visitors come, make ten calls each, and go; every other one without a word.
func (b *bench) visitors(w *web) error {
	sessions := 2000
	if b.quick {
		sessions = 200
	}
	b.sim.Reset()
	b.sim.SetScript(falsim.Script{Output: "done"})
	round := func(n int) error {
		var failed error
		var mu sync.Mutex
		var wg sync.WaitGroup
		next := make(chan int, n)
		for i := range n {
			next <- i
		}
		close(next)
		for range 16 {
			wg.Go(func() {
				for i := range next {
					if err := w.visit(i); err != nil {
						mu.Lock()
						failed = err
						mu.Unlock()
						return
					}
				}
			})
		}
		wg.Wait()
		w.client.CloseIdleConnections()
		return failed
	}
	if err := round(sessions); err != nil { // what is kept for later is there then
		return err
	}
	before := w.state()
	began := time.Now()
	if err := round(sessions); err != nil {
		return err
	}
	took := time.Since(began)
	after := w.state()
	fmt.Printf("%d calls in %d sessions    %.0f calls/s; memory %.1f → %.1f MiB, goroutines %.0f → %.0f, descriptors %.0f → %.0f\n",
		sessions*10, sessions, float64(sessions*10)/took.Seconds(), before.mib, after.mib, before.goroutines, after.goroutines, before.descriptors, after.descriptors)
	warn(atMost("memory left behind by sessions", after.mib-before.mib, 8, " MiB"),
		atMost("goroutines left behind by sessions", after.goroutines-before.goroutines, 20, ""),
		atMost("descriptors left behind by sessions", after.descriptors-before.descriptors, 20, ""))
	return nil
}

func (w *web) visit(i int) error {
	session, err := w.join()
	if err != nil {
		return err
	}
	for n := range 10 {
		tool, arguments := "queue_list", `{"limit":1}`
		if n == 0 {
			tool, arguments = "nemotron_generate", fmt.Sprintf(`{"prompt":"visitor %d"}`, i)
		}
		if err := w.tool(session, n, tool, arguments); err != nil {
			return err
		}
	}
	if i%2 == 0 {
		_, _, err = w.post(http.MethodDelete, session, "")
	}
	return err
}

type webState struct{ mib, goroutines, descriptors float64 }

func (w *web) state() webState {
	res, err := w.client.Get(w.url + "/metrics")
	if err != nil {
		return webState{}
	}
	defer res.Body.Close()
	page, err := io.ReadAll(res.Body)
	if err != nil {
		return webState{}
	}
	read := func(name string) float64 {
		found := regexp.MustCompile(`(?m)^` + name + ` (\S+)$`).FindSubmatch(page)
		if found == nil {
			return 0
		}
		n, _ := strconv.ParseFloat(string(found[1]), 64)
		return n
	}
	return webState{w.memory() / 1024, read("go_goroutines"), read("process_open_fds")}
}

func (w *web) memory() float64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", w.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	return statusField(string(b), "VmRSS:")
}
