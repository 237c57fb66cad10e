package app

import (
	"strings"
	"time"

	"nemotron-mcp/internal/jobs"
)

// watchLines writes a line for each change, for a pipe.
type watchLines struct {
	s      *session
	h      *house
	asJSON bool
}

func (v *watchLines) show(_ *board, changed []jobs.Job) error {
	for _, job := range changed {
		line, err := v.line(job)
		if err == nil {
			err = v.h.print(v.s.Out, line)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (v *watchLines) close() {}

func (v *watchLines) line(job jobs.Job) ([]byte, error) {
	if v.asJSON {
		job.Output = "" // as in a list
		return encode(job, "")
	}
	parts := []string{local(time.Now()), string(job.Status), v.h.cell(nameOf(job), 0)}
	switch {
	case job.Status.Finished():
		parts = append(parts, endWords(v.h, job))
	case job.CancelRequested:
		parts = append(parts, "cancel requested")
	case job.Status == jobs.InQueue && job.QueuePosition != nil:
		parts = append(parts, atMost(*job.QueuePosition)+" ahead")
	}
	return []byte(strings.Join(append(parts, v.h.cell(job.Preview, promptWidth)), "  ") + "\n"), nil
}
