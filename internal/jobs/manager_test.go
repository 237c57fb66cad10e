package jobs

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nemotron-mcp/falclient"
	"nemotron-mcp/internal/falsim"
)

func TestNothingIsSubmittedWithoutARow(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		fault func(*faultyLedger) *error
	}{
		{"the row can't be written", func(f *faultyLedger) *error { return &f.insert }},
		// An earlier job of the same call might be there and paid for.
		{"the rows can't be read", func(f *faultyLedger) *error { return &f.find }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, falsim.Script{}, setup{})
				r.ledger.set(tc.fault(r.ledger), errDisk)
				job, err := r.m.Generate(t.Context(), prompt("p", time.Minute), nil)
				if code(err) != Internal || job.ID != "" {
					t.Errorf("Generate = %+v, %v; want INTERNAL and no job", job, err)
				}
				if !strings.Contains(err.Error(), "nothing was submitted") {
					t.Errorf("%q does not say that nothing was submitted", err)
				}
				if n := r.sim.Stats().Requests.Submit; n != 0 {
					t.Errorf("%d submissions", n)
				}
			})
		})
	}
}

func TestRowIsWrittenBeforeTheSubmission(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var r *rig
		var atPost []Job
		r = newRig(t, falsim.Script{}, setup{onRequest: func(req *http.Request) {
			if req.Method == http.MethodPost {
				atPost = r.rows()
			}
		}})
		job := r.generate(prompt("p", time.Minute))
		if len(atPost) != 1 || atPost[0].Status != Submitting || atPost[0].ID != job.ID || atPost[0].RequestID != "" {
			t.Errorf("rows when the POST arrived: %+v", atPost)
		}
	})
}

func TestLedgerThatFailsLaterLosesNoAnswer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, falsim.Script{RunTime: 5 * time.Second, Output: "the answer"}, setup{manyCallers: true})
		r.ledger.set(&r.ledger.update, errDisk)
		waited := r.start(prompt("waits", time.Minute))
		handed := r.handBack("handed back")
		job, err := waited.wait()
		if err != nil || job.Status != Completed || job.Output != "the answer" {
			t.Errorf("the waiter got %s %q, %v", job.Status, job.Output, err)
		}
		// Its request_id never reached the ledger.
		job, err = r.m.Status(t.Context(), "other", handed.RequestID, 0, nil)
		if code(err) != JobNotFound {
			t.Errorf("another caller got %+v, %v", job, err)
		}
		if !strings.Contains(r.log.String(), "ledger could not be written") {
			t.Error("the fault is not in the log")
		}
		r.count(2, 2)
	})
}

// fal's answer could not be written down, and what came after it could.
func TestRequestIDOutlivesALedgerThatFails(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, falsim.Script{QueueDelay: time.Second, RunTime: time.Second, Output: "the answer"}, setup{})
		r.ledger.set(&r.ledger.update, errDisk)
		call := r.start(prompt("p", time.Minute))
		synctest.Wait()
		r.ledger.set(&r.ledger.update, nil)
		job, err := call.wait()
		if err != nil || job.Output != "the answer" {
			t.Fatalf("%+v, %v", job, err)
		}
		r.m.Settle(job, ToldAll)
		row := r.rows()[0]
		if row.Status != Completed || row.RequestID != r.sim.Jobs()[0].RequestID || row.Submitted.IsZero() {
			t.Errorf("the row: %+v", row)
		}
	})
}

func TestHandedBackJobIsFoundThoughItsRowIsStale(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, falsim.Script{RunTime: 5 * time.Second, Output: "the answer"}, setup{manyCallers: true})
		r.ledger.set(&r.ledger.update, errDisk)
		handed := r.handBack("p")
		if job := r.status(handed.RequestID, time.Minute); job.Output != "the answer" {
			t.Errorf("job is %s %q", job.Status, job.Output)
		}
		r.count(1, 1)
	})
}

func TestNoKey(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, falsim.Script{}, setup{noKey: true})
		_, err := r.m.Generate(t.Context(), prompt("p", time.Minute), nil)
		if code(err) != AuthFailed || !strings.Contains(err.(*Error).Action, "FAL_KEY") {
			t.Errorf("Generate: %v", err)
		}
		if _, err := r.m.Status(t.Context(), me, "some-id", 0, nil); code(err) != AuthFailed {
			t.Errorf("Status: %v", err)
		}
		if len(r.rows()) != 0 || r.sim.Stats().Requests != (falsim.Requests{}) {
			t.Error("something was written down or sent")
		}
	})
}

func TestEndedContextStartsNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, falsim.Script{}, setup{})
		gone := errors.New("host gone")
		ctx, stop := context.WithCancelCause(t.Context())
		stop(gone)
		if _, err := r.m.Generate(ctx, prompt("p", time.Minute), nil); !errors.Is(err, gone) {
			t.Errorf("Generate: %v", err)
		}
		if len(r.rows()) != 0 {
			t.Error("a row was written")
		}
	})
}

func TestUnknownEndpoint(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, falsim.Script{}, setup{})
		req := prompt("p", time.Minute)
		req.Endpoint = "../evil"
		if _, err := r.m.Generate(t.Context(), req, nil); code(err) != Internal {
			t.Errorf("Generate: %v", err)
		}
		if len(r.rows()) != 0 {
			t.Error("a row was written")
		}
	})
}

func TestOperatorsSwitchesAreSent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		off := false
		r := newRig(t, falsim.Script{}, setup{submit: falclient.SubmitOptions{Priority: "low"}})
		r.m.opts.SafetyChecker = &off
		req := prompt("p", time.Minute)
		req.WebhookURL = "https://example.com/hook"
		r.generate(req)
		sent := r.sim.Jobs()[0]
		if got := string(sent.Input); !strings.Contains(got, `"enable_safety_checker":false`) {
			t.Errorf("input %s", got)
		}
		if sent.Headers["X-Fal-Queue-Priority"] != "low" || !strings.Contains(sent.Query, "fal_webhook=https%3A%2F%2Fexample.com%2Fhook") {
			t.Errorf("headers %v, query %q", sent.Headers, sent.Query)
		}
	})
}

func TestPreview(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, prompt, want string }{
		{"short", "short", "short"},
		{"exactly 80", strings.Repeat("é", 80), strings.Repeat("é", 80)},
		{"longer", strings.Repeat("é", 81), strings.Repeat("é", 80)},
		{"not UTF-8", "a\xffb", "a\uFFFDb"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if got := new(Manager).preview(tc.prompt); got != tc.want {
				t.Errorf("preview(%q) = %q", tc.prompt, got)
			}
		})
	}
}

// TestPreviewIsMaskedBeforeItIsCut: half a secret would not be recognised.
func TestPreviewIsMaskedBeforeItIsCut(t *testing.T) {
	t.Parallel()
	secret := strings.Repeat("s3cret", 5)
	m := &Manager{opts: Options{Mask: func(s string) string { return strings.ReplaceAll(s, secret, "[redacted]") }}}
	if got := m.preview(strings.Repeat("x", 70) + secret); got != strings.Repeat("x", 70)+"[redacted]" {
		t.Errorf("%q", got)
	}
}
