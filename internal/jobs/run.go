package jobs

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"

	"nemotron-mcp/falclient"
)

const (
	// collectTime is how long a result is asked for after the job's end. fal
	// keeps it for an hour at most; the second one is for its clock and ours.
	collectTime = 2 * time.Hour
	// submitTime is how long a submission may be tried before it is sent. With
	// the 30 s that its answer may take, a call still ends within the minute
	// that many hosts allow.
	submitTime = 25 * time.Second
	// unknownTime is how long fal must say that it does not know a job which it
	// has taken before that is believed: an answer is paid for, and parts of fal
	// may be behind the others.
	unknownTime = 5 * time.Minute
	// maxPages is how often a result must be refused by a page that fal did not
	// write before that is believed: with the pauses between, some minutes.
	maxPages = 12
	// maxLogs is how many log lines of a job are kept: the last ones.
	maxLogs = 200
)

// submit reports whether fal has taken the job and it is to be followed.
func (m *Manager) submit(l *live, req Request) bool {
	opts := m.opts.Submit
	opts.WebhookURL = req.WebhookURL
	opts.MaxWait = min(req.Wait, submitTime)
	sub, err := m.fal.Submit(l.submitting, l.endpoint, req.Input, opts)
	if err != nil {
		m.answered(l, func(j *Job) {
			j.Ended = time.Now()
			j.Status, j.Failure = Failed, submitFailure(err)
			switch {
			case j.Failure.Code == SubmitUnknown:
				j.Status, j.RequestID = Unknown, j.Failure.RequestID
				return // it may be billed
			case l.submitting.Err() != nil:
				j.Status, j.Failure = Cancelled, cancelled("Cancelled before it was submitted; nothing is billed.")
			}
			j.CountedUSD = 0
		})
		return false
	}
	m.answered(l, func(j *Job) {
		j.RequestID, j.Status, j.QueuePosition = sub.RequestID, InQueue, sub.QueuePosition
		j.Failure, j.Ended, j.Delivered = nil, time.Time{}, false
		j.Submitted = time.Now()
	})
	if l.cancelDue() {
		m.askCancel(l)
	}
	return true
}

// answered writes down what became of the submission. Another process may have
// called it UNKNOWN, taking this one, stopped for long, for dead: it is not.
func (m *Manager) answered(l *live, change func(*Job)) {
	m.updateFrom(l, change, func(s Status) bool { return s.Finished() && s != Unknown })
}

// watch follows a job that fal has, and keeps its result. It reports whether
// that is all: not where another process may have become the one to watch.
func (m *Manager) watch(l *live) bool {
	pause := newBackOff()
	id := l.snapshot().RequestID
	watching := l.context()
	var unknownSince time.Time // since when fal says that it does not know the job
	for watching.Err() == nil {
		st, err := m.fal.Watch(watching, l.endpoint, id, func(st falclient.Status) {
			l.refuse(nil)
			unknownSince = time.Time{}
			m.changed(l, st)
		})
		switch {
		case err == nil:
			m.changed(l, st)
			if m.collect(watching, l, st) {
				return l.snapshot().Status.Finished() || l.letGo()
			}
		case watching.Err() != nil:
			return l.letGo()
		case errors.Is(err, falclient.ErrNotFound):
			if unknownSince.IsZero() {
				unknownSince = time.Now()
			}
			if time.Since(unknownSince) >= unknownTime {
				if !m.keepFromHistory(l) {
					m.finish(l, Failed, goneFailure(id))
				}
				return true
			}
		default:
			m.refuse(l, UpstreamFailure(err))
		}
		if !sleep(watching, pause.NextBackOff()) {
			break
		}
	}
	return l.letGo()
}

// changed takes over what fal says of a job. Only a new state is written to
// the ledger.
func (m *Manager) changed(l *live, st falclient.Status) {
	change := func(j *Job) {
		j.QueuePosition = st.QueuePosition
		j.Logs = appendLogs(j.Logs, st.Logs)
		if st.InferenceTime > 0 {
			j.InferenceTime = st.InferenceTime
		}
		if st.State != falclient.InProgress && st.State != falclient.Completed || st.ErrorType == cancelledType {
			return // one that was cancelled in the queue never ran
		}
		j.Status = InProgress // until its result is here
		if j.Started.IsZero() {
			j.Started = time.Now().Add(-st.InferenceTime)
		}
	}
	if st.State == falclient.InProgress && l.snapshot().Status == InQueue {
		m.update(l, change)
		return
	}
	l.writing.Lock()
	defer l.writing.Unlock()
	job := l.snapshot()
	if job.Status.Finished() {
		return
	}
	change(&job)
	l.set(job)
}

func appendLogs(logs, more []falclient.Log) []falclient.Log {
	logs = append(logs, more...)
	if len(logs) > maxLogs {
		logs = append([]falclient.Log(nil), logs[len(logs)-maxLogs:]...)
	}
	return logs
}

// finish ends a job. What fal may bill stays counted at its worst case.
func (m *Manager) finish(l *live, s Status, f *Error) {
	m.update(l, func(j *Job) {
		j.Status, j.Failure, j.Ended = s, f, time.Now()
		if notBilled(f) {
			j.CountedUSD = 0
		}
	})
}

// update changes a job in the ledger and for its waiters. A job that has ended
// stays as it is.
func (m *Manager) update(l *live, change func(*Job)) {
	m.updateFrom(l, change, Status.Finished)
}

func (m *Manager) updateFrom(l *live, change func(*Job), final func(Status) bool) {
	l.writing.Lock()
	defer l.writing.Unlock()
	known := l.snapshot()
	if final(known.Status) {
		return
	}
	m.write(l, func(row *Job) {
		if final(row.Status) {
			return
		}
		row.advance(known)
		change(row)
		if row.Failure == nil {
			return
		}
		told := *row.Failure
		if told.RequestID == "" {
			told.RequestID = row.RequestID
		}
		told.Message = m.printable(told.Message, l.prompts)
		row.Failure = &told
	})
}

// refuse records that fal lastingly refuses to let the job be read.
func (m *Manager) refuse(l *live, f *Error) {
	f.Message = m.printable(f.Message, l.prompts)
	l.refuse(f)
}

// printable is a message without the prompt. After a restart the prompt is not
// known where none is kept, so that nothing tells whether a message repeats it.
func (m *Manager) printable(message string, prompts []string) string {
	if m.opts.MetadataOnly && len(prompts) == 0 {
		return "The words of the failure are not kept (--store=metadata)."
	}
	for _, prompt := range prompts {
		message = withoutPrompt(message, prompt)
	}
	return message
}

// note changes what is no part of a job's course, also after its end.
func (m *Manager) note(l *live, change func(*Job)) {
	l.writing.Lock()
	defer l.writing.Unlock()
	known := l.snapshot()
	m.write(l, func(row *Job) {
		row.advance(known)
		change(row)
	})
}

// write changes a job in the ledger and tells its waiters. l.writing is held.
func (m *Manager) write(l *live, change func(*Job)) {
	// Not the job's own contexts: what has happened is written down even where
	// nobody waits for it any more. The ledger ends it in time by itself.
	row, err := m.ledger.Update(context.Background(), l.id, change)
	if err != nil {
		row = l.snapshot()
		change(&row)
		m.opts.Log.Error().Err(err).Str("request_id", row.RequestID).Str("status", string(row.Status)).
			Msg("the ledger could not be written; the job is known to this process only")
	}
	l.set(row)
}

// cancel asks for a job's end: before it is submitted, or at fal. After Close
// it does nothing.
func (m *Manager) cancel(l *live) {
	m.update(l, func(j *Job) { j.CancelRequested = true })
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return
	}
	ask := l.wantCancel()
	l.stopSubmit()
	if ask {
		m.workers.Go(func() { m.askCancel(l) })
	}
}

// askCancel asks fal to end the job, with a time of its own, because the call
// that wanted it is usually gone.
func (m *Manager) askCancel(l *live) {
	ctx, done := context.WithTimeout(context.Background(), cancelTime)
	defer done()
	job := l.snapshot()
	outcome, err := m.fal.Cancel(ctx, l.endpoint, job.RequestID)
	switch {
	case err != nil:
		m.opts.Log.Warn().Err(err).Str("request_id", job.RequestID).Msg("cancel not accepted")
	case outcome == falclient.CancelledInQueue:
		// Also where another process has seen it cancelled and can't say how.
		m.updateFrom(l, func(j *Job) {
			j.Status, j.Failure, j.Ended, j.CountedUSD = Cancelled, cancelled(cancelledInQueue), time.Now(), 0
		}, func(s Status) bool { return s.Finished() && s != Cancelled })
		l.leave()
	}
	l.cancelAnswered(outcome, err)
	if m.isClosed() {
		l.leave()
	}
}

// audit writes the one line that accounts for a paid submission, "submission",
// or for one that was taken up again later, "resumed". It holds sizes and no
// text.
func (m *Manager) audit(l *live, message string) {
	l.accounted.Do(func() { m.account(l.snapshot(), message) })
	if job := l.snapshot(); job.Status.Finished() && m.opts.Observe != nil {
		l.observed.Do(func() { m.opts.Observe(job) })
	}
}

func (m *Manager) account(j Job, message string) {
	if j.RequestID == "" && j.Status != Unknown && j.Status != Submitting {
		return // fal never had it
	}
	e := m.opts.Log.Info().Str("request_id", j.RequestID).Str("endpoint", j.Endpoint).
		Str("status", string(j.Status)).Str("caller", j.Caller).
		Int("input_bytes", j.InputSize).Int("output_bytes", len(j.Output)).
		Float64("cost_usd", j.CostUSD).Float64("queue_seconds", j.QueueTime().Seconds()).
		Float64("inference_seconds", j.InferenceTime.Seconds()).Time("created", j.Created)
	if j.Usage != nil {
		e = e.Int("input_tokens", j.Usage.InputTokens).Int("output_tokens", j.Usage.OutputTokens)
	}
	if j.Failure != nil {
		e = e.Str("error", string(j.Failure.Code))
	}
	if !j.Ended.IsZero() {
		e = e.Float64("total_seconds", j.Ended.Sub(j.Created).Seconds())
	}
	e.Msg(message)
}

// newBackOff starts quickly, because most trouble is short, and then asks once
// a minute for as long as the job can still be read.
func newBackOff() *backoff.ExponentialBackOff {
	return &backoff.ExponentialBackOff{
		InitialInterval: 200 * time.Millisecond, RandomizationFactor: 0.5, Multiplier: 2, MaxInterval: time.Minute,
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
