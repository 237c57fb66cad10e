package jobs

import (
	"context"
	"errors"
	"net/http"
	"time"

	"nemotron-mcp/falclient"
)

// collect reads the result of a job that fal calls COMPLETED. It reports false
// where the job is to be watched again.
func (m *Manager) collect(watching context.Context, l *live, st falclient.Status) bool {
	if st.ErrorType == cancelledType {
		m.cancelledAtFal(l)
		return true
	}
	id := l.snapshot().RequestID
	pause := newBackOff()
	pages := 0
	for began := time.Now(); time.Since(began) < collectTime; {
		res, err := m.fal.Result(watching, l.endpoint, id)
		if err == nil {
			m.keep(l, res)
			return true
		}
		if watching.Err() != nil {
			return true
		}
		if errors.Is(err, falclient.ErrUnfinished) {
			return false
		}
		if isPage(err) {
			pages++
		}
		if m.outcome(l, st, err, pages) {
			return true
		}
		if !sleep(watching, pause.NextBackOff()) {
			return true
		}
	}
	f := goneFailure(id)
	f.Message = "The result could not be read for two hours; fal keeps it for one."
	m.finish(l, Failed, f)
	return true
}

// outcome judges an error of the result: is it how the job ended? If not, it
// is to be asked for again.
func (m *Manager) outcome(l *live, st falclient.Status, err error, pages int) bool {
	var api *falclient.APIError
	switch {
	case errors.Is(err, falclient.ErrTooLarge):
		f := UpstreamFailure(err)
		f.Retryable, f.Action = false, "Ask for a shorter answer; another call is a new, paid job."
		m.finish(l, Failed, f)
	case errors.As(err, new(*falclient.ResponseError)):
		m.refuse(l, UpstreamFailure(err)) // falclient has asked several times
		return false
	case !errors.As(err, &api), passing(api):
		l.refuse(nil)
		return false
	case !believable(api, pages):
		m.refuse(l, unreadable(api))
		return false
	case api.Type == cancelledType || api.StatusCode == 499:
		m.cancelledAtFal(l)
	case api.StatusCode == 404 && st.Error == "" && m.keepFromHistory(l):
	case api.StatusCode == 404 && st.Error != "":
		told := *api
		told.StatusCode, told.Type, told.Message = 500, st.ErrorType, st.Error
		m.finish(l, Failed, outcomeFailure(&told))
	default:
		m.finish(l, Failed, outcomeFailure(api))
	}
	return true
}

// cancelledAtFal ends a job that fal calls cancelled. Where that is this
// process's doing, only the answer to its cancel tells whether it is billed.
func (m *Manager) cancelledAtFal(l *live) {
	message := "Cancelled at fal while it was running or queued."
	notBilled := false
	outcome, _ := l.waitCancel(l.context())
	switch outcome {
	case falclient.CancelledInQueue:
		message, notBilled = cancelledInQueue, true
	case falclient.CancelRequested:
		message = "Cancelled while it was running; what it had used may be billed."
	}
	m.update(l, func(j *Job) {
		j.Status, j.Failure, j.Ended = Cancelled, cancelled(message), time.Now()
		if notBilled {
			j.CountedUSD = 0
		}
	})
}

const cancelledInQueue = "Cancelled while it was queued; not billed."

// passing reports whether an error is one of the way to fal, which ends.
func passing(e *falclient.APIError) bool {
	return e.StatusCode == http.StatusTooManyRequests || e.StatusCode == http.StatusRequestTimeout ||
		e.StatusCode >= 500 && !e.Structured
}

// believable reports whether a refusal can be the job's own end. One of the
// key's or the account's is not; nor is what some proxy says: a redirect never,
// a page of its own only when it has been there for minutes.
func believable(e *falclient.APIError, pages int) bool {
	switch {
	case e.Is(falclient.ErrUnauthorized), e.Is(falclient.ErrLocked), e.Is(falclient.ErrRedirected):
		return false
	}
	return e.Structured || pages >= maxPages
}

// isPage reports whether an error is a refusal that fal did not write.
func isPage(err error) bool {
	var api *falclient.APIError
	return errors.As(err, &api) && !api.Structured && !passing(api)
}

// keep writes a result to the ledger.
func (m *Manager) keep(l *live, res falclient.Result) {
	out, err := falclient.ParseNemotron(res)
	if err != nil {
		f := UpstreamFailure(err)
		f.Retryable = false
		f.Action = "The answer as it came is in the job's output; queue_status returns it."
		m.update(l, func(j *Job) {
			j.Status, j.Ended, j.Failure, j.Output = Failed, time.Now(), f, string(res.Body)
		})
		return
	}
	m.update(l, func(j *Job) {
		j.Status, j.Ended = Completed, time.Now()
		j.Output, j.FinishReason, j.Usage = out.Output, out.FinishReason, &out.Usage
		j.CostUSD = m.opts.Prices.Cost(j.Endpoint, out.Usage)
		if out.Usage != (falclient.Usage{}) {
			j.CountedUSD = j.CostUSD
		}
	})
}
