package jobs

import (
	"testing"
	"time"
)

func TestQueueTime(t *testing.T) {
	t.Parallel()
	at := time.Unix(1000, 0)
	for _, tc := range []struct {
		name               string
		submitted, started time.Time
		want               time.Duration
	}{
		{"known", at, at.Add(time.Minute), time.Minute},
		{"not submitted", time.Time{}, at, 0},
		{"not started", at, time.Time{}, 0},
		// A start is reckoned back from fal's inference time, which may not fit.
		{"started before it was submitted", at, at.Add(-time.Minute), 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if got := (Job{Submitted: tc.submitted, Started: tc.started}).QueueTime(); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

func TestFinished(t *testing.T) {
	t.Parallel()
	for s, want := range map[Status]bool{
		Submitting: false, InQueue: false, InProgress: false, Completed: true, Failed: true, Cancelled: true, Unknown: true, "NEW_WORD": false,
	} {
		if s.Finished() != want {
			t.Errorf("%s: %v", s, !want)
		}
	}
}
