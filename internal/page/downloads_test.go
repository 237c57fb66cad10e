package page

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"nemotron-mcp/internal/jobs"
	"nemotron-mcp/tools"
)

// slowReader takes nothing of an answer until it is released.
type slowReader struct {
	*httptest.ResponseRecorder
	taking  chan<- string // told whose it is once the answer begins
	release <-chan struct{}
	caller  string
}

func (s slowReader) WriteString(text string) (int, error) {
	s.taking <- s.caller
	<-s.release
	return s.ResponseRecorder.WriteString(text)
}

// TestDownloadsAreBounded: an answer that is taken slowly holds a place of few,
// and of a caller's still fewer, so that nobody takes all of them.
func TestDownloadsAreBounded(t *testing.T) {
	t.Parallel()
	callers := []string{"", "alice", "bob", "carol", "dave"}
	var rows []jobs.Job
	for _, caller := range callers {
		rows = append(rows, job(caller, 0))
	}
	h := newHouse(t, rows...)
	answer := func(caller string) string { return fmt.Sprintf("/api/jobs/req-%s-0000/output", caller) }
	wants := func(caller string, want int, says string) {
		t.Helper()
		if status, body := h.get(answer(caller), caller); status != want || !strings.Contains(body, says) {
			t.Errorf("%q: %d %s; want %d", caller, status, body, want)
		}
	}
	taking, release := make(chan string), make(chan struct{})
	var slow sync.WaitGroup
	take := func(caller string) {
		slow.Go(func() {
			r := httptest.NewRequestWithContext(tools.WithCaller(t.Context(), caller), http.MethodGet, answer(caller), nil)
			h.page.ServeHTTP(slowReader{httptest.NewRecorder(), taking, release, caller}, r)
			select {
			case taking <- "nobody: it is refused":
			case <-release:
			}
		})
		if got := <-taking; got != caller {
			t.Errorf("%q is sent an answer, not %q", got, caller)
		}
	}
	for i, caller := range callers[:maxSending/sendingEach] {
		for range sendingEach {
			wants(caller, http.StatusOK, "answer 0")
			take(caller)
		}
		wants(caller, http.StatusTooManyRequests, "when one has ended")
		if i+1 < maxSending/sendingEach {
			wants("dave", http.StatusOK, "dave's answer 0")
		}
	}
	wants("dave", http.StatusServiceUnavailable, "again in a minute")
	close(release)
	slow.Wait()
	for _, caller := range callers {
		for range sendingEach + 1 {
			wants(caller, http.StatusOK, caller+"'s answer 0")
		}
	}
	if h.page.sending.all != 0 || len(h.page.sending.of) != 0 {
		t.Errorf("places are held: %d %v", h.page.sending.all, h.page.sending.of)
	}
}
