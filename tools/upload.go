package tools

import (
	"context"
	"errors"
	"fmt"
	"time"

	"nemotron-mcp/internal/jobs"
	"nemotron-mcp/internal/uploads"
)

var uploadSpec = spec{
	name: "upload_file", title: "Upload a file",
	description: "Upload a file to fal's storage for a URL to use in several calls; nemotron_generate uploads local paths by itself. " +
		"Whoever has the URL can read it until it expires. The same bytes give the same URL. Free.",
	openWorld: true,
}

// UploadInput is the input of upload_file.
type UploadInput struct {
	Path             *string `json:"path,omitempty" jsonschema_description:"Local file. Exactly one of path, url, content_base64."`
	URL              *string `json:"url,omitempty" jsonschema_description:"Public http(s) URL to fetch."`
	ContentBase64    *string `json:"content_base64,omitempty" jsonschema_description:"Base64 or data URI."`
	FileName         string  `json:"file_name,omitempty" jsonschema_description:"Name at fal."`
	ContentType      string  `json:"content_type,omitempty" jsonschema_description:"Told by the content when left out."`
	ExpiresInSeconds *int    `json:"expires_in_seconds,omitempty" jsonschema:"minimum=1,maximum=31536000,default=86400" jsonschema_description:"Lifetime."`
}

// Upload is the output of upload_file.
type Upload struct {
	URL         string `json:"url" jsonschema_description:"Public."`
	FileName    string `json:"file_name" jsonschema_description:"Name."`
	ContentType string `json:"content_type" jsonschema_description:"Type."`
	SizeBytes   int64  `json:"size_bytes" jsonschema_description:"Size."`
	SHA256      string `json:"sha256" jsonschema_description:"Hex."`
	ExpiresAt   string `json:"expires_at" jsonschema_description:"UTC."`

	before bool // nothing was sent now
}

func (u Upload) text() string {
	before := ""
	if u.before {
		before = "uploaded before under this name; "
	}
	return fmt.Sprintf("%s\n\n[%s; %s; %d bytes; sha256 %s; %sexpires %s; until then whoever has the URL can read it]",
		u.URL, u.FileName, u.ContentType, u.SizeBytes, u.SHA256, before, u.ExpiresAt)
}

func (s *service) upload(ctx context.Context, in UploadInput) (Upload, error) {
	began, given := time.Now(), 0
	for _, source := range []*string{in.Path, in.URL, in.ContentBase64} {
		if source != nil {
			given++
		}
	}
	if given != 1 {
		return Upload{}, invalidInput([]string{"path, url, content_base64: exactly one of them must be given"})
	}
	opts := uploads.Options{Caller: CallerFrom(ctx), Name: in.FileName, ContentType: in.ContentType, Progress: uploadProgress(ctx, true)}
	if in.ExpiresInSeconds != nil {
		opts.Expiry = time.Duration(*in.ExpiresInSeconds) * time.Second
	}
	done, err := s.uploadFrom(ctx, in, opts)
	if err != nil {
		return Upload{}, uploadEnded(err)
	}
	return Upload{
		URL: done.URL, FileName: done.FileName, ContentType: done.ContentType, SizeBytes: done.Size,
		SHA256: done.SHA256, ExpiresAt: done.ExpiresAt.UTC().Format(time.RFC3339), before: done.Created.Before(began),
	}, nil
}

func (s *service) uploadFrom(ctx context.Context, in UploadInput, opts uploads.Options) (jobs.Upload, error) {
	if in.URL != nil {
		return s.uploads.FromURL(ctx, *in.URL, opts)
	}
	var src *uploads.Source
	var err error
	if in.Path != nil {
		src, err = s.uploads.File(ctx, s.folders.of(ctx), *in.Path, opts)
	} else {
		src, err = s.uploads.Base64(*in.ContentBase64, opts)
	}
	if err != nil {
		return jobs.Upload{}, err
	}
	defer src.Close()
	return s.uploads.Upload(ctx, src, opts)
}

// uploadEnded words the end of a call before its upload's.
func uploadEnded(err error) error {
	if errors.As(err, new(*jobs.Error)) {
		return err
	}
	return &jobs.Error{
		Code: jobs.UpstreamUnavailable, Message: "The call was ended before the upload was complete. Should fal have all of it nevertheless, nobody has its URL, and it goes when it expires.",
		Action: "Call again if the file is still needed.", Retryable: true,
	}
}
