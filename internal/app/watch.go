package app

import (
	"errors"
	"fmt"
	"time"

	"github.com/rs/zerolog"

	"nemotron-mcp/internal/jobs"
)

type jobsWatchCommand struct {
	ID   string `arg:"" optional:"" help:"The request_id, or the ledger's own id, of the one job to watch until it ends."`
	JSON bool   `name:"json" help:"Print a row as JSON, one a line, for each change of a job, on a terminal too."`
}

// redrawTime is how often the ledger is looked at for a terminal, lookTime for a
// pipe.
const (
	redrawTime = time.Second
	lookTime   = 250 * time.Millisecond
)

// Run shows the jobs of all callers until it is interrupted, or one job until it
// ends.
func (c *jobsWatchCommand) Run(s *session) error {
	empty := func() error { return nil }
	if c.ID != "" {
		empty = noSuchJob
	}
	size, onTerminal := terminalSize(s.Out)
	if c.JSON || !onTerminal {
		return s.onLedgerAs(s.watchedLedger, empty, func(h *house) error {
			return c.watch(s, h, lookTime, &watchLines{s: s, h: h, asJSON: c.JSON})
		})
	}
	logs := s.holdLog()
	defer logs.release()
	return s.onLedgerAs(s.watchedLedger, empty, func(h *house) error {
		screen := &watchScreen{s: s, h: h, size: size, one: c.ID != ""}
		defer logs.release() // the screen is closed by then
		defer screen.close()
		return c.watch(s, h, redrawTime, screen)
	})
}

// watchedLedger opens the ledger. Without a key the jobs of dead processes are
// left to one that has one.
func (s *session) watchedLedger(log zerolog.Logger) (jobs.Ledger, error) {
	ledger, err := s.opts.ledgerOnDisk(log)
	if err != nil {
		return nil, err
	}
	if key, err := s.opts.key(); err != nil || key == "" || !usableKey(key) {
		log.Warn().Msg("no usable fal key is configured: a job that no server follows any more stays as it was last seen")
	}
	return ledger, nil
}

// watchView is where the news go.
type watchView interface {
	// show is called after each look at the ledger with the jobs that have changed
	// since the one before.
	show(b *board, changed []jobs.Job) error
	// close comes after the last show, before anything else is written.
	close()
}

func (c *jobsWatchCommand) watch(s *session, h *house, every time.Duration, view watchView) error {
	b := newBoard(h.jobs, time.Now())
	if c.ID != "" {
		job, err := find(s.ctx, h, c.ID)
		if err != nil {
			return err
		}
		b.only = &job
	}
	ticks := time.NewTicker(every)
	defer ticks.Stop()
	for {
		changed, err := b.look(s.ctx)
		if err == nil {
			err = view.show(b, changed)
		}
		switch {
		case err == nil && b.only != nil && b.only.Status.Finished():
			view.close()
			return c.outcome(s, h, *b.only)
		case s.ctx.Err() != nil:
			return c.interrupted(b)
		case err != nil:
			return err
		}
		select {
		case <-s.ctx.Done():
			return c.interrupted(b)
		case <-ticks.C:
		}
	}
}

// interrupted is the ordinary end, but not for who waits for one job.
func (c *jobsWatchCommand) interrupted(b *board) error {
	if b.only == nil {
		return nil
	}
	return fmt.Errorf("interrupted: the job goes on and was %s when last seen", shown(*b.only).Status)
}

// outcome says how the one job ended; an error is for one that did not complete.
func (c *jobsWatchCommand) outcome(s *session, h *house, job jobs.Job) error {
	if job.Status == jobs.Completed {
		if c.JSON {
			return nil
		}
		return h.print(s.Out, fmt.Appendf(nil, "Completed: %s. 'nemotron-mcp jobs show %s' prints the answer.\n",
			endWords(h, job), h.cell(nameOf(job), 0)))
	}
	if c.JSON {
		return errReported
	}
	words := fmt.Sprintf("the job ended as %s: %s", job.Status, endWords(h, job))
	if job.Failure != nil && job.Failure.Action != "" {
		words += "\n" + h.cell(job.Failure.Action, 0)
	}
	return errors.New(words)
}

// endWords say what came of a job that has ended.
func endWords(h *house, job jobs.Job) string {
	switch {
	case job.Failure != nil:
		return h.cell(job.Failure.Error(), 0)
	case job.Usage != nil:
		return fmt.Sprintf("%d tokens in, %d out, about %s", job.Usage.InputTokens, job.Usage.OutputTokens, dollars(job.CostUSD))
	}
	return "no more is known"
}
