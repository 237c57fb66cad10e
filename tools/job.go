package tools

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"nemotron-mcp/falclient"
	"nemotron-mcp/internal/jobs"
)

// Job is the output of nemotron_generate, queue_status and queue_cancel.
type Job struct {
	Status           string    `json:"status" jsonschema:"enum=IN_QUEUE,enum=IN_PROGRESS,enum=COMPLETED,enum=FAILED,enum=CANCELLED,enum=UNKNOWN" jsonschema_description:"State."`
	RequestID        string    `json:"request_id,omitempty" jsonschema_description:"fal's id."`
	Output           string    `json:"output,omitempty" jsonschema_description:"Answer."`
	Reasoning        string    `json:"reasoning,omitempty" jsonschema_description:"Trace."`
	FinishReason     string    `json:"finish_reason,omitempty" jsonschema_description:"stop or length."`
	Usage            *Usage    `json:"usage,omitempty" jsonschema_description:"Tokens."`
	CostUSD          *float64  `json:"cost_usd,omitempty" jsonschema_description:"Estimate."`
	QueuePosition    *int      `json:"queue_position,omitempty" jsonschema_description:"Jobs ahead."`
	QueueSeconds     float64   `json:"queue_seconds,omitempty" jsonschema_description:"Queued."`
	InferenceSeconds float64   `json:"inference_seconds,omitempty" jsonschema_description:"Ran."`
	NextOffset       int       `json:"next_offset,omitempty" jsonschema_description:"Next page."`
	Error            *JobError `json:"error,omitempty" jsonschema_description:"Failure."`
	Note             string    `json:"note,omitempty" jsonschema_description:"Next step."`
}

// Usage is the tokens that a job took.
type Usage struct {
	InputTokens  int `json:"input_tokens" jsonschema_description:"In."`
	OutputTokens int `json:"output_tokens" jsonschema_description:"Out."`
}

// JobError is why a job has no answer.
type JobError struct {
	Code    string `json:"code,omitempty" jsonschema_description:"Code."`
	Message string `json:"message,omitempty" jsonschema_description:"Cause."`
}

// show masks the output before it is cut into pages, so that no page ends
// inside a secret.
func (s *service) show(j jobs.Job, offset int) Job {
	j.Output = s.secrets.String(j.Output)
	return newJob(j, offset)
}

// newJob shows a job's page from offset on.
func newJob(j jobs.Job, offset int) Job {
	out := Job{
		Status: string(shownStatus(j.Status)), RequestID: j.RequestID, FinishReason: j.FinishReason,
		QueueSeconds: seconds(j.QueueTime()), InferenceSeconds: seconds(j.InferenceTime),
		Usage: newUsage(j.Usage), CostUSD: newCost(j),
	}
	if out.Status == string(jobs.InQueue) {
		out.QueuePosition = j.QueuePosition
	}
	var notes []string
	answer := j.Output
	if j.Thinking {
		var trace string
		if trace, answer = SplitReasoning(j.Output); offset == 0 && !j.HideReasoning {
			var rest int
			if out.Reasoning, rest = jobs.Page(trace, 0); rest > 0 {
				notes = append(notes, "The reasoning is cut at 64 KiB; the answer is not.")
			}
		}
	}
	out.Output, out.NextOffset = jobs.Page(answer, offset)
	if f := j.Failure; f != nil {
		out.Error = &JobError{Code: string(f.Code), Message: f.Message}
		notes = append(notes, f.Action)
	}
	notes = append(notes, out.nextStep(offset, len(answer), j.OutputDropped)...)
	if sent := sentNote(j.Attachments); sent != "" && offset == 0 {
		notes = append(notes, sent)
	}
	out.Note = strings.Join(notes, " ")
	return out
}

// nextStep says what the caller should do with a job that has no failure.
func (o *Job) nextStep(offset, length int, dropped bool) []string {
	switch {
	case o.Status == string(jobs.InQueue) || o.Status == string(jobs.InProgress):
		return []string{"Not finished. Call queue_status with this request_id and wait_seconds (45, say) to get the answer; do not submit it again."}
	case o.NextOffset > 0:
		return []string{moreNote(o.NextOffset)}
	case dropped:
		return []string{"The output was delivered before and is not kept (the server runs with --store=metadata)."}
	case offset > 0 && offset >= length:
		return []string{fmt.Sprintf("The offset is beyond the output, which has %d bytes.", length)}
	case o.FinishReason == "length":
		return []string{"The answer was cut at max_tokens; for all of it call again with a larger one (20000 is the most), or ask for a shorter answer."}
	}
	return nil
}

func moreNote(offset int) string {
	return fmt.Sprintf("There is more: call queue_status with this request_id and offset %d.", offset)
}

// Join adds the page that begins at NextOffset, as queue_status returned it.
func (o *Job) Join(next Job) {
	before, after, _ := strings.Cut(o.Note, moreNote(o.NextOffset))
	before, after = strings.TrimSpace(before), strings.TrimSpace(after)
	// Each page of a failed job's output says what to do.
	rest := strings.TrimSpace(strings.TrimPrefix(next.Note, before))
	notes := slices.DeleteFunc([]string{before, rest, after}, func(note string) bool { return note == "" })
	o.Note = strings.Join(notes, " ")
	o.Output += next.Output
	o.NextOffset = next.NextOffset
}

// text is the answer, the reasoning, for hosts that show no structured
// content, and then one line of facts.
func (o Job) text() string { return o.textWith() }

// textWith puts more before the line of facts.
func (o Job) textWith(more ...string) string {
	var parts []string
	if o.Output != "" {
		parts = append(parts, o.Output)
	}
	if o.Reasoning != "" {
		parts = append(parts, "Reasoning before the answer:\n"+o.Reasoning)
	}
	parts = append(parts, more...)
	if o.Error != nil {
		parts = append(parts, o.Error.Code+": "+o.Error.Message)
	}
	if o.Note != "" {
		parts = append(parts, o.Note)
	}
	return strings.Join(append(parts, o.facts()), "\n\n")
}

func (o Job) facts() string {
	facts := []string{o.Status}
	if o.RequestID != "" {
		facts = append(facts, "request_id "+o.RequestID)
	}
	if o.QueuePosition != nil {
		facts = append(facts, fmt.Sprintf("queue_position %d", *o.QueuePosition))
	}
	if o.Usage != nil {
		facts = append(facts, fmt.Sprintf("%d input tokens, %d output tokens", o.Usage.InputTokens, o.Usage.OutputTokens))
	}
	if o.CostUSD != nil {
		facts = append(facts, fmt.Sprintf("about $%.6f", *o.CostUSD))
	}
	return "[" + strings.Join(facts, "; ") + "]"
}

// SplitReasoning tells the trace from the answer by the tag that ends it. The
// first one counts: a later one may be part of the answer, and nothing of an
// answer may be hidden with the trace. Without a tag all of it is the answer,
// because fal does not document that there is one.
func SplitReasoning(output string) (trace, answer string) {
	before, after, found := strings.Cut(output, "</think>")
	if !found {
		return "", output
	}
	before = strings.TrimPrefix(strings.TrimSpace(before), "<think>")
	return strings.TrimSpace(before), strings.TrimLeft(after, "\r\n")
}

func shownStatus(s jobs.Status) jobs.Status {
	if s == jobs.Submitting {
		return jobs.InQueue
	}
	return s
}

func newUsage(u *falclient.Usage) *Usage {
	if u == nil {
		return nil
	}
	return &Usage{InputTokens: u.InputTokens, OutputTokens: u.OutputTokens}
}

func newCost(j jobs.Job) *float64 {
	if j.Usage == nil {
		return nil
	}
	return &j.CostUSD
}

// seconds with milliseconds; more digits would be noise for a model.
func seconds(d time.Duration) float64 {
	return float64(d.Milliseconds()) / 1000
}
