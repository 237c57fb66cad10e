package jobs

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nemotron-mcp/falclient"
	"nemotron-mcp/internal/falsim"
)

func TestHappyPath(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, falsim.Script{
			QueueDelay: 2 * time.Second, RunTime: 3 * time.Second, QueuePositions: []int{1, 0},
			Output: "the answer", FinishReason: "length", Usage: &falsim.Usage{InputTokens: 900, OutputTokens: 100},
			Logs: []falsim.Log{{Message: "loading", At: time.Second}, {Message: "writing", At: 2 * time.Second}},
		}, setup{})
		began := time.Now()
		var seen []Status
		req := prompt("What is it?", time.Minute)
		req.Input.ReasoningMode = "think"
		job, err := r.m.Generate(t.Context(), req, func(j Job) {
			if len(seen) == 0 || seen[len(seen)-1] != j.Status {
				seen = append(seen, j.Status)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(seen, []Status{Submitting, InQueue, InProgress}) {
			t.Errorf("states seen: %v", seen)
		}
		if job.Status != Completed || !strings.HasSuffix(job.Output, "</think>the answer") || job.FinishReason != "length" || job.Failure != nil {
			t.Errorf("job: %+v", job)
		}
		if job.Usage == nil || *job.Usage != (falclient.Usage{InputTokens: 900, OutputTokens: 100}) || job.CostUSD != 0.01 {
			t.Errorf("usage %+v, cost %v", job.Usage, job.CostUSD)
		}
		if job.QueueTime() != 2*time.Second || job.InferenceTime != 3*time.Second || job.Ended.Sub(job.Created) != 5*time.Second || !job.Created.Equal(began) {
			t.Errorf("queued %v, ran %v, took %v", job.QueueTime(), job.InferenceTime, job.Ended.Sub(job.Created))
		}
		if len(job.Logs) != 2 || job.Logs[0].Message != "loading" || job.Logs[1].Message != "writing" {
			t.Errorf("logs: %+v", job.Logs)
		}
		if job.Preview != "What is it?" || !job.Thinking || job.InputSize == 0 || job.Endpoint != falclient.Nemotron || job.Caller != me {
			t.Errorf("job: %+v", job)
		}
		r.count(1, 1)
	})
}

func TestStatesInTheLedger(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, falsim.Script{QueueDelay: 2 * time.Second, RunTime: 2 * time.Second}, setup{})
		id := r.handBack("p").ID
		for _, want := range []Status{InQueue, InProgress, Completed} {
			if row := r.rows()[0]; row.ID != id || row.Status != want {
				t.Errorf("the row is %s, want %s", row.Status, want)
			}
			time.Sleep(2500 * time.Millisecond)
		}
	})
}

func TestOneAuditLineForEachPaidSubmission(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, falsim.Script{
			RunTime: time.Second, Output: "OUTPUT-TEXT", Usage: &falsim.Usage{InputTokens: 900, OutputTokens: 100},
			Logs: []falsim.Log{{Message: "LOG-TEXT"}},
			Faults: []falsim.Fault{
				{Step: falsim.StepSubmit, Kind: falsim.TruncateBody, Accept: true, PromptContains: "lost"},
				{Step: falsim.StepSubmit, Status: 422, Body: `{"detail":"refused"}`, PromptContains: "refused"},
				{Step: falsim.StepJob, Kind: falsim.Fail, Error: "PROMPT-TEXT", ErrorType: "internal_error", PromptContains: "failing"},
			},
		}, setup{})
		var lost Job
		for _, p := range []string{"good", "handed back", "failing", "lost", "refused"} {
			req := prompt("PROMPT-TEXT "+p, time.Minute)
			req.WebhookURL = "https://example.com/hook?WEBHOOK-TEXT"
			if p == "handed back" {
				req.Wait = 0
			}
			job := r.generate(req)
			r.m.Settle(job, ToldAll)
			if job.Status == Unknown {
				lost = job
			}
		}
		time.Sleep(time.Minute)
		lines := r.lines("submission")
		if len(lines) != 4 {
			t.Errorf("%d audit lines for 4 paid submissions:\n%s", len(lines), r.log)
		}
		if got := lines[0]; got["status"] != "COMPLETED" || got["cost_usd"] != 0.01 || got["input_tokens"] != 900.0 ||
			got["output_tokens"] != 100.0 || got["output_bytes"] != 11.0 || got["caller"] != me || got["total_seconds"] != 1.0 {
			t.Errorf("audit line: %v", got)
		}
		r.status(lost.RequestID, time.Minute)
		synctest.Wait()
		if n, resumed := len(r.lines("submission")), r.lines("resumed"); n != 4 || len(resumed) != 1 || resumed[0]["request_id"] != lost.RequestID {
			t.Errorf("%d lines, and resumed: %v", n, resumed)
		}
		for _, text := range []string{"PROMPT-TEXT", "OUTPUT-TEXT", "LOG-TEXT", "WEBHOOK-TEXT", "k3y"} {
			if strings.Contains(r.log.String(), text) {
				t.Errorf("the log holds %s", text)
			}
		}
	})
}

func TestAuditOfAJobThatIsLetGo(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, falsim.Script{RunTime: time.Hour}, setup{})
		r.handBack("p")
		synctest.Wait()
		if _, err := r.closing(time.Second); err != nil {
			t.Fatal(err)
		}
		if lines := r.lines("submission"); len(lines) != 1 || lines[0]["status"] != "IN_PROGRESS" {
			t.Errorf("audit lines: %v", lines)
		}
	})
}

func TestLogLinesAreBounded(t *testing.T) {
	t.Parallel()
	var logs []falclient.Log
	for i := range 3 * maxLogs {
		logs = appendLogs(logs, []falclient.Log{{Message: strings.Repeat("x", i)}})
	}
	if len(logs) != maxLogs || len(logs[0].Message) != 2*maxLogs || len(logs[maxLogs-1].Message) != 3*maxLogs-1 {
		t.Errorf("%d lines, of %d to %d bytes", len(logs), len(logs[0].Message), len(logs[len(logs)-1].Message))
	}
}
