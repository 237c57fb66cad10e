package tools

import (
	"context"

	"nemotron-mcp/falclient"
	"nemotron-mcp/internal/jobs"
)

var cancelSpec = spec{
	name: "queue_cancel", title: "Cancel a job",
	description: "Cancel a job. Queued: not billed. Running: may be billed. Ended: nothing changes; the answer is returned.",
	destructive: true, idempotent: true, openWorld: true,
}

// CancelInput is the input of queue_cancel.
type CancelInput struct {
	RequestID string `json:"request_id" jsonschema:"minLength=1,maxLength=128" jsonschema_description:"From nemotron_generate or queue_list."`
}

func (s *service) cancel(ctx context.Context, in CancelInput) (Job, error) {
	job, outcome, err := s.jobs.Cancel(ctx, CallerFrom(ctx), in.RequestID)
	out := s.show(job, 0)
	s.settle(ctx, job, out.NextOffset > 0)
	if err != nil && !job.Status.Finished() {
		return Job{}, stillRunning(job, err)
	}
	if note := cancelNote(job, outcome); note != "" && (out.Error == nil || out.Error.Message != note) {
		out.Note = note
	}
	return out, nil
}

// cancelNote tells the outcome truly: what was billed, and where to look.
func cancelNote(job jobs.Job, outcome falclient.CancelOutcome) string {
	switch {
	case outcome == falclient.CancelledInQueue:
		return "Cancelled while it was queued; not billed."
	case job.Status == jobs.Cancelled && outcome == falclient.CancelRequested:
		return "Cancelled while it was running; what it had used may be billed."
	case job.Status == jobs.Cancelled:
		return "It had been cancelled before."
	case job.Status == jobs.Completed:
		return "It had already completed; the answer is in output."
	case !job.Status.Finished() && outcome == falclient.CancelTooLate:
		return "It has ended already; its result is still being read from fal: call queue_status with wait_seconds."
	case !job.Status.Finished() && outcome == falclient.CancelRequestUnknown:
		return "fal does not know this request; call queue_status to see what becomes of it."
	case !job.Status.Finished():
		return "Cancellation was requested, but the job was running and may still complete and be billed; call queue_status to see how it ends."
	}
	return ""
}
