package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"

	"nemotron-mcp/falclient"
	"nemotron-mcp/internal/falsim"
	"nemotron-mcp/internal/jobs"
)

// ledger measures what the ledger's file adds to a call, in turn with a server
// that keeps it in memory, and what 10,000 rows in it do to the start and to
// queue_list.
func (b *bench) ledger() error {
	b.sim.Reset()
	b.sim.SetScript(falsim.Script{Output: "done"})
	defer func() { b.store = "" }()
	peers := map[string]*peer{}
	for _, store := range []string{"full", "memory"} {
		b.store = store
		p, err := b.server()
		if err != nil {
			return err
		}
		defer p.kill()
		if err := p.handshake(); err != nil {
			return err
		}
		peers[store] = p
	}
	took := map[string][]time.Duration{}
	for i := range b.times(1000) + 10 {
		for store, p := range peers {
			began := time.Now()
			if err := p.generate(fmt.Sprintf("ledger %d", i)); err != nil {
				return err
			}
			if i >= 10 { // connections, the file
				took[store] = append(took[store], time.Since(began))
			}
		}
	}
	added := ms(median(took["full"]) - median(took["memory"]))
	fmt.Printf("a call                    median %6.2f ms   with the ledger in memory %.2f ms   the file adds %.2f ms (goal 1)\n",
		ms(median(took["full"])), ms(median(took["memory"])), added)
	warn(atMost("what the ledger's file adds to a call", added, 1, " ms"))
	return b.manyRows()
}

const manyRows = 10_000

func (b *bench) manyRows() error {
	b.store = ""
	empty, _, err := medianStart(b)
	if err != nil {
		return err
	}
	b.state = filepath.Join(b.state, "many")
	if err := fill(filepath.Join(b.state, "ledger")); err != nil {
		return err
	}
	full, lists, err := medianStart(b)
	if err != nil {
		return err
	}
	fmt.Printf("with %d rows          start to tools/list %6.1f ms (%.1f with few)   first queue_list %.1f ms, then median %.1f ms p95 %.1f ms\n",
		manyRows, ms(full), ms(empty), ms(lists[0]), ms(median(lists[1:])), ms(percentile(lists[1:], 95)))
	warn(
		atMost("start with many rows, as a ratio to few", float64(full)/float64(empty), 1.3, ""),
		atMost("queue_list at p95", ms(percentile(lists[1:], 95)), 50, " ms"),
	)
	return nil
}

// medianStart also returns how long queue_list took, the first one first.
func medianStart(b *bench) (start time.Duration, lists []time.Duration, err error) {
	var starts []time.Duration
	for range b.times(20) {
		took, _, err := toToolsList(b.server)
		if err != nil {
			return 0, nil, err
		}
		starts = append(starts, took)
	}
	p, err := b.server()
	if err != nil {
		return 0, nil, err
	}
	defer p.kill()
	if err := p.handshake(); err != nil {
		return 0, nil, err
	}
	for range b.times(100) {
		began := time.Now()
		if _, err := p.call("queue_list", map[string]any{}); err != nil {
			return 0, nil, err
		}
		lists = append(lists, time.Since(began))
	}
	return median(starts), lists, nil
}

// fill writes rows as a month of work leaves them.
func fill(dir string) error {
	ledger, err := jobs.OpenSQLite(dir, false, zerolog.Nop())
	if err != nil {
		return err
	}
	now := time.Now()
	for i := range manyRows {
		at := now.Add(-time.Duration(manyRows-i) * 4 * time.Minute)
		row := jobs.Job{
			ID: uuid.Must(uuid.NewV7()).String(), RequestID: uuid.NewString(), Host: "bench", Endpoint: falclient.Nemotron,
			InputHash: fmt.Sprintf("%064d", i), SentHash: fmt.Sprintf("%064d", i), Preview: fmt.Sprintf("row %d of many that a month has left behind", i),
			Status: jobs.Completed, Delivered: true, Created: at, Submitted: at, Started: at, Ended: at,
			Output: string(make([]byte, 2000)), FinishReason: "stop",
			Usage: &falclient.Usage{InputTokens: 500, OutputTokens: 400}, CostUSD: 0.009, CountedUSD: 0.009,
		}
		if err := ledger.Insert(context.Background(), row, jobs.DayCaps{}); err != nil {
			return errors.Join(err, ledger.Close())
		}
	}
	return ledger.Close()
}
