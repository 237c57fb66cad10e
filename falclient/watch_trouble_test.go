package falclient_test

import (
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"nemotron-mcp/falclient"
)

// fal's own word, several times in a row, ends a watch; a page needs longer.
func TestWatchRefusedForGood(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name     string
		status   int
		body     string
		polls    int
		is       error
		from, to time.Duration
	}{
		{"404", 404, `{"status":"NOT_FOUND"}`, 4, falclient.ErrNotFound, 500 * time.Millisecond, 2 * time.Second},
		{"401", 401, `{"detail":"invalid key credentials"}`, 4, falclient.ErrUnauthorized, 500 * time.Millisecond, 2 * time.Second},
		{"403", 403, `{"detail":"User is locked. Reason: Exhausted balance."}`, 4, falclient.ErrLocked, 500 * time.Millisecond, 2 * time.Second},
		{"404 page", 404, nginx, 12, falclient.ErrNotFound, time.Minute, 5 * time.Minute},
		{"401 page", 401, nginx, 12, falclient.ErrUnauthorized, time.Minute, 5 * time.Minute},
		{"307", 307, "", 12, falclient.ErrRedirected, time.Minute, 5 * time.Minute},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				q := &queue{stream: noStream, status: func(_ int, w http.ResponseWriter, _ *http.Request) { bodyOf(w, tc.status, tc.body) }}
				c, _ := bubble(t, q.ServeHTTP)
				began := time.Now()
				_, _, err := watch(t.Context(), c)
				if !errors.Is(err, tc.is) || q.counts()["status"] != tc.polls {
					t.Errorf("%d polls, %v; want %d, %v", q.counts()["status"], err, tc.polls, tc.is)
				}
				if took := time.Since(began); took < tc.from || took > tc.to {
					t.Errorf("took %v, want %v to %v", took, tc.from, tc.to)
				}
			})
		})
	}
}

// Refusals count in a row only, and trouble does not count at all.
func TestWatchOutlives(t *testing.T) {
	t.Parallel()
	const unknown, fine = `{"status":"NOT_FOUND"}`, `{"status":"IN_PROGRESS"}`
	type answer struct {
		status int
		body   string
	}
	repeat := func(n int, a ...answer) (all []answer) {
		for range n {
			all = append(all, a...)
		}
		return all
	}
	for _, tc := range []struct {
		name    string
		answers []answer
	}{
		{"404 three times", repeat(3, answer{404, unknown})},
		{"404 three times, fine, and again", append(append(repeat(3, answer{404, unknown}), answer{200, fine}), repeat(3, answer{404, unknown})...)},
		{"503 three times, then one 404", append(repeat(3, answer{503, nginx}), answer{404, unknown})},
		{"404 and 503 in turn", repeat(6, answer{404, unknown}, answer{503, nginx})},
		{"429", repeat(20, answer{429, "{}"})},
		{"500 of fal's own", repeat(20, answer{500, `{"detail":"x","error_type":"internal_error"}`})},
		{"408", repeat(20, answer{408, `{"detail":"x"}`})},
		{"unreadable", repeat(20, answer{200, nginx})},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				q := &queue{stream: noStream, status: func(n int, w http.ResponseWriter, _ *http.Request) {
					if n < len(tc.answers) {
						bodyOf(w, tc.answers[n].status, tc.answers[n].body)
						return
					}
					bodyOf(w, http.StatusOK, done)
				}}
				c, _ := bubble(t, q.ServeHTTP)
				if st, _, err := watch(t.Context(), c); err != nil || st.State != falclient.Completed {
					t.Errorf("got %+v, %v", st, err)
				}
				if n := q.counts()["status"]; n != len(tc.answers)+1 {
					t.Errorf("%d polls, want %d", n, len(tc.answers)+1)
				}
			})
		})
	}
}

// An outage of ten minutes, of answers or of connections, loses no job and is
// met with few polls.
func TestWatchOutlivesAnOutage(t *testing.T) {
	t.Parallel()
	const outage = 10 * time.Minute
	for _, connected := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			down := func() bool { return time.Since(began) < outage }
			q := &queue{
				stream: func(_ int, w http.ResponseWriter, _ *http.Request) { bodyOf(w, 502, nginx) },
				status: func(_ int, w http.ResponseWriter, _ *http.Request) {
					if down() {
						bodyOf(w, 502, nginx)
						return
					}
					bodyOf(w, http.StatusOK, done)
				},
			}
			c, m := bubble(t, q.ServeHTTP)
			m.refused.Store(!connected)
			time.AfterFunc(outage, func() { m.refused.Store(false) })
			st, _, err := watch(t.Context(), c)
			if err != nil || st.State != falclient.Completed {
				t.Errorf("got %+v, %v", st, err)
			}
			if took := time.Since(began); took > outage+30*time.Second {
				t.Errorf("noticed %v after the outage", took-outage)
			}
			tried := q.counts()["status"]
			if !connected {
				tried = int(m.dials.Load())
			}
			if tried > 60 {
				t.Errorf("tried %d times", tried)
			}
		})
	}
}

// What fal asks for with Retry-After is waited for, up to 30 s.
func TestWatchRetryAfter(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		retryAfter string
		from, to   time.Duration
	}{
		{"20", 20 * time.Second, 20 * time.Second},
		{"86400", 30 * time.Second, 30 * time.Second},
		{"0", 100 * time.Millisecond, 200 * time.Millisecond},
	} {
		t.Run(tc.retryAfter, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				q := &queue{stream: noStream, status: func(n int, w http.ResponseWriter, _ *http.Request) {
					if n == 0 {
						w.Header().Set("Retry-After", tc.retryAfter)
						bodyOf(w, http.StatusServiceUnavailable, nginx)
						return
					}
					bodyOf(w, http.StatusOK, done)
				}}
				c, _ := bubble(t, q.ServeHTTP)
				if _, _, err := watch(t.Context(), c); err != nil {
					t.Error(err)
				}
				if gap := q.times[1] - q.times[0]; gap < tc.from || gap > tc.to {
					t.Errorf("asked again after %v, want %v to %v", gap, tc.from, tc.to)
				}
			})
		})
	}
}
