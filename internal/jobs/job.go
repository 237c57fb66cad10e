package jobs

import (
	"time"

	"nemotron-mcp/falclient"
)

// Status is where a job stands: fal's words, and the ends that fal folds into
// COMPLETED told apart.
type Status string

// The states of a job. Submitting is never shown: to a caller it is IN_QUEUE.
const (
	Submitting Status = "SUBMITTING"
	InQueue    Status = "IN_QUEUE"
	InProgress Status = "IN_PROGRESS"
	Completed  Status = "COMPLETED"
	Failed     Status = "FAILED"
	Cancelled  Status = "CANCELLED"
	// Unknown is a submission that was sent and whose answer was never read:
	// fal may or may not be running it.
	Unknown Status = "UNKNOWN"
)

// Finished reports whether the state is an end.
func (s Status) Finished() bool {
	return s == Completed || s == Failed || s == Cancelled || s == Unknown
}

// Job is a row of the ledger.
type Job struct {
	ID        string // ours, known before fal has named the job
	RequestID string // fal's; empty until the submission was answered
	Caller    string // who may see it
	Endpoint  string // full endpoint id
	InputHash string // of everything that makes two calls the same
	Preview   string // the prompt's first characters
	Thinking  bool   // reasoning was asked for, so the output may begin with a trace
	// HideReasoning is the wish of the call that asked last.
	HideReasoning bool
	InputSize     int // bytes of the prompts

	Status          Status
	QueuePosition   *int
	CancelRequested bool
	Delivered       bool // an end was written to the host

	Created   time.Time
	Submitted time.Time // when fal had taken it
	Started   time.Time // when it was first seen running
	Ended     time.Time

	Output        string // the whole answer, the reasoning included
	FinishReason  string
	Usage         *falclient.Usage // nil until the answer is there
	CostUSD       float64          // estimate from the price table
	InferenceTime time.Duration
	Failure       *Error // of FAILED, CANCELLED and UNKNOWN
	Logs          []falclient.Log
}

// QueueTime is how long the job waited to be run, as far as it is known.
func (j Job) QueueTime() time.Duration {
	if j.Submitted.IsZero() || j.Started.IsZero() {
		return 0
	}
	return max(j.Started.Sub(j.Submitted), 0)
}

// Request is one call's wish.
type Request struct {
	Caller     string
	Endpoint   string
	Input      falclient.NemotronInput
	WebhookURL string
	// HideReasoning leaves the trace out of what is shown. Like Wait it is not
	// part of what makes two calls the same.
	HideReasoning bool
	// Wait is how long the call waits for the answer before it is handed the
	// job as it stands.
	Wait time.Duration
}

// previewLength is how much of a prompt queue_list shows, in characters.
const previewLength = 80
