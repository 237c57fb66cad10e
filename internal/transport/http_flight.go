package transport

import "sync"

// flight counts the requests that are being served, over both protocols, and what
// their messages hold. Where callers have names, none may have more than half of
// it, so that one who asks for too much keeps nobody else waiting. It is safe for
// concurrent use.
type flight struct {
	most, mostOfOne load

	mu       sync.Mutex
	all      load
	byCaller map[string]load
}

// load is a number of requests and the bytes of their messages.
type load struct{ requests, bytes int }

func (l load) plus(m load) load { return load{l.requests + m.requests, l.bytes + m.bytes} }

func (l load) within(most load) bool { return l.requests <= most.requests && l.bytes <= most.bytes }

func newFlight(most load, named bool) *flight {
	f := &flight{most: most, mostOfOne: most, byCaller: map[string]load{}}
	if named {
		f.mostOfOne = load{max(most.requests/2, 1), most.bytes / 2}
	}
	return f
}

// enter adds to what a caller has in flight; false, and nothing is added, where
// that is too much.
func (f *flight) enter(caller string, more load) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	all, own := f.all.plus(more), f.byCaller[caller].plus(more)
	if !all.within(f.most) || !own.within(f.mostOfOne) {
		return false
	}
	f.all, f.byCaller[caller] = all, own
	return true
}

// leave takes back what was added.
func (f *flight) leave(caller string, less load) {
	less = load{-less.requests, -less.bytes}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all = f.all.plus(less)
	if own := f.byCaller[caller].plus(less); own != (load{}) {
		f.byCaller[caller] = own
	} else {
		delete(f.byCaller, caller)
	}
}

// requests is how many there are.
func (f *flight) requests() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.all.requests
}
