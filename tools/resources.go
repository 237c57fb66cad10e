package tools

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/google/uuid"
	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"nemotron-mcp/falclient"
	"nemotron-mcp/internal/jobs"
)

const (
	jobsPrefix    = "nemotron://jobs/"
	jobsTemplate  = jobsPrefix + "{request_id}"
	jobMIME       = "text/markdown"
	resourcesPage = 50
	// maxResource is how much of an answer, and of a trace, one read holds: hosts
	// drop messages of more than 10 MiB, and JSON can write a byte as six.
	maxResource = 16 * jobs.PageSize
)

// jobTemplate is what names a job's output.
func jobTemplate() mcp.ResourceTemplate {
	return mcp.NewResourceTemplate(jobsTemplate, "job",
		mcp.WithTemplateTitle("Output of a finished job"),
		mcp.WithTemplateDescription("The whole output of a finished nemotron_generate job, as the server keeps it. Free: fal is not asked."),
		mcp.WithTemplateMIMEType(jobMIME),
	)
}

// readJob serves a job's output out of the ledger. That is no delivery of it:
// hosts prefetch and preview resources, and no transport can tell whether anyone
// has looked at what it sent.
func (s *service) readJob(f frame) server.ResourceTemplateHandlerFunc {
	return func(ctx context.Context, req mcp.ReadResourceRequest) ([]mcp.ResourceContents, error) {
		return guard(ctx, f, string(mcp.MethodResourcesRead), func() ([]mcp.ResourceContents, error) {
			id, ok := strings.CutPrefix(req.Params.URI, jobsPrefix)
			if !ok {
				return nil, noResource(ctx, req.Params.URI)
			}
			job, err := s.jobs.Read(ctx, CallerFrom(ctx), id)
			if failed := new(jobs.Error); errors.As(err, &failed) && failed.Code == jobs.JobNotFound {
				return nil, noResource(ctx, req.Params.URI)
			}
			if err != nil {
				return nil, err
			}
			return s.contents(job), nil
		})
	}
}

// contents are a job's answer and, where it is wanted, the reasoning before it.
// The rest of the job is in _meta.
func (s *service) contents(job jobs.Job) []mcp.ResourceContents {
	whole := s.secrets.String(job.Output)
	trace, answer := "", whole
	if job.Thinking {
		trace, answer = SplitReasoning(whole)
	}
	job.Output = ""
	shown := newJob(job, 0)
	text, next := pagesOf(answer)
	if next > 0 {
		shown.Note = fmt.Sprintf("Cut at %d of %d bytes: call queue_status with this request_id and offset %d for the rest.", next, len(answer), next)
		text += "\n\n[" + shown.Note + "]"
	}
	shown.NextOffset = next
	if answer == "" || job.Status != jobs.Completed {
		described := shown
		described.Output = text
		text = described.text()
	}
	uri := jobsPrefix + job.RequestID
	all := []mcp.ResourceContents{mcp.TextResourceContents{
		URI: uri, MIMEType: jobMIME, Text: s.secrets.String(text), Meta: map[string]any{"nemotron/job": s.masked(shown)},
	}}
	if trace == "" || job.HideReasoning {
		return all
	}
	text, next = pagesOf(trace)
	if next > 0 {
		text += fmt.Sprintf("\n\n[Cut at %d of %d bytes.]", next, len(trace))
	}
	return append(all, mcp.TextResourceContents{URI: uri + "#reasoning", MIMEType: jobMIME, Text: text})
}

// masked hides secrets in what a job says besides its output.
func (s *service) masked(j Job) Job {
	j.Note = s.secrets.String(j.Note)
	if j.Error != nil {
		j.Error = &JobError{Code: j.Error.Code, Message: s.secrets.String(j.Error.Message)}
	}
	return j
}

// pagesOf is the beginning of text in whole pages, so that queue_status goes on
// where it ends; next is 0 where it is all.
func pagesOf(text string) (part string, next int) {
	for range maxResource / jobs.PageSize {
		_, after := jobs.Page(text, next)
		if after == 0 {
			return text, 0
		}
		next = after
	}
	return text[:next], next
}

// noResource says it in the words and with the code of the request's protocol
// version.
func noResource(ctx context.Context, uri string) error {
	code := mcp.RESOURCE_NOT_FOUND
	if mcp.IsModernProtocol(server.RequestProtocolVersion(ctx)) {
		code = mcp.INVALID_PARAMS
	}
	return &refusedError{code: code, message: fmt.Sprintf(
		"Resource not found: %q. Resources are the outputs of your finished jobs, %s: resources/list or queue_list names them.",
		shorten(uri, 2*maxEchoed), jobsTemplate)}
}

// refuseUnknownResource words what mcp-go would answer with the whole URI, as it
// came. What passes is matched by the template, and is in readJob's hands.
func refuseUnknownResource(f frame) server.OnBeforeReadResourceFunc {
	return func(ctx context.Context, _ any, req *mcp.ReadResourceRequest) {
		if id, ours := strings.CutPrefix(req.Params.URI, jobsPrefix); ours && falclient.ValidRequestID(id) {
			return
		}
		_, _ = guard(ctx, f, string(mcp.MethodResourcesRead), func() (any, error) { return nil, noResource(ctx, req.Params.URI) })
		req.Params.URI = "" // matches nothing, and is not matched against anything large
	}
}

// listJobs fills in the caller's finished jobs. mcp-go's own list is one for all
// callers and for all time.
func (s *service) listJobs(f frame) server.OnAfterListResourcesFunc {
	return func(ctx context.Context, _ any, req *mcp.ListResourcesRequest, res *mcp.ListResourcesResult) {
		listed, err := guard(ctx, f, string(mcp.MethodResourcesList), func() (*mcp.ListResourcesResult, error) {
			return s.jobResources(ctx, req.Params.Cursor)
		})
		if err == nil {
			res.Resources, res.NextCursor = listed.Resources, listed.NextCursor
		}
	}
}

// refuseWrongCursor words what mcp-go would answer.
func refuseWrongCursor(f frame) server.OnBeforeListResourcesFunc {
	return func(ctx context.Context, _ any, req *mcp.ListResourcesRequest) {
		_, _ = guard(ctx, f, string(mcp.MethodResourcesList), func() (string, error) { return rowOf(req.Params.Cursor) })
	}
}

// rowOf is the ledger's row that a cursor means. It is in base64 because mcp-go
// takes no other cursor.
func rowOf(cursor mcp.Cursor) (string, error) {
	row, err := base64.StdEncoding.DecodeString(string(cursor))
	if err != nil || len(row) > 0 && uuid.Validate(string(row)) != nil {
		return "", invalidParams("cursor: is not a nextCursor of resources/list's; leave it out to start from the newest job")
	}
	return string(row), nil
}

func (s *service) jobResources(ctx context.Context, cursor mcp.Cursor) (*mcp.ListResourcesResult, error) {
	before, err := rowOf(cursor)
	if err != nil {
		return nil, err
	}
	page, next, err := s.jobs.Finished(ctx, CallerFrom(ctx), before, resourcesPage)
	if err != nil {
		return nil, err
	}
	out := &mcp.ListResourcesResult{Resources: make([]mcp.Resource, 0, len(page))}
	for _, job := range page {
		if job.RequestID != "" { // of a submission whose answer was lost there is nothing to read
			out.Resources = append(out.Resources, s.jobResource(job))
		}
	}
	if next != "" {
		out.NextCursor = mcp.Cursor(base64.StdEncoding.EncodeToString([]byte(next)))
	}
	return out, nil
}

// jobResource is a job as a host lists it.
func (s *service) jobResource(job jobs.Job) mcp.Resource {
	title := s.secrets.String(plainLine(job.Preview))
	if title == "" {
		title = "Job of " + job.Created.UTC().Format(time.RFC3339)
	}
	told := string(job.Status)
	switch {
	case job.OutputDropped:
		told += "; the output was delivered and is not kept"
	case job.Failure != nil:
		told += "; " + string(job.Failure.Code)
	case job.Usage != nil:
		told += fmt.Sprintf("; %d output tokens, about $%.6f", job.Usage.OutputTokens, job.CostUSD)
	}
	return mcp.NewResource(jobsPrefix+job.RequestID, job.RequestID,
		mcp.WithResourceTitle(title), mcp.WithResourceDescription(told), mcp.WithMIMEType(jobMIME),
		mcp.WithLastModified(job.Ended.UTC().Format(time.RFC3339)))
}

// plainLine is text as one line for a list that a host shows: without the
// characters that control a terminal, change the direction of what stands around
// them, or hide.
func plainLine(text string) string {
	seen := strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r) || unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector):
			return -1
		}
		return r
	}, text)
	return strings.Join(strings.Fields(seen), " ")
}
