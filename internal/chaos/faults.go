package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"nemotron-mcp/internal/falsim"
)

// trouble is something that goes wrong with each job whose prompt names it.
type trouble struct {
	name  string
	fault falsim.Fault
}

const page = "<html><body><h1>502 Bad Gateway</h1></body></html>"

// troubles of a step, one of which a prompt may name. A submission is made once,
// so its troubles hit each time; the other steps recover after a few.
var troubles = [][]trouble{
	{
		{"submit-reset", falsim.Fault{Kind: falsim.ResetAfterRead}},
		{"submit-taken-reset", falsim.Fault{Kind: falsim.ResetAfterRead, Accept: true}},
		{"submit-taken-closed", falsim.Fault{Kind: falsim.CloseAfterAccept, Accept: true}},
		{"submit-taken-page", falsim.Fault{Kind: falsim.Respond, Status: 502, Body: page, Accept: true}},
		{"submit-page", falsim.Fault{Kind: falsim.Respond, Status: 503, Body: page}},
		{"submit-truncated", falsim.Fault{Kind: falsim.TruncateBody}},
		{"submit-taken-empty", falsim.Fault{Kind: falsim.EmptyBody, Accept: true}},
		{"submit-taken-null", falsim.Fault{Kind: falsim.NullBody, Accept: true}},
		{"submit-slow", falsim.Fault{Kind: falsim.Delay, Delay: 400 * time.Millisecond, Accept: true}},
		{"submit-late", falsim.Fault{Kind: falsim.Delay, Delay: 400 * time.Millisecond}},
		{"submit-limited", falsim.Fault{Kind: falsim.Respond, Status: 429, Headers: map[string]string{"Retry-After": "1"}, Body: `{"detail":"Rate limited"}`}},
	},
	{
		{"stream-breaks", falsim.Fault{Kind: falsim.BreakEvent, After: 1, Times: 2}},
		{"stream-ends", falsim.Fault{Kind: falsim.EndEarly, Times: 2}},
		{"stream-garbage", falsim.Fault{Kind: falsim.Garbage, Times: 2}},
		{"stream-split", falsim.Fault{Kind: falsim.SplitEvent, Interval: 5 * time.Millisecond, Times: 2}},
		{"stream-refused", falsim.Fault{Kind: falsim.Respond, Status: 503, Body: page, Times: 3}},
		{"stream-reset", falsim.Fault{Kind: falsim.ResetAfterRead, Times: 2}},
		{"stream-unknown", falsim.Fault{Kind: falsim.UnknownStatus, After: 1, Times: 2}},
		{"stream-held", falsim.Fault{Kind: falsim.HoldOpen, Hold: 300 * time.Millisecond}},
	},
	{
		{"status-fails", falsim.Fault{Kind: falsim.Respond, Status: 500, Times: 2}},
		{"status-reset", falsim.Fault{Kind: falsim.ResetAfterRead, Times: 2}},
		{"status-unknown", falsim.Fault{Kind: falsim.UnknownStatus, Times: 2}},
		{"status-limited", falsim.Fault{Kind: falsim.Respond, Status: 429, Headers: map[string]string{"Retry-After": "1"}, Times: 1}},
	},
	{
		{"result-page", falsim.Fault{Kind: falsim.Respond, Status: 502, Body: page, Times: 2}},
		{"result-reset", falsim.Fault{Kind: falsim.ResetAfterRead, Times: 2}},
		{"result-truncated", falsim.Fault{Kind: falsim.TruncateBody, Times: 2}},
		{"result-empty", falsim.Fault{Kind: falsim.EmptyBody, Times: 1}},
		{"result-slow", falsim.Fault{Kind: falsim.SlowBody, Interval: time.Millisecond, Times: 1}},
		{"result-late", falsim.Fault{Kind: falsim.Delay, Delay: 300 * time.Millisecond, Times: 1}},
	},
	{
		{"cancel-fails", falsim.Fault{Kind: falsim.Respond, Status: 500, Times: 1}},
		{"cancel-taken-reset", falsim.Fault{Kind: falsim.ResetAfterRead, Accept: true, Times: 1}},
		{"cancel-late", falsim.Fault{Kind: falsim.Delay, Delay: 300 * time.Millisecond, Times: 1}},
	},
	{
		{jobFails, falsim.Fault{Kind: falsim.Fail, Status: 500, Error: "The runner failed.", ErrorType: "runner_server_error"}},
	},
}

const jobFails = "job-fails"

var steps = [...]falsim.Step{
	falsim.StepSubmit, falsim.StepStream, falsim.StepStatus, falsim.StepResult, falsim.StepCancel, falsim.StepJob,
}

// odds are the chances of a trouble at each step.
var odds = [len(steps)]float64{0.2, 0.4, 0.3, 0.3, 0.3, 0.05}

// promptOf makes a prompt that no other job has, and draws its troubles.
func promptOf(seed uint64, n int, r *rand.Rand) string {
	words := []string{fmt.Sprintf("job %d of run %d", n, seed)}
	for i, all := range troubles {
		if r.Float64() < odds[i] {
			words = append(words, "<"+all[r.IntN(len(all))].name+">")
		}
	}
	return strings.Join(words, " ")
}

// troubled gives a script with a course of the moment, and every trouble.
func troubled(r *rand.Rand) falsim.Script {
	s := falsim.Script{
		QueueDelay:   time.Duration(r.IntN(400)) * time.Millisecond,
		RunTime:      time.Duration(r.IntN(700)) * time.Millisecond,
		IgnoreCancel: r.IntN(4) == 0,
	}
	for i, all := range troubles {
		for _, t := range all {
			f := t.fault
			f.Step, f.PromptContains, f.PerJob = steps[i], "<"+t.name+">", true
			s.Faults = append(s.Faults, f)
		}
	}
	// Refusals of whoever comes then.
	s.Faults = append([]falsim.Fault{{
		Step: falsim.StepSubmit, Status: 429, Headers: map[string]string{"Retry-After": "1"}, Body: `{"detail":"Rate limited"}`,
		Nth: 3 + r.IntN(20), Times: 1 + r.IntN(3),
	}}, s.Faults...)
	return s
}
