package jobs

// Settle ends the wait for a job that Generate, Status or Cancel returned, and
// says whether it was written to the host, all of it or the first pages. Once a
// job's end was, an identical call is a new one.
func (m *Manager) Settle(job Job, told Told) {
	if job.ID == "" {
		return
	}
	m.mu.Lock()
	l := m.live[job.ID]
	last := l != nil && l.waiters <= 1
	m.mu.Unlock()
	if l == nil {
		return
	}
	// Before the wait ends: an identical call must not find the job free and not
	// yet delivered.
	if last || told != NotTold && job.Status.Finished() {
		m.note(l, func(j *Job) { m.tell(j, job.Status.Finished(), told, last) })
	}
	m.mu.Lock()
	l.waiters--
	alone := l.waiters <= 0 && !last // two calls ended their wait at once
	m.forget(l)
	m.mu.Unlock()
	if alone {
		m.note(l, func(j *Job) { j.WaitedBy = "" })
	}
}

// tell writes down what the host was given of a job.
func (m *Manager) tell(j *Job, ended bool, told Told, last bool) {
	if last {
		j.WaitedBy = ""
	}
	// Not one that was UNKNOWN and has been found alive since.
	if told == NotTold || !ended || !j.Status.Finished() {
		return
	}
	j.Delivered = true
	if told == ToldAll && m.opts.MetadataOnly {
		j.OutputDropped = j.OutputDropped || j.Output != ""
		j.Output, j.Logs = "", nil
	}
}

// Told is how much of a job the host was given.
type Told int

// What Settle is told.
const (
	NotTold  Told = iota
	ToldPart      // there are more pages
	ToldAll
)

// WasTold puts what a transport and a tool know together: whether the answer
// was delivered, and whether there are more pages.
func WasTold(delivered, more bool) Told {
	switch {
	case !delivered:
		return NotTold
	case more:
		return ToldPart
	}
	return ToldAll
}
