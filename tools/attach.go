package tools

import (
	"context"
	"fmt"
	"slices"
	"strings"

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
	// One list for the whole call.
	folders := s.folders.of(ctx)
	if len(in.Files) > 0 {
		texts, err := folders.Collect(ctx, in.Files, files.DefaultLimits())
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

// place brings a medium to where fal can read it.
func (s *service) place(ctx context.Context, folders *files.Folders, field, named string, req *jobs.Request, goes *string) error {
	medium, err := s.uploads.Medium(ctx, folders, field, named)
	if err != nil {
		return err
	}
	defer medium.Close()
	opts := uploads.Options{Caller: req.Caller, Progress: uploadProgress(ctx, false)}
	if err := medium.Find(ctx, s.uploads, opts); err != nil {
		return err
	}
	*goes = medium.URL
	checked := *req
	checked.Attachments = append(slices.Clip(req.Attachments), medium.Attachment)
	if err := s.jobs.Check(ctx, checked); err != nil {
		return err
	}
	if err := medium.Place(ctx, s.uploads, opts); err != nil {
		return err
	}
	*goes = medium.URL
	req.Attachments = append(req.Attachments, medium.Attachment)
	return nil
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
		files := fmt.Sprintf("%d file(s): %s (%d bytes, about %d tokens)", n, strings.Join(names, ", "), total, files.EstimateTokens(total))
		parts = append([]string{files}, parts...)
	}
	if len(parts) == 0 {
		return ""
	}
	return "Sent with the prompt: " + strings.Join(parts, "; ") + "."
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
