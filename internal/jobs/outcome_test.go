package jobs

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"nemotron-mcp/falclient"
	"nemotron-mcp/internal/falsim"
)

const htmlPage = "<html><center>nginx</center></html>"

// TestOutcome is how a job ends that fal has taken.
func TestOutcome(t *testing.T) {
	t.Parallel()
	job := func(f falsim.Fault) []falsim.Fault {
		f.Step, f.Kind = falsim.StepJob, falsim.Fail
		return []falsim.Fault{f}
	}
	result := func(f falsim.Fault) []falsim.Fault { f.Step = falsim.StepResult; return []falsim.Fault{f} }
	for _, tc := range []struct {
		name      string
		faults    []falsim.Fault
		maxTokens int
		status    Status
		code      Code
		retryable bool
		says      string
		output    string
	}{
		{
			name: "the runner was lost", faults: job(falsim.Fault{Error: "Runner disconnected", ErrorType: "runner_disconnected"}),
			status: Failed, code: JobFailed, retryable: true, says: "Runner disconnected",
		},
		{
			name: "cancelled by somebody else", faults: append(job(falsim.Fault{Error: "cancelled", ErrorType: "client_cancelled"}),
				falsim.Fault{Step: falsim.StepResult, Status: 404, Body: `{"status":"NOT_FOUND"}`}),
			status: Cancelled, code: JobCancelled, says: "Cancelled at fal",
		},
		{
			name: "cancelled, and only the result says so", faults: result(falsim.Fault{Status: 499, Body: `{"detail":"cancelled"}`}),
			status: Cancelled, code: JobCancelled, says: "Cancelled at fal",
		},
		{
			name: "safety checker", status: Failed, code: ContentBlocked, says: "unsafe",
			faults: job(falsim.Fault{Status: 422, Body: `{"detail":[{"loc":["body","prompt"],"msg":"unsafe","type":"content_policy_violation"}]}`}),
		},
		{name: "the model refuses the input", maxTokens: 99999, status: Failed, code: JobFailed, says: "max_tokens"},
		{
			name: "the model fails", status: Failed, code: JobFailed, retryable: true, says: "CUDA",
			faults: job(falsim.Fault{Status: 500, Body: `{"detail":[{"loc":["body"],"msg":"CUDA","type":"internal_server_error"}]}`}),
		},
		{
			name: "the result is gone", faults: result(falsim.Fault{Status: 404, Body: `{"status":"NOT_FOUND"}`}),
			status: Failed, code: JobFailed, says: "no longer has this job or its result",
		},
		{
			name: "an error, and its result is gone", status: Failed, code: JobFailed, retryable: true, says: "Runner disconnected",
			faults: append(job(falsim.Fault{Error: "Runner disconnected", ErrorType: "runner_disconnected"}),
				falsim.Fault{Step: falsim.StepResult, Status: 404, Body: `{"status":"NOT_FOUND"}`}),
		},
		{
			name: "no output in the answer", faults: result(falsim.Fault{Status: 200, Body: `{"text":"what I paid for"}`}),
			status: Failed, code: UpstreamInvalid, says: "no output", output: `{"text":"what I paid for"}`,
		},
		{name: "pages for a while", faults: result(falsim.Fault{Status: 502, Body: htmlPage, Times: 60}), status: Completed, output: "the answer"},
		{name: "a proxy's 404 for a while", faults: result(falsim.Fault{Status: 404, Body: htmlPage, Times: 5}), status: Completed, output: "the answer"},
		{name: "a page in the end of an outage", status: Completed, output: "the answer", faults: append(
			result(falsim.Fault{Status: 502, Body: htmlPage, Times: 70}), falsim.Fault{Step: falsim.StepResult, Status: 404, Body: htmlPage, Times: 1},
		)},
		{name: "a redirect for a while", faults: result(falsim.Fault{Status: 307, Times: maxPages + 1}), status: Completed, output: "the answer"},
		{name: "408 for a while", faults: result(falsim.Fault{Status: 408, Body: `{"detail":"slow"}`, Times: 20}), status: Completed, output: "the answer"},
		{name: "429 for a while", faults: result(falsim.Fault{Status: 429, Body: `{"detail":"slow"}`, Times: 20}), status: Completed, output: "the answer"},
		{name: "429 with a day, once", status: Completed, output: "the answer", faults: result(falsim.Fault{
			Status: 429, Headers: map[string]string{"Retry-After": "86400"}, Body: `{"detail":"slow"}`, Times: 1,
		})},
		{name: "resets for a while", faults: result(falsim.Fault{Kind: falsim.ResetAfterRead, Times: 20}), status: Completed, output: "the answer"},
		{name: "cut short for a while", faults: result(falsim.Fault{Kind: falsim.TruncateBody, Times: 20}), status: Completed, output: "the answer"},
		{name: "null for a while", faults: result(falsim.Fault{Kind: falsim.NullBody, Times: 20}), status: Completed, output: "the answer"},
		{name: "no answer, once", faults: result(falsim.Fault{Kind: falsim.Hang, Times: 1}), status: Completed, output: "the answer"},
		{
			name: "in progress, though it is completed", status: Completed, output: "the answer",
			faults: result(falsim.Fault{Status: 400, Body: `{"detail":"Request is still in progress"}`, Times: 8}),
		},
		{name: "an unknown word", status: Completed, output: "the answer", faults: []falsim.Fault{
			{Step: falsim.StepStream, Kind: falsim.UnknownStatus}, {Step: falsim.StepStatus, Kind: falsim.UnknownStatus, Times: 3},
		}},
		{name: "no stream", status: Completed, output: "the answer", faults: []falsim.Fault{{Step: falsim.StepStream, Status: 404}}},
		{name: "a stream that breaks", status: Completed, output: "the answer", faults: []falsim.Fault{{Step: falsim.StepStream, Kind: falsim.BreakEvent, After: 1}}},
		{name: "no status", status: Completed, output: "the answer", faults: []falsim.Fault{
			{Step: falsim.StepStream, Status: 502, Body: htmlPage}, {Step: falsim.StepStatus, Status: 502, Body: htmlPage, Times: 10},
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, falsim.Script{RunTime: time.Second, Output: "the answer", Faults: tc.faults}, setup{})
				req := prompt("p", 0)
				if tc.maxTokens > 0 {
					req.Input.MaxTokens = &tc.maxTokens
				}
				handed := r.generate(req)
				r.m.Settle(handed, ToldAll)
				time.Sleep(30 * time.Minute)
				got := r.status(handed.RequestID, 0)
				r.is(got, tc.status, tc.code)
				if got.Output != tc.output {
					t.Errorf("output %q", got.Output)
				}
				if f := got.Failure; f != nil && (!strings.Contains(f.Message, tc.says) || f.Retryable != tc.retryable ||
					f.Action == "" || f.RequestID != handed.RequestID) {
					t.Errorf("failure %+v", f)
				}
				r.count(1, 1)
			})
		})
	}
}

// TestRefusedWatcher is what callers are told while fal refuses to let a job be
// read, and that it is read when fal no longer does.
func TestRefusedWatcher(t *testing.T) {
	t.Parallel()
	locked := `{"detail":"User is locked. Reason: Exhausted balance."}`
	both := func(status int, body string) []falsim.Fault {
		return []falsim.Fault{{Step: falsim.StepStream, Status: status, Body: body}, {Step: falsim.StepStatus, Status: status, Body: body}}
	}
	for _, tc := range []struct {
		name   string
		faults []falsim.Fault
		code   Code
	}{
		{"401", both(401, `{"detail":"invalid key credentials"}`), AuthFailed},
		{"403", both(403, `{"detail":"Access denied"}`), AuthFailed},
		{"locked", both(403, locked), BalanceExhausted},
		{"401 at the result", []falsim.Fault{{Step: falsim.StepResult, Status: 401, Body: `{"detail":"invalid key credentials"}`}}, AuthFailed},
		{"locked at the result", []falsim.Fault{{Step: falsim.StepResult, Status: 403, Body: locked}}, BalanceExhausted},
		{"a page at the result", []falsim.Fault{{Step: falsim.StepResult, Status: 404, Body: htmlPage}}, UpstreamInvalid},
		{"a redirect at the result", []falsim.Fault{{Step: falsim.StepResult, Status: 302}}, UpstreamInvalid},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, falsim.Script{RunTime: time.Second, Output: "the answer", Faults: tc.faults}, setup{})
				call := r.start(prompt("p", 10*time.Minute))
				job, err := call.wait()
				if code(err) != tc.code || job.Status.Finished() || call.took > 15*time.Second {
					t.Fatalf("after %v: %s, %v", call.took, job.Status, err)
				}
				if job.RequestID == "" || err.(*Error).RequestID != job.RequestID {
					t.Errorf("request_id %q", err.(*Error).RequestID)
				}
				r.m.Settle(job, ToldAll)
				if _, err := r.m.Status(t.Context(), me, job.RequestID, 0, nil); code(err) != tc.code {
					t.Errorf("Status: %v", err)
				}
				r.sim.SetScript(falsim.Script{})
				time.Sleep(5 * time.Minute)
				if got := r.status(job.RequestID, 0); got.Output != "the answer" || got.Failure != nil {
					t.Errorf("afterwards: %s %q", got.Status, got.Output)
				}
				r.count(1, 1)
			})
		})
	}
}

func TestStuckInTheQueue(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, falsim.Script{Faults: []falsim.Fault{{Step: falsim.StepJob, Kind: falsim.Stuck}}}, setup{})
		handed := r.handBack("p")
		for range 3 {
			time.Sleep(time.Hour)
			if job := r.status(handed.RequestID, 10*time.Second); job.Status != InQueue || job.Failure != nil {
				t.Errorf("%s, %v", job.Status, job.Failure)
			}
		}
		job, outcome, err := r.m.Cancel(t.Context(), me, handed.RequestID)
		if err != nil || outcome != falclient.CancelledInQueue {
			t.Errorf("%q, %v", outcome, err)
		}
		r.is(job, Cancelled, JobCancelled)
		r.count(1, 0)
	})
}

// TestJobThatFalDoesNotKnowYet: an answer that is paid for is not given up for
// a few 404s.
func TestJobThatFalDoesNotKnowYet(t *testing.T) {
	bubble(t, func(t *testing.T) {
		unknown := `{"status":"NOT_FOUND"}`
		r := newRig(t, falsim.Script{RunTime: 300 * time.Millisecond, Output: "paid", Faults: []falsim.Fault{
			{Step: falsim.StepStream, Status: 404, Body: unknown, Times: 1},
			{Step: falsim.StepStatus, Status: 404, Body: unknown, Times: 10},
		}}, setup{})
		job, err := r.m.Generate(t.Context(), prompt("p", 2*time.Minute), nil)
		if err != nil || job.Status != Completed || job.Output != "paid" {
			t.Errorf("%s, %v", job.Status, err)
		}
		r.m.Settle(job, ToldAll)
		r.count(1, 1)
	})
}

// TestAnswerThatCannotBeRead: the caller is told, and the job goes on.
func TestAnswerThatCannotBeRead(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, falsim.Script{Output: "paid", Faults: []falsim.Fault{{Step: falsim.StepResult, Kind: falsim.NullBody, Times: 12}}}, setup{})
		job, err := r.m.Generate(t.Context(), prompt("p", 2*time.Minute), nil)
		r.m.Settle(job, ToldAll)
		var told *Error
		if !errors.As(err, &told) || told.Code != UpstreamInvalid || !strings.Contains(told.Action, "goes on") || told.RequestID == "" {
			t.Errorf("told %v", err)
		}
		if job.Status != InProgress {
			t.Errorf("shown as %s, though fal called it COMPLETED", job.Status)
		}
		time.Sleep(10 * time.Minute)
		r.is(r.status(job.RequestID, 0), Completed, "")
	})
}

func TestJobThatFalForgets(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, falsim.Script{RunTime: time.Hour}, setup{})
		handed := r.handBack("p")
		time.Sleep(time.Second)
		r.sim.Reset()
		if job := r.status(handed.RequestID, unknownTime-10*time.Second); job.Status.Finished() {
			t.Errorf("%s was believed after less than %s", job.Status, unknownTime)
		}
		job := r.status(handed.RequestID, 10*time.Minute)
		r.is(job, Failed, JobFailed)
		if !strings.Contains(job.Failure.Message, "no longer has") {
			t.Errorf("%q", job.Failure.Message)
		}
	})
}

func TestResultThatCanNeverBeRead(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		err   error
		ends  time.Duration // at the latest
		code  Code
		says  string
		retry bool
	}{
		{"too large", falclient.ErrTooLarge, time.Second, UpstreamInvalid, "larger than the limit", false},
		{"a page for hours", &falclient.APIError{Op: "result", StatusCode: 502}, collectTime + 2*time.Minute, JobFailed, "two hours", false},
		{"a proxy's 404 for minutes", &falclient.APIError{Op: "result", StatusCode: 404}, 10 * time.Minute, JobFailed, "no longer has", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, falsim.Script{}, setup{fal: &stub{watch: done, result: func(context.Context) (falclient.Result, error) {
					return falclient.Result{}, tc.err
				}}})
				job, _ := r.m.Generate(t.Context(), prompt("p", 0), nil) // may be told of the trouble
				r.m.Settle(job, ToldAll)
				time.Sleep(tc.ends)
				row := r.rows()[0]
				r.is(row, Failed, tc.code)
				if f := row.Failure; f == nil || !strings.Contains(f.Message, tc.says) || f.Retryable != tc.retry || f.RequestID != "req-1" {
					t.Errorf("failure %+v", f)
				}
			})
		})
	}
}

func TestAnEndIsTheEnd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, falsim.Script{Output: "the answer"}, setup{})
		job := r.generate(prompt("p", time.Minute))
		r.m.mu.Lock()
		l := r.m.join(job)
		r.m.mu.Unlock()
		r.m.finish(l, Failed, cancelled("late"))
		r.m.changed(l, falclient.Status{State: falclient.InProgress})
		for _, got := range []Job{l.snapshot(), r.rows()[0]} {
			if r.is(got, Completed, ""); got.Output != "the answer" {
				t.Errorf("output %q", got.Output)
			}
		}
		r.m.Settle(job, ToldAll)
		r.m.note(l, func(j *Job) { j.HideReasoning = true })
		if row := r.rows()[0]; !row.Delivered || !row.HideReasoning {
			t.Errorf("after a note: %+v", row)
		}
	})
}

func TestUnknownWordIsNoStart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, falsim.Script{}, setup{fal: &stub{watch: func(ctx context.Context, tell func(falclient.Status)) (falclient.Status, error) {
			tell(falclient.Status{State: "PREEMPTED"})
			time.Sleep(5 * time.Second)
			tell(falclient.Status{State: falclient.InProgress})
			return done(ctx, tell)
		}}})
		job := r.generate(prompt("p", time.Minute))
		if job.Status != Completed || job.QueueTime() != 5*time.Second {
			t.Errorf("%s after %v in the queue", job.Status, job.QueueTime())
		}
	})
}
