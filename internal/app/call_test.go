package app_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"nemotron-mcp/internal/falsim"
	"nemotron-mcp/internal/jobs"
)

// shell is the program, started as a person starts it.
type shell struct {
	t        *testing.T
	cmd      *exec.Cmd
	out, err lockedBuffer
	env      []string
}

// startShell starts the program on a simulator.
func startShell(t *testing.T, sim *falsim.Server, stdin io.Reader, env []string, args ...string) *shell {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // against a hang only
	t.Cleanup(cancel)
	s := &shell{t: t, cmd: exec.CommandContext(ctx, self, args...), env: env}
	s.cmd.Env, s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = env, stdin, &s.out, &s.err
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.cmd.Process.Kill() })
	return s
}

// shellEnv is an environment with a ledger of its own.
func shellEnv(t *testing.T, sim *falsim.Server, settings ...string) []string {
	t.Helper()
	return append(environ(t, "FAL_KEY="+testKey, "FAL_QUEUE_URL="+sim.QueueURL(), "FAL_REST_URL="+sim.RESTURL()), settings...)
}

// ends waits for the program's end and checks its exit code.
func (s *shell) ends(code int) {
	s.t.Helper()
	err := s.cmd.Wait()
	got := 0
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		s.t.Fatal(err)
	}
	if got != code {
		s.t.Errorf("exit code %d, want %d; stdout: %s; stderr: %s", got, code, &s.out, &s.err)
	}
	if strings.Contains(s.out.String()+s.err.String(), testKey) {
		s.t.Error("the key was printed")
	}
}

func (s *shell) signal(sig os.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

func noSignals(t *testing.T) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no signal for another process")
	}
}

// again runs the program once more, on the same ledger.
func (s *shell) again(args ...string) string {
	s.t.Helper()
	self, err := os.Executable()
	if err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.CommandContext(s.t.Context(), self, args...)
	cmd.Env = s.env
	out, err := cmd.Output()
	if err != nil {
		s.t.Fatalf("%v: %v: %s", args, err, out)
	}
	return string(out)
}

// TestCallPrintsAllOfALongOutput, byte by byte, whatever the ledger keeps.
func TestCallPrintsAllOfALongOutput(t *testing.T) {
	t.Parallel()
	var long strings.Builder
	for n := range 5_000 {
		fmt.Fprintf(&long, "line %d of it\n", n)
	}
	for _, store := range []string{"full", "metadata", "memory"} {
		t.Run(store, func(t *testing.T) {
			t.Parallel()
			sim := startSimulator(t, falsim.Script{Output: long.String()})
			env := shellEnv(t, sim, "NEMOTRON_MCP_STORE="+store)
			s := startShell(t, sim, nil, env, "call", "nemotron_generate", "max_tokens=20000", "Count")
			s.ends(0)
			if got := s.out.String(); got != long.String() {
				t.Errorf("%d bytes on stdout, want %d", len(got), long.Len())
			}
			if long.Len() <= jobs.PageSize {
				t.Fatal("the output fits one page")
			}
			if text := s.err.String(); strings.Contains(text, "There is more") || !strings.Contains(text, "[COMPLETED; ") {
				t.Errorf("stderr: %s", text)
			}
			if store != "metadata" {
				return
			}
			// All of it was delivered, so that none of it is kept.
			if text := s.again("jobs", "export"); strings.Contains(text, "line 5 of it") || !strings.Contains(text, `"delivered":true`) {
				t.Errorf("the ledger: %.500s", text)
			}
		})
	}
}

// TestInterruptedCall: a signal cancels the job at fal, and the person is told
// what it cost.
func TestInterruptedCall(t *testing.T) {
	t.Parallel()
	noSignals(t)
	generate := []string{"call", "nemotron_generate", "Hi"}
	cases := []struct {
		name   string
		script falsim.Script
		args   []string
		sig    os.Signal
		when   func(falsim.Stats) bool
		want   []string // on stderr
		ok     func(falsim.Stats) bool
	}{
		{
			"in the queue",
			falsim.Script{QueueDelay: time.Hour},
			generate, os.Interrupt,
			func(s falsim.Stats) bool { return s.OpenStreams == 1 },
			[]string{"Interrupted. Cancelled while it was queued; not billed.\n[CANCELLED; request_id "},
			func(s falsim.Stats) bool { return s.Accepted == 1 && s.Cancelled == 1 && s.Billed == 0 },
		},
		{
			"by SIGTERM",
			falsim.Script{QueueDelay: time.Hour},
			generate, syscall.SIGTERM,
			func(s falsim.Stats) bool { return s.OpenStreams == 1 },
			[]string{"not billed.\n[CANCELLED; request_id "},
			func(s falsim.Stats) bool { return s.Cancelled == 1 && s.Billed == 0 },
		},
		{
			"while it is running",
			falsim.Script{RunTime: time.Hour},
			generate, os.Interrupt,
			func(s falsim.Stats) bool { return s.OpenStreams == 1 },
			[]string{"what it had used may be billed. Until its cost is known it counts as $0.0", "[CANCELLED; request_id "},
			func(s falsim.Stats) bool { return s.Cancelled == 1 && s.Billed == 1 },
		},
		{
			"with a wait of its own",
			falsim.Script{QueueDelay: time.Hour},
			append(generate, "wait_seconds=600"), os.Interrupt,
			func(s falsim.Stats) bool { return s.OpenStreams == 1 },
			[]string{"not billed.\n[CANCELLED; request_id "},
			func(s falsim.Stats) bool { return s.Cancelled == 1 && s.Billed == 0 },
		},
		{
			"too late, as it completes",
			falsim.Script{RunTime: time.Hour, IgnoreCancel: true},
			generate, os.Interrupt,
			func(s falsim.Stats) bool { return s.OpenStreams == 1 },
			[]string{"it may still complete and be billed. Until its cost is known it counts as $0.0", "wait_seconds=600' tells how it ends.\n[IN_PROGRESS; "},
			func(s falsim.Stats) bool { return s.Requests.Cancel > 0 && s.Cancelled == 0 },
		},
		{
			"while the submission is to be answered",
			falsim.Script{QueueDelay: time.Hour, Faults: []falsim.Fault{{Step: falsim.StepSubmit, Accept: true, Kind: falsim.Delay, Delay: 2 * time.Second}}},
			generate, os.Interrupt,
			func(s falsim.Stats) bool { return s.Accepted == 1 },
			[]string{"Cancelled while it was queued; not billed.\n[CANCELLED; request_id "},
			func(s falsim.Stats) bool { return s.Cancelled == 1 && s.Billed == 0 },
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			sim := startSimulator(t, c.script)
			s := startShell(t, sim, nil, shellEnv(t, sim), c.args...)
			if err := sim.WaitFor(t.Context(), c.when); err != nil {
				t.Fatal(err)
			}
			s.signal(c.sig)
			s.ends(130)
			for _, want := range c.want {
				if !strings.Contains(s.err.String(), want) {
					t.Errorf("stderr lacks %q: %s", want, &s.err)
				}
			}
			if got := s.out.String(); got != "" {
				t.Errorf("stdout: %s", got)
			}
			if stats := sim.Stats(); !c.ok(stats) {
				t.Errorf("%+v", stats)
			}
		})
	}
}

// TestInterruptedBeforeTheJob: nothing is sent.
func TestInterruptedBeforeTheJob(t *testing.T) {
	t.Parallel()
	noSignals(t)
	sim := startSimulator(t, falsim.Script{})
	stdin, keep, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer keep.Close()
	defer stdin.Close()
	s := startShell(t, sim, stdin, shellEnv(t, sim), "call", "nemotron_generate", "--log-level=debug", "Hi", "-")
	if _, err := io.WriteString(keep, strings.Repeat("x", 1<<20)); err != nil { // more than a pipe holds: it reads
		t.Fatal(err)
	}
	s.signal(os.Interrupt)
	s.ends(130)
	if text := s.err.String(); !strings.Contains(text, "Nothing was sent.") || s.out.String() != "" || sim.Stats().Accepted != 0 {
		t.Errorf("stderr: %s; stdout: %s; %+v", text, &s.out, sim.Stats())
	}
}

// TestInterruptedUpload: the job is never submitted.
func TestInterruptedUpload(t *testing.T) {
	t.Parallel()
	noSignals(t)
	sim := startSimulator(t, falsim.Script{Faults: []falsim.Fault{{Step: falsim.StepPut, Kind: falsim.Hang}}})
	image := filepath.Join(t.TempDir(), "chart.png")
	if err := os.WriteFile(image, samplePNG(), 0o600); err != nil {
		t.Fatal(err)
	}
	s := startShell(t, sim, nil, shellEnv(t, sim), "call", "nemotron_generate", "What is it?", "--image", image)
	if err := sim.WaitFor(t.Context(), func(s falsim.Stats) bool { return s.Requests.Put == 1 }); err != nil {
		t.Fatal(err)
	}
	s.signal(os.Interrupt)
	s.ends(130)
	if text := s.err.String(); !strings.Contains(text, "Interrupted.") || !strings.Contains(text, "nothing is billed") || sim.Stats().Accepted != 0 {
		t.Errorf("stderr: %s; %+v", text, sim.Stats())
	}
}

// TestInterruptedWatcher: who only waits for a job does not end it.
func TestInterruptedWatcher(t *testing.T) {
	t.Parallel()
	noSignals(t)
	sim := startSimulator(t, falsim.Script{QueueDelay: time.Hour})
	env := shellEnv(t, sim)
	startShell(t, sim, nil, env, "call", "nemotron_generate", "Hi", "wait_seconds=0").ends(3)
	id := sim.Jobs()[0].RequestID
	before := sim.Stats().Requests.Stream
	s := startShell(t, sim, nil, env, "call", "queue_status", "request_id="+id, "wait_seconds=600")
	err := sim.WaitFor(t.Context(), func(s falsim.Stats) bool { return s.Requests.Stream > before && s.OpenStreams == 1 })
	if err != nil {
		t.Fatal(err)
	}
	s.signal(os.Interrupt)
	s.ends(130)
	if text := s.err.String(); !strings.Contains(text, "left alone") || !strings.Contains(text, id) {
		t.Errorf("stderr: %s", text)
	}
	if stats := sim.Stats(); stats.Requests.Cancel != 0 {
		t.Errorf("%+v", stats)
	}
}

// TestSecondSignalEndsAtOnce, also where fal does not answer the cancel.
func TestSecondSignalEndsAtOnce(t *testing.T) {
	t.Parallel()
	noSignals(t)
	sim := startSimulator(t, falsim.Script{QueueDelay: time.Hour, Faults: []falsim.Fault{{Step: falsim.StepCancel, Kind: falsim.Hang}}})
	s := startShell(t, sim, nil, shellEnv(t, sim), "call", "nemotron_generate", "Hi")
	if err := sim.WaitFor(t.Context(), func(s falsim.Stats) bool { return s.OpenStreams == 1 }); err != nil {
		t.Fatal(err)
	}
	s.signal(os.Interrupt)
	if err := sim.WaitFor(t.Context(), func(s falsim.Stats) bool { return s.Requests.Cancel > 0 }); err != nil {
		t.Fatal(err)
	}
	s.signal(os.Interrupt)
	err := s.cmd.Wait()
	exit := new(exec.ExitError)
	if !errors.As(err, &exit) || exit.ExitCode() != -1 { // by the signal itself
		t.Errorf("%v; stderr: %s", err, &s.err)
	}
}

// TestCancelThatIsNotAnswered: the person is told that the job may go on.
func TestCancelThatIsNotAnswered(t *testing.T) {
	t.Parallel()
	noSignals(t)
	sim := startSimulator(t, falsim.Script{QueueDelay: time.Hour, Faults: []falsim.Fault{{Step: falsim.StepCancel, Kind: falsim.Hang}}})
	s := startShell(t, sim, nil, shellEnv(t, sim), "call", "nemotron_generate", "Hi")
	if err := sim.WaitFor(t.Context(), func(s falsim.Stats) bool { return s.OpenStreams == 1 }); err != nil {
		t.Fatal(err)
	}
	s.signal(os.Interrupt)
	s.ends(130)
	if text := s.err.String(); !strings.Contains(text, "the job goes on and is billed") || !strings.Contains(text, "jobs cancel "+sim.Jobs()[0].RequestID) {
		t.Errorf("stderr: %s", text)
	}
}

// TestLateSignal: a job that ends as it is to be cancelled has been paid for. Its
// answer can be read later, or else is printed.
func TestLateSignal(t *testing.T) {
	t.Parallel()
	noSignals(t)
	for _, store := range []string{"full", "memory"} {
		t.Run(store, func(t *testing.T) {
			t.Parallel()
			well := falsim.Script{Output: "the answer"}
			late := well
			late.Faults = []falsim.Fault{{Step: falsim.StepResult, Status: 503}}
			sim := startSimulator(t, late)
			s := startShell(t, sim, nil, shellEnv(t, sim, "NEMOTRON_MCP_STORE="+store), "call", "nemotron_generate", "Hi")
			if err := sim.WaitFor(t.Context(), func(s falsim.Stats) bool { return s.Requests.Result > 0 }); err != nil {
				t.Fatal(err)
			}
			s.signal(os.Interrupt)
			if err := sim.WaitFor(t.Context(), func(s falsim.Stats) bool { return s.Requests.Cancel > 0 }); err != nil {
				t.Fatal(err)
			}
			sim.SetScript(well)
			s.ends(130)
			id := sim.Jobs()[0].RequestID
			if store == "memory" {
				if s.out.String() != "the answer\n" || !strings.Contains(s.err.String(), "had completed") {
					t.Errorf("stdout: %s; stderr: %s", &s.out, &s.err)
				}
				return
			}
			if text := s.err.String(); !strings.Contains(text, "'nemotron-mcp jobs show "+id+"' prints its answer") {
				t.Errorf("stderr: %s", text)
			}
			if text := s.again("jobs", "show", id); !strings.HasSuffix(text, "the answer\n") {
				t.Errorf("jobs show: %s", text)
			}
		})
	}
}
