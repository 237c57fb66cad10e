package falsim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"
)

// Script says how the simulator treats submissions. The zero value is an
// instant, healthy fal that accepts any non-empty key. In JSON the names are
// snake_case and durations are Go's ("50ms"); unknown fields are refused.
type Script struct {
	// QueueDelay is how long a job waits IN_QUEUE.
	QueueDelay time.Duration `json:"queue_delay,omitempty"`
	// RunTime is how long a job stays IN_PROGRESS.
	RunTime time.Duration `json:"run_time,omitempty"`
	// QueuePositions are told one after the other, each for an equal share of
	// QueueDelay. Empty means position 0 throughout.
	QueuePositions []int `json:"queue_positions,omitempty"`
	// TokensPerSecond, when above 0, replaces RunTime by output tokens / rate.
	TokensPerSecond float64 `json:"tokens_per_second,omitempty"`

	// Output is the answer's text; empty gives a text that says plainly that it
	// is simulated and quotes the prompt's first words.
	Output string `json:"output,omitempty"`
	// OutputTokens, when above 0, repeats the answer's text until it has that
	// many tokens (max_tokens still cuts it).
	OutputTokens int `json:"output_tokens,omitempty"`
	// Reasoning is the trace put before "</think>" and the answer when the input
	// has reasoning_mode=think; empty gives a simulated one.
	Reasoning string `json:"reasoning,omitempty"`
	// FinishReason replaces "stop"; an answer cut by max_tokens ends with
	// "length" all the same.
	FinishReason string `json:"finish_reason,omitempty"`
	// Usage replaces the estimate of 1 token per 4 bytes, rounded up.
	Usage *Usage `json:"usage,omitempty"`
	// Logs are written by the job while it runs.
	Logs []Log `json:"logs,omitempty"`

	// Key is the only key accepted; empty accepts any non-empty key.
	Key string `json:"key,omitempty"`
	// Locked answers every submission and every initiation of an upload with fal's
	// 403 for an exhausted balance, and says so where it is asked about the account.
	Locked bool `json:"locked,omitempty"`
	// Retention is how long a completed job can be read. 0 means fal's: 1 hour,
	// or 6 minutes where the result has 10 KiB or more.
	Retention time.Duration `json:"retention,omitempty"`
	// IgnoreCancel makes the runner finish a running job although a
	// cancellation was requested.
	IgnoreCancel bool `json:"ignore_cancel,omitempty"`
	// DiscardUploads counts uploaded bytes and neither keeps nor hashes them, but
	// for the first few, which tell a file's kind.
	DiscardUploads bool `json:"discard_uploads,omitempty"`
	// MaxKeptUpload is the largest file, in bytes, that is kept for reading; of a
	// larger one only size and sha256 are. 0 means what all files together may
	// take, 64 MiB.
	MaxKeptUpload int64 `json:"max_kept_upload,omitempty"`
	// HistoryDelay passes before an accepted submission appears in the request
	// history.
	HistoryDelay time.Duration `json:"history_delay,omitempty"`
	// DiscardPayloads is payload storage turned off for the account: the history
	// has neither inputs nor outputs, but for submissions with X-Fal-Store-IO: 1.
	DiscardPayloads bool `json:"discard_payloads,omitempty"`

	// Faults are tried in order; the first that matches a request is played.
	Faults []Fault `json:"faults,omitempty"`
}

// Usage is what the result reports as used, in tokens.
type Usage struct {
	InputTokens  int `json:"input_tokens"`
	OutputTokens int `json:"output_tokens"`
}

// Log is one line that the job writes At after it started to run. A line due
// after the job's end is written at its end.
type Log struct {
	Message string        `json:"message"`
	Level   string        `json:"level,omitempty"`
	At      time.Duration `json:"at,omitempty"`
}

// duration is a time.Duration that is a Go duration string in JSON.
type duration time.Duration

func (d duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

func (d *duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	*d = duration(v)
	return err
}

// The JSON twins shadow the duration fields of the embedded struct, so that Go
// callers keep plain time.Duration values.
type (
	plainScript Script
	plainLog    Log
	plainFault  Fault

	scriptJSON struct {
		*plainScript
		QueueDelay   duration `json:"queue_delay,omitempty"`
		RunTime      duration `json:"run_time,omitempty"`
		Retention    duration `json:"retention,omitempty"`
		HistoryDelay duration `json:"history_delay,omitempty"`
	}
	logJSON struct {
		*plainLog
		At duration `json:"at,omitempty"`
	}
	faultJSON struct {
		*plainFault
		Delay    duration `json:"delay,omitempty"`
		Interval duration `json:"interval,omitempty"`
		Hold     duration `json:"hold,omitempty"`
	}
)

// MarshalJSON writes durations as Go duration strings.
func (s Script) MarshalJSON() ([]byte, error) {
	p := plainScript(s)
	return json.Marshal(scriptJSON{
		&p, duration(s.QueueDelay), duration(s.RunTime), duration(s.Retention), duration(s.HistoryDelay),
	})
}

// UnmarshalJSON reads a script and refuses unknown fields. It does not validate:
// see [Script.Validate].
func (s *Script) UnmarshalJSON(b []byte) error {
	var p plainScript
	j := scriptJSON{plainScript: &p}
	if err := strictJSON(b, &j); err != nil {
		return err
	}
	p.QueueDelay, p.RunTime = time.Duration(j.QueueDelay), time.Duration(j.RunTime)
	p.Retention, p.HistoryDelay = time.Duration(j.Retention), time.Duration(j.HistoryDelay)
	*s = Script(p)
	return nil
}

// MarshalJSON writes durations as Go duration strings.
func (l Log) MarshalJSON() ([]byte, error) {
	p := plainLog(l)
	return json.Marshal(logJSON{&p, duration(l.At)})
}

// UnmarshalJSON refuses unknown fields.
func (l *Log) UnmarshalJSON(b []byte) error {
	var p plainLog
	j := logJSON{plainLog: &p}
	if err := strictJSON(b, &j); err != nil {
		return err
	}
	p.At = time.Duration(j.At)
	*l = Log(p)
	return nil
}

// MarshalJSON writes durations as Go duration strings.
func (f Fault) MarshalJSON() ([]byte, error) {
	p := plainFault(f)
	return json.Marshal(faultJSON{&p, duration(f.Delay), duration(f.Interval), duration(f.Hold)})
}

// UnmarshalJSON refuses unknown fields.
func (f *Fault) UnmarshalJSON(b []byte) error {
	var p plainFault
	j := faultJSON{plainFault: &p}
	if err := strictJSON(b, &j); err != nil {
		return err
	}
	p.Delay, p.Interval, p.Hold = time.Duration(j.Delay), time.Duration(j.Interval), time.Duration(j.Hold)
	*f = Fault(p)
	return nil
}

func strictJSON(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("falsim: data after the script")
	}
	return nil
}

// Validate reports everything in the script that could never work: negative
// durations, unknown steps and kinds, kinds that don't belong to their step.
func (s Script) Validate() error {
	var errs []error
	if s.QueueDelay < 0 || s.RunTime < 0 || s.Retention < 0 || s.HistoryDelay < 0 {
		errs = append(errs, errors.New("falsim: a duration is negative"))
	}
	if s.TokensPerSecond < 0 || s.OutputTokens < 0 {
		errs = append(errs, errors.New("falsim: tokens_per_second and output_tokens must be 0 or more"))
	}
	if s.MaxKeptUpload < 0 {
		errs = append(errs, errors.New("falsim: max_kept_upload must be 0 or more"))
	}
	if s.OutputTokens > maxOutputTokens {
		errs = append(errs, fmt.Errorf("falsim: output_tokens must be at most %d", maxOutputTokens))
	}
	for i, l := range s.Logs {
		if l.At < 0 {
			errs = append(errs, fmt.Errorf("falsim: logs[%d]: at is negative", i))
		}
	}
	for i, f := range s.Faults {
		if err := f.validate(); err != nil {
			errs = append(errs, fmt.Errorf("falsim: faults[%d]: %w", i, err))
		}
	}
	return errors.Join(errs...)
}

// plan is a script in use: its own copy, with the faults' counters.
type plan struct {
	Script
	hits []int
}

func newPlan(s Script) (*plan, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	s.QueuePositions = slices.Clone(s.QueuePositions)
	s.Logs = slices.Clone(s.Logs)
	slices.SortStableFunc(s.Logs, func(a, b Log) int { return int(a.At - b.At) })
	s.Faults = slices.Clone(s.Faults)
	for i := range s.Faults {
		s.Faults[i].Headers = maps.Clone(s.Faults[i].Headers)
	}
	return &plan{Script: s, hits: make([]int, len(s.Faults))}, nil
}
