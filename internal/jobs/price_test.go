package jobs

import (
	"math"
	"testing"

	"nemotron-mcp/falclient"
)

func TestCost(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name     string
		endpoint string
		in, out  int
		want     float64
	}{
		{"text", falclient.Nemotron, 600, 400, 0.01},
		{"vision", falclient.NemotronVision, 600, 400, 0.006},
		{"video", falclient.NemotronVideo, 600, 400, 0.006},
		{"audio", falclient.NemotronAudio, 600, 400, 0.006},
		{"no price known: the highest", "somebody/else", 600, 400, 0.01},
		{"nothing used", falclient.Nemotron, 0, 0, 0},
		{"a full answer", falclient.Nemotron, 0, 20_000, 0.2},
		{"more than fits 32 bits", falclient.Nemotron, math.MaxInt32, math.MaxInt32, 42949.67294},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got := DefaultPrices().Cost(tc.endpoint, falclient.Usage{InputTokens: tc.in, OutputTokens: tc.out})
			if math.Abs(got-tc.want) > 1e-9 {
				t.Errorf("%v, want %v", got, tc.want)
			}
		})
	}
}

func TestDefaultPricesAreTheCallersOwn(t *testing.T) {
	t.Parallel()
	DefaultPrices()[falclient.Nemotron] = 7
	if DefaultPrices()[falclient.Nemotron] != 0.01 {
		t.Error("the table is shared")
	}
}
