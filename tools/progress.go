package tools

import (
	"context"
	"fmt"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"nemotron-mcp/falclient"
	"nemotron-mcp/internal/jobs"
)

const (
	// progressPause keeps notifications to 4 a second, progressSilence makes one
	// each 10 s, so that a host that resets its time-out by them keeps waiting.
	progressPause   = 250 * time.Millisecond
	progressSilence = 10 * time.Second
	// progressGap is kept between the last notification and the response where
	// mcp-go carries them: over HTTP it loses the last one without it (v1.2.1).
	progressGap = 2 * time.Millisecond
	// progressLog bounds the log line in a message, in bytes.
	progressLog = 200
)

// progress tells one call's host how its job is getting on. A nil progress
// tells nothing.
type progress struct {
	frame frame
	send  func(mcp.JSONRPCNotification) error
	async bool // the notification is still on its way when send returns
	token mcp.ProgressToken
	began time.Time

	news chan struct{}
	end  context.CancelFunc
	done chan struct{}

	mu       sync.Mutex
	job      jobs.Job // as it was last; its zero value until it is known
	transfer transfer // of an upload; its zero value while there is none

	// Of the goroutine only.
	last  time.Time
	value float64
	line  falclient.Log // told last
}

// transfer is how far an upload is, in bytes; total is 0 where it is not known.
type transfer struct {
	sent, total int64
	// counted has bytes be what the progress counts, instead of seconds.
	counted bool
}

type progressKey struct{}

// withProgress starts telling, where the host asked for it with a token.
func (f frame) withProgress(ctx context.Context, req mcp.CallToolRequest) (context.Context, *progress) {
	if req.Params.Meta == nil || !returnable(req.Params.Meta.ProgressToken) {
		return ctx, nil
	}
	p := &progress{
		frame: f, token: req.Params.Meta.ProgressToken, began: time.Now(),
		news: make(chan struct{}, 1), done: make(chan struct{}),
	}
	if n := NotifierFrom(ctx); n != nil {
		p.send = n.Notify
	} else {
		p.async = true
		p.send = func(n mcp.JSONRPCNotification) error {
			return server.ServerFromContext(ctx).SendNotificationToClient(ctx, n.Method, n.Params.AdditionalFields)
		}
	}
	running, end := context.WithCancel(ctx)
	p.end = end
	go p.run(running)
	return context.WithValue(ctx, progressKey{}, p), p
}

// returnable says whether a host can be given its token back as it was. mcp-go
// reads numbers as float64 (v1.2.1), which are exact up to 2^53.
func returnable(token mcp.ProgressToken) bool {
	const exact = 1 << 53
	switch token := token.(type) {
	case string:
		return true
	case float64:
		return token > -exact && token < exact
	}
	return false
}

// Watcher is told how a call gets on, for a caller in this process. Its functions
// are called in turn with the call, and not after it has returned; either may be
// nil.
type Watcher struct {
	Job    func(jobs.Job)          // with each change of the call's job
	Upload func(sent, total int64) // in bytes; total is 0 where it is not known
}

type watcherKey struct{}

// WithWatcher has a call tell w how it gets on, instead of sending notifications.
func WithWatcher(ctx context.Context, w Watcher) context.Context {
	return context.WithValue(ctx, watcherKey{}, w)
}

// jobProgress is what a handler passes on to be called with each change of its
// job; nil where nobody asked.
func jobProgress(ctx context.Context) func(jobs.Job) {
	if w, ok := ctx.Value(watcherKey{}).(Watcher); ok {
		return w.Job
	}
	p, ok := ctx.Value(progressKey{}).(*progress)
	if !ok {
		return nil
	}
	return p.update
}

// uploadProgress is what a handler passes on to be called as an upload goes on;
// nil where nobody asked. counted is for a call that does nothing else.
func uploadProgress(ctx context.Context, counted bool) func(sent, total int64) {
	if w, ok := ctx.Value(watcherKey{}).(Watcher); ok {
		return w.Upload
	}
	p, ok := ctx.Value(progressKey{}).(*progress)
	if !ok {
		return nil
	}
	// From the first notification on: progress can't go from seconds to bytes.
	p.mu.Lock()
	p.transfer.counted = counted
	p.mu.Unlock()
	return func(sent, total int64) {
		p.mu.Lock()
		p.transfer = transfer{sent, total, counted}
		p.mu.Unlock()
		p.signal()
	}
}

func (p *progress) update(job jobs.Job) {
	p.mu.Lock()
	news := !sameNews(p.job, job)
	p.job = job
	p.mu.Unlock()
	if news {
		p.signal()
	}
}

func (p *progress) signal() {
	select {
	case p.news <- struct{}{}:
	default:
	}
}

// sameNews says whether there is nothing to tell of b after a.
func sameNews(a, b jobs.Job) bool {
	samePosition := a.QueuePosition == b.QueuePosition ||
		a.QueuePosition != nil && b.QueuePosition != nil && *a.QueuePosition == *b.QueuePosition
	return a.Status == b.Status && samePosition && lastLine(a) == lastLine(b)
}

func lastLine(j jobs.Job) falclient.Log {
	if len(j.Logs) == 0 {
		return falclient.Log{}
	}
	return j.Logs[len(j.Logs)-1]
}

// stop ends the telling. Nothing is sent after it.
func (p *progress) stop() {
	if p == nil {
		return
	}
	p.end()
	<-p.done
	if gap := progressGap - time.Since(p.last); p.async && gap > 0 {
		time.Sleep(gap)
	}
}

func (p *progress) run(ctx context.Context) {
	defer close(p.done)
	timer := time.NewTimer(progressSilence)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.news:
		case <-timer.C:
		}
		if pause := progressPause - time.Since(p.last); pause > 0 {
			timer.Reset(pause)
			select {
			case <-ctx.Done():
				return
			case <-timer.C:
			}
		}
		if err := p.tell(); err != nil && !p.async {
			return // the host is gone; its call will be ended by that
		}
		timer.Reset(progressSilence)
	}
}

func (p *progress) tell() error {
	p.mu.Lock()
	job, transfer := p.job, p.transfer
	p.mu.Unlock()
	p.last = time.Now()
	// Seconds since the call began, for which there is no total to count towards.
	value := float64(time.Since(p.began).Milliseconds()) / 1000
	if transfer.counted {
		value = float64(transfer.sent)
	}
	p.value = max(p.value+0.001, value)
	fields := map[string]any{"progressToken": p.token, "progress": p.value, "message": p.message(job, transfer)}
	if transfer.counted && transfer.total > 0 {
		fields["total"] = max(p.value, float64(transfer.total))
	}
	return p.send(mcp.JSONRPCNotification{
		JSONRPC: mcp.JSONRPC_VERSION,
		Notification: mcp.Notification{
			Method: "notifications/progress",
			Params: mcp.NotificationParams{AdditionalFields: fields},
		},
	})
}

func (p *progress) message(job jobs.Job, transfer transfer) string {
	var text string
	switch {
	case job.Status == "" && transfer.sent+transfer.total > 0:
		text = transfer.String()
	case job.Status == "":
		text = "asking fal"
	case job.Status == jobs.Submitting:
		text = "submitting"
	case job.Status == jobs.InQueue && job.QueuePosition != nil:
		text = fmt.Sprintf("IN_QUEUE, position %d", *job.QueuePosition)
	case job.Status == jobs.InProgress:
		text = fmt.Sprintf("IN_PROGRESS, running %.0f s", time.Since(job.Started).Seconds())
	default:
		text = string(job.Status)
	}
	if line := lastLine(job); line != p.line && line.Message != "" {
		p.line = line
		text += ": " + shorten(p.frame.secrets.String(p.line.Message), progressLog)
	}
	return p.frame.secrets.String(text)
}

func (t transfer) String() string {
	if t.total == 0 {
		return "uploading, " + Amount(t.sent)
	}
	return "uploading, " + Amount(t.sent) + " of " + Amount(t.total)
}

// Amount is a number of bytes as people read it.
func Amount(n int64) string {
	switch {
	case n < 1e3:
		return plural(int(n), "byte")
	case n < 1e6:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	}
	return fmt.Sprintf("%.1f MB", float64(n)/1e6)
}

// shorten cuts text, which must have been masked before, to n bytes at most,
// between two characters.
func shorten(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n] + "…"
}
