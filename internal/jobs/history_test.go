package jobs

import (
	"testing"
	"time"

	"nemotron-mcp/internal/falsim"
)

// A result that fal's queue deleted while nobody ran to fetch it is brought home
// from the account's history, where that keeps payloads.
func TestResultThatFalHasDeleted(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		discard bool
		want    Status
		output  string
	}{
		{"payloads are stored", false, Completed, "the answer"},
		{"payloads are not stored", true, Failed, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				c := newFleet(t, t)
				defer c.close()
				c.sim.SetScript(falsim.Script{RunTime: time.Minute, Retention: time.Minute, Output: "the answer", DiscardPayloads: tc.discard})
				left := c.servers[0]
				job, err := left.m.Generate(t.Context(), prompt("p", 0), nil)
				if err != nil {
					t.Fatal(err)
				}
				left.m.Settle(job, ToldAll)
				left.kill()
				c.servers = c.servers[1:]
				time.Sleep(time.Hour)
				c.servers[0].m.Collect()
				time.Sleep(time.Hour)
				row, err := c.servers[0].m.Find(t.Context(), job.RequestID)
				if err != nil || row.Status != tc.want || row.Output != tc.output {
					t.Errorf("%s %q (%v), %v", row.Status, row.Output, row.Failure, err)
				}
				if n := c.sim.Stats().Accepted; n != 1 {
					t.Errorf("%d submissions", n)
				}
			})
		})
	}
}
