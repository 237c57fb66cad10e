package app

import (
	"bytes"
	"io"
	"os"
	"strconv"
	"sync"

	"golang.org/x/term"
)

// terminalSize says how to learn a terminal's size, in characters; false where
// the stream is none. One that does not know its size has that of COLUMNS and
// LINES, or 80 by 24.
func terminalSize(stream any) (size func() (width, height int), ok bool) {
	f, isFile := stream.(*os.File)
	if !isFile || !isTerminal(f) {
		return nil, false
	}
	ask := func() (width, height int, err error) {
		onDescriptor(f, func(fd int) { width, height, err = term.GetSize(fd) })
		return width, height, err
	}
	return func() (width, height int) {
		width, height, _ = ask()
		if width <= 0 {
			width = sizeFrom("COLUMNS", 80)
		}
		if height <= 0 {
			height = sizeFrom("LINES", 24)
		}
		return width, height
	}, true
}

func sizeFrom(variable string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(variable)); err == nil && n > 0 && n < 10000 {
		return n
	}
	return otherwise
}

// maxHeld is how much of the log is held back, in bytes.
const maxHeld = 64 << 10

// heldLog keeps what would be written across the screen until that is closed.
type heldLog struct {
	w io.Writer

	mu       sync.Mutex
	released bool
	held     []byte // whole lines, the last ones
}

// holdLog has the log held back where it goes to a terminal.
func (s *session) holdLog() *heldLog {
	held := &heldLog{w: s.Err, released: true}
	if !isTerminal(s.Err) {
		return held
	}
	held.released = false
	if s.opts.LogFormat == "auto" {
		s.opts.LogFormat = "console"
	}
	s.Err = held
	return held
}

// Write implements io.Writer. zerolog writes a whole line.
func (l *heldLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.released {
		return l.w.Write(p)
	}
	l.held = append(l.held, p...)
	if over := len(l.held) - maxHeld; over > 0 {
		end := bytes.IndexByte(l.held[over:], '\n')
		l.held = append([]byte(nil), l.held[over+end+1:]...)
	}
	return len(p), nil
}

// release writes what was held back; from then on nothing is.
func (l *heldLog) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.released = true
	_, _ = l.w.Write(l.held)
	l.held = nil
}
