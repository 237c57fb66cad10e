// Command chaos runs several servers on one ledger against fal's simulator while
// everything goes wrong that a seed can choose: answers are lost, streams break,
// fal fails, hosts cancel and hang up, and the servers are killed and started
// again. Then it lets all come to rest and compares what fal has done with what
// the ledger says. It ends with 1, and says where, if a job was paid twice, an
// answer was lost or the day's spending is not what the jobs cost.
//
//	go run ./internal/chaos [-binary bin/nemotron-mcp] [-jobs 300] [-seed N] [-duration 90s]
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	o := options{stderr: io.Discard}
	flag.StringVar(&o.binary, "binary", "bin/nemotron-mcp", "the built server")
	flag.IntVar(&o.jobs, "jobs", 300, "generations to ask for")
	flag.Uint64Var(&o.seed, "seed", 0, "what the troubles are drawn from; 0 takes one by chance")
	flag.DurationVar(&o.duration, "duration", 90*time.Second, "the most that the run may take")
	verbose := flag.Bool("v", false, "print what the servers log")
	flag.Parse()
	if o.seed == 0 {
		o.seed = uint64(rand.Uint32())
	}
	if *verbose {
		o.stderr = os.Stderr
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	figures, err := run(ctx, o)
	fmt.Print(figures)
	if err != nil {
		fmt.Fprintf(os.Stderr, "chaos: seed %d: %v\n", o.seed, err)
		stop()
		os.Exit(1)
	}
}

// options say how a run goes.
type options struct {
	binary   string
	environ  []string // more variables for the servers
	jobs     int
	seed     uint64
	duration time.Duration
	stderr   io.Writer // of the servers
}
