package app_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"nemotron-mcp/internal/falsim"
)

// endTime is the promise that the process is gone within 6 s of its end, and a
// second for a busy machine. TestEndFitsThePromise holds the exact sum.
const endTime = 7 * time.Second

// TestCancelAtOnceNeverRunsToTheEnd: no job whose call was cancelled may be left
// to itself, none may be answered, and that is the cancel's doing, not that of
// the end of the input. A cancel that follows its call at once meets it in any
// state of its beginning, mostly before fal has been asked; one that follows
// when fal has taken the job has to reach fal.
func TestCancelAtOnceNeverRunsToTheEnd(t *testing.T) {
	t.Parallel()
	const calls = 100
	cases := []struct {
		name   string
		script falsim.Script
		taken  bool // fal has taken every job before the first cancel
		ok     func(falsim.Stats) bool
	}{
		{
			"at once, queued",
			falsim.Script{QueueDelay: time.Hour},
			false,
			func(s falsim.Stats) bool { return s.Cancelled == s.Accepted && s.Billed == 0 },
		},
		{
			"at once, running, and soon at the end by itself",
			falsim.Script{RunTime: time.Second},
			false,
			func(s falsim.Stats) bool { return s.Cancelled == s.Accepted && s.Completed == s.Cancelled },
		},
		{
			"taken and queued",
			falsim.Script{QueueDelay: time.Hour},
			true,
			func(s falsim.Stats) bool { return s.Cancelled == calls && s.Billed == 0 },
		},
		{
			"taken and running",
			falsim.Script{RunTime: time.Hour},
			true,
			func(s falsim.Stats) bool { return s.Cancelled == calls && s.Billed == calls },
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			sim := startSimulator(t, c.script)
			p := startProcess(t, sim, true)
			for id := range calls {
				p.send(generateLine(id, fmt.Sprint("prompt ", id)))
				if !c.taken {
					p.cancel(id)
				}
			}
			if c.taken {
				if err := sim.WaitFor(t.Context(), func(s falsim.Stats) bool { return s.Accepted == calls }); err != nil {
					t.Fatal(err)
				}
				for id := range calls {
					p.cancel(id)
				}
			}
			p.cancelsAreEnough(sim)
			if s := sim.Stats(); !c.ok(s) {
				t.Errorf("%+v: every job that fal took should have been cancelled", s)
			}
			p.noAnswerToNumbers()
		})
	}
}

func (p *process) cancel(id int) {
	p.t.Helper()
	p.send(fmt.Sprintf(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":%d}}`, id))
}

// cancelsAreEnough waits until every job that fal took is cancelled, ends the
// process, and fails where a call was still in flight at its end.
func (p *process) cancelsAreEnough(sim *falsim.Server) {
	t := p.t
	t.Helper()
	p.send(`{"jsonrpc":"2.0","id":"ping","method":"ping"}`)
	if line := p.answer(`"ping"`); !strings.Contains(line, "result") {
		t.Errorf("ping answered by %s", line)
	}
	ctx, done := context.WithTimeout(t.Context(), 4*time.Second)
	defer done()
	err := sim.WaitFor(ctx, func(s falsim.Stats) bool { return s.Cancelled == s.Accepted && s.OpenStreams == 0 })
	if err != nil {
		t.Errorf("%+v: not all were cancelled", sim.Stats())
	}
	began := time.Now()
	_ = p.in.Close()
	if err := p.wait(); err != nil {
		t.Errorf("exit: %v; log: %s", err, p.stderr)
	}
	// A call that no cancel had reached would have had the drain window.
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("took %s to end: a call was still in flight", took)
	}
}

// noAnswerToNumbers fails where a request with a number as its id was answered.
func (p *process) noAnswerToNumbers() {
	p.t.Helper()
	for _, line := range p.others {
		var message struct{ ID any }
		if err := json.Unmarshal([]byte(line), &message); err != nil {
			p.t.Errorf("not the protocol: %s", line)
		}
		if _, number := message.ID.(float64); number {
			p.t.Errorf("a cancelled request was answered: %s", line)
		}
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
// is gone in time and has asked fal to cancel what nobody waits for.
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
			if took := time.Since(began); took > endTime {
				t.Errorf("took %s to end", took)
			}
			if s := sim.Stats(); s.Cancelled != 1 || s.Billed != 0 {
				t.Errorf("%+v: the job should have been cancelled; log: %s", s, p.stderr)
			}
		})
	}
}

// TestSignalIsAnOrdinaryEnd: with nothing in flight the process ends at once,
// and well. It is tried often, because the end races with the signal's notice.
func TestSignalIsAnOrdinaryEnd(t *testing.T) {
	t.Parallel()
	sim := startSimulator(t, falsim.Script{})
	for range 20 {
		p := startProcess(t, sim, true)
		p.signal(syscall.SIGTERM)
		if err := p.wait(); err != nil {
			t.Fatalf("exit: %v; log: %s", err, p.stderr)
		}
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
// process still ends in time after its stdin.
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
	began := time.Now()
	_ = p.in.Close()
	close(p.lines)
	_ = p.cmd.Wait()
	if took := time.Since(began); took > endTime {
		t.Errorf("took %s to end", took)
	}
	if s := sim.Stats(); s.Accepted != 50 {
		t.Errorf("%+v: want 50 accepted", s)
	}
}
