package workers

import (
	"runtime"
	"sync"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestWorkNeverWaitsForWork(t *testing.T) {
	p := New(1)
	var together sync.WaitGroup
	together.Add(100)
	for range 100 {
		p.Go(func() {
			together.Done()
			together.Wait() // would hang if two shared a goroutine
		})
	}
	p.Close()
	p.Wait()
}

func TestGoroutinesAreKeptUpToTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const keep = 3
		p := New(keep)
		before := runtime.NumGoroutine()
		for range 10 {
			p.Go(func() {})
		}
		synctest.Wait()
		if kept := runtime.NumGoroutine() - before; kept != keep {
			t.Fatalf("%d goroutines are kept, want %d", kept, keep)
		}
		for range 10 { // one after the other: no new one is needed
			p.Go(func() {
				if now := runtime.NumGoroutine() - before; now != keep {
					t.Errorf("%d goroutines while one works, want %d", now, keep)
				}
			})
			synctest.Wait()
		}
		p.Close()
		p.Close() // harmless
		p.Wait()
		p.Go(func() {}) // still works, and keeps nothing
		p.Wait()
	})
}

func TestAnEndedGoroutineIsReplaced(t *testing.T) {
	p := New(2)
	done := make(chan struct{})
	p.Go(func() { runtime.Goexit() })
	p.Go(func() { close(done) })
	<-done
	p.Close()
	p.Wait()
}
