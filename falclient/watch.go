package falclient

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/tmaxmax/go-sse"
)

const (
	// firstEvent is how long a stream may take to answer and to tell where the
	// job stands, which fal does at once.
	firstEvent = 10 * time.Second
	// eventSilence is how long a stream is believed without an event. fal pings
	// every 15 s, but a ping does not prove that events still come through: a
	// poll does.
	eventSilence = 40 * time.Second
	// steadyStream is how long a stream must have lived to be opened again after
	// it ended: proxies cut long streams, and polling for hours is no answer.
	steadyStream = 8 * time.Second
	// maxEvent bounds one event of the stream.
	maxEvent = 1 << 20
	// drainTime bounds the reading of a stream after its last event.
	drainTime = 2 * time.Second
	// maxRefusals is how often in a row fal must refuse a poll for good (an unknown
	// request, a bad key) before it is believed: right after a submission its
	// parts may not agree yet. A page, which fal did not write, is believed after
	// maxPages, some minutes.
	maxRefusals, maxPages = 4, 12

	minPoll, maxPoll, maxTroubledPoll = 100 * time.Millisecond, 2 * time.Second, 30 * time.Second
)

var errStreamEnded = errors.New("the stream ended before the request did")

// Watch follows a request until it is COMPLETED and returns that status, with
// the log lines that came last. onChange, where it is not nil, is called from
// this goroutine for each status before that; its Logs are only the new lines.
//
// It follows the status stream and polls where that fails. Faults of the
// network, 5xx and unreadable answers are outlived for as long as ctx lasts. It
// gives up only when ctx ends, or where fal says, several times in a row, that
// the request does not exist or that the key may not read it.
func (c *Client) Watch(ctx context.Context, endpoint Endpoint, id string, onChange func(Status)) (Status, error) {
	w := watcher{c: c, endpoint: endpoint, id: id, onChange: onChange, began: time.Now()}
	for streaming := true; ; {
		if streaming {
			opened := time.Now()
			st, err := w.stream(ctx)
			if err == nil {
				return st, nil
			}
			if errors.Is(err, ErrNoKey) || errors.Is(err, ErrInvalidID) || errors.Is(err, errEndpoint) {
				return Status{}, err
			}
			// One that told nothing may be held back by a proxy.
			streaming = w.heard && time.Since(opened) >= steadyStream
		}
		st, done, err := w.poll(ctx)
		if done || err != nil {
			return st, ended(ctx, err)
		}
		if !streaming && !sleep(ctx, w.interval()) {
			<-ctx.Done() // the pause would outlast ctx's deadline
			return Status{}, ctx.Err()
		}
	}
}

// watcher is the state of one Watch.
type watcher struct {
	c        *Client
	endpoint Endpoint
	id       string
	onChange func(Status)
	began    time.Time
	heard    bool          // the last stream told something
	first    Log           // of the lines told so far,
	logs     int           // and their number
	faults   int           // polls in a row that failed
	refusals int           // polls in a row that were refused for good
	after    time.Duration // what fal last asked for with Retry-After
}

// interval is a tenth of the time waited so far, within bounds, so that a short
// job is noticed soon and a long one asked about seldom. While fal is in trouble
// it doubles with each failed poll, half of it left to chance, so that jobs do
// not come back together.
func (w *watcher) interval() time.Duration {
	d := min(max(time.Since(w.began)/10, minPoll), maxPoll)
	if w.faults == 0 {
		return d
	}
	d = min(d<<min(w.faults, 8), maxTroubledPoll)
	return max(d/2+rand.N(d/2), min(w.after, maxRetryAfter))
}

// poll asks once. It reports done with the final status, and an error only
// where fal has refused for good.
func (w *watcher) poll(ctx context.Context) (st Status, done bool, err error) {
	st, err = w.c.statusOnce(ctx, w.endpoint, w.id, true)
	if err == nil {
		w.faults, w.refusals = 0, 0
		st.Logs = w.unheard(st.Logs, true)
		return st, w.tell(st), nil
	}
	if ctx.Err() != nil {
		return Status{}, false, ctx.Err()
	}
	w.faults++
	if w.final(err) {
		return Status{}, false, err
	}
	return Status{}, false, nil
}

// final reports whether fal has refused often enough to be believed.
func (w *watcher) final(err error) bool {
	var api *APIError
	known := errors.As(err, &api)
	w.after = 0
	if known {
		w.after = api.RetryAfter
	}
	if !known || api.StatusCode >= 500 || errors.Is(api, ErrRateLimited) || statusVerdict(api).retry {
		w.refusals = 0
		return false
	}
	w.refusals++
	return w.refusals >= maxPages || (api.Structured && w.refusals >= maxRefusals)
}

// unheard leaves out the lines that were told before. A poll brings all lines
// so far. A stream brings new ones, but one that was opened again may begin with
// all of them.
func (w *watcher) unheard(lines []Log, all bool) []Log {
	if len(lines) == 0 {
		return nil
	}
	if all || (w.logs > 0 && len(lines) >= w.logs && lines[0] == w.first) {
		told := min(w.logs, len(lines))
		w.logs, w.first = max(w.logs, len(lines)), lines[0]
		return lines[told:]
	}
	if w.logs == 0 {
		w.first = lines[0]
	}
	w.logs += len(lines)
	return lines
}

// tell passes a status on, and reports whether it is the last.
func (w *watcher) tell(st Status) bool {
	if st.State == Completed {
		return true
	}
	if w.onChange != nil {
		w.onChange(st)
	}
	return false
}

// stream follows the status stream. It returns at the COMPLETED event; what
// the server still sends is read behind the caller's back, so that the
// connection can be used again and the result need not wait for it.
func (w *watcher) stream(ctx context.Context) (Status, error) {
	// Not ctx itself: the caller may end it at the last event, and the draining
	// goes on after that.
	reading, cancel := context.WithCancel(context.WithoutCancel(ctx))
	abandon := context.AfterFunc(ctx, cancel)
	silence := time.AfterFunc(firstEvent, cancel)
	release := func() { abandon(); silence.Stop(); cancel() }
	w.heard = false

	resp, err := w.c.ask(reading, "stream", http.MethodGet, w.endpoint, w.id, "/status/stream?logs=1", w.c.stream)
	if err != nil {
		release()
		return Status{}, err
	}
	if resp.StatusCode/100 != 2 || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
		defer release()
		if resp.StatusCode/100 != 2 {
			return Status{}, apiError(w.c.clean, "stream", w.id, resp)
		}
		_ = resp.Body.Close()
		return Status{}, &ResponseError{Op: "stream", StatusCode: resp.StatusCode, Err: errors.New("not an event stream")}
	}
	for ev, err := range sse.Read(resp.Body, &sse.ReadConfig{MaxEventSize: maxEvent}) {
		if err != nil {
			break
		}
		if ev.Data == "" {
			continue // a ping in an event's clothes
		}
		st, err := parseStatus(w.c.clean, "stream", []byte(ev.Data))
		if err != nil {
			break // a poll will tell more
		}
		silence.Reset(eventSilence)
		w.heard, w.faults, w.refusals = true, 0, 0
		st.Logs = w.unheard(st.Logs, false)
		if w.tell(st) {
			abandon()
			silence.Stop()
			w.c.drain(resp.Body, release)
			return st, nil
		}
	}
	_ = resp.Body.Close()
	release()
	return Status{}, errStreamEnded
}

// drain reads a finished stream to its end, or for drainTime.
func (c *Client) drain(body io.ReadCloser, release func()) {
	finish := func() { _ = body.Close(); release() }
	if !c.background(func() {
		defer finish()
		// Closing the body ends a Read that blocks.
		timer := time.AfterFunc(drainTime, release)
		defer timer.Stop()
		defer context.AfterFunc(c.life, release)()
		_, _ = io.CopyN(io.Discard, body, maxErrorBody)
	}) {
		finish()
	}
}
