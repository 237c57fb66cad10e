package app_test

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"nemotron-mcp/internal/falsim"
)

// TestSignalWaitsForWhatIsPaidFor: where fal has still to answer a submission
// or a cancel, the process uses the time that it has to see to it.
func TestSignalWaitsForWhatIsPaidFor(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		fault falsim.Fault
		until func(falsim.Stats) bool
	}{
		{
			"the submission is answered late",
			falsim.Fault{Step: falsim.StepSubmit, Kind: falsim.Delay, Delay: 1500 * time.Millisecond, Accept: true},
			func(s falsim.Stats) bool { return s.Accepted == 1 },
		},
		{
			"the first cancel is refused",
			falsim.Fault{Step: falsim.StepCancel, Status: 503, Times: 1},
			func(s falsim.Stats) bool { return s.OpenStreams == 1 },
		},
		{
			"the cancel is answered late",
			falsim.Fault{Step: falsim.StepCancel, Kind: falsim.Delay, Delay: 1500 * time.Millisecond},
			func(s falsim.Stats) bool { return s.OpenStreams == 1 },
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			sim := startSimulator(t, falsim.Script{QueueDelay: time.Hour, Faults: []falsim.Fault{c.fault}})
			p := startProcess(t, sim, true)
			p.send(generateLine(1, "waits"))
			if err := sim.WaitFor(t.Context(), c.until); err != nil {
				t.Fatal(err)
			}
			p.signal(syscall.SIGTERM)
			if err := p.wait(); err != nil {
				t.Errorf("exit: %v", err)
			}
			if s := sim.Stats(); s.Cancelled != 1 {
				t.Errorf("%+v: the job should have been cancelled; log: %s", s, p.stderr)
			}
			if n := strings.Count(p.stderr.String(), `"message":"submission"`); n != 1 {
				t.Errorf("accounted for %d times: %s", n, p.stderr)
			}
		})
	}
}
