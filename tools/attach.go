package tools

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"nemotron-mcp/falclient"
	"nemotron-mcp/internal/files"
	"nemotron-mcp/internal/jobs"
	"nemotron-mcp/internal/uploads"
)

// attach puts the files and the medium that a call names into its request. All
// is judged, and the caps are asked, before anything is uploaded.
func (s *service) attach(ctx context.Context, in GenerateInput, req *jobs.Request) error {
	if len(in.Files) == 0 && in.media() == 0 {
		return nil
	}
	// One list for the whole call, where a path is named.
	folders := sync.OnceValue(func() *files.Folders { return s.folders.of(ctx) })
	if len(in.Files) > 0 {
		texts, err := folders().Collect(ctx, in.Files, files.DefaultLimits())
		if err == nil {
			err = s.checkTexts(texts)
		}
		if err != nil {
			return uploads.Failure(err)
		}
		req.Prompt, req.Input.Prompt = in.Prompt, files.Frame(in.Prompt, texts)
		for _, t := range texts {
			req.Attachments = append(req.Attachments, jobs.Attachment{Field: "files", Path: t.Path, Size: int64(len(t.Content)), SHA256: t.SHA256})
		}
	}
	for _, medium := range []struct {
		field, endpoint string
		named, goes     *string
	}{
		{"image_url", falclient.NemotronVision, in.ImageURL, &req.Input.ImageURL},
		{"video_url", falclient.NemotronVideo, in.VideoURL, &req.Input.VideoURL},
		{"audio_url", falclient.NemotronAudio, in.AudioURL, &req.Input.AudioURL},
	} {
		if medium.named == nil {
			continue
		}
		req.Endpoint = medium.endpoint
		return s.place(ctx, folders, medium.field, *medium.named, req, medium.goes)
	}
	return nil
}

// checkTexts refuses files that hold a secret of this server's.
func (s *service) checkTexts(texts []files.Text) error {
	for _, t := range texts {
		if s.secrets.Holds([]byte(t.Content)) || s.secrets.Holds([]byte(t.Path)) {
			return &files.Error{
				Code: files.CodeNotAllowed, Message: fmt.Sprintf(`"%s" holds a secret of this server, or its name does`, t.Path),
				Action: "Do not send it. Take the secret out of it first.",
			}
		}
	}
	return nil
}

const (
	// leastPlace is what an upload before a submission has at least, within the
	// minute that many hosts allow a call.
	leastPlace = 40 * time.Second
	// queueLife is how long a medium must live that a job will ask for: it may
	// stand in fal's queue for long.
	queueLife = 6 * time.Hour
)

var errSlowUpload = errors.New("the upload was too slow")

// place brings a medium to where fal can read it.
func (s *service) place(ctx context.Context, folders func() *files.Folders, field, named string, req *jobs.Request, goes *string) error {
	medium, err := s.uploads.Medium(ctx, folders, field, named)
	if err != nil {
		return err
	}
	defer medium.Close()
	opts := uploads.Options{Caller: req.Caller, LeastLife: queueLife, Progress: uploadProgress(ctx, false)}
	if err := medium.Find(ctx, s.uploads, opts); err != nil {
		return err
	}
	*goes = medium.URL
	checked := *req
	checked.Attachments = append(slices.Clip(req.Attachments), medium.Attachment)
	if err := s.jobs.Check(ctx, checked); err != nil {
		return err
	}
	bounded, done := context.WithTimeoutCause(ctx, max(req.Wait, leastPlace), errSlowUpload)
	defer done()
	if err := medium.Place(bounded, s.uploads, opts); errors.Is(err, errSlowUpload) {
		return slowUpload(field)
	} else if err != nil {
		return err
	}
	*goes = medium.URL
	req.Attachments = append(req.Attachments, medium.Attachment)
	return nil
}

func slowUpload(field string) error {
	return &jobs.Error{
		Code: jobs.UpstreamUnavailable, Message: field + ": the upload took too long for this call; nothing was submitted.",
		Action:    "Upload the file with upload_file, which takes the time that it needs, and name the URL that it gives; or call again with a larger wait_seconds.",
		Retryable: true,
	}
}

// namedInNote is how many files a note names.
const namedInNote = 5

// sentNote says what went with the prompt.
func sentNote(attachments []jobs.Attachment) string {
	var names, parts []string
	var total int64
	for _, a := range attachments {
		if a.Field == "files" {
			names, total = append(names, a.Path), total+a.Size
			continue
		}
		parts = append(parts, mediumNote(a))
	}
	if n := len(names); n > 0 {
		if n > namedInNote {
			names = append(names[:namedInNote:namedInNote], fmt.Sprintf("%d more", n-namedInNote))
		}
		texts := fmt.Sprintf("%s: %s (%d bytes, about %s)", plural(n, "file"), strings.Join(names, ", "), total, plural(int(files.EstimateTokens(total)), "token"))
		parts = append([]string{texts}, parts...)
	}
	if len(parts) == 0 {
		return ""
	}
	return "Sent with the prompt: " + strings.Join(parts, "; ") + "."
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func mediumNote(a jobs.Attachment) string {
	switch {
	case a.Size == 0:
		return fmt.Sprintf("%s, a URL on %s", a.Field, a.Path)
	case a.Path == "":
		return fmt.Sprintf("%s, a data URI (%s, %d bytes)", a.Field, a.ContentType, a.Size)
	}
	return fmt.Sprintf("%s %s (%s, %d bytes)", a.Field, a.Path, a.ContentType, a.Size)
}
