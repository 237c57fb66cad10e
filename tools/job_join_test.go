package tools

import (
	"strings"
	"testing"

	"nemotron-mcp/internal/jobs"
)

// TestJoin: the pages of an output, joined, are what one page of it would be.
func TestJoin(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a line of the answer\n", 4*jobs.PageSize/20)
	cases := []struct {
		name string
		job  jobs.Job
		note string
	}{
		{"complete", jobs.Job{Status: jobs.Completed, Output: long}, ""},
		{
			"cut at max_tokens",
			jobs.Job{Status: jobs.Completed, Output: long, FinishReason: "length"},
			"The answer was cut at max_tokens; for all of it call again with a larger one (20000 is the most), or ask for a shorter answer.",
		},
		{
			"with a file",
			jobs.Job{Status: jobs.Completed, Output: long, Attachments: []jobs.Attachment{{Field: "files", Path: "a  b.txt", Size: 4}}},
			"Sent with the prompt: 1 file: a  b.txt (4 bytes, about 1 token).",
		},
		{
			"that can't be read",
			jobs.Job{Status: jobs.Failed, Output: long, Failure: &jobs.Error{Code: jobs.UpstreamInvalid, Action: "Read it yourself."}},
			"Read it yourself.",
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			joined, pages := newJob(c.job, 0), 1
			for ; joined.NextOffset > 0; pages++ {
				joined.Join(newJob(c.job, joined.NextOffset))
			}
			if pages < 4 || joined.Output != long {
				t.Errorf("%d pages of %d bytes, want %d", pages, len(joined.Output), len(long))
			}
			if joined.Note != c.note {
				t.Errorf("note %q, want %q", joined.Note, c.note)
			}
		})
	}
}
