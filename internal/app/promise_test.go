package app

import (
	"testing"
	"time"

	"nemotron-mcp/internal/transport"
)

// TestEndFitsThePromise adds up what the end of the input may take at most; the
// tests with a process have to leave room for a busy machine.
func TestEndFitsThePromise(t *testing.T) {
	t.Parallel()
	const join = 150 * time.Millisecond // what Serve adds at most, as its documentation says
	if sum := transport.DefaultDrainWindow + grace + join + closeTime; sum > 6*time.Second {
		t.Errorf("the process may take %s to end; hosts wait 6 s", sum)
	}
}
