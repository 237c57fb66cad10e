// Command bench measures a built nemotron-mcp against fal's simulator on
// loopback, and against a bare Go program that does the same work with no
// promise kept. Figures that compare come out of one run, in turn, as medians
// and ratios, because machines are noisy.
//
//	go run ./internal/bench [-binary bin/nemotron-mcp] [-quick] [start notice rate flight]
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"time"

	"nemotron-mcp/internal/falsim"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "bare" {
		if err := bare(os.Stdin, os.Stdout, os.Getenv("FAL_QUEUE_URL")); err != nil {
			fmt.Fprintln(os.Stderr, "bare:", err)
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
}

func run(binary string, quick bool, names []string) error {
	sim := falsim.New(falsim.Script{})
	defer sim.Close()
	if _, err := sim.Start(); err != nil {
		return err
	}
	b := &bench{binary: binary, quick: quick, sim: sim}
	for _, m := range []struct {
		name string
		run  func() error
	}{{"start", b.start}, {"notice", b.notice}, {"rate", b.rate}, {"flight", b.flight}} {
		if len(names) > 0 && !slices.Contains(names, m.name) {
			continue
		}
		if err := m.run(); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
	}
	return nil
}

// times is n, or few of them in a quick run.
func (b *bench) times(n int) int {
	if b.quick {
		return max(n/20, 2)
	}
	return n
}

func (b *bench) server() (*peer, error) {
	return startPeer(b.binary, []string{"serve"}, "FAL_KEY=bench-key-0123456789", "FAL_QUEUE_URL="+b.sim.QueueURL(), "NEMOTRON_MCP_LOG_LEVEL=error")
}

func (b *bench) bare() (*peer, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return startPeer(self, []string{"bare"}, "FAL_QUEUE_URL="+b.sim.QueueURL())
}

// start measures from the start of the process to the answer to tools/list,
// and what memory it holds then.
func (b *bench) start() error {
	b.sim.SetScript(falsim.Script{})
	var took []time.Duration
	var idle []float64
	for range b.times(40) {
		began := time.Now()
		p, err := b.server()
		if err != nil {
			return err
		}
		if err := p.handshake(); err != nil {
			return err
		}
		if _, err := p.request("tools/list", map[string]any{}); err != nil {
			return err
		}
		took = append(took, time.Since(began))
		idle = append(idle, p.rss())
		if err := p.stop(); err != nil {
			return err
		}
	}
	fmt.Printf("start to tools/list       median %6.1f ms   (goal 15)\n", ms(median(took)))
	fmt.Printf("idle memory               median %6.1f MiB  (goal 20)\n", medianOf(idle)/1024)
	return nil
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
	return nil
}
