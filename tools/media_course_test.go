package tools

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"nemotron-mcp/internal/falsim"
	"nemotron-mcp/internal/jobs"
)

// lost runs nemotron_generate with an answer that does not reach the host.
func (r *rig) lost(args string) JobStatus {
	r.t.Helper()
	d := new(Delivery)
	job := r.callWith(WithDelivery(r.t.Context(), d), "nemotron_generate", args).job(r.t)
	d.Dropped()
	return job
}

// TestCapBeforeUpload holds that nothing is sent for a call that the caps
// forbid: a medium counts as the whole context, about $1.57.
func TestCapBeforeUpload(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		o    rigOptions
		code jobs.Code // empty: allowed
		in   []string
	}{
		{"for one call", rigOptions{perCall: 1}, jobs.BudgetExceeded, []string{"the cap for one call is $1.000000"}},
		{"for the day", rigOptions{perDay: 1}, jobs.BudgetExceeded, []string{"the day's cap of $1.000000"}},
		{"high enough", rigOptions{perCall: 1.58, perDay: 1.58}, "", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, tt.o, func(t *testing.T, r *rig) {
				picture := pngOf(t, 150, 150, "a")
				r.write("it.png", picture)
				for _, medium := range []string{"it.png", dataURI("image/png", picture), "https://example.com/x.png"} {
					a := r.call("nemotron_generate", args(t, "prompt", "Hi", "image_url", medium))
					if tt.code == "" {
						a.job(t)
						continue
					}
					if a.code() != string(tt.code) {
						t.Errorf("%.30s: told as %s", medium, a.text)
					}
					wantIn(t, a.text, append(tt.in, "Nothing was submitted.")...)
					r.wantNothing()
				}
			})
		})
	}
}

// TestCapAndAttach holds that an answer which was paid for and never delivered
// is given also where the day's cap is reached, without another upload.
func TestCapAndAttach(t *testing.T) {
	t.Parallel()
	o := rigOptions{perDay: 2, script: falsim.Script{Usage: &falsim.Usage{InputTokens: 100_000, OutputTokens: 10}, Output: "A chart."}}
	inBubble(t, o, func(t *testing.T, r *rig) {
		r.write("it.png", pngOf(t, 9, 9, "one"))
		r.write("other.png", pngOf(t, 9, 9, "two"))
		lost := r.lost(`{"prompt":"Hi","image_url":"it.png"}`)
		if a := r.call("nemotron_generate", `{"prompt":"Hi","image_url":"other.png"}`); a.code() != string(jobs.BudgetExceeded) {
			t.Errorf("another picture: %s", a.text)
		}
		again := r.call("nemotron_generate", `{"prompt":"Hi","image_url":"it.png"}`).job(t)
		if again.RequestID != lost.RequestID || again.Output != "A chart." {
			t.Errorf("not the lost answer: %+v", again.Job)
		}
		if a := r.call("nemotron_generate", `{"prompt":"Hi","image_url":"it.png"}`); a.code() != string(jobs.BudgetExceeded) {
			t.Errorf("once it is delivered: %s", a.text)
		}
		if st := r.sim.Stats(); st.Billed != 1 || st.Requests.Initiate != 1 || st.Requests.Submit != 1 {
			t.Errorf("paid %d times, %d uploads", st.Billed, st.Requests.Initiate)
		}
	})
}

// TestMediaAttach holds what makes two calls with a medium the same: its bytes.
func TestMediaAttach(t *testing.T) {
	t.Parallel()
	one, two := pngOf(t, 150, 150, "one"), pngOf(t, 150, 150, "two")
	tests := []struct {
		name    string
		change  func(r *rig) // between the calls
		again   []any
		same    bool
		uploads int
	}{
		{"the same file", nil, []any{"image_url", "it.png"}, true, 1},
		{"by its whole path", nil, []any{"image_url", "/it.png"}, true, 1},
		{"the same bytes under another name", func(r *rig) { r.write("b.png", one) }, []any{"image_url", "b.png"}, true, 1},
		{"the same bytes as a data URI", nil, []any{"image_url", dataURI("image/png", one)}, true, 1},
		{"changed bytes", func(r *rig) { r.write("it.png", two) }, []any{"image_url", "it.png"}, false, 2},
		{"another prompt", nil, []any{"image_url", "it.png", "prompt", "Ho"}, false, 1},
		{"files with it", func(r *rig) { r.write("a.txt", []byte("a")) }, []any{"image_url", "it.png", "files", []string{"a.txt"}}, false, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, rigOptions{}, func(t *testing.T, r *rig) {
				r.write("it.png", one)
				lost := r.lost(`{"prompt":"Hi","image_url":"it.png"}`)
				if tt.change != nil {
					tt.change(r)
				}
				for i := range tt.again {
					if tt.again[i] == "/it.png" {
						tt.again[i] = r.project + "/it.png"
					}
				}
				job := r.call("nemotron_generate", args(t, append([]any{"prompt", "Hi"}, tt.again...)...)).job(t)
				bills := 2
				if tt.same {
					bills = 1
				}
				st := r.sim.Stats()
				if (job.RequestID == lost.RequestID) != tt.same || st.Billed != bills || st.Uploads != tt.uploads || st.Requests.Initiate != tt.uploads {
					t.Errorf("jobs %s, %s; paid %d times, %d uploads", lost.RequestID, job.RequestID, st.Billed, st.Uploads)
				}
			})
		})
	}
}

// TestFilesAttach holds the same of files.
func TestFilesAttach(t *testing.T) {
	t.Parallel()
	inBubble(t, rigOptions{}, func(t *testing.T, r *rig) {
		r.write("a.txt", []byte("first"))
		lost := r.lost(`{"prompt":"Hi","files":["a.txt"]}`)
		if same := r.lost(`{"prompt":"Hi","files":["*.txt"]}`); same.RequestID != lost.RequestID || r.sim.Bills() != 1 {
			t.Errorf("jobs %s, %s; paid %d times", lost.RequestID, same.RequestID, r.sim.Bills())
		}
		r.write("a.txt", []byte("changed"))
		if other := r.lost(`{"prompt":"Hi","files":["a.txt"]}`); other.RequestID == lost.RequestID {
			t.Error("an answer for other bytes is given")
		}
	})
}

// TestUploadLongerThanTheWait holds that a call is answered in time, with what to
// do instead, and that nothing is submitted.
func TestUploadLongerThanTheWait(t *testing.T) {
	t.Parallel()
	for wait, took := range map[int]time.Duration{0: leastPlace, 5: leastPlace, 45: 45 * time.Second, 120: 2 * time.Minute} {
		t.Run(fmt.Sprint(wait), func(t *testing.T) {
			t.Parallel()
			script := falsim.Script{Faults: []falsim.Fault{{Step: falsim.StepPut, Kind: falsim.Hang}}}
			inBubble(t, rigOptions{script: script}, func(t *testing.T, r *rig) {
				r.write("it.png", pngOf(t, 9, 9, ""))
				began := time.Now()
				a := r.call("nemotron_generate", args(t, "prompt", "Hi", "image_url", "it.png", "wait_seconds", wait))
				if got := time.Since(began); got != took || a.code() != string(jobs.UpstreamUnavailable) || a.meta["retryable"] != true {
					t.Errorf("after %v: %s", got, a.text)
				}
				wantIn(t, a.text, "image_url: ", "upload_file")
				if st := r.sim.Stats(); st.Requests.Submit != 0 || st.Uploads != 0 {
					t.Errorf("%+v", st)
				}
			})
		})
	}
}

// TestUploadCountsAsWait holds that a call with a slow upload ends when its host
// expects it to.
func TestUploadCountsAsWait(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name         string
		upload, took time.Duration
		wait         int
	}{
		{"within the wait", 40 * time.Second, 45 * time.Second, 45},
		{"no wait", 10 * time.Second, 10 * time.Second, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			script := falsim.Script{QueueDelay: time.Hour, Faults: []falsim.Fault{{Step: falsim.StepPut, Delay: tt.upload}}}
			inBubble(t, rigOptions{script: script}, func(t *testing.T, r *rig) {
				// Large enough for fal to be given that long.
				r.write("it.png", pngOf(t, 800, 800, "large"))
				began := time.Now()
				job := r.call("nemotron_generate", args(t, "prompt", "Hi", "image_url", "it.png", "wait_seconds", tt.wait)).job(t)
				if took := time.Since(began); took != tt.took || job.Status != "IN_QUEUE" || job.RequestID == "" {
					t.Errorf("after %v: %+v", took, job.Job)
				}
				if n := r.sim.Stats().Requests.Submit; n != 1 {
					t.Errorf("submitted %d times", n)
				}
			})
		})
	}
}

// TestCancelDuringUpload holds that nothing is submitted for a call that ends
// while its medium is uploaded, and that the next one is as any other. That
// nothing stays behind is checked by the bubble's end.
func TestCancelDuringUpload(t *testing.T) {
	t.Parallel()
	for _, fault := range []falsim.Fault{
		{Step: falsim.StepInitiate, Kind: falsim.Hang, Times: 1},
		{Step: falsim.StepPut, Kind: falsim.Hang, Times: 1},
		{Step: falsim.StepPut, Delay: 50 * time.Second, Times: 1},
	} {
		t.Run(string(fault.Step)+" "+string(fault.Kind), func(t *testing.T) {
			t.Parallel()
			inBubble(t, rigOptions{script: falsim.Script{Faults: []falsim.Fault{fault}}}, func(t *testing.T, r *rig) {
				r.write("it.png", pngOf(t, 150, 150, "one"))
				ctx, cancel := context.WithCancelCause(t.Context())
				time.AfterFunc(3*time.Second, func() { cancel(errors.New("the host has cancelled")) })
				began := time.Now()
				a := r.callWith(ctx, "nemotron_generate", `{"prompt":"Hi","image_url":"it.png"}`)
				if took := time.Since(began); took != 3*time.Second || a.code() != string(jobs.JobCancelled) {
					t.Errorf("told after %v as %s", took, a.text)
				}
				wantIn(t, a.text, "before it was submitted; nothing is billed")
				time.Sleep(time.Minute) // whatever is still to come
				if st := r.sim.Stats(); st.Requests.Submit != 0 || st.Billed != 0 || st.Uploads != 0 {
					t.Errorf("submitted %d times, uploaded %d", st.Requests.Submit, st.Uploads)
				}
				if rows := r.rows(); strings.Contains(rows, "it.png") {
					t.Errorf("the ledger has %s", rows)
				}
				if job := r.call("nemotron_generate", `{"prompt":"Hi","image_url":"it.png"}`).job(t); job.Status != "COMPLETED" || r.sim.Bills() != 1 {
					t.Errorf("the next call: %+v", job.Job)
				}
			})
		})
	}
}

// TestUploadFails holds that a call whose medium can't be uploaded is not
// submitted.
func TestUploadFails(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name      string
		fault     falsim.Fault
		code      jobs.Code
		retryable bool
	}{
		{"locked", falsim.Fault{Step: falsim.StepInitiate, Status: 403, Body: `{"detail":"User is locked. Reason: Exhausted balance."}`}, jobs.BalanceExhausted, false},
		{"the storage is down", falsim.Fault{Step: falsim.StepInitiate, Status: 503}, jobs.UpstreamUnavailable, true},
		{"bytes are refused", falsim.Fault{Step: falsim.StepPut, Status: 403}, jobs.UpstreamInvalid, false},
		{"a page", falsim.Fault{Step: falsim.StepInitiate, Status: 200, Body: "<html>"}, jobs.UpstreamInvalid, true},
		{"a foreign place", falsim.Fault{Step: falsim.StepInitiate, Status: 200, Body: `{"upload_url":"https://evil.example/u","file_url":"https://evil.example/f"}`}, jobs.UpstreamInvalid, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, rigOptions{script: falsim.Script{Faults: []falsim.Fault{tt.fault}}}, func(t *testing.T, r *rig) {
				r.write("it.png", pngOf(t, 9, 9, ""))
				a := r.call("nemotron_generate", `{"prompt":"Hi","image_url":"it.png"}`)
				if a.code() != string(tt.code) || a.meta["retryable"] != tt.retryable {
					t.Errorf("told as %v: %s", a.meta, a.text)
				}
				wantIn(t, a.text, "image_url: ")
				if st := r.sim.Stats(); st.Requests.Submit != 0 || r.list(`{}`).SpentTodayUSD != 0 {
					t.Errorf("submitted %d times", st.Requests.Submit)
				}
			})
		})
	}
}
