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
	InputSize     int  `json:"input_bytes"` // of the prompts, files before them included
	// SentPreview is the first characters of what was sent, where files stand
	// before the prompt.
	SentPreview string `json:"sent_preview,omitempty"`
	// Attachments are the files before the prompt and the medium.
	Attachments []Attachment `json:"attachments,omitempty"`

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

// prompts are the first characters of what was sent that the row has.
func (j *Job) prompts() []string {
	var all []string
	for _, preview := range []string{j.SentPreview, j.Preview} {
		if preview != "" {
			all = append(all, preview)
		}
	}
	return all
}

// advance takes over what this process has seen of an unfinished job and not
// written down: only a new state is.
func (j *Job) advance(seen Job) {
	if j.Status.Finished() || seen.Status.Finished() {
		return
	}
	if j.Status == Submitting && seen.Status != Submitting { // its answer could not be written down
		j.RequestID, j.Submitted, j.Status = seen.RequestID, seen.Submitted, seen.Status
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

// Attachment is a file that went with a prompt: where it was and what its bytes
// were, never the bytes.
type Attachment struct {
	Field string `json:"field"` // of nemotron_generate: files, image_url, video_url or audio_url
	// Path is that of a file, as it is shown; of a URL it is the host, and of a
	// data URI it is empty.
	Path        string `json:"path,omitempty"`
	ContentType string `json:"content_type,omitempty"`
	Size        int64  `json:"size_bytes,omitempty"` // 0 where fal fetches it
	SHA256      string `json:"sha256,omitempty"`     // hex; empty where fal fetches it
}

// Request is one call's wish.
type Request struct {
	Caller     string
	Endpoint   string
	Input      falclient.NemotronInput
	WebhookURL string
	// Prompt is the caller's own words, where Input.Prompt holds files too; empty
	// where it does not.
	Prompt string
	// Attachments say what Input holds besides.
	Attachments []Attachment
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
