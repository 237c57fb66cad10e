package app

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"nemotron-mcp/internal/falsim"
)

type simulateCommand struct {
	Listen string `help:"Loopback address to listen on; port 0 picks a free one." default:"127.0.0.1:0" placeholder:"ADDR"`
	Script string `help:"JSON file that says how jobs go: delays, answers, faults." type:"path" placeholder:"FILE"`
}

// maxScript bounds a script file.
const maxScript = 16 << 20

// Run prints the simulator's base URLs as JSON and serves until it is stopped
// or its stdin ends.
func (c *simulateCommand) Run(s *session) error {
	var script falsim.Script
	if c.Script != "" {
		if err := readScript(c.Script, &script); err != nil {
			return &configError{err.Error(), "Check --script."}
		}
	}
	stdin := s.In
	if isDevice(stdin) {
		stdin = nil // it is stopped with an interrupt, also where a shell put it into the background
	}
	return falsim.ServeCommand(s.ctx, c.Listen, script, stdin, s.Out)
}

// isDevice reports whether a stream is a terminal or /dev/null.
func isDevice(stream any) bool {
	f, ok := stream.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

func readScript(name string, script *falsim.Script) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxScript))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, script); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}
