package tools

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"nemotron-mcp/internal/falsim"
	"nemotron-mcp/internal/jobs"
)

// brokenLedger can't be written.
type brokenLedger struct{ *jobs.Memory }

func (brokenLedger) Insert(context.Context, jobs.Job, jobs.DayCaps) error {
	return errors.New("disk full")
}

func unreachable() error { return errors.New("connection refused") }

// unknownID is a request that nobody knows.
const unknownID = "9a1f2b3c-0000-4000-8000-000000000001"

// codeTest is one failure as it comes through a tool.
type codeTest struct {
	name       string
	o          rigOptions
	tool, args string
	code       jobs.Code
	retryable  bool
	submits    int // requests to fal's queue
	bills      int
	in         []string
}

func codeTests() []codeTest {
	const generate, hi = "nemotron_generate", `{"prompt":"Hi","wait_seconds":60}`
	at := func(step falsim.Step, status int, body string, headers map[string]string) rigOptions {
		return rigOptions{script: falsim.Script{Faults: []falsim.Fault{{Step: step, Status: status, Body: body, Headers: headers}}}}
	}
	script := func(s falsim.Script) rigOptions { return rigOptions{script: s} }
	fault := func(f falsim.Fault) rigOptions { return script(falsim.Script{Faults: []falsim.Fault{f}}) }
	const blocked = `{"detail":[{"loc":["body","prompt"],"msg":"The content was flagged.","type":"content_policy_violation"}]}`
	return []codeTest{
		{
			"arguments",
			rigOptions{},
			generate, `{"prompt":"","temperature":3}`, jobs.InvalidInput, false, 0, 0,
			[]string{"prompt: must have 1 or more characters", "temperature: 3 is above the maximum 2"},
		},
		{
			"refused by fal at once", at(falsim.StepSubmit, 422, `{"detail":[{"loc":["body","top_p"],"msg":"Bad top_p","type":"x"}]}`, nil),
			generate, hi, jobs.InvalidInput, false, 1, 0,
			[]string{"Bad top_p", "Change the arguments"},
		},
		{"no key", rigOptions{noKey: true}, generate, hi, jobs.AuthFailed, false, 0, 0, []string{"FAL_KEY", "https://fal.ai/dashboard/keys"}},
		{"no key for a request that only fal knows", rigOptions{noKey: true}, "queue_status", byID(unknownID), jobs.AuthFailed, false, 0, 0, []string{"FAL_KEY"}},
		{"a wrong key", script(falsim.Script{Key: "another"}), generate, hi, jobs.AuthFailed, false, 1, 0, []string{"invalid key credentials", "Do not retry"}},
		{"no money", script(falsim.Script{Locked: true}), generate, hi, jobs.BalanceExhausted, false, 1, 0, []string{"Exhausted balance", "https://fal.ai/dashboard/billing"}},
		{
			"too many", at(falsim.StepSubmit, 429, `{"detail":"Slow down"}`, map[string]string{"Retry-After": "120"}), generate, hi, jobs.RateLimited, true, 1, 0,
			[]string{"Slow down", "Try again in 2m0s"},
		},
		{"a blocked prompt", at(falsim.StepSubmit, 422, blocked, nil), generate, hi, jobs.ContentBlocked, false, 1, 0, []string{"was flagged", "Rephrase"}},
		{"a blocked answer", fault(falsim.Fault{Step: falsim.StepJob, Status: 422, Body: blocked}), generate, hi, jobs.ContentBlocked, false, 1, 1, []string{"was flagged", "request_id: "}},
		{"a request nobody knows", rigOptions{}, "queue_status", byID(unknownID), jobs.JobNotFound, false, 0, 0, []string{"request_id: " + unknownID, "queue_list"}},
		{"a cancel of it", rigOptions{}, "queue_cancel", byID(unknownID), jobs.JobNotFound, false, 0, 0, []string{"queue_list"}},
		{"an id that is none", rigOptions{}, "queue_status", `{"request_id":"../../etc"}`, jobs.JobNotFound, false, 0, 0, []string{"not a request_id"}},
		{"a secret as an id", rigOptions{}, "queue_status", byID(keySecret), jobs.JobNotFound, false, 0, 0, nil},
		{
			"failed on its runner", fault(falsim.Fault{Step: falsim.StepJob, Error: "The runner has left", ErrorType: "runner_disconnected"}),
			generate, hi, jobs.JobFailed, true, 1, 1,
			[]string{"The runner has left", "request_id: "},
		},
		{
			"refused by the model", fault(falsim.Fault{Step: falsim.StepJob, Status: 422, Body: `{"detail":[{"loc":["body","prompt"],"msg":"Too long","type":"value_error"}]}`}),
			generate, hi, jobs.JobFailed, false, 1, 1,
			[]string{"Too long", "request_id: "},
		},
		{
			"submitted, and no answer", fault(falsim.Fault{Step: falsim.StepSubmit, Kind: falsim.ResetAfterRead, Accept: true}),
			generate, hi, jobs.SubmitUnknown, false, 1, 1,
			[]string{"may be running, and billing", "It was not sent again", "https://fal.ai/dashboard/requests"},
		},
		{"a proxy's page for a submission", at(falsim.StepSubmit, 502, "<html>Bad Gateway</html>", nil), generate, hi, jobs.SubmitUnknown, false, 1, 0, []string{"It was not sent again"}},
		{"no connection", rigOptions{dial: unreachable}, generate, hi, jobs.UpstreamUnavailable, true, 0, 0, []string{"could not be reached", "nothing was submitted or billed", "Try again"}},
		{"no connection for a status", rigOptions{dial: unreachable}, "queue_status", byID(unknownID), jobs.UpstreamUnavailable, true, 0, 0, []string{"request_id: " + unknownID}},
		{"a redirect", at(falsim.StepSubmit, 307, "", map[string]string{"Location": "https://elsewhere.example"}), generate, hi, jobs.UpstreamInvalid, false, 1, 0, []string{"was not followed", "FAL_QUEUE_URL"}},
		{"a page for a status", at(falsim.StepStatus, 200, "<html>Welcome</html>", nil), "queue_status", byID(unknownID), jobs.UpstreamInvalid, true, 0, 0, []string{"any proxy"}},
		{"an answer without an output", at(falsim.StepResult, 200, `{"text":"?"}`, nil), generate, hi, jobs.UpstreamInvalid, false, 1, 1, []string{"queue_status returns it", "request_id: "}},
		{"the ledger can't be written", rigOptions{ledger: brokenLedger{jobs.NewMemory()}}, generate, hi, jobs.Internal, false, 0, 0, []string{"nothing was submitted"}},
	}
}

func TestCodes(t *testing.T) {
	t.Parallel()
	for _, tt := range codeTests() {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, tt.o, func(t *testing.T, r *rig) {
				began := time.Now()
				a := r.call(tt.tool, tt.args)
				if took := time.Since(began); took > time.Minute {
					t.Errorf("told after %v", took)
				}
				if a.code() != string(tt.code) || a.meta["retryable"] != tt.retryable {
					t.Fatalf("told as %v: %s", a.meta, a.text)
				}
				wantIn(t, a.text, tt.in...)
				if after := a.meta["retry_after_seconds"]; (tt.code == jobs.RateLimited) != (after == 120.0) {
					t.Errorf("retry_after_seconds is %v", after)
				}
				time.Sleep(time.Minute) // whatever is still to come
				if n := r.sim.Stats().Requests.Submit; n != tt.submits {
					t.Errorf("submitted %d times, not %d", n, tt.submits)
				}
				if n := r.sim.Bills(); n != tt.bills {
					t.Errorf("paid %d times, not %d", n, tt.bills)
				}
				wantNotIn(t, r.log.String(), keySecret, "Hi")
			})
		})
	}
}

// TestCancelledFromElsewhere holds what a call that waits is told when its job
// is cancelled by another.
func TestCancelledFromElsewhere(t *testing.T) {
	t.Parallel()
	inBubble(t, rigOptions{script: falsim.Script{QueueDelay: time.Hour}}, func(t *testing.T, r *rig) {
		waiting := make(chan answer)
		go func() { waiting <- r.call("nemotron_generate", `{"prompt":"Hi"}`) }()
		must(t, r.sim.WaitFor(t.Context(), func(s falsim.Stats) bool { return s.OpenStreams == 1 }))
		id := r.sim.Jobs()[0].RequestID
		if job := r.call("queue_cancel", byID(id)).job(t); job.Status != "CANCELLED" {
			t.Errorf("cancelled as %+v", job)
		}
		a := <-waiting
		if a.code() != string(jobs.JobCancelled) || a.meta["request_id"] != id || r.sim.Bills() != 0 {
			t.Errorf("told as %s, paid %d times", a.text, r.sim.Bills())
		}
		wantIn(t, a.text, "not billed")
	})
}

// TestAnswerWithoutOutput holds that what was paid for can be read, whatever
// it is.
func TestAnswerWithoutOutput(t *testing.T) {
	t.Parallel()
	body := `{"text":"an unheard-of answer"}`
	o := rigOptions{script: falsim.Script{Faults: []falsim.Fault{{Step: falsim.StepResult, Status: 200, Body: body}}}}
	inBubble(t, o, func(t *testing.T, r *rig) {
		id, _ := r.call("nemotron_generate", `{"prompt":"Hi"}`).meta["request_id"].(string)
		job := r.call("queue_status", byID(id)).job(t)
		if job.Status != "FAILED" || job.Output != body || job.Error.Code != "UPSTREAM_INVALID" {
			t.Errorf("told as %+v %v", job.Job, job.Error)
		}
	})
}

// TestUnknownAfterLost holds that a submission whose answer was lost, but for
// its id, is found again.
func TestUnknownAfterLost(t *testing.T) {
	t.Parallel()
	o := rigOptions{script: falsim.Script{Output: "Found.", Faults: []falsim.Fault{{Step: falsim.StepSubmit, Kind: falsim.TruncateBody, Bytes: 1, Times: 1}}}}
	inBubble(t, o, func(t *testing.T, r *rig) {
		a := r.call("nemotron_generate", `{"prompt":"Hi"}`)
		id, _ := a.meta["request_id"].(string)
		if a.code() != string(jobs.SubmitUnknown) || id != r.sim.Jobs()[0].RequestID {
			t.Fatalf("told as %v", a.meta)
		}
		job := r.call("queue_status", fmt.Sprintf(`{"request_id":%q,"wait_seconds":9}`, id)).job(t)
		if job.Status != "COMPLETED" || job.Output != "Found." || r.sim.Bills() != 1 {
			t.Errorf("told as %+v, paid %d times", job.Job, r.sim.Bills())
		}
	})
}
