package tools

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"nemotron-mcp/falclient"
	"nemotron-mcp/internal/falsim"
	"nemotron-mcp/internal/jobs"
)

func byID(id string) string { return fmt.Sprintf(`{"request_id":%q}`, id) }

// submit hands a job over and returns its request_id.
func (r *rig) submit(prompt string) string {
	r.t.Helper()
	return r.call("nemotron_generate", fmt.Sprintf(`{"prompt":%q,"wait_seconds":0}`, prompt)).job(r.t).RequestID
}

func TestStatus(t *testing.T) {
	t.Parallel()
	script := falsim.Script{
		QueueDelay: 10 * time.Second, RunTime: 10 * time.Second, QueuePositions: []int{2, 1}, Output: "Done.",
		Logs: []falsim.Log{{Message: "loading", At: time.Second}, {Message: "thinking", At: 2 * time.Second}},
	}
	inBubble(t, rigOptions{script: script}, func(t *testing.T, r *rig) {
		id := r.submit("Hi")
		queued := r.call("queue_status", byID(id)).job(t)
		if queued.Status != "IN_QUEUE" || *queued.QueuePosition != 2 || queued.Logs != nil {
			t.Errorf("at once: %+v", queued)
		}
		running := r.call("queue_status", fmt.Sprintf(`{"request_id":%q,"wait_seconds":15,"logs":true}`, id)).job(t)
		if running.Status != "IN_PROGRESS" || running.QueuePosition != nil || running.QueueSeconds != 10 {
			t.Errorf("after 15 s: %+v", running)
		}
		if len(running.Logs) != 2 || !strings.HasSuffix(running.Logs[0], " loading") || !strings.HasSuffix(running.Logs[1], " thinking") {
			t.Errorf("logs %q", running.Logs)
		}
		began := time.Now()
		done := r.call("queue_status", fmt.Sprintf(`{"request_id":%q,"wait_seconds":600}`, id)).job(t)
		if done.Status != "COMPLETED" || done.Output != "Done." || done.InferenceSeconds != 10 || done.Logs != nil || time.Since(began) != 5*time.Second {
			t.Errorf("after %v more: %+v", time.Since(began), done)
		}
		before := r.sim.Stats().Requests
		again := r.call("queue_status", byID(id)).job(t)
		if again.Output != "Done." || r.sim.Stats().Requests != before {
			t.Errorf("read again: %+v, fal was asked: %+v", again, r.sim.Stats().Requests)
		}
	})
}

// TestStatusOfFailed holds that a job that failed is told as a job.
func TestStatusOfFailed(t *testing.T) {
	t.Parallel()
	script := falsim.Script{Faults: []falsim.Fault{{Step: falsim.StepJob, Error: "The runner has left with " + keySecret, ErrorType: "runner_disconnected"}}}
	inBubble(t, rigOptions{script: script}, func(t *testing.T, r *rig) {
		id := r.submit("Hi")
		a := r.call("queue_status", fmt.Sprintf(`{"request_id":%q,"wait_seconds":9}`, id))
		job := a.job(t)
		if job.Status != "FAILED" || job.Error == nil || job.Error.Code != "JOB_FAILED" || job.Usage != nil || job.CostUSD != nil {
			t.Errorf("told as %s", a.raw)
		}
		wantIn(t, a.text, "JOB_FAILED: ", "The runner has left", "nemotron_generate again", "[FAILED; request_id "+id+"]")
	})
}

// TestStatusLeavesTheJob holds that ending a queue_status that waits ends
// nothing else.
func TestStatusLeavesTheJob(t *testing.T) {
	t.Parallel()
	inBubble(t, rigOptions{script: falsim.Script{RunTime: 10 * time.Second}}, func(t *testing.T, r *rig) {
		id := r.submit("Hi")
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		a := r.callWith(ctx, "queue_status", fmt.Sprintf(`{"request_id":%q,"wait_seconds":60}`, id))
		if a.code() != string(jobs.UpstreamUnavailable) || a.meta["retryable"] != true || a.meta["request_id"] != id {
			t.Errorf("told as %s %v", a.text, a.meta)
		}
		wantIn(t, a.text, "the job goes on", "Call queue_status again")
		if job := r.call("queue_status", fmt.Sprintf(`{"request_id":%q,"wait_seconds":60}`, id)).job(t); job.Status != "COMPLETED" {
			t.Errorf("ended %s", job.Status)
		}
		if n := r.sim.Stats().Requests.Cancel; n != 0 {
			t.Errorf("fal was asked to cancel %d times", n)
		}
	})
}

func TestCancel(t *testing.T) {
	t.Parallel()
	unheard := falsim.Fault{Step: falsim.StepCancel, Status: 404, Body: `{"status":"NOT_FOUND"}`}
	tests := []struct {
		name   string
		script falsim.Script
		after  time.Duration // when the cancel comes
		status string
		bills  int
		in     []string
	}{
		{"queued", falsim.Script{QueueDelay: time.Hour}, time.Second, "CANCELLED", 0, []string{"Cancelled while it was queued; not billed."}},
		{"running", falsim.Script{RunTime: time.Hour}, time.Second, "CANCELLED", 1, []string{"Cancelled while it was running", "may be billed"}},
		{"running on", falsim.Script{RunTime: time.Hour, IgnoreCancel: true}, time.Second, "IN_PROGRESS", 1, []string{"requested", "may still complete and be billed", "queue_status"}},
		{"completed", falsim.Script{Output: "Done."}, time.Second, "COMPLETED", 1, []string{"already completed", "Done."}},
		{"completed meanwhile", falsim.Script{RunTime: 2 * time.Second, IgnoreCancel: true, Output: "Done."}, time.Second, "COMPLETED", 1, []string{"already completed", "Done."}},
		{"failed", falsim.Script{Faults: []falsim.Fault{{Step: falsim.StepJob, Error: "Bad.", ErrorType: "runner_disconnected"}}}, time.Second, "FAILED", 1, []string{"JOB_FAILED", "Bad."}},
		{"ended, with its result out of reach", falsim.Script{Faults: []falsim.Fault{{Step: falsim.StepResult, Status: 502}}}, time.Second, "IN_PROGRESS", 1, []string{"has ended", "still being read", "queue_status"}},
		{"unknown to fal", falsim.Script{QueueDelay: time.Hour, Faults: []falsim.Fault{unheard}}, time.Second, "IN_QUEUE", 0, []string{"fal does not know this request"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, rigOptions{script: tt.script}, func(t *testing.T, r *rig) {
				id := r.submit("Hi")
				time.Sleep(tt.after)
				a := r.call("queue_cancel", byID(id))
				job := a.job(t)
				if job.Status != tt.status || job.RequestID != id {
					t.Errorf("told as %s", a.raw)
				}
				wantIn(t, a.text, tt.in...)
				if r.sim.Bills() != tt.bills {
					t.Errorf("paid %d times, not %d", r.sim.Bills(), tt.bills)
				}
				if again := r.call("queue_cancel", byID(id)).job(t); again.Status != tt.status {
					t.Errorf("cancelled again: %+v", again)
				}
			})
		})
	}
}

// TestShownPosition holds that a job which left the queue has no place in it.
func TestShownPosition(t *testing.T) {
	t.Parallel()
	place := 3
	for status, want := range map[jobs.Status]bool{jobs.Submitting: true, jobs.InQueue: true, jobs.InProgress: false, jobs.Cancelled: false} {
		got := newJob(jobs.Job{Status: status, QueuePosition: &place}, 0)
		if shown := got.QueuePosition != nil; shown != want {
			t.Errorf("%s: queue_position %v", status, got.QueuePosition)
		}
	}
}

func TestCancelTwice(t *testing.T) {
	t.Parallel()
	inBubble(t, rigOptions{script: falsim.Script{QueueDelay: time.Hour}}, func(t *testing.T, r *rig) {
		id := r.submit("Hi")
		r.call("queue_cancel", byID(id))
		again := r.call("queue_cancel", byID(id)).job(t)
		if again.Status != "CANCELLED" || again.Note != "It had been cancelled before." || r.sim.Stats().Requests.Cancel != 1 {
			t.Errorf("told as %+v, asked %d times", again.Job, r.sim.Stats().Requests.Cancel)
		}
	})
}

func (r *rig) list(args string) List {
	r.t.Helper()
	a := r.call("queue_list", args)
	var l List
	must(r.t, json.Unmarshal(a.raw, &l))
	for _, j := range l.Jobs {
		wantIn(r.t, a.text, j.CreatedAt, j.Status, j.RequestID)
	}
	return l
}

func prompts(l List) string {
	var all []string
	for _, j := range l.Jobs {
		all = append(all, j.Prompt+" "+j.Status)
	}
	return strings.Join(all, ", ")
}

func TestList(t *testing.T) {
	t.Parallel()
	stuck := falsim.Fault{Step: falsim.StepJob, Kind: falsim.Stuck, PromptContains: "stuck"}
	lost := falsim.Fault{Step: falsim.StepSubmit, Kind: falsim.ResetAfterRead, Accept: true, PromptContains: "lost"}
	script := falsim.Script{Usage: &falsim.Usage{InputTokens: 60, OutputTokens: 40}, Faults: []falsim.Fault{stuck, lost}}
	inBubble(t, rigOptions{script: script}, func(t *testing.T, r *rig) {
		if a := r.call("queue_list", ``); a.text != "No jobs.\nSpent today (UTC): about $0.000000" {
			t.Errorf("empty: %q", a.text)
		}
		r.call("nemotron_generate", `{"prompt":"first"}`)
		time.Sleep(time.Second)
		r.call("nemotron_generate", `{"prompt":"second"}`)
		time.Sleep(time.Second)
		r.submit("stuck")
		time.Sleep(time.Second)
		r.call("nemotron_generate", `{"prompt":"lost"}`)

		tests := []struct{ name, args, want string }{
			{"all", ``, "lost UNKNOWN, stuck IN_QUEUE, second COMPLETED, first COMPLETED"},
			{"said so", `{"state":"all","limit":100}`, "lost UNKNOWN, stuck IN_QUEUE, second COMPLETED, first COMPLETED"},
			{"running", `{"state":"running"}`, "stuck IN_QUEUE"},
			{"finished", `{"state":"finished"}`, "lost UNKNOWN, second COMPLETED, first COMPLETED"},
			{"two", `{"limit":2}`, "lost UNKNOWN, stuck IN_QUEUE"},
		}
		for _, tt := range tests {
			if got := prompts(r.list(tt.args)); got != tt.want {
				t.Errorf("%s: %s, not %s", tt.name, got, tt.want)
			}
		}

		all := r.list(``)
		// The lost and the stuck one count what they may cost.
		spent := 0.002
		for _, prompt := range []string{"lost", "stuck"} {
			spent += jobs.DefaultPrices().WorstCase(falclient.Nemotron, falclient.NemotronInput{Prompt: prompt})
		}
		if all.NextCursor != "" || math.Abs(all.SpentTodayUSD-spent) > 1e-9 {
			t.Errorf("cursor %q, spent %v", all.NextCursor, all.SpentTodayUSD)
		}
		first := all.Jobs[3]
		if first.CreatedAt != "2000-01-01T00:00:00Z" || first.EndedAt == "" || *first.Usage != (Usage{60, 40}) || math.Abs(*first.CostUSD-0.001) > 1e-9 || first.Note != "" {
			t.Errorf("the first: %+v", first)
		}
		if all.Jobs[1].EndedAt != "" || all.Jobs[1].CostUSD != nil {
			t.Errorf("unfinished: %+v", all.Jobs[1])
		}
		wantIn(t, all.Jobs[0].Note, "SUBMIT_UNKNOWN", "dashboard")
		wantIn(t, r.call("queue_list", ``).text, "(no request_id) \"lost\"", "60+40 tokens about $0.001000")
	})
}

func TestListPages(t *testing.T) {
	t.Parallel()
	inBubble(t, rigOptions{}, func(t *testing.T, r *rig) {
		for i := range 25 {
			r.call("nemotron_generate", fmt.Sprintf(`{"prompt":"p%02d"}`, i))
			time.Sleep(time.Millisecond)
		}
		if page := r.list(``); len(page.Jobs) != 20 || page.Jobs[0].Prompt != "p24" {
			t.Errorf("by default %d jobs: %s", len(page.Jobs), prompts(page))
		}
		var got []string
		cursor := ""
		for range 4 {
			page := r.list(fmt.Sprintf(`{"limit":10,"cursor":%q}`, cursor))
			for _, j := range page.Jobs {
				got = append(got, j.Prompt)
			}
			if cursor = page.NextCursor; cursor == "" {
				break
			}
			wantIn(t, r.call("queue_list", `{"limit":10}`).text, "More with cursor ")
		}
		if len(got) != 25 || got[0] != "p24" || got[24] != "p00" || cursor != "" {
			t.Errorf("%v, cursor %q", got, cursor)
		}
	})
}

func TestListRefusesAForeignCursor(t *testing.T) {
	t.Parallel()
	inBubble(t, rigOptions{}, func(t *testing.T, r *rig) {
		for _, cursor := range []string{"zzz", "0", "ffffffff"} {
			wantIn(t, r.call("queue_list", fmt.Sprintf(`{"cursor":%q}`, cursor)).text, "INVALID_INPUT: cursor: ")
		}
	})
}

// TestCallers holds that one caller's jobs are not another's.
func TestCallers(t *testing.T) {
	t.Parallel()
	inBubble(t, rigOptions{}, func(t *testing.T, r *rig) {
		ann, bob := WithCaller(t.Context(), "ann"), WithCaller(t.Context(), "bob")
		id := r.callWith(ann, "nemotron_generate", `{"prompt":"Hi"}`).job(t).RequestID
		wantIn(t, r.callWith(ann, "queue_list", ``).text, id)
		wantNotIn(t, r.callWith(bob, "queue_list", ``).text, id)
		wantNotIn(t, r.call("queue_list", ``).text, id)
	})
}

func TestListedPrompt(t *testing.T) {
	t.Parallel()
	inBubble(t, rigOptions{}, func(t *testing.T, r *rig) {
		r.call("nemotron_generate", fmt.Sprintf(`{"prompt":%q}`, strings.Repeat("é", 81)))
		if got := r.list(``).Jobs[0].Prompt; got != strings.Repeat("é", 80) {
			t.Errorf("%d characters: %s", len([]rune(got)), got)
		}
	})
}

// A paid answer that can't be read as one is not in the error that tells so: it
// is kept for queue_status, also where the ledger drops what was delivered.
func TestUnreadableAnswerIsKept(t *testing.T) {
	t.Parallel()
	for _, metadataOnly := range []bool{false, true} {
		strange := falsim.Fault{Step: falsim.StepResult, Status: 200, Body: `{"strange":"but paid for"}`}
		inBubble(t, rigOptions{script: falsim.Script{Faults: []falsim.Fault{strange}}, metadataOnly: metadataOnly}, func(t *testing.T, r *rig) {
			a := r.call("nemotron_generate", `{"prompt":"Hi"}`)
			if a.code() != string(jobs.UpstreamInvalid) {
				t.Fatalf("told as %s", a.text)
			}
			id, _ := a.meta["request_id"].(string)
			first := r.call("queue_status", byID(id)).job(t)
			if !strings.Contains(first.Output, "but paid for") {
				t.Errorf("metadata only %v: %+v", metadataOnly, first)
			}
			if again := r.call("queue_status", byID(id)).job(t); (again.Output == "") != metadataOnly {
				t.Errorf("metadata only %v, and after it was delivered: %+v", metadataOnly, again)
			}
		})
	}
}
