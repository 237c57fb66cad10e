package falclient_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"nemotron-mcp/falclient"
)

const done = `{"status":"COMPLETED","metrics":{"inference_time":1.5}}`

// queue is fal's queue as far as one job goes: a function for each call, with
// the number of calls of its kind before it.
type queue struct {
	stream, status func(n int, w http.ResponseWriter, r *http.Request)

	mu    sync.Mutex
	count map[string]int
	times []time.Duration // of the polls, since the first request
	began time.Time
}

func (q *queue) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	kind := r.Method
	switch {
	case strings.HasSuffix(r.URL.Path, "/stream"):
		kind = "stream"
	case strings.HasSuffix(r.URL.Path, "/status"):
		kind = "status"
	}
	q.mu.Lock()
	if q.count == nil {
		q.count, q.began = map[string]int{}, time.Now()
	}
	n := q.count[kind]
	q.count[kind]++
	if kind == "status" {
		q.times = append(q.times, time.Since(q.began))
	}
	q.mu.Unlock()
	switch kind {
	case "stream":
		q.stream(n, w, r)
	case "status":
		q.status(n, w, r)
	case "POST":
		bodyOf(w, http.StatusOK, taken)
	default:
		bodyOf(w, http.StatusOK, `{"output":"x"}`)
	}
}

func (q *queue) counts() map[string]int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.count
}

// say writes to a stream, at once.
func say(w http.ResponseWriter, parts ...string) {
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	for _, p := range parts {
		_, _ = io.WriteString(w, p)
		_ = http.NewResponseController(w).Flush()
	}
}

func event(body string) string { return "data: " + body + "\n\n" }

func noPoll(t *testing.T) func(int, http.ResponseWriter, *http.Request) {
	return func(_ int, w http.ResponseWriter, _ *http.Request) {
		t.Error("polled")
		bodyOf(w, http.StatusOK, done)
	}
}

func noStream(_ int, w http.ResponseWriter, _ *http.Request) { bodyOf(w, http.StatusNotFound, "") }

// watch follows the job and returns what was told on the way, one word a status.
func watch(ctx context.Context, c *falclient.Client) (falclient.Status, string, error) {
	var told []string
	st, err := c.Watch(ctx, vision, testID, func(st falclient.Status) { told = append(told, string(st.State)) })
	return st, strings.Join(told, " "), err
}

// Submit, stream and result are three requests. The result is asked for at the
// COMPLETED event, however long fal holds the stream open, and the stream's
// connection is used again.
func TestWatchStream(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := &queue{status: noPoll(t), stream: func(_ int, w http.ResponseWriter, r *http.Request) {
			if r.RequestURI != root+"/status/stream?logs=1" || r.Header.Get("Accept") != "text/event-stream" {
				t.Errorf("got %s with %v", r.RequestURI, r.Header)
			}
			say(w, event(`{"status":"IN_QUEUE","queue_position":2}`))
			time.Sleep(time.Second)
			say(w, event(`{"status":"IN_PROGRESS"}`))
			time.Sleep(time.Second)
			say(w, event(done))
			time.Sleep(time.Second)
		}}
		c, m := bubble(t, q.ServeHTTP)
		if _, err := submit(t.Context(), c, falclient.SubmitOptions{}); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		st, told, err := watch(t.Context(), c)
		if err != nil || told != "IN_QUEUE IN_PROGRESS" || st.State != falclient.Completed || st.InferenceTime != 1500*time.Millisecond {
			t.Errorf("got %+v after %q, %v", st, told, err)
		}
		if _, err := c.Result(t.Context(), vision, testID); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("took %v, want no more than the job's 2 s", took)
		}
		if diff := cmp.Diff(map[string]int{"POST": 1, "stream": 1, "GET": 1}, q.counts()); diff != "" {
			t.Errorf("requests (-want +got):\n%s", diff)
		}
		time.Sleep(time.Second) // the stream has drained
		synctest.Wait()
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() { _, _ = c.Result(t.Context(), vision, testID) })
		}
		wg.Wait()
		if n := m.dials.Load(); n != 2 {
			t.Errorf("%d connections, want 2: the stream's and the result's, used again", n)
		}
	})
}

// A stream that never ends is left after a while, or at once by Close.
func TestWatchDrainEnds(t *testing.T) {
	t.Parallel()
	for _, closing := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			left := make(chan time.Time, 1)
			q := &queue{status: noPoll(t), stream: func(_ int, w http.ResponseWriter, r *http.Request) {
				say(w, event(done))
				<-r.Context().Done()
				left <- time.Now()
			}}
			c, _ := bubble(t, q.ServeHTTP)
			began := time.Now()
			// The caller's context may end with the call.
			ctx, cancel := context.WithCancel(t.Context())
			if _, _, err := watch(ctx, c); err != nil {
				t.Error(err)
			}
			cancel()
			want := falclient.DrainTime
			if closing {
				c.Close()
				want = 0
			}
			if got := (<-left).Sub(began); got != want {
				t.Errorf("left after %v, want %v", got, want)
			}
		})
	}
}

func TestWatchAfterClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := &queue{status: noPoll(t), stream: func(_ int, w http.ResponseWriter, _ *http.Request) { say(w, event(done)) }}
		c, _ := bubble(t, q.ServeHTTP)
		c.Close()
		if st, _, err := watch(t.Context(), c); err != nil || st.State != falclient.Completed {
			t.Errorf("got %+v, %v", st, err)
		}
	})
}

// What a stream may look like and still be read.
func TestWatchStreamForms(t *testing.T) {
	t.Parallel()
	var bytewise []string
	for _, b := range []byte(event(`{"status":"IN_PROGRESS"}`) + event(done)) {
		bytewise = append(bytewise, string(b))
	}
	for name, parts := range map[string][]string{
		"one write":        {event(`{"status":"IN_PROGRESS"}`) + event(done)},
		"byte by byte":     bytewise,
		"CRLF":             {"data: {\"status\":\"IN_PROGRESS\"}\r\n\r\ndata: " + done + "\r\n\r\n"},
		"pings":            {": ping\n\n", event(`{"status":"IN_PROGRESS"}`), ": ping\n\n: ping\n\n", event(done)},
		"pings as events":  {"event: ping\n\n", event(`{"status":"IN_PROGRESS"}`), "id: 7\n\n", event(done)},
		"several lines":    {"event: status\nid: 1\ndata: {\ndata: \"status\":\"IN_PROGRESS\"}\n\n", event(done)},
		"a mark in front":  {"\ufeff" + event(`{"status":"IN_PROGRESS"}`), event(done)},
		"no blank":         {"data:{\"status\":\"IN_PROGRESS\"}\n\n", "data:" + done + "\n\n"},
		"unknown fields":   {event(`{"status":"IN_PROGRESS","a":{"b":[1]}}`), "retry: 5\nfoo: bar\n" + event(done)},
		"just below 1 MiB": {event(`{"status":"IN_PROGRESS","a":"` + strings.Repeat("a", 1000<<10) + `"}`), event(done)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				q := &queue{status: noPoll(t), stream: func(_ int, w http.ResponseWriter, _ *http.Request) { say(w, parts...) }}
				c, _ := bubble(t, q.ServeHTTP)
				if st, told, err := watch(t.Context(), c); err != nil || told != "IN_PROGRESS" || st.State != falclient.Completed {
					t.Errorf("got %+v after %q, %v", st, told, err)
				}
			})
		})
	}
}

// A word nobody knows is passed on and counts as unfinished; a position that
// jumps is passed on too.
func TestWatchUnknownWord(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := &queue{status: noPoll(t), stream: func(_ int, w http.ResponseWriter, _ *http.Request) {
			say(w, event(`{"status":"IN_QUEUE","queue_position":9000}`), event(`{"status":"IN_QUEUE","queue_position":0}`),
				event(`{"status":"IN_QUEUE","queue_position":12}`), event(`{"status":"PAUSED"}`), event(done))
		}}
		c, _ := bubble(t, q.ServeHTTP)
		if st, told, err := watch(t.Context(), c); err != nil || told != "IN_QUEUE IN_QUEUE IN_QUEUE PAUSED" || st.State != falclient.Completed {
			t.Errorf("got %+v after %q, %v", st, told, err)
		}
	})
}

// A job that failed is COMPLETED, with what fal says of it.
func TestWatchFailedJob(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := &queue{status: noPoll(t), stream: func(_ int, w http.ResponseWriter, _ *http.Request) {
			say(w, event(`{"status":"COMPLETED","error":"Runner gone","error_type":"runner_disconnected","logs":[{"message":"bye"}]}`))
		}}
		c, _ := bubble(t, q.ServeHTTP)
		st, err := c.Watch(t.Context(), vision, testID, nil)
		want := falclient.Status{
			State: falclient.Completed, Error: "Runner gone", ErrorType: "runner_disconnected", Logs: []falclient.Log{{Message: "bye"}},
		}
		if diff := cmp.Diff(want, st); diff != "" || err != nil {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
	})
}

func TestWatchSendsNothing(t *testing.T) {
	t.Parallel()
	c := newClient(t, falclient.Config{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		t.Errorf("sent: %s", r.URL)
		return nil, io.EOF
	})})
	if _, err := c.Watch(t.Context(), vision, "../x", nil); !errors.Is(err, falclient.ErrInvalidID) {
		t.Errorf("error is %v, want ErrInvalidID", err)
	}
	if _, err := c.Watch(t.Context(), falclient.Endpoint{}, testID, nil); err == nil {
		t.Error("no error for an endpoint that is none")
	}
}
