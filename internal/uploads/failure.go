package uploads

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"

	"nemotron-mcp/falclient"
	"nemotron-mcp/internal/files"
	"nemotron-mcp/internal/jobs"
)

const nothingSent = " Nothing was sent."

// Failure words an error of internal/files for the one who must act. Others, and
// nil, are returned as they are.
func Failure(err error) error {
	if !errors.As(err, new(*files.Error)) {
		return err
	}
	return refused(err)
}

func refused(err error) *jobs.Error {
	var fault *files.Error
	errors.As(err, &fault)
	return &jobs.Error{Code: jobs.Code(fault.Code), Message: sentence(fault.Message), Action: fault.Action + nothingSent}
}

// sentence makes one of words that begin small and have no full stop.
func sentence(words string) string {
	first, size := utf8.DecodeRuneInString(words)
	return string(unicode.ToUpper(first)) + words[size:] + "."
}

// failure words whatever can go wrong. The end of ctx is its cause.
func failure(ctx context.Context, err error) error {
	var api *falclient.APIError
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, new(*jobs.Error)):
		return err
	case errors.As(err, new(*files.Error)):
		told := refused(err)
		if errors.As(err, new(*falclient.SourceError)) {
			told.Action = strings.TrimSuffix(told.Action, nothingSent) + " No file came of what was sent."
		}
		return told
	case errors.Is(err, falclient.ErrNoStorage):
		return noStorage()
	case errors.Is(err, falclient.ErrUploadTooLarge):
		return &jobs.Error{Code: jobs.FileInvalid, Message: "The file is larger than the limit.", Action: "Name a smaller file."}
	case errors.Is(err, falclient.ErrSourceChanged):
		return &jobs.Error{Code: jobs.FileInvalid, Message: "The file changed while it was read.", Action: "Try again when nothing writes to it. No file came of what was sent."}
	case errors.As(err, new(*falclient.SourceError)), errors.Is(err, falclient.ErrInvalidUpload):
		return &jobs.Error{Code: jobs.FileInvalid, Message: sentence(err.Error()), Action: "Check the file and try again."}
	case errors.As(err, &api) && api.StatusCode == http.StatusRequestEntityTooLarge:
		return &jobs.Error{Code: jobs.FileInvalid, Message: "fal's storage takes no file of this size.", Action: "Name a smaller file."}
	}
	told := *jobs.UpstreamFailure(err)
	if told.Code == jobs.JobNotFound || told.Code == jobs.InvalidInput || errors.Is(err, falclient.ErrForeignURL) || errors.Is(err, falclient.ErrRedirected) {
		// There is no job, and no argument that fal could name; and whoever names a
		// foreign URL, or redirects, will do so again.
		told.Code, told.Retryable, told.Action = jobs.UpstreamInvalid, false, "The operator should check FAL_REST_URL (--rest-url) and that this server is up to date."
	}
	return &told
}

// inField says which argument it is about.
func inField(field string, err error) error {
	var told *jobs.Error
	if !errors.As(err, &told) {
		return err
	}
	named := *told
	named.Message = field + ": " + strings.TrimSuffix(named.Message, ".") + "."
	return &named
}

func badType() *jobs.Error {
	return &jobs.Error{
		Code: jobs.InvalidInput, Message: "content_type: must be a MIME type such as image/png",
		Action: "Correct it, or leave it out: the content tells. Nothing was sent.",
	}
}

func noStorage() *jobs.Error {
	return &jobs.Error{
		Code: jobs.UpstreamUnavailable, Message: "No upload API is configured for this queue, so no file can be sent.",
		Action: "Ask the operator to set FAL_REST_URL (--rest-url), or give a URL or a small data URI.",
	}
}

func tooSlow() *jobs.Error {
	return &jobs.Error{
		Code: jobs.FileInvalid, Message: "Fetching and sending the file took longer than an hour.",
		Action: "Name a smaller file, or one on a faster server.",
	}
}

func empty(shown string) *files.Error {
	return &files.Error{Code: files.CodeInvalid, Message: shown + " is empty", Action: "Name a file that holds something."}
}
