package jobs

import "sync"

// places counts the unfinished jobs that each caller has submitted in this
// process. It is safe for concurrent use.
type places struct {
	most int // for each caller; 0 is no limit

	mu    sync.Mutex
	taken map[string]int
}

func newPlaces(most int) *places { return &places{most: most, taken: map[string]int{}} }

// take takes a place, where there is one, and says how to give it back: once or
// more often, which is the same.
func (p *places) take(caller string) (leave func(), ok bool) {
	if p.most <= 0 {
		return func() {}, true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.taken[caller] >= p.most {
		return nil, false
	}
	p.taken[caller]++
	return sync.OnceFunc(func() { p.drop(caller) }), true
}

func (p *places) drop(caller string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.taken[caller]--; p.taken[caller] == 0 {
		delete(p.taken, caller)
	}
}

// full reports whether a caller has no place left.
func (p *places) full(caller string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.most > 0 && p.taken[caller] >= p.most
}
