package app_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"nemotron-mcp/internal/falsim"
)

// TestLimitsOnStdio: the one caller of stdio has the limits of a caller.
func TestLimitsOnStdio(t *testing.T) {
	t.Parallel()
	sim := startSimulator(t, falsim.Script{QueueDelay: time.Hour})
	p := startProcess(t, sim, true, "NEMOTRON_MCP_MAX_JOBS_IN_FLIGHT=1", "NEMOTRON_MCP_MAX_CALLS_PER_MINUTE=2")
	for n, want := range []string{`"request_id"`, "as many unfinished jobs", "more often than its operator allows"} {
		p.send(strings.Replace(generateLine(n+1, "prompt "+strconv.Itoa(n)), `"prompt"`, `"wait_seconds":0,"prompt"`, 1))
		answer := p.answer(strconv.Itoa(n + 1))
		if !strings.Contains(answer, want) || strings.Contains(answer, "RATE_LIMITED") != (n > 0) {
			t.Errorf("call %d: %s", n+1, answer)
		}
	}
	p.end()
	if taken := len(sim.Jobs()); taken != 1 {
		t.Errorf("fal took %d jobs", taken)
	}
}
