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

// Job is a row of the ledger. The names of its JSON are those of the ledger's
// file and of the jobs command: they stay.
type Job struct {
	ID        string `json:"id"`                   // ours, known before fal has named the job
	RequestID string `json:"request_id,omitempty"` // fal's; empty until the submission was answered
	Caller    string `json:"caller,omitempty"`     // who may see it
	Host      string `json:"host,omitempty"`       // the program that asked, as it names itself
	Endpoint  string `json:"endpoint"`             // full endpoint id
	InputHash string `json:"input_hash,omitempty"` // of everything that makes two calls the same
	SentHash  string `json:"sent_hash,omitempty"`  // of what fal is sent, defaults written out
	Preview   string `json:"preview,omitempty"`    // the prompt's first characters
	Thinking  bool   `json:"thinking,omitempty"`   // reasoning was asked for, so the output may begin with a trace
	// HideReasoning is the wish of the call that asked last.
	HideReasoning bool `json:"hide_reasoning,omitempty"`
	InputSize     int  `json:"input_bytes"` // of the prompts

	Status          Status `json:"status"`
	QueuePosition   *int   `json:"queue_position,omitempty"`
	CancelRequested bool   `json:"cancel_requested,omitempty"`
	Delivered       bool   `json:"delivered"`                // an end was written to the host
	OutputDropped   bool   `json:"output_dropped,omitempty"` // after it was delivered, as the operator wants

	Created   time.Time `json:"created"`
	Submitted time.Time `json:"submitted,omitzero"` // when fal had taken it
	Started   time.Time `json:"started,omitzero"`   // when it was first seen running
	Ended     time.Time `json:"ended,omitzero"`

	Output       string           `json:"output,omitempty"` // the whole answer, the reasoning included
	FinishReason string           `json:"finish_reason,omitempty"`
	Usage        *falclient.Usage `json:"usage,omitempty"` // nil until the answer is there
	CostUSD      float64          `json:"cost_usd"`        // estimate from the price table
	// CountedUSD is what the job counts against the day's cap: the worst case
	// until its cost is known, and nothing where fal does not bill it.
	CountedUSD    float64         `json:"counted_usd"`
	InferenceTime time.Duration   `json:"inference_nanoseconds,omitempty"`
	Failure       *Error          `json:"failure,omitempty"` // of FAILED, CANCELLED and UNKNOWN
	Logs          []falclient.Log `json:"logs,omitempty"`

	// WaitedBy is the process in which a call waits for the job, empty where none
	// does. The ledger sets it for a new row and for one that a call attaches to.
	WaitedBy string `json:"waited_by,omitempty"`
}

// advance takes over what this process has seen of an unfinished job and not
// written down: only a new state is.
func (j *Job) advance(seen Job) {
	if j.Status.Finished() || seen.Status.Finished() {
		return
	}
	if j.Status == InQueue && seen.Status == InProgress {
		j.Status = InProgress
	}
	if j.Started.IsZero() {
		j.Started = seen.Started
	}
	j.QueuePosition = seen.QueuePosition
	j.InferenceTime = max(j.InferenceTime, seen.InferenceTime)
	if len(seen.Logs) >= len(j.Logs) {
		j.Logs = seen.Logs
	}
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
	// Host is the program that asks, as it names itself.
	Host string
}

// previewLength is how much of a prompt queue_list shows, in characters.
const previewLength = 80
