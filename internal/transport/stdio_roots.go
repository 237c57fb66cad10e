package transport

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

const (
	// rootsWait is how long the host may take to read roots/list and to answer.
	rootsWait = 5 * time.Second
	maxRoots  = 1000
	// maxReason is how many bytes of a host's error message are repeated.
	maxReason = 256
)

var (
	errRootsLate      = fmt.Errorf("the host has not answered within %v", rootsWait)
	errRootsAbandoned = errors.New("nobody waits for the answer any more")
)

// hostRoots asks the host for its roots and remembers them. It never holds up
// the reader. One goroutine at most writes for it, so that a host that reads
// nothing holds that one and not those who wait.
type hostRoots struct {
	out   *lineWriter
	spawn func(func()) // on a goroutine that Serve joins

	mu      sync.Mutex
	offered bool  // at initialize
	ended   error // why no answer can come any more
	known   bool
	uris    []string
	asked   int
	open    map[string]*rootsQuestion // by id; each has somebody who waits
	current *rootsQuestion            // the one to join, and to remember; nil for none
	cancels []string                  // ids the host is yet to be told of
	writing bool
}

// rootsQuestion is one roots/list; its outcome is set before done is closed.
type rootsQuestion struct {
	id       string
	deadline time.Time
	done     chan struct{}
	uris     []string
	err      error

	waiters int  // guarded by hostRoots.mu
	sent    bool // or being written; guarded by hostRoots.mu
}

// Roots implements tools.RootLister.
func (s *stdioSession) Roots(ctx context.Context) ([]string, error) {
	// The protocol without a handshake has no requests of the server; and roots on
	// another machine are none of this one's folders.
	if s.remote || server.IsModernRequest(ctx) {
		return nil, nil
	}
	q, uris, err := s.roots.join()
	if q != nil {
		uris, err = s.roots.wait(ctx, q)
	}
	if err != nil {
		return nil, fmt.Errorf("ask the host for its roots: %w", err)
	}
	return slices.Clone(uris), nil
}

// join returns a question to wait for, or else what there is to say at once.
func (r *hostRoots) join() (q *rootsQuestion, uris []string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case !r.offered:
		return nil, nil, nil
	case r.known:
		return nil, r.uris, nil
	case r.ended != nil:
		return nil, nil, r.ended
	case r.current == nil:
		r.asked++
		r.current = &rootsQuestion{
			id:       "nemotron-mcp-" + strconv.Itoa(r.asked),
			deadline: time.Now().Add(rootsWait),
			done:     make(chan struct{}),
		}
		r.open[r.current.id] = r.current
		r.startWriting()
	}
	r.current.waiters++
	return r.current, nil, nil
}

func (r *hostRoots) wait(ctx context.Context, q *rootsQuestion) ([]string, error) {
	timer := time.NewTimer(time.Until(q.deadline))
	defer timer.Stop()
	select {
	case <-q.done:
	case <-ctx.Done():
		r.leave(q)
		return nil, context.Cause(ctx)
	case <-timer.C:
		r.giveUp(q, errRootsLate)
		<-q.done // closed by now
	}
	return q.uris, q.err
}

// leave is for who waits no longer. The last one ends the question.
func (r *hostRoots) leave(q *rootsQuestion) {
	r.mu.Lock()
	q.waiters--
	last := q.waiters == 0
	r.mu.Unlock()
	if last {
		r.giveUp(q, errRootsAbandoned)
	}
}

// giveUp ends a question that is open still. The host is told where it may have
// seen it.
func (r *hostRoots) giveUp(q *rootsQuestion, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open[q.id] != q {
		return
	}
	if q.sent {
		r.cancels = append(r.cancels, q.id)
		r.startWriting()
	}
	r.settle(q, nil, err)
}

// settle is called with mu held, for a question that is open.
func (r *hostRoots) settle(q *rootsQuestion, uris []string, err error) {
	delete(r.open, q.id)
	q.uris, q.err = uris, err
	close(q.done)
	if r.current != q {
		return
	}
	r.current = nil
	r.known, r.uris = err == nil, uris
}

// offer begins with what a client has declared at initialize.
func (r *hostRoots) offer(offered bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.offered = offered
	r.forget()
}

// changed makes the next call ask again.
func (r *hostRoots) changed() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forget()
}

// forget is called with mu held. Whoever waits for an answer gets it, but
// nobody joins them. A question that is not written yet asks for what is new.
func (r *hostRoots) forget() {
	r.known, r.uris = false, nil
	if r.current != nil && r.current.sent {
		r.current = nil
	}
}

// end is called when no answer can come any more. What is known stays known.
func (r *hostRoots) end(cause error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended == nil {
		r.ended = cause
	}
	for _, q := range r.open {
		r.settle(q, nil, r.ended)
	}
}

// answer takes a response of the host; false where nothing was asked under its
// id.
func (r *hostRoots) answer(e *envelope) bool {
	r.mu.Lock()
	q := r.open[e.id.key.text] // empty for a number
	// The ids can be guessed, so one may come before the question.
	asked := q != nil && q.sent
	r.mu.Unlock()
	if !asked {
		return false
	}
	uris, err := parseRoots(e)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open[q.id] == q {
		r.settle(q, uris, err)
	}
	return true
}

// startWriting is called with mu held.
func (r *hostRoots) startWriting() {
	if r.writing {
		return
	}
	r.writing = true
	r.spawn(r.write)
}

func (r *hostRoots) write() {
	for {
		line, claim := r.next()
		if line == "" {
			return
		}
		// After an error there is nothing more to write, ever.
		if _, err := r.out.write([]byte(line), claim); err != nil {
			return
		}
	}
}

// next returns the line to write; empty when the writing is done.
func (r *hostRoots) next() (line string, claim func() bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.cancels) > 0 {
		id := r.cancels[0]
		r.cancels = r.cancels[1:]
		return `{"jsonrpc":"2.0","method":"` + string(mcp.MethodNotificationCancelled) + `","params":{"requestId":"` + id + `"}}` + "\n", nil
	}
	if q := r.current; q != nil && !q.sent {
		return `{"jsonrpc":"2.0","id":"` + q.id + `","method":"` + string(mcp.MethodListRoots) + `"}` + "\n", func() bool { return r.claim(q) }
	}
	r.writing = false
	return "", nil
}

// claim says, when it is its turn, whether a question is still to be written.
func (r *hostRoots) claim(q *rootsQuestion) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	q.sent = r.open[q.id] == q
	return q.sent
}

// parseRoots takes a response with either a result or an error.
func parseRoots(e *envelope) ([]string, error) {
	if e.fault != nil {
		return nil, hostError(e.fault)
	}
	list, ok := member(e.result, "roots")
	if !ok || list[0] != '[' {
		return nil, errors.New("its answer has no list of roots")
	}
	uris := []string{}
	for item := range items(list) {
		if len(uris) == maxRoots {
			return nil, fmt.Errorf("it has more than %d", maxRoots)
		}
		raw, _ := member(item, "uri")
		uri, ok := parseString(raw)
		if !ok || uri == "" {
			return nil, fmt.Errorf("number %d of its answer has no uri", len(uris)+1)
		}
		uris = append(uris, uri)
	}
	return uris, nil
}

// hostError repeats what a host says in an error, which may be anything.
func hostError(raw []byte) error {
	var code int
	number, _ := member(raw, "code")
	if json.Unmarshal(number, &code) != nil {
		return errors.New("its error has no code")
	}
	text, _ := member(raw, "message")
	message, _ := parseString(text)
	return fmt.Errorf("it refused with %d: %q", code, message[:min(len(message), maxReason)])
}
