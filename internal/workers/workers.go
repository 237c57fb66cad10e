// Package workers runs functions on goroutines that are used again.
//
// A new goroutine begins with a stack of a few KiB, which is copied each time
// it has to double. For the goroutines of a short call, which go deep into JSON
// and HTTP, that is a tenth of its processor time. One that has done a call
// before has the stack for the next.
package workers

import "sync"

// Pool keeps goroutines for later work. It never makes work wait: where no
// kept goroutine is free it starts another. Make it with [New]. It is safe for
// concurrent use.
type Pool struct {
	wg   sync.WaitGroup
	next chan func()   // taken by goroutines that are free
	free chan struct{} // one token for each of them
	quit chan struct{}
	once sync.Once
}

// New makes a pool that keeps at most keep free goroutines. It starts none.
func New(keep int) *Pool {
	return &Pool{next: make(chan func()), free: make(chan struct{}, keep), quit: make(chan struct{})}
}

// Go runs f on a goroutine of its own for as long as f takes. Like a WaitGroup's
// Go, it must not be called while Wait is, unless from such an f.
func (p *Pool) Go(f func()) {
	select {
	case p.next <- f:
	default:
		p.wg.Go(func() { p.work(f) })
	}
}

func (p *Pool) work(f func()) {
	for {
		f()
		select {
		case p.free <- struct{}{}:
		default:
			return
		}
		select {
		case f = <-p.next:
			<-p.free
		case <-p.quit:
			return
		}
	}
}

// Close lets the free goroutines end, and the others once they are. Go still
// works afterwards.
func (p *Pool) Close() { p.once.Do(func() { close(p.quit) }) }

// Wait returns when all goroutines have ended; only after Close will they.
func (p *Pool) Wait() { p.wg.Wait() }
