package tools

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"nemotron-mcp/internal/falsim"
	"nemotron-mcp/internal/files"
	"nemotron-mcp/internal/jobs"
)

func sumOf(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// args writes a call's arguments.
func args(t *testing.T, pairs ...any) string {
	t.Helper()
	m := map[string]any{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i].(string)] = pairs[i+1]
	}
	b, err := json.Marshal(m)
	must(t, err)
	return string(b)
}

// sentPrompt is the prompt that fal got with its nth job.
func (r *rig) sentPrompt(n int) string {
	r.t.Helper()
	var in struct {
		Prompt string `json:"prompt"`
	}
	must(r.t, json.Unmarshal(r.sim.Jobs()[n].Input, &in))
	return in.Prompt
}

func TestFilesSent(t *testing.T) {
	t.Parallel()
	inBubble(t, rigOptions{}, func(t *testing.T, r *rig) {
		const words = "Review these files, which are all there is."
		texts := []files.Text{
			{Path: "docs/notes.md", Content: "the notes' text\n"},
			{Path: "src/a.go", Content: "package a // sentinel one"},
			{Path: "src/deep/b.go", Content: "package b // sentinel two\n"},
		}
		total := 0
		for _, text := range texts {
			r.write(text.Path, []byte(text.Content))
			total += len(text.Content)
		}
		for name, content := range map[string]string{
			".gitignore": "out/\n*.gen.go\n", "src/out/c.go": "package c", "src/d.gen.go": "package d", "src/.hidden.go": "package e",
			"src/credentials.go": "package f", "src/readme.txt": "not Go",
		} {
			r.write(name, []byte(content))
		}
		orders := [][]string{{"src/**/*.go", "docs/notes.md"}, {"docs/notes.md", "src/a.go", "src/deep/*.go", "src/a.go"}}
		var last answer
		for i, patterns := range orders {
			last = r.call("nemotron_generate", args(t, "prompt", words, "files", patterns))
			last.job(t)
			got := r.sentPrompt(i)
			if got != files.Frame(words, texts) {
				t.Errorf("with %q fal got:\n%s", patterns, got)
			}
			if !strings.HasSuffix(got, "\n\n"+words) {
				t.Errorf("the caller's words are not the last: %s", got)
			}
		}
		if sent := r.sim.Jobs()[0]; sent.Endpoint != "nvidia/nemotron-3-nano-omni" {
			t.Errorf("sent to %s", sent.Endpoint)
		}
		note := fmt.Sprintf("Sent with the prompt: 3 files: docs/notes.md, src/a.go, src/deep/b.go (%d bytes, about %d tokens).", total, (total+3)/4)
		if got := last.job(t).Note; got != note {
			t.Errorf("note %q, not %q", got, note)
		}
		wantIn(t, last.text, note)
		for _, row := range r.list(`{}`).Jobs {
			if row.Prompt != words {
				t.Errorf("listed as %q", row.Prompt)
			}
		}
		rows := r.rows()
		for _, text := range texts {
			wantIn(t, rows, fmt.Sprintf(`{"field":"files","path":%q,"size_bytes":%d,"sha256":%q}`, text.Path, len(text.Content), sumOf([]byte(text.Content))))
		}
		wantNotIn(t, rows+r.log.String(), "sentinel", "notes' text", "package a")
		wantNotIn(t, r.log.String(), words)
	})
}

func TestFilesInNote(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		files []string
		note  string
	}{
		{"five are all named", []string{"f[0-4].txt"}, "Sent with the prompt: 5 files: f0.txt, f1.txt, f2.txt, f3.txt, f4.txt (25 bytes, about 7 tokens)."},
		{"seven are not", []string{"*.txt"}, "Sent with the prompt: 7 files: f0.txt, f1.txt, f2.txt, f3.txt, f4.txt, 2 more (35 bytes, about 9 tokens)."},
		{"none", []string{}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, rigOptions{}, func(t *testing.T, r *rig) {
				for i := range 7 {
					r.write(fmt.Sprintf("f%d.txt", i), []byte("12345"))
				}
				a := r.call("nemotron_generate", args(t, "prompt", "Hi", "files", tt.files))
				if got := a.job(t).Note; got != tt.note {
					t.Errorf("note %q, not %q", got, tt.note)
				}
			})
		})
	}
}

// TestFilesOfAJobThatIsNotDone holds that the note comes with the hand-back too,
// behind what is to be done next.
func TestFilesOfAJobThatIsNotDone(t *testing.T) {
	t.Parallel()
	inBubble(t, rigOptions{script: falsim.Script{QueueDelay: time.Hour}}, func(t *testing.T, r *rig) {
		r.write("a.txt", []byte("abcde"))
		job := r.call("nemotron_generate", `{"prompt":"Hi","files":["a.txt"],"wait_seconds":0}`).job(t)
		if !strings.HasPrefix(job.Note, "Not finished. ") || !strings.HasSuffix(job.Note, " Sent with the prompt: 1 file: a.txt (5 bytes, about 2 tokens).") {
			t.Errorf("note %q", job.Note)
		}
		later := r.call("queue_status", byID(job.RequestID)).job(t)
		wantIn(t, later.Note, "a.txt")
	})
}

func TestFilesLimit(t *testing.T) {
	t.Parallel()
	inBubble(t, rigOptions{}, func(t *testing.T, r *rig) {
		r.write("small.txt", []byte(strings.Repeat("a", 200_000)))
		r.write("large.txt", []byte(strings.Repeat("b", 400_001)))
		a := r.call("nemotron_generate", `{"prompt":"Hi","files":["*.txt"]}`)
		wantRefused(t, a, jobs.FileInvalid, `The 2 files have 600001 bytes, about 150001 tokens; the limit is 600000 bytes`, `The largest: "large.txt" (400001), "small.txt" (200000)`, "Nothing was sent.")
		r.wantNothing()
		r.write("large.txt", []byte(strings.Repeat("b", 400_000)))
		if job := r.call("nemotron_generate", `{"prompt":"Hi","files":["*.txt"]}`).job(t); job.Status != "COMPLETED" {
			t.Errorf("exactly the limit: %+v", job)
		}
	})
}

func TestFilesRefused(t *testing.T) {
	t.Parallel()
	const inside = "the content of a file"
	elsewhere := tempDir(t)
	outside := writeIn(t, elsewhere, "x.txt", []byte(inside))
	tests := []struct {
		name  string
		files []string
		code  jobs.Code
		in    []string
	}{
		{"NUL in it", []string{"fine.txt", "nul.dat"}, jobs.FileInvalid, []string{`Not UTF-8 text: "nul.dat"`}},
		{"not UTF-8", []string{"latin.txt"}, jobs.FileInvalid, []string{`Not UTF-8 text: "latin.txt"`}},
		{"missing", []string{"nothing.txt"}, jobs.FileInvalid, []string{`"nothing.txt" is not found`}},
		{"a glob without a match", []string{"*.rs"}, jobs.FileInvalid, []string{`No file matches "*.rs"`}},
		{"a folder", []string{"keys"}, jobs.FileInvalid, []string{`"keys" is a folder`}},
		{"outside", []string{"fine.txt", outside}, jobs.FileNotAllowed, []string{"is not in an allowed folder", "--allow-dir"}},
		{"outside and missing", []string{outside + "x"}, jobs.FileNotAllowed, []string{"is not in an allowed folder"}},
		{"a glob outside", []string{elsewhere + "/*"}, jobs.FileNotAllowed, []string{"is not in an allowed folder"}},
		{".env", []string{".env"}, jobs.FileNotAllowed, []string{"secret", "Do not send it"}},
		{".env of a kind", []string{".env.local"}, jobs.FileNotAllowed, []string{"secret"}},
		{"an SSH key", []string{"keys/id_rsa"}, jobs.FileNotAllowed, []string{"secret"}},
		{"a PEM file", []string{"x.pem"}, jobs.FileNotAllowed, []string{"secret"}},
		{"in .ssh", []string{".ssh/config"}, jobs.FileNotAllowed, []string{"secret"}},
		{"a glob in .ssh", []string{".ssh/*"}, jobs.FileNotAllowed, []string{"secret"}},
		{"a glob that leaves all out", []string{"keys/*"}, jobs.FileInvalid, []string{"left out"}},
		{"empty name", []string{""}, jobs.FileInvalid, []string{"The path is empty"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, rigOptions{}, func(t *testing.T, r *rig) {
				for _, name := range []string{"fine.txt", ".env", ".env.local", "keys/id_rsa", "x.pem", ".ssh/config"} {
					r.write(name, []byte(inside))
				}
				r.write("nul.dat", []byte(inside+"\x00"))
				r.write("latin.txt", []byte(inside+"\xe9"))
				a := r.call("nemotron_generate", args(t, "prompt", "Hi", "files", tt.files))
				wantRefused(t, a, tt.code, append(tt.in, "Nothing was sent.")...)
				wantNotIn(t, a.text+r.log.String(), inside)
				r.wantNothing()
			})
		})
	}
}

func TestTooManyFiles(t *testing.T) {
	t.Parallel()
	inBubble(t, rigOptions{}, func(t *testing.T, r *rig) {
		many := make([]string, 1001)
		for i := range many {
			many[i] = "a.txt"
		}
		wantRefused(t, r.call("nemotron_generate", args(t, "prompt", "Hi", "files", many)), jobs.InvalidInput, "files: ")
		r.wantNothing()
	})
}

// TestFilesEchoed holds that an error of fal's that repeats what it was sent
// brings no file's content into the answer, the log or the ledger.
func TestFilesEchoed(t *testing.T) {
	t.Parallel()
	const words, content = "Say what is wrong in the log, in one line.", "sentinel content\nof several lines\n"
	framed := files.Frame(words, []files.Text{{Path: "build.log", Content: content}})
	detail := func(msg string) string {
		return fmt.Sprintf(`{"detail":[{"loc":["body","prompt"],"msg":%q,"type":"value_error","input":%q}]}`, msg, framed)
	}
	tests := []struct {
		name  string
		fault falsim.Fault
		code  jobs.Code
	}{
		{"a refused submission", falsim.Fault{Step: falsim.StepSubmit, Status: 422, Body: detail("Bad prompt: " + framed)}, jobs.InvalidInput},
		{"a blocked one", falsim.Fault{Step: falsim.StepSubmit, Status: 422, Body: strings.Replace(detail(framed), "value_error", "content_policy_violation", 1)}, jobs.ContentBlocked},
		{"a page", falsim.Fault{Step: falsim.StepSubmit, Status: 502, Body: "<html>" + framed}, jobs.SubmitUnknown},
		{"refused by the model", falsim.Fault{Step: falsim.StepJob, Status: 422, Body: detail("Bad prompt: " + framed)}, jobs.JobFailed},
		{"failed with it", falsim.Fault{Step: falsim.StepJob, Error: "Could not do " + framed, ErrorType: "internal_error"}, jobs.JobFailed},
		{"a result that may not be read", falsim.Fault{Step: falsim.StepResult, Status: 403, Body: `{"detail":` + strconv.Quote(framed) + `}`}, jobs.AuthFailed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, rigOptions{script: falsim.Script{Faults: []falsim.Fault{tt.fault}}}, func(t *testing.T, r *rig) {
				r.write("build.log", []byte(content))
				a := r.call("nemotron_generate", args(t, "prompt", words, "files", []string{"build.log"}))
				if a.code() != string(tt.code) {
					t.Errorf("told as %s", a.text)
				}
				all := a.text + r.rows() + r.log.String() + r.call("queue_list", "").text
				if id, ok := a.meta["request_id"].(string); ok {
					all += r.call("queue_status", byID(id)).text
				}
				wantNotIn(t, all, "sentinel", "several lines")
				if len(r.sim.Jobs()) > 0 {
					wantIn(t, r.sentPrompt(0), "sentinel")
				}
			})
		})
	}
}
