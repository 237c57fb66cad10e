package app

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/term"

	"nemotron-mcp/internal/jobs"
	"nemotron-mcp/tools"
)

const (
	// tick is how often the line is looked at: its seconds have to go on.
	tick = 200 * time.Millisecond
	// defaultWidth is taken for that of a terminal that does not tell its own.
	defaultWidth = 80
	// barWidth is that of an upload's bar, in characters.
	barWidth = 20
)

// progressLine tells on a terminal how a call gets on: in one line that is drawn
// again in place, or where that is not possible in a line for each new state. On
// anything else it tells nothing. What is written by way of it goes above the
// line. It is safe for concurrent use.
type progressLine struct {
	w      io.Writer
	inLine bool       // w is a terminal that can go back to the line's beginning
	lines  bool       // w is another terminal
	width  func() int // in columns

	ticking sync.WaitGroup
	stop    chan struct{} // nil while nothing ticks

	mu          sync.Mutex
	last        jobs.Job
	sent, total int64
	saying      string // instead of the job's state
	on          bool
	drawn       string // what the terminal shows
}

func newProgressLine(w io.Writer) *progressLine {
	p := &progressLine{w: w, width: func() int { return widthOf(w) }}
	if isTerminal(w) {
		p.lines = os.Getenv("TERM") == "dumb"
		p.inLine = !p.lines
	}
	return p
}

func widthOf(stream any) int {
	width := 0
	onDescriptor(stream, func(fd int) { width, _, _ = term.GetSize(fd) })
	if width <= 0 {
		return defaultWidth
	}
	return width
}

// writer is what writes above the line: the terminal itself where there is none.
func (p *progressLine) writer() io.Writer {
	if file, ok := p.w.(syscall.Conn); ok && p.inLine {
		return aboveLine{p, file}
	}
	return p.w
}

// aboveLine is a terminal with the line on it.
type aboveLine struct {
	*progressLine
	syscall.Conn
}

// Write implements io.Writer, for whole lines.
func (p *progressLine) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	shown := p.drawn
	p.draw("")
	n, err := p.w.Write(b)
	p.draw(shown)
	return n, err
}

// begin shows the line, until close.
func (p *progressLine) begin() {
	if !p.inLine && !p.lines {
		return
	}
	p.mu.Lock()
	p.on = true
	p.mu.Unlock()
	p.show()
	if !p.inLine {
		return
	}
	stop := make(chan struct{})
	p.stop = stop
	p.ticking.Go(func() {
		ticks := time.NewTicker(tick)
		defer ticks.Stop()
		for {
			select {
			case <-stop:
				return
			case <-ticks.C:
				p.show()
			}
		}
	})
}

// close takes the line away, for good. It may be called again, by the goroutine
// that called begin.
func (p *progressLine) close() {
	if p.stop != nil {
		close(p.stop)
		p.stop = nil
	}
	p.ticking.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.on = false
	if p.inLine {
		p.draw("")
	}
}

// job is told each change of the call's job.
func (p *progressLine) job(job jobs.Job) {
	p.mu.Lock()
	p.last = job
	p.mu.Unlock()
	p.show()
}

func (p *progressLine) lastJob() jobs.Job {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last
}

// upload is told how far an upload is, often: the line follows with the ticks.
func (p *progressLine) upload(sent, total int64) {
	p.mu.Lock()
	began := p.sent+p.total == 0
	p.sent, p.total = sent, total
	p.mu.Unlock()
	if began {
		p.show()
	}
}

// say shows a text instead of the job's state.
func (p *progressLine) say(text string) {
	p.mu.Lock()
	p.saying = text
	p.mu.Unlock()
	p.show()
}

func (p *progressLine) show() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.on {
		return
	}
	p.draw(p.text(time.Now()))
}

// draw puts a text in the place of the one that is shown. p.mu is held.
func (p *progressLine) draw(text string) {
	if p.inLine {
		text = text[:min(len(text), max(p.width()-1, 0))] // the last column may wrap
	}
	if text == p.drawn {
		return
	}
	if p.inLine {
		// Spaces and no escape sequence, which not every terminal knows; two more for
		// the ^C that a terminal shows.
		blank := ""
		if p.drawn != "" {
			blank = strings.Repeat(" ", max(min(len(p.drawn)+2, p.width()-1)-len(text), 0))
		}
		back := "\r"
		if text != "" {
			back = strings.Repeat("\b", len(blank))
		}
		_, _ = io.WriteString(p.w, "\r"+text+blank+back) // there is no other place to tell
	} else if text != "" {
		_, _ = io.WriteString(p.w, text+"\n")
	}
	p.drawn = text
}

// text is the state in ASCII, one column a byte. p.mu is held.
func (p *progressLine) text(now time.Time) string {
	job := p.last
	switch {
	case p.saying != "":
		return p.saying
	case job.Status == "" && p.sent+p.total > 0:
		return p.transfer()
	case job.Status == "":
		return "asking fal"
	case job.Status == jobs.Submitting:
		return "submitting"
	case job.Status == jobs.InQueue:
		text := "queued"
		if job.QueuePosition != nil {
			text = fmt.Sprintf("queued, %d ahead", *job.QueuePosition)
		}
		return text + p.since(job.Submitted, now)
	case job.Status == jobs.InProgress:
		return "running" + p.since(job.Started, now)
	}
	return "reading the answer"
}

// since is how long a state has been, where the line can be drawn again.
func (p *progressLine) since(at, now time.Time) string {
	if !p.inLine || at.IsZero() {
		return ""
	}
	return fmt.Sprintf(", %d s", int(max(now.Sub(at), 0).Seconds()))
}

func (p *progressLine) transfer() string {
	switch {
	case !p.inLine:
		return "uploading"
	case p.total <= 0:
		return "uploading, " + tools.Amount(p.sent)
	}
	full := int(barWidth * min(p.sent, p.total) / p.total)
	return fmt.Sprintf("uploading [%s%s] %s of %s",
		strings.Repeat("#", full), strings.Repeat(".", barWidth-full), tools.Amount(p.sent), tools.Amount(p.total))
}
