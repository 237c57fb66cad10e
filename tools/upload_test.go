package tools

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"nemotron-mcp/internal/falsim"
	"nemotron-mcp/internal/files"
	"nemotron-mcp/internal/jobs"
)

// upload runs upload_file.
func (r *rig) upload(args string) Upload {
	r.t.Helper()
	a := r.call("upload_file", args)
	if a.isError {
		r.t.Fatalf("an error: %s", a.text)
	}
	var up Upload
	must(r.t, json.Unmarshal(a.raw, &up))
	return up
}

// oneFile is a web with the same file everywhere.
type oneFile struct {
	content []byte
	fetched []string
}

func (f *oneFile) Fetch(_ context.Context, rawURL string, _ int64) (*files.Download, error) {
	f.fetched = append(f.fetched, rawURL)
	return &files.Download{Body: io.NopCloser(bytes.NewReader(f.content)), Size: int64(len(f.content)), ContentType: "text/csv", Name: "data.csv"}, nil
}

func TestUpload(t *testing.T) {
	t.Parallel()
	text, picture := []byte("a,b\n1,2\n"), pngOf(t, 9, 9, "")
	lines := base64.StdEncoding.EncodeToString(picture)
	lines = lines[:40] + "\r\n" + lines[40:] + "\n"
	tests := []struct {
		name    string
		args    []any
		content []byte
		file    string // its name at fal
		kind    string
		expires int // seconds
	}{
		{"path", []any{"path", "dir/it.csv"}, text, "it.csv", "text/csv", 86400},
		{"path, with names", []any{"path", "dir/it.csv", "file_name", "../Größe 1.txt", "content_type", "Text/Plain; charset=UTF-8"}, text, "Gr_e_1.txt", "text/plain; charset=UTF-8", 86400},
		{"base64 in lines", []any{"content_base64", lines}, picture, "upload.png", "image/png", 86400},
		{"data URI", []any{"content_base64", dataURI("image/png", picture), "file_name", "x.png"}, picture, "x.png", "image/png", 86400},
		{"URL", []any{"url", "https://example.com/d?x=1"}, text, "data.csv", "text/csv", 86400},
		{"a minute", []any{"path", "dir/it.csv", "expires_in_seconds", 60}, text, "it.csv", "text/csv", 60},
		{"a year", []any{"path", "dir/it.csv", "expires_in_seconds", 31536000}, text, "it.csv", "text/csv", 31536000},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, rigOptions{fetcher: &oneFile{content: text}}, func(t *testing.T, r *rig) {
				r.write("dir/it.csv", text)
				began := time.Now()
				a := r.call("upload_file", args(t, tt.args...))
				if a.isError {
					t.Fatal(a.text)
				}
				var up Upload
				must(t, json.Unmarshal(a.raw, &up))
				expires := began.Add(time.Duration(tt.expires) * time.Second)
				want := Upload{
					URL: up.URL, FileName: tt.file, ContentType: tt.kind, SizeBytes: int64(len(tt.content)),
					SHA256: sumOf(tt.content), ExpiresAt: expires.UTC().Format(time.RFC3339),
				}
				if up != want {
					t.Errorf("told %+v, not %+v", up, want)
				}
				all := r.sim.Uploads()
				if len(all) != 1 || "http://localhost"+all[0].Path != up.URL {
					t.Fatalf("%s is none of %+v", up.URL, all)
				}
				at := all[0]
				if !at.Ready || at.Name != tt.file || at.ContentType != tt.kind || at.SHA256 != up.SHA256 || !at.ExpiresAt.Equal(expires) {
					t.Errorf("at fal: %+v", at)
				}
				if !strings.HasPrefix(a.text, up.URL+"\n") {
					t.Errorf("the text does not begin with the URL: %s", a.text)
				}
				wantIn(t, a.text, up.FileName, up.ContentType, up.SHA256, up.ExpiresAt, "whoever has the URL can read it")
				wantNotIn(t, r.log.String(), up.URL, "it.csv", "example.com")
				if r.sim.Bills() != 0 || r.sim.Stats().KeyOnPublicURL != 0 {
					t.Error("it costs, or the key went to a public URL")
				}
			})
		})
	}
}

func TestUploadSources(t *testing.T) {
	t.Parallel()
	const one = "path, url, content_base64: exactly one of them must be given"
	tests := []struct {
		name, args string
		code       jobs.Code
		in         []string
	}{
		{"none", `{}`, jobs.InvalidInput, []string{one, "nothing was sent"}},
		{"none but a name", `{"file_name":"a"}`, jobs.InvalidInput, []string{one}},
		{"two", `{"path":"a.txt","url":"https://example.com"}`, jobs.InvalidInput, []string{one}},
		{"two, one empty", `{"path":"a.txt","content_base64":""}`, jobs.InvalidInput, []string{one}},
		{"three", `{"path":"a.txt","url":"https://example.com","content_base64":"YQ=="}`, jobs.InvalidInput, []string{one}},
		{"null counts as left out", `{"path":null,"url":null}`, jobs.InvalidInput, nil},
		{"an empty path", `{"path":""}`, jobs.FileInvalid, []string{"The path is empty"}},
		{"an empty URL", `{"url":""}`, jobs.FileInvalid, []string{"The URL is empty"}},
		{"empty base64", `{"content_base64":""}`, jobs.FileInvalid, []string{"empty"}},
		{"an empty data URI", `{"content_base64":"data:,"}`, jobs.FileInvalid, nil},
		{"an empty file", `{"path":"empty.txt"}`, jobs.FileInvalid, []string{`"empty.txt" is empty`}},
		{"missing", `{"path":"nothing.txt"}`, jobs.FileInvalid, []string{"is not found"}},
		{"a secret", `{"path":".env"}`, jobs.FileNotAllowed, []string{"secret"}},
		{"too large", `{"path":"large.txt"}`, jobs.FileInvalid, []string{"has 1001 bytes; the limit is 1000"}},
		{"too much base64", args(t, "content_base64", base64.StdEncoding.EncodeToString(make([]byte, 1001))), jobs.FileInvalid, []string{"1000"}},
		{"bad padding", `{"content_base64":"YWJj=ZGVm"}`, jobs.FileInvalid, []string{"base64"}},
		{"not base64", `{"content_base64":"not base64 at all!"}`, jobs.FileInvalid, []string{"base64"}},
		{"a claim of another kind", `{"path":"a.txt","content_type":"image/png"}`, jobs.FileInvalid, []string{"claims to be image/png, and is text/plain"}},
		{"a data URI of another kind", `{"content_base64":"data:image/png;base64,aGVsbG8="}`, jobs.FileInvalid, []string{"claims to be image/png"}},
		{"no MIME type", `{"path":"a.txt","content_type":"text"}`, jobs.InvalidInput, []string{"content_type: must be a MIME type"}},
		{"a type with a line", `{"path":"a.txt","content_type":"text/plain\r\nX-Evil: 1"}`, jobs.InvalidInput, []string{"content_type: "}},
		{"a long type", args(t, "path", "a.txt", "content_type", "text/"+strings.Repeat("x", 1000)), jobs.InvalidInput, []string{"content_type: "}},
		{"expires at once", `{"path":"a.txt","expires_in_seconds":0}`, jobs.InvalidInput, []string{"expires_in_seconds: "}},
		{"expires never", `{"path":"a.txt","expires_in_seconds":31536001}`, jobs.InvalidInput, []string{"expires_in_seconds: "}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, rigOptions{maxUpload: 1000}, func(t *testing.T, r *rig) {
				for name, content := range map[string]string{"a.txt": "hello", "empty.txt": "", ".env": "KEY=1", "large.txt": strings.Repeat("a", 1001)} {
					r.write(name, []byte(content))
				}
				wantRefused(t, r.call("upload_file", tt.args), tt.code, tt.in...)
				r.wantNothing()
			})
		})
	}
}

// TestUploadLimit holds that exactly the limit can be sent.
func TestUploadLimit(t *testing.T) {
	t.Parallel()
	inBubble(t, rigOptions{maxUpload: 1000}, func(t *testing.T, r *rig) {
		r.write("a.txt", []byte(strings.Repeat("a", 1000)))
		if up := r.upload(`{"path":"a.txt"}`); up.SizeBytes != 1000 {
			t.Errorf("%+v", up)
		}
	})
}

// TestUploadTwice holds that the same bytes are sent once, however they come.
func TestUploadTwice(t *testing.T) {
	t.Parallel()
	inBubble(t, rigOptions{}, func(t *testing.T, r *rig) {
		picture, other := pngOf(t, 9, 9, "one"), pngOf(t, 9, 9, "two")
		r.write("a.png", picture)
		r.write("b.png", picture)
		first := r.upload(`{"path":"a.png"}`)
		for _, again := range []string{`{"path":"a.png"}`, `{"path":"b.png","file_name":"c.png"}`, args(t, "content_base64", dataURI("image/png", picture))} {
			time.Sleep(time.Hour)
			if up := r.upload(again); up.URL != first.URL || up.ExpiresAt != first.ExpiresAt {
				t.Errorf("%s: %+v, not %+v", again, up, first)
			}
		}
		if n := r.sim.Stats().Requests.Initiate; n != 1 {
			t.Errorf("%d uploads", n)
		}
		r.write("a.png", other)
		if up := r.upload(`{"path":"a.png"}`); up.URL == first.URL || up.SHA256 != sumOf(other) {
			t.Errorf("other bytes: %+v", up)
		}
		time.Sleep(24 * time.Hour)
		if up := r.upload(`{"path":"b.png"}`); up.URL == first.URL {
			t.Error("a URL that has expired is told")
		}
	})
}

// TestUploadEnds holds what becomes of an upload whose call ends, or that fal
// refuses.
func TestUploadEnds(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name      string
		fault     falsim.Fault
		code      jobs.Code
		retryable bool
		after     time.Duration
		in        []string
	}{
		{"cancelled", falsim.Fault{Step: falsim.StepPut, Kind: falsim.Hang, Times: 1}, jobs.UpstreamUnavailable, true, 3 * time.Second, []string{"nobody has its URL"}},
		{"a wrong key", falsim.Fault{Step: falsim.StepInitiate, Status: 401, Body: `{"detail":"no"}`, Times: 1}, jobs.AuthFailed, false, 0, []string{"FAL_KEY"}},
		{"too large for fal", falsim.Fault{Step: falsim.StepPut, Status: 413, Times: 1}, jobs.FileInvalid, false, 0, []string{"takes no file of this size"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, rigOptions{script: falsim.Script{Faults: []falsim.Fault{tt.fault}}}, func(t *testing.T, r *rig) {
				r.write("a.txt", []byte("hello"))
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
				defer cancel()
				began := time.Now()
				a := r.callWith(ctx, "upload_file", `{"path":"a.txt"}`)
				if a.code() != string(tt.code) || a.meta["retryable"] != tt.retryable || time.Since(began) != tt.after {
					t.Errorf("told after %v as %v: %s", time.Since(began), a.meta, a.text)
				}
				wantIn(t, a.text, tt.in...)
				if up := r.upload(`{"path":"a.txt"}`); up.SizeBytes != 5 || r.sim.Stats().Uploads != 1 {
					t.Errorf("the next one: %+v", up)
				}
			})
		})
	}
}

// TestNoKey holds that nothing is read or told of a file where no key is set.
func TestNoKey(t *testing.T) {
	t.Parallel()
	inBubble(t, rigOptions{noKey: true, fetcher: new(oneFile)}, func(t *testing.T, r *rig) {
		picture := pngOf(t, 9, 9, "")
		r.write("it.png", picture)
		var texts []string
		for _, c := range [][]any{
			{"upload_file", "path", "it.png"},
			{"upload_file", "path", "nothing.png"},
			{"upload_file", "path", "/etc/passwd"},
			{"upload_file", "url", "https://example.com"},
			{"upload_file", "content_base64", "YQ=="},
			{"nemotron_generate", "prompt", "Hi", "image_url", "it.png"},
			{"nemotron_generate", "prompt", "Hi", "image_url", "nothing.png"},
			{"nemotron_generate", "prompt", "Hi", "image_url", "https://example.com/x.png"},
			{"nemotron_generate", "prompt", "Hi", "image_url", dataURI("image/png", picture)},
		} {
			a := r.call(c[0].(string), args(t, c[1:]...))
			wantRefused(t, a, jobs.AuthFailed, "FAL_KEY", "nothing was sent")
			wantNotIn(t, a.text, "it.png", "nothing.png", fmt.Sprint(len(picture)), "image/png", "passwd")
			texts = append(texts, strings.TrimPrefix(a.text, "AUTH_FAILED: image_url: "))
		}
		if texts[0] != texts[1] || texts[5] != texts[6] {
			t.Errorf("a file that is there is told in other words: %q", texts)
		}
		r.wantNothing()
	})
}
