package main

import (
	"context"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"nemotron-mcp/internal/falsim"
)

const (
	servers = 3
	hosts   = 12 // calls at once
)

// storm is the time in which everything goes wrong.
type storm struct {
	o     options
	sim   *falsim.Server
	dir   string
	slots [servers]slot

	mu    sync.Mutex
	calls map[string]*told // by prompt
	tally tally
}

// slot is a server and, after its end, the one that takes its place.
type slot struct {
	mu  sync.Mutex
	now *server
}

func (s *slot) current() *server {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

// told is what the host of a call was given.
type told struct {
	request string
	output  string // of an answer that was COMPLETED
	done    bool
}

// tally counts what was done.
type tally struct {
	calls, repeated, lost, cancels, handedBack, answered, failed int
	kills, hangUps, terminations                                 int
}

func (s *storm) count(n *int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*n++
}

// pass drives all calls through the storm.
func (s *storm) pass(ctx context.Context) error {
	stormy, calm := context.WithCancel(ctx)
	defer calm()
	var weather sync.WaitGroup
	failed := make(chan error, 1)
	weather.Go(func() { s.changeCourses(stormy) })
	weather.Go(func() {
		if err := s.endServers(stormy); err != nil {
			failed <- err
			calm()
		}
	})
	numbers := make(chan int)
	var callers sync.WaitGroup
	for range hosts {
		callers.Go(func() {
			for n := range numbers {
				s.call(stormy, n)
			}
		})
	}
	for n := 0; n < s.o.jobs && stormy.Err() == nil; n++ {
		select {
		case numbers <- n:
		case <-stormy.Done():
		}
	}
	close(numbers)
	callers.Wait()
	err := ctx.Err()
	calm()
	weather.Wait()
	select {
	case broken := <-failed:
		return broken
	default:
		return err
	}
}

// changeCourses gives the jobs to come other times in the queue and to run.
func (s *storm) changeCourses(ctx context.Context) {
	r := rand.New(rand.NewPCG(s.o.seed, 1<<40))
	for more := true; more; more = pause(ctx, 700*time.Millisecond) {
		s.sim.SetScript(troubled(r))
	}
}

// endServers ends a server now and then, in one of the ways that servers end,
// and starts another in its place.
func (s *storm) endServers(ctx context.Context) error {
	r := rand.New(rand.NewPCG(s.o.seed, 1<<41))
	for pause(ctx, time.Duration(100+r.IntN(300))*time.Millisecond) {
		slot := &s.slots[r.IntN(servers)]
		how, counted := (*server).kill, &s.tally.kills
		switch r.IntN(10) {
		case 0:
			how, counted = (*server).hangUp, &s.tally.hangUps
		case 1:
			how, counted = (*server).terminate, &s.tally.terminations
		}
		how(slot.current())
		s.count(counted)
		if err := s.start(slot); err != nil {
			return err
		}
	}
	return nil
}

func (s *storm) start(slot *slot) error {
	fresh, err := startServer(s.o, s.dir, s.sim.QueueURL())
	if err != nil {
		return err
	}
	slot.mu.Lock()
	defer slot.mu.Unlock()
	slot.now = fresh
	return nil
}

func (s *storm) killAll() {
	for i := range s.slots {
		if now := s.slots[i].current(); now != nil {
			now.kill()
		}
	}
}

// call is one host's wish, with what may become of it. A host whose server was
// killed may ask the next one the same again: not where it had cancelled or the
// job fails, because such a call is a new one.
func (s *storm) call(ctx context.Context, n int) {
	r := rand.New(rand.NewPCG(s.o.seed, uint64(n)))
	prompt := promptOf(s.o.seed, n, r)
	arguments := map[string]any{"prompt": prompt, "wait_seconds": []int{0, 1, 2, 30}[r.IntN(4)]}
	slot := &s.slots[r.IntN(servers)]
	hostCancels := r.IntN(12) == 0
	patience := time.Duration(r.IntN(900)) * time.Millisecond
	repeats := !hostCancels && r.IntN(2) == 0 && !strings.Contains(prompt, jobFails)
	s.mu.Lock()
	s.calls[prompt] = &told{}
	s.tally.calls++
	s.mu.Unlock()

	asked, a, answered := s.generate(ctx, slot, arguments, hostCancels, patience)
	if !answered && repeats && asked.killed.Load() {
		<-asked.gone // its pipes close a moment before it is dead
		s.count(&s.tally.repeated)
		arguments["wait_seconds"] = 30
		_, a, answered = s.generate(ctx, &s.slots[r.IntN(servers)], arguments, false, 0)
	}
	if !answered {
		s.count(&s.tally.lost)
		return
	}
	s.note(prompt, a)
	if a.Data.RequestID == "" || a.Data.Status == "COMPLETED" {
		return
	}
	s.followUp(ctx, r, prompt, a.Data.RequestID)
}

// followUp is what a host does with a request_id, at any server.
func (s *storm) followUp(ctx context.Context, r *rand.Rand, prompt, request string) {
	at := s.slots[r.IntN(servers)].current()
	switch r.IntN(4) {
	case 0:
		s.count(&s.tally.cancels)
		_, _ = at.request("tools/call", tool("queue_cancel", map[string]any{"request_id": request}))
	case 1, 2:
		a, err := at.request("tools/call", tool("queue_status", map[string]any{"request_id": request, "wait_seconds": r.IntN(4)}))
		if err == nil && !a.IsError {
			s.note(prompt, a)
		}
	}
}

// generate calls the server that it says, and reports whether that answered.
func (s *storm) generate(ctx context.Context, slot *slot, arguments any, cancels bool, patience time.Duration) (*server, answer, bool) {
	at := slot.current()
	id, reply, err := at.begin("tools/call", tool("nemotron_generate", arguments))
	for err != nil { // it had ended before it could be asked
		if !s.replaced(ctx, slot, at) {
			return at, answer{}, false
		}
		at = slot.current()
		id, reply, err = at.begin("tools/call", tool("nemotron_generate", arguments))
	}
	var weary <-chan time.Time
	if cancels {
		timer := time.NewTimer(patience)
		defer timer.Stop()
		weary = timer.C
	}
	for {
		select {
		case a, ok := <-reply:
			return at, a, ok
		case <-weary:
			s.count(&s.tally.cancels)
			_ = at.notify("notifications/cancelled", map[string]any{"requestId": id})
			return at, answer{}, false // a cancelled request has no answer
		case <-ctx.Done():
			return at, answer{}, false
		}
	}
}

func (s *storm) note(prompt string, a answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.calls[prompt]
	t.request = a.Data.RequestID
	switch {
	case a.IsError:
		s.tally.failed++
	case a.Data.Status == "COMPLETED":
		t.output, t.done = a.Data.Output, true
		s.tally.answered++
	default:
		s.tally.handedBack++
	}
}

// replaced waits until another server is in the place of one that died.
func (s *storm) replaced(ctx context.Context, slot *slot, died *server) bool {
	for slot.current() == died {
		if !pause(ctx, 10*time.Millisecond) {
			return false
		}
	}
	return true
}

func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
