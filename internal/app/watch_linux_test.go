package app_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"nemotron-mcp/internal/jobs"
)

// terminal is a person's, with a program on it.
type terminal struct {
	t       *testing.T
	keys    *os.File
	cmd     *exec.Cmd
	output  chan []byte // closed when the program has ended
	written string      // since the last frame that was waited for
	opened  bool        // the screen was, before the first frame and nothing else
}

const (
	openScreen  = "\x1b[?1049h\x1b[?25l\x1b[?7l"
	closeScreen = "\x1b[?7h\x1b[?25h\x1b[?1049l"
)

func (p *terminal) resize(width, height uint16) {
	p.t.Helper()
	if err := unix.IoctlSetWinsize(int(p.keys.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: width, Row: height}); err != nil {
		p.t.Fatal(err)
	}
}

// onTerminal starts the program with a terminal of that size as its streams.
func onTerminal(t *testing.T, width, height uint16, settings []string, args ...string) *terminal {
	t.Helper()
	keys, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = keys.Close() })
	if err := unix.IoctlSetPointerInt(int(keys.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(keys.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // against a hang only
	t.Cleanup(cancel)
	p := &terminal{t: t, keys: keys, cmd: exec.CommandContext(ctx, self, args...), output: make(chan []byte)}
	p.resize(width, height)
	p.cmd.Env = environ(t, settings...)
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = tty, tty, tty
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true} // so that Ctrl-C reaches it
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.output)
		for {
			b := make([]byte, 4096)
			n, err := keys.Read(b) // fails when the program has closed the terminal
			if err != nil {
				return
			}
			p.output <- b[:n]
		}
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		for range p.output { //nolint:revive // joins the reader
		}
		_ = p.cmd.Wait()
	})
	return p
}

// frame waits for a whole frame for which ok holds, and returns its lines.
func (p *terminal) frame(ok func(lines []string) bool) []string {
	p.t.Helper()
	for {
		for _, frame := range strings.Split(p.written, "\x1b[H")[1:] {
			text, _, whole := strings.Cut(frame, "\x1b[K\x1b[J")
			if lines := strings.Split(text, "\x1b[K\r\r\n"); whole && ok(lines) {
				p.opened = p.opened || strings.HasPrefix(p.written, openScreen)
				p.written = p.written[strings.Index(p.written, frame):]
				return lines
			}
		}
		b, more := <-p.output
		if !more {
			p.t.Fatalf("it ended; it wrote %q", p.written)
		}
		p.written += string(b)
	}
}

// rest is what the program writes until it ends, and its exit code.
func (p *terminal) rest() (text string, code int) {
	for b := range p.output {
		p.written += string(b)
	}
	_ = p.cmd.Wait()
	return p.written, p.cmd.ProcessState.ExitCode()
}

// A terminal shows the jobs as they are, within its size, and is given back as it
// was, with the last that was seen, and what was logged meanwhile behind it.
func TestWatchOnATerminal(t *testing.T) {
	t.Parallel()
	w := newWatched(t, "NEMOTRON_MCP_MAX_COST_PER_DAY=5") // and no key, which is logged
	var all []jobs.Job
	for i := range 9 {
		all = append(all, w.add(fmt.Sprintf("job %d \x1b[31m漢字 and many more words that no terminal of sixty columns has room for", i), nil))
	}
	p := onTerminal(t, 60, 8, w.settings, "jobs", "watch")
	first := p.frame(func([]string) bool { return true })
	if len(first) != 8 || !strings.HasPrefix(first[0], "9 running, 0 ended since ") || !strings.Contains(first[0], ", 3 not shown; ") {
		t.Errorf("%q", first)
	}
	if !strings.HasPrefix(first[1], "STATUS       AHEAD  TIME    COST       REQUEST_ID  PROMPT") || !strings.HasPrefix(first[2], "IN_QUEUE     ≤2 ") || !strings.Contains(first[2], "  job 8 […") {
		t.Errorf("%q", first)
	}
	if i := slices.IndexFunc(first, func(line string) bool { return utf8.RuneCountInString(line) >= 60 }); i >= 0 {
		t.Errorf("line %d is too long: %q", i, first[i])
	}

	p.resize(200, 12)
	w.change(all[0], run)
	w.change(all[8], complete)
	w.change(all[7], end(jobs.Failed, jobs.JobFailed))
	wide := p.frame(func(lines []string) bool { return strings.HasPrefix(lines[0], "7 running, 2 ended since ") })
	if len(wide) != 11 || !strings.Contains(wide[0], "; today (UTC) $0.015000, $0.000000 of $5.000000 spent or reserved") {
		t.Errorf("%q", wide)
	}
	for i, want := range map[int][]string{
		8:  {"IN_PROGRESS  -  ", all[0].RequestID, "  a host  "},
		9:  {"FAILED  ", "  (JOB_FAILED) job 7 [31m漢字 and many"},
		10: {"COMPLETED  ", "  $0.015000  ", "job 8"},
	} {
		for _, part := range want {
			if !strings.Contains(wide[i], part) {
				t.Errorf("%q is not in line %d: %q", part, i, wide[i])
			}
		}
	}

	if _, err := p.keys.Write([]byte{3}); err != nil { // Ctrl-C
		t.Fatal(err)
	}
	text, code := p.rest()
	before, after, closed := strings.Cut(text, closeScreen)
	if code != 0 || !closed || !p.opened {
		t.Errorf("exit code %d, opened %v: %q", code, p.opened, text)
	}
	const logged = "no usable fal key is configured"
	if strings.Contains(before, logged) || !strings.HasPrefix(after, wide[0]+"\r\n"+wide[1]+"\r\n") || !strings.Contains(after, logged) {
		t.Errorf("left on the terminal: %q", after)
	}
}

// One job's end ends the watch and is told on the terminal's own screen.
func TestWatchOneJobOnATerminal(t *testing.T) {
	t.Parallel()
	w := newWatched(t, "FAL_KEY="+testKey)
	job := w.add("the one", nil)
	p := onTerminal(t, 80, 24, w.settings, "jobs", "watch", job.ID)
	p.frame(func(lines []string) bool { return len(lines) == 2 && strings.HasPrefix(lines[1], "IN_QUEUE ") })
	w.change(job, complete)
	text, code := p.rest()
	_, after, closed := strings.Cut(text, closeScreen)
	if code != 0 || !closed || !strings.Contains(after, "\nCOMPLETED ") || !strings.Contains(after, "\nCompleted: 1000 tokens in, ") {
		t.Errorf("exit code %d: %q", code, text)
	}
}
