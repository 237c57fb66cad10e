package app

import (
	"slices"
	"strings"
	"testing"

	"nemotron-mcp/internal/jobs"
)

// A process of our own is given the caps and limits that this one has.
func TestLimitsArePassedOn(t *testing.T) {
	t.Parallel()
	o := Options{MaxCostPerCall: 0.5, MaxCostPerDay: 2, MaxCostPerDayTotal: 10.25, MaxCallsPerMinute: 7.5, MaxJobsInFlight: 3}
	env := o.environ()
	for _, want := range []string{
		"NEMOTRON_MCP_MAX_COST_PER_CALL=0.5", "NEMOTRON_MCP_MAX_COST_PER_DAY=2", "NEMOTRON_MCP_MAX_COST_PER_DAY_TOTAL=10.25",
		"NEMOTRON_MCP_MAX_CALLS_PER_MINUTE=7.5", "NEMOTRON_MCP_MAX_JOBS_IN_FLIGHT=3",
	} {
		if !slices.Contains(env, want) {
			t.Errorf("%s is not in %v", want, env)
		}
	}
	for _, variable := range (&Options{}).environ() {
		if strings.HasPrefix(variable, "NEMOTRON_MCP_MAX_COST") || strings.HasPrefix(variable, "NEMOTRON_MCP_MAX_CALLS") || strings.HasPrefix(variable, "NEMOTRON_MCP_MAX_JOBS") {
			t.Errorf("what is not set is passed on: %s", variable)
		}
	}
}

func TestCapOfAllRows(t *testing.T) {
	t.Parallel()
	unnamed, named := []jobs.UsageRow{{}}, []jobs.UsageRow{{}, {Caller: "ann"}}
	for _, tc := range []struct {
		name      string
		each, all cost
		rows      []jobs.UsageRow
		want      float64
	}{
		{"none", 0, 0, unnamed, 0},
		{"each, of one caller", 2, 0, unnamed, 2},
		{"each, of several", 2, 0, named, 0},
		{"all, of one caller", 0, 3, unnamed, 3},
		{"all, of several", 0, 3, named, 3},
		{"both, of one caller", 2, 3, unnamed, 2},
		{"both, of one caller, the other way", 3, 2, unnamed, 2},
		{"both, of several", 2, 3, named, 3},
	} {
		o := Options{MaxCostPerDay: tc.each, MaxCostPerDayTotal: tc.all}
		if got := o.dayCap(tc.rows); got != tc.want {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
}
