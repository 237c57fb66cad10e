package transport

import (
	"fmt"
	"net/http"
	"os"
	"runtime"
	"testing"
	"time"
)

// TestSessionsLeaveNothing: clients of both protocols that come, call and go leave
// no session, no goroutine and no descriptor behind. Not parallel: it counts those
// of the process.
func TestSessionsLeaveNothing(t *testing.T) {
	state := make(chan State, 1)
	w := serveWeb(t, HTTP{Serving: func(s State) { state <- s }})
	serving := <-state
	visit := func() {
		v, s := w.visit(""), w.watch("")
		s.send(initialize)
		s.next()
		for i := range 3 {
			v.post(t.Context(), call(fmt.Sprint(i), "echo", `{}`))
			s.send(call(fmt.Sprint(i), "echo", `{}`))
			s.next()
		}
		s.leave()
		if res, _ := w.ask(sent{method: http.MethodDelete, path: "/mcp", header: v.header()}); res.StatusCode != http.StatusOK {
			t.Fatal(res.Status)
		}
	}
	quiet := func() (goroutines, descriptors int) {
		w.client.CloseIdleConnections()
		for end := time.Now().Add(patience); serving.Sessions() > 0 || serving.Connections() > 0; {
			if time.Now().After(end) {
				t.Fatalf("%d sessions and %d connections are left", serving.Sessions(), serving.Connections())
			}
			runtime.Gosched()
		}
		return runtime.NumGoroutine(), openDescriptors()
	}
	visit()
	goroutines, descriptors := quiet()
	for range 100 {
		visit()
	}
	// What ends a moment after its connection may still be counted.
	var after, open int
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if after, open = quiet(); after <= goroutines && open <= descriptors {
			return
		}
	}
	t.Errorf("%d goroutines and %d descriptors; there were %d and %d", after, open, goroutines, descriptors)
}

// openDescriptors is how many there are, where the system says so.
func openDescriptors() int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(entries)
}
