package tools

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"nemotron-mcp/internal/falsim"
	"nemotron-mcp/internal/jobs"
	"nemotron-mcp/internal/redact"
)

// inBubble runs f on a rig with a clock of its own.
func inBubble(t *testing.T, o rigOptions, f func(t *testing.T, r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, newRig(t, o)) })
}

func TestGenerate(t *testing.T) {
	t.Parallel()
	script := falsim.Script{QueueDelay: 2 * time.Second, RunTime: 3 * time.Second, Output: "An answer.", Usage: &falsim.Usage{InputTokens: 120, OutputTokens: 30}}
	inBubble(t, rigOptions{script: script}, func(t *testing.T, r *rig) {
		began := time.Now()
		a := r.call("nemotron_generate", `{"prompt":"Hi"}`)
		took := time.Since(began)
		job := a.job(t)
		if job.Status != "COMPLETED" || job.Output != "An answer." || job.FinishReason != "stop" || job.Note != "" || job.Error != nil || job.Reasoning != "" {
			t.Errorf("job %s", a.raw)
		}
		if job.QueueSeconds != 2 || job.InferenceSeconds != 3 || took != 5*time.Second {
			t.Errorf("%v s queued, %v s running, %v in all", job.QueueSeconds, job.InferenceSeconds, took)
		}
		if *job.Usage != (Usage{120, 30}) || math.Abs(*job.CostUSD-0.0015) > 1e-9 {
			t.Errorf("usage %+v, cost %v", job.Usage, *job.CostUSD)
		}
		want := "An answer.\n\n[COMPLETED; request_id " + job.RequestID + "; 120 input tokens, 30 output tokens; about $0.001500]"
		if a.text != want {
			t.Errorf("text %q, not %q", a.text, want)
		}
		if st := r.sim.Stats(); st.Billed != 1 || st.Requests.Submit != 1 {
			t.Errorf("paid %d times, submitted %d times", st.Billed, st.Requests.Submit)
		}
	})
}

func TestInputSent(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, args, input, query string }{
		{"nothing but the prompt", `{"prompt":"Hi"}`, `{"prompt":"Hi"}`, ""},
		{
			"all of it",
			`{"prompt":"Hi <b>","system_prompt":"Be brief","reasoning_mode":"no_think","max_tokens":"42","temperature":0,"top_p":"0.5","include_reasoning":false,"wait_seconds":60,"webhook_url":"https://example.com/hook?a=1"}`,
			`{"prompt":"Hi <b>","system_prompt":"Be brief","reasoning_mode":"no_think","max_tokens":42,"temperature":0,"top_p":0.5}`,
			"fal_webhook=https%3A%2F%2Fexample.com%2Fhook%3Fa%3D1",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, rigOptions{}, func(t *testing.T, r *rig) {
				r.call("nemotron_generate", tt.args).job(t)
				sent := r.sim.Jobs()[0]
				if string(sent.Input) != tt.input+"\n" && string(sent.Input) != tt.input {
					t.Errorf("sent %s, not %s", sent.Input, tt.input)
				}
				if sent.Query != tt.query || sent.Endpoint != "nvidia/nemotron-3-nano-omni" {
					t.Errorf("sent to %s with %s", sent.Endpoint, sent.Query)
				}
			})
		})
	}
}

func TestHandBack(t *testing.T) {
	t.Parallel()
	script := falsim.Script{QueueDelay: 50 * time.Second, RunTime: 20 * time.Second, QueuePositions: []int{4}, Output: "Late."}
	tests := []struct {
		name, args string
		after      time.Duration
		status     string
	}{
		{"wait 0", `{"prompt":"Hi","wait_seconds":0}`, 0, "IN_QUEUE"},
		{"wait 2", `{"prompt":"Hi","wait_seconds":2}`, 2 * time.Second, "IN_QUEUE"},
		{"the default", `{"prompt":"Hi"}`, 45 * time.Second, "IN_QUEUE"},
		{"while it runs", `{"prompt":"Hi","wait_seconds":60}`, 60 * time.Second, "IN_PROGRESS"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, rigOptions{script: script}, func(t *testing.T, r *rig) {
				began := time.Now()
				a := r.call("nemotron_generate", tt.args)
				job := a.job(t)
				if took := time.Since(began); took != tt.after || job.Status != tt.status || job.RequestID == "" {
					t.Errorf("after %v: %s", took, a.raw)
				}
				if inQueue := tt.status == "IN_QUEUE"; inQueue != (job.QueuePosition != nil) {
					t.Errorf("%s with queue_position %v", tt.status, job.QueuePosition)
				}
				wantIn(t, a.text, "Call queue_status with this request_id", "do not submit it again", "[IN_", job.RequestID)
				later := r.call("queue_status", fmt.Sprintf(`{"request_id":%q,"wait_seconds":600}`, job.RequestID)).job(t)
				if later.Status != "COMPLETED" || later.Output != "Late." || time.Since(began) != 70*time.Second {
					t.Errorf("after %v: %+v", time.Since(began), later.Job)
				}
				if r.sim.Bills() != 1 {
					t.Errorf("paid %d times", r.sim.Bills())
				}
			})
		})
	}
}

func TestReasoning(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, mode, include string
		output              string // as fal gives it
		reasoning, answer   string
	}{
		{"split at the tag", "think", "true", "First this,\nthen that.\n</think>\n\nAnswer.", "First this,\nthen that.", "Answer."},
		{"with the opening tag", "think", "true", "<think>Trace.</think>Answer.", "Trace.", "Answer."},
		{"left out", "think", "false", "Trace.</think>Answer.", "", "Answer."},
		{"without the tag it is all answer", "think", "true", "No tag at all.", "", "No tag at all."},
		{"without the tag nothing is left out", "think", "false", "No tag at all.", "", "No tag at all."},
		{"a second tag is the answer's", "think", "true", "T</think>Write </think> so.", "T", "Write </think> so."},
		{"an empty trace", "think", "true", "</think>Answer.", "", "Answer."},
		{"not asked for", "no_think", "true", "a</think>b", "", "a</think>b"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, rigOptions{script: resultOf(t, tt.output)}, func(t *testing.T, r *rig) {
				a := r.call("nemotron_generate", fmt.Sprintf(`{"prompt":"Hi","reasoning_mode":%q,"include_reasoning":%s}`, tt.mode, tt.include))
				job := a.job(t)
				if job.Reasoning != tt.reasoning || job.Output != tt.answer {
					t.Errorf("reasoning %q, answer %q", job.Reasoning, job.Output)
				}
				want := tt.answer + "\n\n["
				if tt.reasoning != "" {
					want = tt.answer + "\n\nReasoning before the answer:\n" + tt.reasoning + "\n\n["
				}
				if !strings.HasPrefix(a.text, want) {
					t.Errorf("text %q", a.text)
				}
			})
		})
	}
}

// resultOf is a fal that answers this output, whatever was asked.
func resultOf(t *testing.T, output string) falsim.Script {
	t.Helper()
	body, err := json.Marshal(map[string]any{"output": output, "finish_reason": "stop", "usage": map[string]int{"input_tokens": 1, "output_tokens": 1}})
	must(t, err)
	return falsim.Script{Faults: []falsim.Fault{{Step: falsim.StepResult, Status: 200, Body: string(body)}}}
}

func TestLongReasoning(t *testing.T) {
	t.Parallel()
	inBubble(t, rigOptions{script: resultOf(t, strings.Repeat("why ", 30_000)+"</think>So.")}, func(t *testing.T, r *rig) {
		job := r.call("nemotron_generate", `{"prompt":"Hi","reasoning_mode":"think"}`).job(t)
		if len(job.Reasoning) != 64<<10 || job.Output != "So." || job.NextOffset != 0 {
			t.Errorf("reasoning of %d bytes, answer %q, next_offset %d", len(job.Reasoning), job.Output, job.NextOffset)
		}
		wantIn(t, job.Note, "The reasoning is cut")
	})
}

func TestCutAnswer(t *testing.T) {
	t.Parallel()
	inBubble(t, rigOptions{script: falsim.Script{Output: "A much longer answer than that."}}, func(t *testing.T, r *rig) {
		job := r.call("nemotron_generate", `{"prompt":"Hi","max_tokens":2}`).job(t)
		if job.Status != "COMPLETED" || job.FinishReason != "length" || job.Output != "A much l" {
			t.Errorf("job %+v", job.Job)
		}
		wantIn(t, job.Note, "cut at max_tokens", "with a larger one")
	})
}

// pages reads a job's output to its end.
func pages(t *testing.T, r *rig, first JobStatus) (whole string, count int) {
	t.Helper()
	whole, count = first.Output, 1
	for next := first.NextOffset; next > 0; count++ {
		page := r.call("queue_status", fmt.Sprintf(`{"request_id":%q,"offset":%d}`, first.RequestID, next)).job(t)
		if len(page.Output) > 64<<10 || page.Output == "" || page.Reasoning != "" || page.NextOffset > 0 && page.NextOffset <= next {
			t.Fatalf("a page of %d bytes at %d, the next at %d", len(page.Output), next, page.NextOffset)
		}
		if more := strings.Contains(page.Note, "There is more"); more != (page.NextOffset > 0) {
			t.Errorf("note %q with next_offset %d", page.Note, page.NextOffset)
		}
		whole, next = whole+page.Output, page.NextOffset
	}
	return whole, count
}

func TestPaging(t *testing.T) {
	t.Parallel()
	// Not beginning with a page's length of the answer: the trace is longer.
	trace := strings.Repeat("hm ", 200)
	tests := []struct {
		name, output string
		mode         string
		want         string
		pages        int
	}{
		{"lines", strings.Repeat("A line of the answer.\n", 9000), "no_think", "", 4},
		{"characters of 3 bytes, no line", strings.Repeat("語", 50_000), "no_think", "", 3},
		{"a page exactly", strings.Repeat("a", 64<<10), "no_think", "", 1},
		{"a page and a byte", strings.Repeat("a", 64<<10+1), "no_think", "", 2},
		{"behind a trace", trace + "</think>" + strings.Repeat("b\n", 50_000), "think", strings.Repeat("b\n", 50_000), 2},
		{"a secret at the end of a page", strings.Repeat("a", 64<<10-9) + keySecret + "tail", "no_think", strings.Repeat("a", 64<<10-9) + redact.Mask + "tail", 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, rigOptions{script: resultOf(t, tt.output)}, func(t *testing.T, r *rig) {
				if tt.want == "" {
					tt.want = tt.output
				}
				first := r.call("nemotron_generate", fmt.Sprintf(`{"prompt":"Hi","reasoning_mode":%q}`, tt.mode)).job(t)
				got, n := pages(t, r, first)
				if got != tt.want || n != tt.pages {
					t.Errorf("%d bytes on %d pages, not %d on %d", len(got), n, len(tt.want), tt.pages)
				}
				beyond := r.call("queue_status", fmt.Sprintf(`{"request_id":%q,"offset":%d}`, first.RequestID, len(tt.want))).job(t)
				if beyond.Output != "" || beyond.NextOffset != 0 || tt.want != "" && !strings.Contains(beyond.Note, fmt.Sprintf("has %d bytes", len(tt.want))) {
					t.Errorf("beyond the end: %+v", beyond.Job)
				}
				if r.sim.Bills() != 1 {
					t.Errorf("paid %d times", r.sim.Bills())
				}
			})
		})
	}
}

func TestHostCancels(t *testing.T) {
	t.Parallel()
	inBubble(t, rigOptions{script: falsim.Script{QueueDelay: time.Hour}}, func(t *testing.T, r *rig) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		a := r.callWith(ctx, "nemotron_generate", `{"prompt":"Hi"}`)
		if a.code() != string(jobs.JobCancelled) {
			t.Errorf("told as %s", a.text)
		}
		wantIn(t, a.text, "not billed", "request_id: ")
		if job := r.sim.Jobs()[0]; !job.Cancelled || job.Billed {
			t.Errorf("at fal: %+v", job)
		}
	})
}

// TestLostAnswer holds that the same call again gets an answer that never
// reached the host, and a third one an answer of its own.
func TestLostAnswer(t *testing.T) {
	t.Parallel()
	inBubble(t, rigOptions{script: falsim.Script{RunTime: time.Second}}, func(t *testing.T, r *rig) {
		d := new(Delivery)
		lost := r.callWith(WithDelivery(t.Context(), d), "nemotron_generate", `{"prompt":"Hi"}`).job(t)
		d.Dropped()
		again := r.call("nemotron_generate", `{"prompt":"Hi","wait_seconds":9}`).job(t)
		third := r.call("nemotron_generate", `{"prompt":"Hi"}`).job(t)
		if again.RequestID != lost.RequestID || third.RequestID == lost.RequestID || r.sim.Bills() != 2 {
			t.Errorf("jobs %s, %s, %s; paid %d times", lost.RequestID, again.RequestID, third.RequestID, r.sim.Bills())
		}
	})
}

// TestEnded holds what is told of a call that ended before its job: above all
// whether something may be billed.
func TestEnded(t *testing.T) {
	t.Parallel()
	cause := errors.New("the server is shutting down")
	unknown := &jobs.Error{Code: jobs.SubmitUnknown, Message: "fal may be running it."}
	early := &jobs.Error{Code: jobs.UpstreamUnavailable, Message: "No answer."}
	tests := []struct {
		name string
		job  jobs.Job
		err  error
		code jobs.Code
		in   []string
		out  []string
	}{
		{"never begun", jobs.Job{}, cause, jobs.JobCancelled, []string{"nothing is billed"}, nil},
		{"the submission is on its way", jobs.Job{ID: "1", Status: jobs.Submitting}, cause, jobs.JobCancelled, []string{"asked to cancel", "dashboard/requests"}, []string{"nothing is billed"}},
		{"the submission's answer was lost", jobs.Job{ID: "1", Status: jobs.Unknown, Failure: unknown}, cause, jobs.SubmitUnknown, []string{"may be running"}, []string{"nothing is billed"}},
		{"running", jobs.Job{ID: "1", RequestID: "r", Status: jobs.InProgress}, cause, jobs.JobCancelled, []string{"was asked to cancel", "queue_status"}, []string{"nothing is billed"}},
		{"fal is out of reach", jobs.Job{ID: "1", RequestID: "r", Status: jobs.InProgress}, early, jobs.UpstreamUnavailable, []string{"No answer."}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var got *jobs.Error
			if !errors.As(ended(tt.job, tt.err), &got) {
				t.Fatal("not in words for the model")
			}
			if got.Code != tt.code || got.Code == jobs.JobCancelled && got.RequestID != tt.job.RequestID {
				t.Errorf("told as %+v", got)
			}
			wantIn(t, got.Message+" "+got.Action, tt.in...)
			wantNotIn(t, got.Message+" "+got.Action, tt.out...)
		})
	}
}

func TestWebhook(t *testing.T) {
	t.Parallel()
	inBubble(t, rigOptions{}, func(t *testing.T, r *rig) {
		for _, url := range []string{
			"http://example.com", "ftp://example.com", "example.com", "https://", "https:///path",
			"https://user:pass@example.com", "https://user@example.com", "https://exa mple.com", "https://[::1", " https://example.com",
		} {
			args, err := json.Marshal(map[string]string{"prompt": "Hi", "webhook_url": url})
			must(t, err)
			a := r.call("nemotron_generate", string(args))
			if a.code() != string(jobs.InvalidInput) || !strings.Contains(a.text, "webhook_url: ") {
				t.Errorf("%s: %s %s", url, a.text, a.raw)
			}
		}
		both := r.call("nemotron_generate", `{"webhook_url":"http://example.com"}`)
		wantIn(t, both.text, "prompt: required, but missing", "webhook_url: ")
		if diff := cmp.Diff(falsim.Requests{}, r.sim.Stats().Requests); diff != "" {
			t.Errorf("fal was asked: %s", diff)
		}
	})
}
