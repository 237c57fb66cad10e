package page

import "sync"

// downloads counts the answers that are on their way, so that one caller, who
// takes them slowly, does not keep all others from theirs. The zero value is
// ready; it is safe for concurrent use.
type downloads struct {
	mu  sync.Mutex
	all int
	of  map[string]int // by caller, of whom there is at least one
}

// begin counts one more of the caller's until end is called, or says why there
// is no place for it.
func (d *downloads) begin(caller string) (end func(), refused *refusal) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.of[caller] >= sendingEach:
		return nil, errTooMany
	case d.all >= maxSending:
		return nil, errBusy
	}
	if d.of == nil {
		d.of = map[string]int{}
	}
	d.all++
	d.of[caller]++
	return func() { d.end(caller) }, nil
}

func (d *downloads) end(caller string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.all--
	if d.of[caller]--; d.of[caller] == 0 {
		delete(d.of, caller)
	}
}
