// Command bench measures a built nemotron-mcp against fal's simulator on
// loopback, and against a bare Go program that does the same work with no
// promise kept. Figures that compare come out of one run, in turn, as medians
// and ratios, because machines are noisy.
//
//	go run ./internal/bench [-binary bin/nemotron-mcp] [-quick] [start notice rate flight ledger upload http]
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"nemotron-mcp/internal/falsim"
)

func main() {
	if len(os.Args) == 2 && baselines[os.Args[1]] != nil {
		if err := baselines[os.Args[1]](); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	binary := flag.String("binary", "bin/nemotron-mcp", "the built server")
	quick := flag.Bool("quick", false, "few repetitions: does it run, not how fast")
	flag.Parse()
	fmt.Printf("%s/%s, %d processors, %s\n", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version())
	if err := run(*binary, *quick, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// bench is what the measurements share.
type bench struct {
	binary string
	quick  bool
	sim    *falsim.Server
	state  string // folder of the servers' ledger
	store  string // what --store says; empty for the default
}

func run(binary string, quick bool, names []string) error {
	sim := falsim.New(falsim.Script{})
	defer sim.Close()
	if _, err := sim.Start(); err != nil {
		return err
	}
	state, err := os.MkdirTemp("", "nemotron-mcp-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(state)
	b := &bench{binary: binary, quick: quick, sim: sim, state: state}
	for _, m := range []struct {
		name string
		run  func() error
	}{{"start", b.start}, {"notice", b.notice}, {"rate", b.rate}, {"flight", b.flight}, {"ledger", b.ledger}, {"upload", b.upload}, {"http", b.http}} {
		if len(names) > 0 && !slices.Contains(names, m.name) {
			continue
		}
		if err := m.run(); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
	}
	return nil
}

// times is n, or few of them in a quick run, but enough for a median.
func (b *bench) times(n int) int {
	if b.quick {
		return max(n/20, 5)
	}
	return n
}

func (b *bench) server() (*peer, error) {
	return startPeer(b.binary, []string{"serve"}, "FAL_KEY=bench-key-0123456789", "FAL_QUEUE_URL="+b.sim.QueueURL(),
		"NEMOTRON_MCP_LOG_LEVEL=error", "NEMOTRON_MCP_STATE_DIR="+filepath.Join(b.state, "ledger"), "NEMOTRON_MCP_STORE="+b.store)
}

func (b *bench) bare() (*peer, error)  { return b.baseline("bare") }
func (b *bench) mcpGo() (*peer, error) { return b.baseline("mcp-go") }

func (b *bench) baseline(name string) (*peer, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return startPeer(self, []string{name}, "FAL_QUEUE_URL="+b.sim.QueueURL())
}

// start measures from the start of the process to the answer to tools/list,
// in turn with a server that is mcp-go and one tool, and what memory is held
// then.
func (b *bench) start() error {
	b.sim.SetScript(falsim.Script{})
	var ours, theirs []time.Duration
	var ratios, idle []float64
	for range b.times(40) {
		o, rss, err := toToolsList(b.server)
		if err != nil {
			return err
		}
		t, _, err := toToolsList(b.mcpGo)
		if err != nil {
			return err
		}
		ours, theirs, idle = append(ours, o), append(theirs, t), append(idle, rss)
		ratios = append(ratios, float64(o)/float64(t))
	}
	fmt.Printf("start to tools/list       median %6.1f ms   mcp-go alone %6.1f ms   ratio %.2f   (goal 15 ms where mcp-go alone takes 10)\n",
		ms(median(ours)), ms(median(theirs)), median(ratios))
	fmt.Printf("idle memory               median %6.1f MiB  (goal 20)\n", median(idle)/1024)
	warn(
		atMost("start to tools/list, as a ratio to mcp-go alone", median(ratios), 1.5, ""),
		atMost("idle memory", median(idle)/1024, 20, " MiB"),
	)
	return nil
}

func toToolsList(start func() (*peer, error)) (took time.Duration, rss float64, err error) {
	began := time.Now()
	p, err := start()
	if err != nil {
		return 0, 0, err
	}
	defer p.kill()
	if err := p.handshake(); err != nil {
		return 0, 0, err
	}
	if _, err := p.request("tools/list", map[string]any{}); err != nil {
		return 0, 0, err
	}
	return time.Since(began), p.rss(), nil
}

// notice measures from the simulator's completion of a job to the host's
// answer, one call at a time, in turn with the bare program.
func (b *bench) notice() error {
	b.sim.Reset()
	b.sim.SetScript(falsim.Script{QueueDelay: 5 * time.Millisecond, RunTime: 20 * time.Millisecond})
	server, err := b.server()
	if err != nil {
		return err
	}
	defer server.kill()
	bare, err := b.bare()
	if err != nil {
		return err
	}
	defer bare.kill()
	for _, p := range []*peer{server, bare} {
		if err := p.handshake(); err != nil {
			return err
		}
	}
	latencies := map[*peer][]time.Duration{}
	for i := range b.times(200) {
		for _, p := range []*peer{server, bare} {
			if err := p.generate(fmt.Sprintf("notice %d", i)); err != nil {
				return err
			}
			answered := time.Now()
			jobs := b.sim.Jobs()
			latencies[p] = append(latencies[p], answered.Sub(jobs[len(jobs)-1].CompletedAt))
		}
	}
	fmt.Printf("completion to answer      median %6.2f ms   p95 %6.2f ms   bare Go %6.2f ms   (goal 5)\n",
		ms(median(latencies[server])), ms(percentile(latencies[server], 95)), ms(median(latencies[bare])))
	warn(atMost("completion to answer", ms(median(latencies[server])), 5, " ms"))
	return nil
}
