package app

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mattn/go-colorable"

	"nemotron-mcp/internal/jobs"
)

// What a terminal is told. Its second screen is used, so that what stood there
// comes back; a line is cut at the edge, also where its characters are wide.
const (
	openScreen  = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J"
	closeScreen = "\x1b[?7h\x1b[?25h\x1b[?1049l"
	goHome      = "\x1b[H"
	endOfLine   = "\x1b[K\r\n"
	endOfFrame  = "\x1b[K\x1b[J"
)

// watchScreen draws the board on a terminal.
type watchScreen struct {
	s       *session
	h       *house
	size    func() (width, height int)
	one     bool // job is watched
	opened  bool
	restore func()
	last    []byte // what was drawn last
}

func (v *watchScreen) show(b *board, _ []jobs.Job) error {
	width, height := v.size()
	lines := v.lines(b, time.Now(), width, height)
	v.last = append(bytes.Join(lines, []byte("\n")), '\n')
	var frame bytes.Buffer
	if !v.opened {
		v.restore = colorable.EnableColorsStdout(nil) // Windows has to be asked to obey
		frame.WriteString(openScreen)
		v.opened = true
	}
	frame.WriteString(goHome)
	frame.Write(bytes.Join(lines, []byte(endOfLine)))
	frame.WriteString(endOfFrame)
	_, err := v.s.Out.Write(frame.Bytes())
	return err
}

// close gives the terminal back, and leaves on it what was seen last.
func (v *watchScreen) close() {
	if v.opened {
		v.opened = false
		_, _ = v.s.Out.Write(append([]byte(closeScreen), v.last...))
		v.restore()
	}
}

// lines are those of a frame: masked, harmless, and no more and no longer than
// there is room for.
func (v *watchScreen) lines(b *board, now time.Time, width, height int) [][]byte {
	running := sortedRows(b.running)
	ended := b.ended
	room := max(height-2, 1) // beside the summary and the head
	// A third is for those that have ended, where there are more than fit.
	runningRoom := min(len(running), max(room-min(len(ended), room/3), 1))
	endedRoom := min(len(ended), room-runningRoom)
	hidden := len(running) - runningRoom + len(ended) - endedRoom
	rows := slices.Concat(running[:runningRoom], ended[:endedRoom])

	text := v.h.jobsNow(rows, now, width)
	if !v.one {
		text = slices.Concat(v.summary(b, now, hidden), text)
	}
	text = bytes.Map(harmless, v.h.secrets.Bytes(text))
	lines := bytes.Split(bytes.TrimSuffix(text, []byte("\n")), []byte("\n"))
	lines = lines[:min(len(lines), height)]
	for i, line := range lines {
		// The last column stays free: what is written there, endOfLine would erase.
		if runes := []rune(string(line)); len(runes) >= width {
			lines[i] = []byte(string(runes[:max(width-2, 0)]) + "…")
		}
	}
	return lines
}

func sortedRows(rows map[string]jobs.Job) []jobs.Job {
	all := make([]jobs.Job, 0, len(rows))
	for _, job := range rows {
		all = append(all, job)
	}
	slices.SortFunc(all, func(x, y jobs.Job) int { return strings.Compare(y.ID, x.ID) })
	return all
}

func (v *watchScreen) summary(b *board, now time.Time, hidden int) []byte {
	today := report(b.today, now.UTC(), v.s.opts.dayCap(b.today))
	line := fmt.Appendf(nil, "%d running, %d ended since %s", len(b.running), b.endings, b.began.Local().Format(time.TimeOnly))
	if hidden > 0 {
		line = fmt.Appendf(line, ", %d not shown", hidden)
	}
	line = fmt.Appendf(line, "; today (UTC) %s", dollars(today.Total.CostUSD))
	if today.DayCapUSD > 0 {
		line = fmt.Appendf(line, ", %s of %s spent or reserved", dollars(today.CountedTodayUSD), dollars(today.DayCapUSD))
	}
	return append(line, '\n')
}

const (
	// leastPrompt is what a prompt has at least before a request_id is shown whole,
	// and leastID what is left of that, in characters.
	leastPrompt = 20
	leastID     = 8
	wholeID     = 36
	// otherColumns is what the others take, with the spaces between.
	otherColumns = len("IN_PROGRESS") + len("AHEAD") + len("00m00s") + len("$0.000000") + 5*2 + 1
	// hostAt is from which width on there is room for the host.
	hostAt = 140
)

// jobsNow is the table of a frame.
func (h *house) jobsNow(rows []jobs.Job, now time.Time, width int) []byte {
	if len(rows) == 0 {
		return []byte("No jobs are running. Ctrl-C ends this.\n")
	}
	room := width - otherColumns
	if width >= hostAt {
		room -= hostWidth + 2
	}
	idWidth := min(max(room-leastPrompt, leastID), wholeID)
	line := func(status, ahead, took, cost, id, host, prompt string) []string {
		if width >= hostAt {
			return []string{status, ahead, took, cost, id, host, prompt}
		}
		return []string{status, ahead, took, cost, id, prompt}
	}
	// Padded, so that the columns stay where they are.
	cells := [][]string{line("STATUS     ", "AHEAD", "TIME  ", "COST     ", "REQUEST_ID", "HOST", "PROMPT")}
	for _, job := range rows {
		ahead, cost := "-", "-"
		if job.Status == jobs.InQueue && job.QueuePosition != nil {
			ahead = atMost(*job.QueuePosition)
		}
		if job.Usage != nil {
			cost = dollars(job.CostUSD)
		}
		prompt := h.cell(job.Preview, 0)
		switch {
		case job.Failure != nil:
			prompt = "(" + h.cell(string(job.Failure.Code), 0) + ") " + prompt
		case job.CancelRequested && !job.Status.Finished():
			prompt = "(cancel requested) " + prompt
		}
		cells = append(cells, line(string(job.Status), ahead, clock(timeOf(job, now)), cost,
			h.cell(nameOf(job), idWidth), h.cell(job.Host, hostWidth), prompt))
	}
	return table(cells)
}

// atMost is a queue position. The ledger has that of the submission, and jobs
// only move up.
func atMost(position int) string {
	if position <= 0 {
		return "0"
	}
	return "≤" + strconv.Itoa(position)
}

// timeOf is how long a job has been running or, in the queue, waiting; of one
// that has ended it is how long it ran.
func timeOf(job jobs.Job, now time.Time) time.Duration {
	switch {
	case job.Status == jobs.InQueue:
		return now.Sub(job.Created)
	case job.Started.IsZero():
		return 0
	case !job.Status.Finished():
		return now.Sub(job.Started)
	case job.InferenceTime > 0:
		return job.InferenceTime
	}
	return job.Ended.Sub(job.Started)
}

// clock is a duration in whole seconds, in few characters.
func clock(d time.Duration) string {
	d = max(d, 0)
	switch minutes := int(d / time.Minute); {
	case minutes >= 60:
		return fmt.Sprintf("%dh%02dm", minutes/60, minutes%60)
	case minutes > 0:
		return fmt.Sprintf("%dm%02ds", minutes, int(d/time.Second)%60)
	}
	return fmt.Sprintf("%ds", int(d/time.Second))
}
