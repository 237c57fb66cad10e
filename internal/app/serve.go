package app

import (
	"fmt"
	"time"

	"nemotron-mcp/internal/transport"
)

type serveCommand struct{}

// Run serves one host over stdin and stdout until either ends.
func (c *serveCommand) Run(s *session) error {
	h, err := s.build()
	if err != nil {
		return err
	}
	defer h.close()
	if isTerminal(s.In) {
		fmt.Fprintln(s.Err, "nemotron-mcp speaks MCP on stdin and stdout; a host starts it. Try 'nemotron-mcp demo' or 'nemotron-mcp --help'.")
	}
	stdio := transport.Stdio{Server: h.server, Log: h.log, Grace: grace}
	err = stdio.Serve(s.ctx, s.In, s.Out)
	if s.ctx.Err() != nil {
		return nil // a signal is an ordinary end
	}
	return err
}

// grace is what calls that were cancelled at the end have to be answered. With
// the drain window of 5 s before it and closeTime after it, the process is gone
// within 6 s of the end of its input.
const grace = 700 * time.Millisecond
