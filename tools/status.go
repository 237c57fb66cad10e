package tools

import (
	"context"
	"errors"
	"strings"

	"nemotron-mcp/internal/jobs"
)

var statusSpec = spec{
	name: "queue_status", title: "Job status",
	description: "State and answer of a job. With wait_seconds it returns as soon as the job ends. Free.",
	readOnly:    true, idempotent: true, openWorld: true,
}

// StatusInput is the input of queue_status.
type StatusInput struct {
	RequestID   string `json:"request_id" jsonschema:"minLength=1,maxLength=128" jsonschema_description:"From nemotron_generate or queue_list."`
	WaitSeconds *int   `json:"wait_seconds,omitempty" jsonschema:"minimum=0,maximum=600,default=0" jsonschema_description:"How long to wait for the end."`
	Logs        bool   `json:"logs,omitempty" jsonschema:"default=false" jsonschema_description:"Include fal's log lines."`
	Offset      int    `json:"offset,omitempty" jsonschema:"minimum=0,default=0" jsonschema_description:"From next_offset."`
}

// JobStatus is the output of queue_status.
type JobStatus struct {
	Job
	Logs []string `json:"logs,omitempty" jsonschema_description:"Last lines."`
}

func (s JobStatus) text() string {
	if len(s.Logs) == 0 {
		return s.Job.text()
	}
	return s.textWith("Logs:\n" + strings.Join(s.Logs, "\n"))
}

// Remarks is all of the text but the answer.
func (s JobStatus) Remarks() string {
	s.Output = ""
	return s.text()
}

func (s *service) status(ctx context.Context, in StatusInput) (JobStatus, error) {
	job, err := s.jobs.Status(ctx, CallerFrom(ctx), in.RequestID, waitTime(in.WaitSeconds, 0), jobProgress(ctx))
	out := JobStatus{Job: s.show(job, in.Offset)}
	s.settle(ctx, job, out.NextOffset > 0)
	if err != nil && !job.Status.Finished() {
		return JobStatus{}, stillRunning(job, err)
	}
	if in.Logs {
		for _, l := range job.Logs {
			out.Logs = append(out.Logs, strings.TrimSpace(l.Timestamp+" "+l.Message))
		}
	}
	return out, nil
}

// stillRunning words the end of a call that waited for a job it does not own:
// the job goes on.
func stillRunning(job jobs.Job, err error) error {
	if errors.As(err, new(*jobs.Error)) {
		return err
	}
	return &jobs.Error{
		Code: jobs.UpstreamUnavailable, RequestID: job.RequestID, Retryable: true,
		Message: "The call was ended while it waited; the job goes on.", Action: "Call queue_status again.",
	}
}
