package app

import (
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"nemotron-mcp/internal/jobs"
	"nemotron-mcp/internal/transport"
)

const (
	// endTime is what the process has from the end of its input, or from a
	// signal: hosts kill what lingers. All of it is used only where fal has not
	// yet answered a submission or a cancel.
	endTime = 6 * time.Second
	// grace is what calls that were cancelled at the end have to be answered.
	grace = 700 * time.Millisecond
	// closeTime is the least that the jobs have after that.
	closeTime = 100 * time.Millisecond
	// collectDelay is how long after the start a ledger is looked for, and how
	// often while there is none.
	collectDelay = 2 * time.Second
	// exitTime is left for the way out.
	exitTime = 200 * time.Millisecond
)

type serveCommand struct {
	Folders     []folder `arg:"" optional:"" name:"dir" help:"Folder in which tools may read files, as with --allow-dir."`
	HTTP        string   `name:"http" help:"Serve MCP over HTTP at this address (127.0.0.1:8080, unix:PATH) instead of stdin and stdout." placeholder:"ADDR"`
	AuthTokens  string   `help:"File with the callers' tokens, a line each: name:token or name:sha256:HEX. Needed off loopback." type:"path" placeholder:"FILE"`
	AllowHost   []string `help:"Name under which the server is addressed over HTTP, such as that of a proxy before it; may be repeated." placeholder:"NAME"`
	AllowOrigin []string `help:"Web origin that may use the server over HTTP (https://app.example.com); may be repeated." placeholder:"ORIGIN"`
	Page        string   `help:"Serve each caller a read-only page of their jobs and costs at / over HTTP, or not." enum:"on,off" default:"on" placeholder:"on|off"`
}

// Run serves one host over stdin and stdout until either ends, or many over HTTP
// until a signal.
func (c *serveCommand) Run(s *session) error {
	s.opts.allow(c.Folders)
	if c.HTTP != "" {
		return c.serveHTTP(s)
	}
	if c.AuthTokens != "" || len(c.AllowHost)+len(c.AllowOrigin) > 0 {
		return &configError{"--auth-tokens, --allow-host and --allow-origin are for --http", "Give --http ADDR too, or leave them out."}
	}
	h, err := s.build()
	if err != nil {
		return err
	}
	if isTerminal(s.In) {
		fmt.Fprintln(s.Err, "nemotron-mcp speaks MCP on stdin and stdout; a host starts it. Try 'nemotron-mcp demo' or 'nemotron-mcp --help'.")
	}
	tuneGC()
	serving, stop := context.WithCancel(s.ctx)
	var collecting sync.WaitGroup
	collecting.Go(func() { s.collect(serving, h.jobs) })
	defer collecting.Wait()
	defer stop()
	in := &endNoting{r: s.In}
	stdio := transport.Stdio{Server: h.server, Log: h.log, Mask: h.secrets.Bytes, Grace: grace}
	err = stdio.Serve(s.ctx, in, s.Out)
	if s.ctx.Err() != nil {
		err = nil // a signal is an ordinary end
	}
	h.close(s.timeLeft(in.endedAt()))
	return err
}

// timeLeft is what the jobs have of endTime since a signal, or else since that
// moment; all of it where there was neither.
func (s *session) timeLeft(since time.Time) time.Duration {
	if at := s.ended(); !at.IsZero() {
		since = at
	}
	if since.IsZero() {
		return endTime - exitTime // the host does not listen any more
	}
	return max(endTime-exitTime-time.Since(since), closeTime)
}

// collect brings home what other processes leave, before fal deletes it, also
// where this one is asked for nothing: from when there is a ledger on, but not
// while the host waits for the server to start.
func (s *session) collect(ctx context.Context, manager *jobs.Manager) {
	looks := time.NewTicker(collectDelay)
	defer looks.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-looks.C:
		}
		if s.opts.ledgerExists() {
			manager.Collect() // goes on by itself
			return
		}
	}
}

// endNoting notes when the input ended.
type endNoting struct {
	r  io.Reader
	at atomic.Int64 // Unix nanoseconds; 0 while it goes on
}

func (e *endNoting) Read(p []byte) (int, error) {
	n, err := e.r.Read(p)
	if err != nil {
		e.at.CompareAndSwap(0, time.Now().UnixNano())
	}
	return n, err
}

func (e *endNoting) endedAt() time.Time {
	if at := e.at.Load(); at != 0 {
		return time.Unix(0, at)
	}
	return time.Time{}
}
