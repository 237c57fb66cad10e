package app_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"

	"nemotron-mcp/falclient"
	"nemotron-mcp/internal/falsim"
	"nemotron-mcp/internal/jobs"
)

// watched is a ledger whose jobs the test moves, as the server that watches them
// would.
type watched struct {
	t        *testing.T
	dir      string
	ledger   *jobs.SQLite
	settings []string
}

func newWatched(t *testing.T, settings ...string) *watched {
	t.Helper()
	w := &watched{t: t, dir: stateDir(t)}
	var err error
	if w.ledger, err = jobs.OpenSQLite(w.dir, false, zerolog.Nop()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.ledger.Close() })
	w.settings = append([]string{"FAL_QUEUE_URL=http://127.0.0.1:1", "NEMOTRON_MCP_STATE_DIR=" + w.dir}, settings...)
	return w
}

// add puts a job that waits in the queue into the ledger, and changes it before.
func (w *watched) add(prompt string, change func(*jobs.Job)) jobs.Job {
	w.t.Helper()
	ahead := 2
	job := jobs.Job{
		ID: uuid.Must(uuid.NewV7()).String(), RequestID: uuid.NewString(), Endpoint: falclient.Nemotron, Host: "a host",
		Preview: prompt, Status: jobs.InQueue, QueuePosition: &ahead, Created: time.Now(), Submitted: time.Now(),
	}
	if change != nil {
		change(&job)
	}
	w.live()
	if err := w.ledger.Insert(w.t.Context(), job, jobs.DayCaps{}); err != nil {
		w.t.Fatal(err)
	}
	return job
}

func (w *watched) change(job jobs.Job, change func(*jobs.Job)) {
	w.t.Helper()
	w.live()
	if _, err := w.ledger.Update(w.t.Context(), job.ID, change); err != nil {
		w.t.Fatal(err)
	}
}

// live has the test be taken for a living process, which its jobs are left to.
func (w *watched) live() {
	w.t.Helper()
	if _, _, err := w.ledger.TakeOver(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

func run(j *jobs.Job) { j.Status, j.Started = jobs.InProgress, time.Now() }

func complete(j *jobs.Job) {
	run(j)
	j.Status, j.Ended, j.Output = jobs.Completed, time.Now(), "the answer"
	j.Usage, j.CostUSD = &falclient.Usage{InputTokens: 1000, OutputTokens: 500}, 0.015
}

func end(status jobs.Status, code jobs.Code) func(*jobs.Job) {
	return func(j *jobs.Job) {
		j.Status, j.Ended = status, time.Now()
		j.Failure = &jobs.Error{Code: code, Message: "it was so", Action: "Do this."}
	}
}

// watcher is a "jobs watch" under way.
type watcher struct {
	t     *testing.T
	cmd   *exec.Cmd
	lines chan string
	log   lockedBuffer
}

func startWatch(t *testing.T, settings []string, args ...string) *watcher {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // against a hang only
	t.Cleanup(cancel)
	w := &watcher{t: t, cmd: exec.CommandContext(ctx, self, append([]string{"jobs", "watch"}, args...)...), lines: make(chan string, 1024)}
	w.cmd.Env, w.cmd.Stderr = environ(t, settings...), &w.log
	out, err := w.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(w.lines)
		for scanner := bufio.NewScanner(out); scanner.Scan(); {
			w.lines <- scanner.Text()
		}
	}()
	t.Cleanup(func() {
		_ = w.cmd.Process.Kill()
		for range w.lines { //nolint:revive // joins the reader
		}
		_ = w.cmd.Wait()
	})
	return w
}

// next is the next line, which holds all of that.
func (w *watcher) next(parts ...string) string {
	w.t.Helper()
	line, ok := <-w.lines
	if !ok {
		w.t.Fatalf("it ended; log: %s", &w.log)
	}
	for _, part := range parts {
		if !strings.Contains(line, part) {
			w.t.Fatalf("%q is not in %q", part, line)
		}
	}
	return line
}

// ended is the exit code, and the lines that were not read.
func (w *watcher) ended() (code int, rest []string) {
	w.t.Helper()
	for line := range w.lines {
		rest = append(rest, line)
	}
	err := w.cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		w.t.Fatal(err)
	}
	return w.cmd.ProcessState.ExitCode(), rest
}

func (w *watcher) interrupt() {
	w.t.Helper()
	if runtime.GOOS == "windows" {
		w.t.Skip("Windows has no interrupt for another process")
	}
	if err := w.cmd.Process.Signal(os.Interrupt); err != nil {
		w.t.Fatal(err)
	}
}

// A pipe gets each change of each job once, and what had ended before is none.
func TestWatchOnAPipe(t *testing.T) {
	t.Parallel()
	w := newWatched(t, "FAL_KEY="+testKey)
	w.add("ended before", complete)
	first := w.add("one\x1b[31m "+testKey, nil)
	p := startWatch(t, w.settings)
	if line := p.next("  IN_QUEUE  ", first.RequestID, "≤2 ahead", "  one [31m [redacted]"); strings.ContainsRune(line, '\x1b') {
		t.Errorf("%q could control a terminal", line)
	}
	w.change(first, run)
	p.next("  IN_PROGRESS  ", first.RequestID)
	second := w.add("two, never seen running", complete)
	p.next("  COMPLETED  ", second.RequestID, "1000 tokens in, 500 out, about $0.015000", "two")
	third := w.add("three", func(j *jobs.Job) { j.Status, j.RequestID = jobs.Submitting, "" })
	p.next("  IN_QUEUE  ", third.ID, "three")
	w.change(third, end(jobs.Unknown, jobs.SubmitUnknown))
	p.next("  UNKNOWN  ", third.ID, "SUBMIT_UNKNOWN: it was so", "three")
	w.change(third, func(j *jobs.Job) { j.Status, j.RequestID, j.Failure, j.Ended = jobs.InQueue, "found", nil, time.Time{} })
	p.next("  IN_QUEUE  ", "found", "three")
	w.change(third, func(j *jobs.Job) { j.CancelRequested = true })
	p.next("  IN_QUEUE  ", "found", "cancel requested")
	w.change(third, end(jobs.Cancelled, jobs.JobCancelled))
	p.next("  CANCELLED  ", "found", "JOB_CANCELLED: it was so")
	w.change(first, complete)
	p.next("  COMPLETED  ", first.RequestID, "1000 tokens in")
	p.interrupt()
	if code, rest := p.ended(); code != 0 || len(rest) > 0 || p.log.String() != "" {
		t.Errorf("exit code %d, further lines %q, log %s", code, rest, &p.log)
	}
}

func TestWatchAsJSON(t *testing.T) {
	t.Parallel()
	w := newWatched(t, "FAL_KEY="+testKey)
	job := w.add("Hi "+testKey, nil)
	p := startWatch(t, w.settings, "--json")
	for _, step := range []struct {
		status jobs.Status
		change func(*jobs.Job)
	}{{jobs.InQueue, nil}, {jobs.InProgress, run}, {jobs.Completed, complete}} {
		if step.change != nil {
			w.change(job, step.change)
		}
		row := decode[jobs.Job](t, p.next())
		if row.ID != job.ID || row.Status != step.status || row.Preview != "Hi [redacted]" || row.Output != "" {
			t.Errorf("%+v, want %s", row, step.status)
		}
	}
	p.interrupt()
	if code, rest := p.ended(); code != 0 || len(rest) > 0 {
		t.Errorf("exit code %d, further lines %q", code, rest)
	}
}

func TestWatchOneJob(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name   string
		end    func(*jobs.Job)
		code   int
		last   string // line of stdout
		stderr string
	}{
		{"completed", complete, 0, "Completed: 1000 tokens in, 500 out, about $0.015000. 'nemotron-mcp jobs show ", ""},
		{"failed", end(jobs.Failed, jobs.JobFailed), 1, "  FAILED  ", "the job ended as FAILED: JOB_FAILED: it was so\nDo this.\n"},
		{"cancelled", end(jobs.Cancelled, jobs.JobCancelled), 1, "  CANCELLED  ", "the job ended as CANCELLED: JOB_CANCELLED: it was so\nDo this.\n"},
		{"unknown", end(jobs.Unknown, jobs.SubmitUnknown), 1, "  UNKNOWN  ", "the job ended as UNKNOWN: SUBMIT_UNKNOWN: it was so\nDo this.\n"},
	}
	for _, c := range cases {
		for _, asJSON := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, JSON %v", c.name, asJSON), func(t *testing.T) {
				t.Parallel()
				w := newWatched(t, "FAL_KEY="+testKey)
				job := w.add("the one", nil)
				w.add("another", nil)
				args := []string{job.RequestID}
				if asJSON {
					args = []string{job.ID, "--json"} // by the other id
				}
				p := startWatch(t, w.settings, args...)
				p.next("IN_QUEUE", job.RequestID)
				w.change(job, c.end)
				code, rest := p.ended()
				if code != c.code || len(rest) == 0 {
					t.Fatalf("exit code %d, want %d; %q; log: %s", code, c.code, rest, &p.log)
				}
				last := rest[len(rest)-1]
				if asJSON {
					if row := decode[jobs.Job](t, last); !row.Status.Finished() || row.Output != "" || p.log.String() != "" {
						t.Errorf("last %s; log: %s", last, &p.log)
					}
					return
				}
				if !strings.Contains(last, c.last) || !strings.HasSuffix(p.log.String(), c.stderr) || (c.stderr == "") != (p.log.String() == "") {
					t.Errorf("last %q; log: %s", last, &p.log)
				}
			})
		}
	}
}

// Who waits for a job must not take an interrupt for its success.
func TestWatchOneJobInterrupted(t *testing.T) {
	t.Parallel()
	w := newWatched(t, "FAL_KEY="+testKey)
	job := w.add("the one", nil)
	p := startWatch(t, w.settings, job.ID)
	p.next("IN_QUEUE")
	p.interrupt()
	if code, _ := p.ended(); code != 1 || !strings.Contains(p.log.String(), "interrupted: the job goes on and was IN_QUEUE when last seen") {
		t.Errorf("exit code %d; log: %s", code, &p.log)
	}
}

// A job that no process watches any more is taken over and brought home, but not
// by a watcher that has no key: it would keep the job from those that have one.
func TestWatchTakesOverWithAKeyOnly(t *testing.T) {
	t.Parallel()
	sim := startSimulator(t, falsim.Script{QueueDelay: time.Second, Output: "the answer"})
	settings := onLedger(t, sim)
	server := startProcess(t, sim, true, settings...)
	server.send(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"nemotron_generate","arguments":{"prompt":"Hi","wait_seconds":0}}}`)
	server.answer("1")
	_ = server.cmd.Process.Kill()
	_ = server.wait()

	keyless := startWatch(t, append(settings, "FAL_KEY="))
	keyless.next("IN_QUEUE")
	if !strings.Contains(keyless.log.String(), "no usable fal key is configured") {
		t.Errorf("log: %s", &keyless.log)
	}
	one := startWatch(t, settings, sim.Jobs()[0].RequestID)
	if code, rest := one.ended(); code != 0 {
		t.Errorf("exit code %d: %q; log: %s", code, rest, &one.log)
	}
	for line := ""; !strings.Contains(line, "  COMPLETED  "); { // maybe IN_PROGRESS comes before
		line = keyless.next(sim.Jobs()[0].RequestID)
	}
	keyless.interrupt()
	if code, _ := keyless.ended(); code != 0 || sim.Stats().Accepted != 1 {
		t.Errorf("exit code %d, %d submissions", code, sim.Stats().Accepted)
	}
}
