package jobs

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nemotron-mcp/falclient"
	"nemotron-mcp/internal/falsim"
)

// aboutImage is a call about an image that is at that URL.
func aboutImage(url, sum string, wait time.Duration) Request {
	return Request{
		Caller: me, Endpoint: falclient.NemotronVision, Wait: wait,
		Input:       falclient.NemotronInput{Prompt: "What is it?", ImageURL: url},
		Attachments: []Attachment{{Field: "image_url", Path: "a.png", ContentType: "image/png", Size: 7, SHA256: sum}},
	}
}

func TestTheSameMedium(t *testing.T) {
	t.Parallel()
	first := aboutImage("https://v3.fal.media/1.png", "aa", 0)
	hashes := func(req Request) (sent, same string) {
		t.Helper()
		sent, same, err := new(Manager).identify(&req)
		if err != nil {
			t.Fatal(err)
		}
		return sent, same
	}
	sent, same := hashes(first)
	for _, tc := range []struct {
		name               string
		req                Request
		sameSent, sameCall bool
	}{
		{"itself", aboutImage("https://v3.fal.media/1.png", "aa", time.Hour), true, true},
		{"uploaded to another place", aboutImage("https://v3.fal.media/2.png", "aa", 0), false, true},
		{"other bytes", aboutImage("https://v3.fal.media/2.png", "bb", 0), false, false},
		{"no hash", aboutImage("https://v3.fal.media/1.png", "", 0), true, false},
		{"a webhook", func() Request { r := first; r.WebhookURL = "https://example.com"; return r }(), true, false},
		{"another field", func() Request {
			r := aboutImage("", "aa", 0)
			r.Input.VideoURL, r.Endpoint, r.Attachments[0].Field = "https://v3.fal.media/1.png", falclient.NemotronVideo, "video_url"
			return r
		}(), false, false},
		{"another prompt", func() Request { r := first; r.Input.Prompt = "Why?"; return r }(), false, false},
	} {
		gotSent, gotSame := hashes(tc.req)
		if (gotSent == sent) != tc.sameSent || (gotSame == same) != tc.sameCall {
			t.Errorf("%s: what is sent is the same: %t, the call is the same: %t; want %t, %t",
				tc.name, gotSent == sent, gotSame == same, tc.sameSent, tc.sameCall)
		}
	}
}

// TestAttachToAMedium: the answer to a question about an image that never reached
// the host is that of the same question, wherever the image has been put since.
func TestAttachToAMedium(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newHouse(t, falsim.Script{RunTime: time.Second})
		m := f.join()
		first := m.generate(aboutImage("https://v3.fal.media/1.png", "aa", 0))
		m.m.Settle(first, NotTold)
		again := m.generate(aboutImage("https://v3.fal.media/2.png", "aa", time.Minute))
		m.m.Settle(again, ToldAll)
		if again.ID != first.ID || again.Status != Completed {
			t.Errorf("another job: %v after %v", again, first)
		}
		other := m.generate(aboutImage("https://v3.fal.media/3.png", "bb", time.Minute))
		m.m.Settle(other, ToldAll)
		if other.ID == first.ID {
			t.Error("another image gets the first one's answer")
		}
		m.count(2, 2)
		want := []Attachment{{Field: "image_url", Path: "a.png", ContentType: "image/png", Size: 7, SHA256: "aa"}}
		row, err := f.ledger.Find(t.Context(), first.ID)
		if diff := cmp.Diff(want, row.Attachments); err != nil || diff != "" {
			t.Errorf("the ledger keeps: %v %s", err, diff)
		}
	})
}

// TestFilesStayOutOfTheLedger: fal's words may repeat what was sent, which is the
// prompt with files before it.
func TestFilesStayOutOfTheLedger(t *testing.T) {
	t.Parallel()
	const content = "the secret plan of the file, line by line"
	framed := "1 file(s) stand before the request, with a mark, each between two lines. Then: " + content + ". What is planned?"
	for name, echoed := range map[string]string{"all of it": framed, "its beginning": framed[:130]} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				f := newHouse(t, falsim.Script{Faults: []falsim.Fault{{
					Step: falsim.StepJob, Kind: falsim.Fail, Status: 422,
					Body: `{"detail":[{"loc":["body","prompt"],"msg":"may not be ` + echoed + `","type":"value_error"}]}`,
				}}})
				m := f.join()
				req := prompt(framed, time.Minute)
				req.Prompt = "What is planned?"
				req.Attachments = []Attachment{{Field: "files", Path: "plan.txt", Size: 40, SHA256: "aa"}}
				job := m.generate(req)
				m.m.Settle(job, ToldAll)
				if job.Failure == nil || strings.Contains(job.Failure.Message, content) || !strings.Contains(job.Failure.Message, "may not be [the prompt]") {
					t.Errorf("failure: %v", job.Failure)
				}
				if row := f.row(); row.Preview != "What is planned?" || row.InputSize != len(framed) || row.SentPreview != framed[:previewLength] {
					t.Errorf("row: preview %q, sent %q, %d bytes", row.Preview, row.SentPreview, row.InputSize)
				}
				m.leave()
				if found := f.search(content); found != nil {
					t.Errorf("the file's content is in %v", found)
				}
			})
		})
	}
}

// TestCheck asks what would refuse a call before anything is uploaded for it.
func TestCheck(t *testing.T) {
	t.Parallel()
	media := DefaultPrices().WorstCase(falclient.NemotronVision, falclient.NemotronInput{Prompt: "What is it?"})
	for _, tc := range []struct {
		name      string
		call, day float64
		want      Code
	}{
		{"no caps", 0, 0, ""},
		{"within the caps", media, 3 * media, ""},
		{"over the call's cap", media * 0.99, 0, BudgetExceeded},
		{"over the day's cap", 0, media * 1.5, BudgetExceeded},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				f := newHouse(t, falsim.Script{RunTime: time.Hour})
				other := f.join() // what it spends counts too
				first := other.generate(aboutImage("https://v3.fal.media/0.png", "00", 0))
				other.m.Settle(first, ToldAll)
				m := f.join(capped(tc.call, tc.day))
				before := m.asked.Load()
				code := Code("")
				if told := new(Error); errors.As(m.m.Check(t.Context(), aboutImage("", "aa", 0)), &told) {
					code = told.Code
				}
				if code != tc.want {
					t.Errorf("%q, want %q", code, tc.want)
				}
				if len(f.rows()) != 1 || m.asked.Load() != before {
					t.Error("the question has reserved or asked something")
				}
				other.m.Settle(other.status(first.RequestID, 2*time.Hour), ToldAll)
			})
		})
	}
}

// TestCheckOfACallThatAttaches: a job that is there already costs no more, so no
// cap refuses the call that would get it.
func TestCheckOfACallThatAttaches(t *testing.T) {
	bubble(t, func(t *testing.T) {
		media := DefaultPrices().WorstCase(falclient.NemotronVision, falclient.NemotronInput{Prompt: "What is it?"})
		f := newHouse(t, falsim.Script{RunTime: time.Second})
		m := f.join(capped(0, media*1.5))
		first := m.generate(aboutImage("https://v3.fal.media/1.png", "aa", 0))
		m.m.Settle(first, NotTold)
		if err := m.m.Check(t.Context(), aboutImage("", "aa", 0)); err != nil {
			t.Errorf("the same image: %v", err)
		}
		if err := m.m.Check(t.Context(), aboutImage("", "bb", 0)); err == nil {
			t.Error("another image is within a cap that is used up")
		}
		again := m.generate(aboutImage("https://v3.fal.media/2.png", "aa", time.Minute))
		m.m.Settle(again, ToldAll)
		m.count(1, 1)
	})
}

func TestCheckWithoutAKeyOrALedger(t *testing.T) {
	bubble(t, func(t *testing.T) {
		code := func(r *rig) Code {
			told := new(Error)
			errors.As(r.m.Check(t.Context(), aboutImage("", "aa", 0)), &told)
			return told.Code
		}
		if got := code(newRig(t, falsim.Script{}, setup{noKey: true})); got != AuthFailed {
			t.Errorf("without a key: %q", got)
		}
		r := newRig(t, falsim.Script{}, setup{})
		if got := code(r); got != "" {
			t.Errorf("with both: %q", got)
		}
		if _, err := r.closing(time.Second); err != nil {
			t.Fatal(err)
		}
		if got := code(r); got != UpstreamUnavailable {
			t.Errorf("after Close: %q", got)
		}
	})
}
