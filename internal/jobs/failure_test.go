package jobs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"nemotron-mcp/falclient"
	"nemotron-mcp/internal/falsim"
)

// submitCase is what becomes of a submission that something happens to.
type submitCase struct {
	name      string
	fault     falsim.Fault // of the submission
	script    falsim.Script
	dial      error
	wait      time.Duration
	status    Status
	code      Code
	retryable bool
	after     time.Duration
	posts     int // that reached fal
	bills     int
	hint      bool // a request_id came with the failure
	says      string
}

func submitCases() []submitCase {
	const page = "<html><center>nginx</center></html>"
	unknown := func(name string, f falsim.Fault, bills int, hint bool) submitCase {
		return submitCase{
			name: name, fault: f, wait: time.Minute, status: Unknown, code: SubmitUnknown, posts: 1, bills: bills, hint: hint,
			says: "fal may be running, and billing, it",
		}
	}
	refused := func(name string, f falsim.Fault, c Code, retryable bool, says string) submitCase {
		return submitCase{name: name, fault: f, wait: time.Minute, status: Failed, code: c, retryable: retryable, posts: 1, says: says}
	}
	limited := func(name string, after string, wait time.Duration, posts int, told time.Duration) submitCase {
		return submitCase{
			name: name, fault: falsim.Fault{Status: 429, Headers: map[string]string{"Retry-After": after}, Body: `{"detail":"slow down"}`},
			wait: wait, status: Failed, code: RateLimited, retryable: true, after: told, posts: posts, says: "slow down",
		}
	}
	return []submitCase{
		{
			name: "no connection", dial: errors.New("connection refused"), wait: time.Minute,
			status: Failed, code: UpstreamUnavailable, retryable: true, says: "nothing was submitted or billed",
		},
		unknown("reset before fal took it", falsim.Fault{Kind: falsim.ResetAfterRead}, 0, false),
		unknown("reset after fal took it", falsim.Fault{Kind: falsim.ResetAfterRead, Accept: true}, 1, false),
		unknown("closed after fal took it", falsim.Fault{Kind: falsim.CloseAfterAccept, Accept: true}, 1, false),
		unknown("no answer", falsim.Fault{Kind: falsim.Hang, Accept: true}, 1, false),
		unknown("truncated", falsim.Fault{Kind: falsim.TruncateBody, Accept: true}, 1, true),
		unknown("empty", falsim.Fault{Kind: falsim.EmptyBody, Accept: true}, 1, false),
		unknown("null", falsim.Fault{Kind: falsim.NullBody, Accept: true}, 1, false),
		unknown("no request_id", falsim.Fault{Status: 200, Body: `{"status":"IN_QUEUE"}`, Accept: true}, 1, false),
		unknown("a page with 200", falsim.Fault{Status: 200, Body: page, Accept: true}, 1, false),
		unknown("a page with 500", falsim.Fault{Status: 500, Body: page, Accept: true}, 1, false),
		unknown("a page with 502", falsim.Fault{Status: 502, Body: page, Accept: true}, 1, false),
		unknown("a page with 504", falsim.Fault{Status: 504, Body: page, Accept: true}, 1, false),
		unknown("499", falsim.Fault{Status: 499, Body: `{"detail":"gone"}`, Accept: true}, 1, false),
		refused("400", falsim.Fault{Status: 400, Body: `{"detail":"bad"}`}, InvalidInput, false, "bad"),
		refused("401", falsim.Fault{Status: 401, Body: `{"detail":"no"}`}, AuthFailed, false, "no"),
		refused("403", falsim.Fault{Status: 403, Body: `{"detail":"no"}`}, AuthFailed, false, "no"),
		refused("404", falsim.Fault{Status: 404, Body: `{"detail":"Application not found"}`}, UpstreamInvalid, false, "Application not found"),
		refused("413", falsim.Fault{Status: 413, Body: `{"detail":"large"}`}, InvalidInput, false, "large"),
		refused("422", falsim.Fault{Status: 422, Body: `{"detail":[{"loc":["body","top_p"],"msg":"too high","type":"less_than_equal"}]}`}, InvalidInput, false, "top_p: too high"),
		refused("422 of the safety checker", falsim.Fault{Status: 422, Body: `{"detail":[{"loc":["body","prompt"],"msg":"no","type":"content_policy_violation"}]}`}, ContentBlocked, false, "no"),
		refused("307", falsim.Fault{Status: 307, Headers: map[string]string{"Location": "http://127.0.0.2/"}}, UpstreamInvalid, false, "not followed"),
		refused("500 of fal's", falsim.Fault{Status: 500, Body: `{"detail":"oops","error_type":"internal_error"}`}, UpstreamUnavailable, true, "oops"),
		refused("503 of fal's", falsim.Fault{Status: 503, Body: `{"detail":"oops","error_type":"runner_scheduling_failure"}`}, UpstreamUnavailable, true, "oops"),
		{name: "locked account", script: falsim.Script{Locked: true}, wait: time.Minute, status: Failed, code: BalanceExhausted, posts: 1, says: "Exhausted balance"},
		{name: "wrong key", script: falsim.Script{Key: "another"}, wait: time.Minute, status: Failed, code: AuthFailed, posts: 1, says: "invalid key credentials"},
		limited("429, and no time to wait", "2", 0, 1, 2*time.Second),
		limited("429, and less time than fal asks for", "20", 10*time.Second, 1, 20*time.Second),
		limited("429 with a day", "86400", time.Minute, 1, 24*time.Hour),
		limited("429 again and again", "2", time.Minute, 5, 2*time.Second),
		limited("429 with garbage", "soon", 0, 1, 0),
		{
			name: "429 once", fault: falsim.Fault{Status: 429, Headers: map[string]string{"Retry-After": "2"}, Times: 1},
			wait: time.Minute, status: Completed, posts: 2, bills: 1,
		},
	}
}

func TestSubmissionEnds(t *testing.T) {
	t.Parallel()
	for _, tc := range submitCases() {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				tc.fault.Step = falsim.StepSubmit
				tc.script.Faults = []falsim.Fault{}
				if tc.fault.Status != 0 || tc.fault.Kind != "" {
					tc.script.Faults = append(tc.script.Faults, tc.fault)
				}
				r := newRig(t, tc.script, setup{dial: func(context.Context) error { return tc.dial }})
				began := time.Now()
				job := r.generate(prompt("p", tc.wait))
				if took := time.Since(began); took > time.Minute {
					t.Errorf("it took %v", took)
				}
				r.is(job, tc.status, tc.code)
				if f := job.Failure; f != nil {
					if f.Retryable != tc.retryable || f.RetryAfter != tc.after || f.Action == "" || !strings.Contains(f.Message, tc.says) {
						t.Errorf("failure %+v", f)
					}
					if strings.Contains(f.Message, "k3y") {
						t.Errorf("%q tells the key", f.Message)
					}
					if job.Ended.IsZero() {
						t.Error("no time of its end")
					}
				}
				if tc.status != Completed && (job.RequestID != "") != tc.hint {
					t.Errorf("request_id %q", job.RequestID)
				}
				time.Sleep(time.Hour) // and nothing is sent in the background
				st := r.sim.Stats()
				if st.Requests.Submit != tc.posts || st.Billed != tc.bills || st.Accepted != tc.bills {
					t.Errorf("%d POSTs, %d taken, %d billed; want %d, %d, %d", st.Requests.Submit, st.Accepted, st.Billed, tc.posts, tc.bills, tc.bills)
				}
				if row := r.rows()[0]; row.Status != tc.status || row.ID != job.ID {
					t.Errorf("the row is %s", row.Status)
				}
			})
		})
	}
}

func TestDialThatHangsEndsWithinTheMinute(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, falsim.Script{}, setup{dial: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }})
		began := time.Now()
		job := r.generate(prompt("p", 10*time.Minute))
		if took := time.Since(began); took > submitTime+5*time.Second { // a dial that had begun is let end
			t.Errorf("it took %v", took)
		}
		r.is(job, Failed, UpstreamUnavailable)
		if !strings.Contains(job.Failure.Message, "nothing was submitted or billed") || !job.Failure.Retryable {
			t.Errorf("%+v", job.Failure)
		}
	})
}

func TestUpstreamFailure(t *testing.T) {
	t.Parallel()
	api := func(status int, kind string) error {
		return fmt.Errorf("asking: %w", &falclient.APIError{Op: "status", StatusCode: status, Type: kind, Message: "m", Structured: true})
	}
	for _, tc := range []struct {
		name      string
		err       error
		code      Code
		retryable bool
	}{
		{"no key", falclient.ErrNoKey, AuthFailed, false},
		{"bad id", falclient.ErrInvalidID, JobNotFound, false},
		{"401", api(401, ""), AuthFailed, false},
		{"404", api(404, ""), JobNotFound, false},
		{"405", api(405, ""), UpstreamInvalid, false},
		{"429", api(429, ""), RateLimited, true},
		{"451 of the safety checker", api(451, contentPolicy), ContentBlocked, false},
		{"503", api(503, ""), UpstreamUnavailable, true},
		{"unreadable", &falclient.ResponseError{Op: "status", Err: errors.New("e")}, UpstreamInvalid, true},
		{"too large", falclient.ErrTooLarge, UpstreamInvalid, true},
		{"time-out", context.DeadlineExceeded, UpstreamUnavailable, true},
		{"connection", &falclient.ConnectError{Op: "status", Host: "h", Err: errors.New("e")}, UpstreamUnavailable, true},
		{"anything else", errors.New("e"), UpstreamUnavailable, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			f := UpstreamFailure(tc.err)
			if f.Code != tc.code || f.Retryable != tc.retryable || f.Message == "" || f.Action == "" {
				t.Errorf("%+v", f)
			}
			if want := string(tc.code) + ": " + f.Message; f.Error() != want {
				t.Errorf("Error() = %q, want %q", f.Error(), want)
			}
		})
	}
}

func TestOutcomeFailure(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name      string
		status    int
		kind      string
		code      Code
		retryable bool
		action    string
	}{
		{"safety checker", 422, contentPolicy, ContentBlocked, false, "Rephrase"},
		{"gone", 404, "", JobFailed, false, "new, paid job"},
		{"input", 422, "image_too_small", JobFailed, false, "refused the input"},
		{"bad request", 400, "bad_request", JobFailed, false, "refused the input"},
		{"time-out", 504, "generation_timeout", JobFailed, true, "does not bill"},
		{"another 4xx, which may be billed", 410, "", JobFailed, true, "new, paid job"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			f := outcomeFailure(&falclient.APIError{Op: "result", StatusCode: tc.status, Type: tc.kind, Message: "m", RequestID: "r"})
			if f.Code != tc.code || f.Retryable != tc.retryable || !strings.Contains(f.Action, tc.action) || f.RequestID != "r" {
				t.Errorf("%+v", f)
			}
		})
	}
}

func TestWithoutPrompt(t *testing.T) {
	t.Parallel()
	long := "summarise the quarterly figures of"
	for _, tc := range []struct{ name, message, preview, want string }{
		{"echoed", "bad input: " + long + " ACME, which are 42", long, "bad input: [the prompt]"},
		{"not echoed", "bad input", long, "bad input"},
		{"too short to tell", "the word cat is not allowed", "cat", "the word cat is not allowed"},
		{"no prompt", "bad input", "", "bad input"},
	} {
		if got := withoutPrompt(tc.message, tc.preview); got != tc.want {
			t.Errorf("%s: %q", tc.name, got)
		}
	}
}

// TestEchoedPrompt: what fal's error repeats of the prompt is in no answer and
// no row.
func TestEchoedPrompt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		text := "a private prompt that is long enough to be recognised"
		r := newRig(t, falsim.Script{Faults: []falsim.Fault{{Step: falsim.StepResult, Status: 422, Body: `{"detail":"refused: ` + text + ` and more"}`}}}, setup{})
		job := r.generate(prompt(text+" and more", time.Minute))
		if job.Failure == nil || strings.Contains(job.Failure.Message, "private") || !strings.Contains(job.Failure.Message, "refused") {
			t.Errorf("%+v", job.Failure)
		}
	})
}
