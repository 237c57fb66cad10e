package falsim

import (
	"container/heap"
	"time"
)

type phase int

const (
	queued phase = iota
	running
	completed
)

// String gives fal's status word.
func (p phase) String() string {
	return [...]string{"IN_QUEUE", "IN_PROGRESS", "COMPLETED"}[p]
}

// job is one accepted submission. Its course is fixed when it is accepted; only
// a cancel changes it. A zero startAt or endAt means never.
type job struct {
	id       string
	endpoint string
	base     string
	input    []byte
	prompt   string
	media    *Media // nil where none was looked at
	headers  map[string]string
	query    string
	plan     *plan // nil: the server's script of the moment

	submitted time.Time
	startAt   time.Time
	endAt     time.Time
	positions []int
	logs      []Log

	outcome      outcome
	retention    time.Duration
	ignoreCancel bool

	listedAt      time.Time // when the history tells of it
	keepsPayloads bool

	phase           phase // as far as it was settled
	billed          bool
	cancelled       bool
	cancelRequested bool
	resultReads     int
	gone            bool // forgotten by Reset
	hits            map[*plan][]int
	changed         chan struct{}
}

// outcome is what status and result tell once the job is completed.
type outcome struct {
	status    int
	body      []byte
	header    map[string]string
	err       string
	errType   string
	failed    bool
	tokens    int
	inference bool // whether metrics carry the inference time
}

func due(t, now time.Time) bool { return !t.IsZero() && !now.Before(t) }

func (j *job) phaseAt(t time.Time) phase {
	switch {
	case due(j.endAt, t):
		return completed
	case due(j.startAt, t):
		return running
	}
	return queued
}

// positionAt gives the queue position told at t: each of the positions holds for
// an equal share of the queue delay.
func (j *job) positionAt(t time.Time) int {
	if len(j.positions) == 0 {
		return 0
	}
	wait := j.queueWait()
	if wait <= 0 {
		return j.positions[0]
	}
	i := int(int64(t.Sub(j.submitted)) / max(int64(wait)/int64(len(j.positions)), 1))
	return j.positions[min(max(i, 0), len(j.positions)-1)]
}

func (j *job) queueWait() time.Duration {
	if j.startAt.IsZero() {
		return 0
	}
	return j.startAt.Sub(j.submitted)
}

// logsAt counts the lines written by t.
func (j *job) logsAt(t time.Time) int {
	if !due(j.startAt, t) {
		return 0
	}
	if due(j.endAt, t) {
		return len(j.logs)
	}
	ran := t.Sub(j.startAt)
	n := 0
	for n < len(j.logs) && j.logs[n].At <= ran {
		n++
	}
	return n
}

// nextAfter gives the next moment after t at which status would tell something
// new, or zero.
func (j *job) nextAfter(t time.Time) time.Time {
	if due(j.endAt, t) {
		return time.Time{}
	}
	next := j.endAt
	consider := func(c time.Time) {
		if c.After(t) && (next.IsZero() || c.Before(next)) {
			next = c
		}
	}
	if !due(j.startAt, t) {
		if !j.startAt.IsZero() {
			consider(j.startAt)
		}
		if n := len(j.positions); n > 1 {
			share := j.queueWait() / time.Duration(n)
			if share > 0 && t.Sub(j.submitted)/share+1 < time.Duration(n) {
				consider(j.submitted.Add((t.Sub(j.submitted)/share + 1) * share))
			}
		}
		return next
	}
	if n := j.logsAt(t); n < len(j.logs) {
		consider(j.startAt.Add(j.logs[n].At))
	}
	return next
}

func (j *job) hitsOf(p *plan) []int {
	if j.hits == nil {
		j.hits = make(map[*plan][]int, 1)
	}
	h := j.hits[p]
	if h == nil {
		h = make([]int, len(p.Faults))
		j.hits[p] = h
	}
	return h
}

// watch gives a channel that is closed when the job's course changes.
func (j *job) watch() <-chan struct{} {
	if j.changed == nil {
		j.changed = make(chan struct{})
	}
	return j.changed
}

func (j *job) notify() {
	if j.changed != nil {
		close(j.changed)
		j.changed = nil
	}
}

// agenda orders the moments at which jobs start and end. Entries of jobs whose
// course changed since stay in it and are skipped.
type agenda []agendaItem

type agendaItem struct {
	at  time.Time
	job *job
}

func (a agenda) Len() int           { return len(a) }
func (a agenda) Less(i, k int) bool { return a[i].at.Before(a[k].at) }
func (a agenda) Swap(i, k int)      { a[i], a[k] = a[k], a[i] }
func (a *agenda) Push(x any)        { *a = append(*a, x.(agendaItem)) }
func (a *agenda) Pop() any {
	old := *a
	n := len(old) - 1
	x := old[n]
	old[n] = agendaItem{}
	*a = old[:n]
	return x
}

// settle brings the counts up to now. The lock is held.
func (s *Server) settle(now time.Time) {
	for len(s.agenda) > 0 && !now.Before(s.agenda[0].at) {
		s.advance(heap.Pop(&s.agenda).(agendaItem).job, now)
	}
}

// advance moves one job to its phase of now and plans its next change.
func (s *Server) advance(j *job, now time.Time) {
	if j.phase == completed || j.gone {
		return
	}
	to := j.phaseAt(now)
	if j.phase == queued && to != queued {
		s.stats.Queued--
		if due(j.startAt, now) {
			j.billed = true
			s.stats.Billed++
		}
		if to == running {
			s.stats.Running++
		}
	}
	if to == completed {
		s.finish(j)
	}
	if j.phase != to {
		j.phase = to
		s.wake()
	}
	next := j.endAt
	if to == queued && !j.startAt.IsZero() {
		next = j.startAt
	}
	if to != completed && !next.IsZero() {
		heap.Push(&s.agenda, agendaItem{next, j})
	}
}

func (s *Server) finish(j *job) {
	if j.phase == running {
		s.stats.Running--
	}
	s.stats.Completed++
	switch {
	case j.cancelled:
		s.stats.Cancelled++
	case j.outcome.failed:
		s.stats.Failed++
	}
}

// cancel ends the job now, or asks the runner to. The lock is held and the
// server is settled.
func (s *Server) cancel(j *job, now time.Time) answer {
	switch {
	case j.phase == completed:
		return jsonText(400, `{"status":"ALREADY_COMPLETED"}`)
	case j.phase == running:
		j.cancelRequested = true
		s.wake()
		if !j.ignoreCancel {
			s.cancelNow(j, now)
		}
		return jsonText(202, `{"status":"CANCELLATION_REQUESTED"}`)
	}
	j.cancelRequested = true
	j.startAt = time.Time{}
	s.cancelNow(j, now)
	return jsonText(200, `{"status":"OK"}`)
}

func (s *Server) cancelNow(j *job, now time.Time) {
	j.cancelled = true
	j.endAt = now
	j.outcome = platformFailure("Request was cancelled by the client.", "client_cancelled", 0)
	// Lines that the job had no time to write are never written.
	j.logs = j.logs[:j.logsBefore(now)]
	s.advance(j, now)
	j.notify()
}

func (j *job) logsBefore(now time.Time) int {
	if !due(j.startAt, now) {
		return 0
	}
	n := 0
	for n < len(j.logs) && j.logs[n].At <= now.Sub(j.startAt) {
		n++
	}
	return n
}
