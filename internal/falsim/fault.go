package falsim

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Step names what a request asks for.
type Step string

// The steps of a request's life. StepJob is not a request: its faults are drawn
// when a submission is accepted and change how the job itself goes.
const (
	StepSubmit            Step = "submit"
	StepStatus            Step = "status"
	StepStream            Step = "stream"
	StepResult            Step = "result"
	StepCancel            Step = "cancel"
	StepInitiate          Step = "initiate"
	StepPut               Step = "put"
	StepInitiateMultipart Step = "initiate_multipart"
	StepPart              Step = "part"
	StepComplete          Step = "complete"
	StepFile              Step = "file"
	StepHistory           Step = "history" // of the platform API, as are the prices
	StepPrices            Step = "prices"
	StepAccount           Step = "account"
	StepJob               Step = "job"
)

const (
	stepAdmin Step = "admin"
	stepOther Step = "other"
)

// Kind names what goes wrong.
type Kind string

// Faults of any request. Those that replace the answer leave the step undone
// unless Fault.Accept is set; those marked "own answer" do the step and spoil
// the way its answer travels.
const (
	// Respond answers Status (default 500), Headers and Body.
	Respond Kind = "respond"
	// Delay waits Fault.Delay, then goes on as usual (own answer). With Accept
	// the step takes effect before the wait.
	Delay Kind = "delay"
	// Hang reads the request and never answers, until the client leaves or the
	// server closes.
	Hang Kind = "hang"
	// ResetAfterRead reads the whole request and resets the connection.
	ResetAfterRead Kind = "reset_after_read"
	// CloseAfterAccept reads the request and closes the connection in good
	// order, without an answer.
	CloseAfterAccept Kind = "close_after_accept"
	// TruncateBody announces the whole answer and sends half of it, or Bytes
	// bytes (own answer).
	TruncateBody Kind = "truncate_body"
	// EmptyBody answers Status (default 200) with no body.
	EmptyBody Kind = "empty_body"
	// NullBody answers Status (default 200) with the JSON null.
	NullBody Kind = "null_body"
	// SlowBody sends the answer one byte per Interval (own answer).
	SlowBody Kind = "slow_body"
	// GzipBomb answers 200 with a gzipped body of Bytes bytes (default 1 GiB) of
	// JSON white space; about 1 KB travels per MiB.
	GzipBomb Kind = "gzip_bomb"
	// HugeBody answers 200 with an endless JSON string of Bytes bytes (default
	// 1 GiB).
	HugeBody Kind = "huge_body"
)

// Faults of the stream step. Unless said otherwise each acts when the event that
// follows the first After events is due.
const (
	// BreakEvent sends half of the next event and resets the connection.
	BreakEvent Kind = "break"
	// SplitEvent sends every event from then on in Pieces writes (default 3),
	// Interval apart.
	SplitEvent Kind = "split"
	// Silent sends nothing after the first After events, not even pings, until
	// the client leaves.
	Silent Kind = "silent"
	// EndEarly ends the stream in good order in place of the next event.
	EndEarly Kind = "end"
	// LongLine sends an additional, valid event of Bytes bytes (default 1 MiB).
	LongLine Kind = "long_line"
	// HoldOpen keeps the stream open for Hold after the COMPLETED event.
	HoldOpen Kind = "hold_open"
	// Garbage sends an additional event that is not JSON.
	Garbage Kind = "garbage"
	// UnknownStatus sends an additional event with a status word that fal does
	// not document; on the status step it replaces the answer's status word.
	UnknownStatus Kind = "unknown_status"
)

// Faults of the job step.
const (
	// Fail ends the job without an output. Error and ErrorType are told on
	// status when set; the result answers Status with Body (default: fal's error
	// body made of Error and ErrorType, with the status of ErrorType or 500).
	Fail Kind = "fail"
	// Stuck never lets the job leave the queue.
	Stuck Kind = "stuck"
)

// Fault is one thing that goes wrong, and when.
type Fault struct {
	Step Step `json:"step"`
	// Kind may be left out: Respond where Status is set, else Delay.
	Kind Kind `json:"kind,omitempty"`

	// Nth is the first matching request that is hit, from 1 (default 1), and
	// Times how many are hit from then on (default 0: all).
	Nth   int `json:"nth,omitempty"`
	Times int `json:"times,omitempty"`
	// PerJob counts each job's requests apart.
	PerJob bool `json:"per_job,omitempty"`
	// RequestID and PromptContains limit the fault to one job, or to jobs with
	// that text in their prompt.
	RequestID      string `json:"request_id,omitempty"`
	PromptContains string `json:"prompt_contains,omitempty"`

	// Accept lets the step take effect (a submission is accepted, billed and
	// run; a cancel cancels; an upload is stored) before its answer is lost.
	Accept bool `json:"accept,omitempty"`
	// Delay passes before the fault acts.
	Delay time.Duration `json:"delay,omitempty"`

	Status    int               `json:"status,omitempty"`
	Headers   map[string]string `json:"headers,omitempty"`
	Body      string            `json:"body,omitempty"`
	Error     string            `json:"error,omitempty"`
	ErrorType string            `json:"error_type,omitempty"`

	Bytes    int64         `json:"bytes,omitempty"`
	Interval time.Duration `json:"interval,omitempty"`
	After    int           `json:"after,omitempty"`
	Pieces   int           `json:"pieces,omitempty"`
	Hold     time.Duration `json:"hold,omitempty"`
}

func (f Fault) kind() Kind {
	if f.Kind != "" {
		return f.Kind
	}
	if f.Step == StepJob {
		return Fail
	}
	if f.Status != 0 {
		return Respond
	}
	return Delay
}

func (f Fault) validate() error {
	if f.Nth < 0 || f.Times < 0 || f.Bytes < 0 || f.After < 0 || f.Pieces < 0 ||
		f.Delay < 0 || f.Interval < 0 || f.Hold < 0 {
		return errors.New("a number or a duration is negative")
	}
	if f.Status != 0 && (f.Status < 200 || f.Status > 599) {
		return fmt.Errorf("status %d is not within 200 and 599", f.Status)
	}
	switch f.Step {
	case StepSubmit, StepStatus, StepStream, StepResult, StepCancel, StepInitiate, StepPut,
		StepInitiateMultipart, StepPart, StepComplete, StepFile, StepHistory, StepPrices, StepAccount, StepJob:
	default:
		return fmt.Errorf("unknown step %q", f.Step)
	}
	if !f.fits() {
		return fmt.Errorf("kind %q does not exist or does not belong to step %q", f.kind(), f.Step)
	}
	return nil
}

func (f Fault) fits() bool {
	k := f.kind()
	switch k {
	case Fail, Stuck:
		return f.Step == StepJob
	case UnknownStatus:
		return f.Step == StepStream || f.Step == StepStatus
	case TruncateBody, SlowBody:
		return f.Step != StepStream && f.Step != StepJob
	case Respond, Delay, Hang, ResetAfterRead, CloseAfterAccept, EmptyBody, NullBody, GzipBomb, HugeBody:
		return f.Step != StepJob
	}
	return f.Step == StepStream && k.ofStream()
}

// ofStream tells the kinds that spoil a stream that is otherwise served.
func (k Kind) ofStream() bool {
	switch k {
	case BreakEvent, SplitEvent, Silent, EndEarly, LongLine, HoldOpen, Garbage, UnknownStatus:
		return true
	}
	return false
}

// draw returns the fault that hits this request, or nil. It counts, so it is
// called once per request, with the server's lock held.
func (p *plan) draw(step Step, j *job, prompt string) *Fault {
	for i := range p.Faults {
		f := &p.Faults[i]
		if f.Step != step || !f.matches(j, prompt) {
			continue
		}
		hits := p.hits
		if f.PerJob && j != nil {
			hits = j.hitsOf(p)
		}
		hits[i]++
		first := max(f.Nth, 1)
		if hits[i] < first || (f.Times > 0 && hits[i] >= first+f.Times) {
			continue
		}
		return f
	}
	return nil
}

func (f *Fault) matches(j *job, prompt string) bool {
	if f.RequestID != "" && (j == nil || j.id != f.RequestID) {
		return false
	}
	return strings.Contains(prompt, f.PromptContains)
}
