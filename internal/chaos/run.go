package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"nemotron-mcp/falclient"
	"nemotron-mcp/internal/falsim"
	"nemotron-mcp/internal/jobs"
)

// key is that of the simulator, which takes any.
const key = "chaos-key-0123456789abcdef"

// run makes the storm, lets it come to rest and takes stock. The figures are
// those of as far as it came. No process and no file is left behind.
func run(ctx context.Context, o options) (figures string, err error) {
	ctx, stop := context.WithTimeout(ctx, o.duration)
	defer stop()
	dir, err := os.MkdirTemp("", "nemotron-chaos-")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s := &storm{o: o, dir: dir, sim: falsim.New(falsim.Script{}), calls: map[string]*told{}}
	if _, err := s.sim.Start(); err != nil {
		return "", err
	}
	defer s.sim.Close()
	defer s.killAll()
	for i := range s.slots {
		if err := s.start(&s.slots[i]); err != nil {
			return "", err
		}
	}
	began := time.Now()
	if err := s.pass(ctx); err != nil {
		return s.tally.String(), fmt.Errorf("the calls did not come to an end: %w", err)
	}
	stormed := time.Since(began)
	s.sim.SetScript(falsim.Script{}) // the troubles are over
	stock, err := s.calm(ctx, began)
	figures = fmt.Sprintf("seed              %d; %d servers; %s of storm, %s to come to rest\n%s%s",
		o.seed, servers, stormed.Round(time.Millisecond), (time.Since(began) - stormed).Round(time.Millisecond), &s.tally, stock)
	return figures, err
}

// calm waits until no job is unfinished, asks fal about the UNKNOWN ones, and
// compares.
func (s *storm) calm(ctx context.Context, began time.Time) (*stock, error) {
	ledger, err := jobs.OpenSQLite(s.dir, false, zerolog.Nop())
	if err != nil {
		return nil, err
	}
	fal, err := falclient.New(falclient.Config{Key: key, QueueURL: s.sim.QueueURL(), PlatformURL: s.sim.PlatformURL()})
	if err != nil {
		return nil, errors.Join(err, ledger.Close())
	}
	defer fal.Close()
	manager := jobs.New(fal, ledger, jobs.Options{Prices: jobs.DefaultPrices(), KnowsKey: true, OneCaller: true})
	defer func() {
		closing, done := context.WithTimeout(context.Background(), 5*time.Second)
		defer done()
		_ = manager.Close(closing)
	}()

	// The servers bring everything home by themselves.
	if err := s.settled(ctx, ledger); err != nil {
		return nil, err
	}
	found, err := manager.Reconcile(ctx, fal, began.Add(-time.Minute))
	if err != nil {
		return nil, fmt.Errorf("reconciling: %w", err)
	}
	if err := s.settled(ctx, ledger); err != nil {
		return nil, err
	}
	return s.takeStock(ctx, ledger, fal, found)
}

// settled waits until the ledger has no unfinished row. It asks, because SQLite
// tells nobody of a change.
func (s *storm) settled(ctx context.Context, ledger jobs.Ledger) error {
	for {
		open, err := ledger.List(ctx, jobs.Query{Everyone: true, State: "running", Limit: 10})
		if err != nil {
			return err
		}
		if len(open) == 0 {
			return nil
		}
		if !pause(ctx, 100*time.Millisecond) {
			var left []string
			for _, j := range open {
				left = append(left, fmt.Sprintf("%s %s %s", j.ID, j.Status, j.RequestID))
			}
			return fmt.Errorf("unfinished to the end: %s", strings.Join(left, "; "))
		}
	}
}

func (t *tally) String() string {
	return fmt.Sprintf(`calls             %d, and %d again after their server was killed
answers           %d told an answer, %d a request_id, %d a failure; %d got none; %d cancels
servers ended     %d killed, %d by the end of their input, %d by SIGTERM
`, t.calls, t.repeated, t.answered, t.handedBack, t.failed, t.lost, t.cancels, t.kills, t.hangUps, t.terminations)
}
