package app

import (
	"strings"
	"testing"
	"time"

	"nemotron-mcp/falclient"
	"nemotron-mcp/internal/jobs"
)

// screen is a terminal that knows no escape sequence: what it shows, by line.
type screen struct {
	lines  [][]byte
	column int
}

func (s *screen) Write(b []byte) (int, error) {
	for _, c := range b {
		if s.lines == nil {
			s.lines = [][]byte{nil}
		}
		last := len(s.lines) - 1
		switch c {
		case '\r':
			s.column = 0
		case '\b':
			s.column = max(s.column-1, 0)
		case '\n':
			s.lines, s.column = append(s.lines, nil), 0
		default:
			for len(s.lines[last]) <= s.column {
				s.lines[last] = append(s.lines[last], ' ')
			}
			s.lines[last][s.column] = c
			s.column++
		}
	}
	return len(b), nil
}

func (s *screen) String() string {
	var all []string
	for _, line := range s.lines {
		all = append(all, strings.TrimRight(string(line), " "))
	}
	return strings.Join(all, "|")
}

func place(n int) *int { return &n }

// TestProgressLine: what the terminal shows after each thing that happens.
func TestProgressLine(t *testing.T) {
	t.Parallel()
	ago := func(d time.Duration) time.Time { return time.Now().Add(-d) }
	var terminal screen
	p := &progressLine{w: &terminal, inLine: true, width: func() int { return 40 }}
	steps := []struct {
		name string
		do   func()
		want string
	}{
		{"nothing before it begins", func() { p.job(jobs.Job{Status: jobs.Submitting}); p.last = jobs.Job{} }, ""},
		{"it begins", p.begin, "asking fal"},
		{"an upload", func() { p.upload(0, 4000); p.upload(1000, 4000); p.show() }, "uploading [#####...............] 1.0 kB"},
		{"a submission", func() { p.job(jobs.Job{Status: jobs.Submitting}) }, "submitting"},
		{"a place in the queue", func() {
			p.job(jobs.Job{Status: jobs.InQueue, QueuePosition: place(12), Submitted: ago(10 * time.Second)})
		}, "queued, 12 ahead, 10 s"},
		{"a log line", func() { _, _ = p.Write([]byte("a warning\n")) }, "a warning|queued, 12 ahead, 10 s"},
		{"Ctrl-C is echoed", func() { _, _ = terminal.Write([]byte("^C")) }, "a warning|queued, 12 ahead, 10 s^C"},
		{"a shorter text", func() { p.say("cancelling") }, "a warning|cancelling"},
		{"it ends", p.close, "a warning|"},
		{"and nothing comes after", func() { p.job(jobs.Job{Status: jobs.InProgress}); p.close() }, "a warning|"},
		{"the result", func() { _, _ = p.Write([]byte("done\n")) }, "a warning|done|"},
	}
	for _, step := range steps {
		step.do()
		if got := terminal.String(); got != step.want {
			t.Errorf("%s: the terminal shows %q, want %q", step.name, got, step.want)
		}
	}
}

// TestProgressWords: the seconds go on by themselves where the line can be drawn
// again.
func TestProgressWords(t *testing.T) {
	t.Parallel()
	now := time.Now()
	cases := []struct {
		name  string
		line  *progressLine
		words string
	}{
		{"running", &progressLine{inLine: true, last: jobs.Job{Status: jobs.InProgress, Started: now.Add(-time.Minute)}}, "running, 60 s"},
		{"running, by a clock that was set back", &progressLine{inLine: true, last: jobs.Job{Status: jobs.InProgress, Started: now.Add(time.Minute)}}, "running, 0 s"},
		{"running, in lines", &progressLine{lines: true, last: jobs.Job{Status: jobs.InProgress, Started: now.Add(-time.Minute)}}, "running"},
		{"queued, place not known", &progressLine{inLine: true, last: jobs.Job{Status: jobs.InQueue, Submitted: now.Add(-time.Second)}}, "queued, 1 s"},
		{"upload of a size that is not known", &progressLine{inLine: true, sent: 5}, "uploading, 5 bytes"},
		{"whole upload", &progressLine{inLine: true, sent: 9, total: 9}, "uploading [####################] 9 bytes of 9 bytes"},
		{"upload, in lines", &progressLine{lines: true, sent: 5, total: 9}, "uploading"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := c.line.text(now); got != c.words {
				t.Errorf("%q, want %q", got, c.words)
			}
		})
	}
}

// TestOutcomeWords: what a person is told who pressed Ctrl-C.
func TestOutcomeWords(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name    string
		job     jobs.Job
		outcome falclient.CancelOutcome
		err     error
		want    []string
	}{
		{
			"completed",
			jobs.Job{Status: jobs.Completed, RequestID: "r", CostUSD: 0.5},
			falclient.CancelTooLate, nil,
			[]string{"had completed", "$0.500000", "jobs show r"},
		},
		{
			"never sent",
			jobs.Job{Status: jobs.Cancelled, Failure: &jobs.Error{Message: "Cancelled before it was submitted; nothing is billed."}},
			"", nil,
			[]string{"Cancelled before it was submitted; nothing is billed."},
		},
		{
			"lost",
			jobs.Job{Status: jobs.Unknown, CountedUSD: 0.25, Failure: &jobs.Error{Message: "Nobody knows.", Action: "Look."}},
			"", nil,
			[]string{"Nobody knows.\nLook.", "counts as $0.250000"},
		},
		{
			"not answered",
			jobs.Job{Status: jobs.Submitting, CountedUSD: 0.25},
			"", nil,
			[]string{"still to answer the submission", "counts as $0.250000", "jobs reconcile"},
		},
		{
			"refused",
			jobs.Job{Status: jobs.InProgress, RequestID: "r"},
			"", &jobs.Error{Code: jobs.AuthFailed, Message: "no"},
			[]string{"was not accepted", "AUTH_FAILED: no", "jobs cancel r"},
		},
		{
			"not known",
			jobs.Job{Status: jobs.InQueue, RequestID: "r"},
			falclient.CancelRequestUnknown, nil,
			[]string{"does not know this request", "request_id=r "},
		},
		{
			"ended, and still to be read",
			jobs.Job{Status: jobs.InProgress, RequestID: "r"},
			falclient.CancelTooLate, nil,
			[]string{"had ended before", "request_id=r "},
		},
		{
			"asked while it was running",
			jobs.Job{Status: jobs.InProgress, RequestID: "r", CountedUSD: 0.25},
			falclient.CancelRequested, nil,
			[]string{"may still complete and be billed", "counts as $0.250000", "request_id=r "},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := outcomeWords(c.job, c.outcome, c.err)
			for _, want := range c.want {
				if !strings.Contains(got, want) {
					t.Errorf("%q lacks %q", got, want)
				}
			}
			if c.job.CountedUSD == 0 && strings.Contains(got, "counts as") {
				t.Errorf("%q counts nothing", got)
			}
		})
	}
}
