package falclient_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"nemotron-mcp/falclient"
)

// polls answers with IN_PROGRESS and at last with COMPLETED.
func polls(last int) func(int, http.ResponseWriter, *http.Request) {
	return func(n int, w http.ResponseWriter, _ *http.Request) {
		if n < last {
			bodyOf(w, http.StatusAccepted, `{"status":"IN_PROGRESS"}`)
			return
		}
		bodyOf(w, http.StatusOK, done)
	}
}

// Whatever is wrong with the stream, polling takes over, once and for the rest.
func TestWatchFallsBack(t *testing.T) {
	t.Parallel()
	refuse := func(status int, kind, body string) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	speak := func(parts ...string) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, _ *http.Request) { say(w, parts...) }
	}
	first := event(`{"status":"IN_QUEUE"}`)
	for name, tc := range map[string]struct {
		stream func(http.ResponseWriter, *http.Request)
		heard  string        // by the stream
		after  time.Duration // when it is given up
	}{
		"404":            {stream: refuse(404, "application/json", `{"detail":"no"}`)},
		"405":            {stream: refuse(405, "text/plain", "")},
		"401":            {stream: refuse(401, "application/json", `{"detail":"invalid key credentials"}`)},
		"429":            {stream: refuse(429, "application/json", `{}`)},
		"500":            {stream: refuse(500, "application/json", `{}`)},
		"503 page":       {stream: refuse(503, "text/html", nginx)},
		"307":            {stream: refuse(307, "text/html", "")},
		"200 JSON":       {stream: refuse(200, "application/json", `{"status":"COMPLETED"}`)},
		"200 plain text": {stream: refuse(200, "text/plain", event(done))},
		"200 page":       {stream: refuse(200, "text/html", nginx)},
		"reset":          {stream: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
		"ends at once":   {stream: speak("")},
		"ends too early": {stream: speak(first), heard: "IN_QUEUE "},
		"breaks in an event": {heard: "IN_QUEUE ", stream: func(w http.ResponseWriter, _ *http.Request) {
			say(w, first, `data: {"status":"COMPL`)
			panic(http.ErrAbortHandler)
		}},
		"ends in an event":   {stream: speak(first, "data: "+done), heard: "IN_QUEUE "},
		"garbage":            {stream: speak(first, event("<garbage>")), heard: "IN_QUEUE "},
		"a list":             {stream: speak(first, event("[1]")), heard: "IN_QUEUE "},
		"no status":          {stream: speak(first, event("{}")), heard: "IN_QUEUE "},
		"a line of 2 MiB":    {stream: speak(first, event(`{"status":"COMPLETED","a":"`+strings.Repeat("a", 2<<20)+`"}`)), heard: "IN_QUEUE "},
		"an event of 2 MiB":  {stream: speak(first, `data: {"status":"COMPLETED"`+"\n"+strings.Repeat(`data: ,"a":"a"`+"\n", 160<<10)+event("}")), heard: "IN_QUEUE "},
		"2 MiB of new lines": {stream: speak(first, strings.Repeat("\n", 2<<20)), heard: "IN_QUEUE "},
		"no header": {after: falclient.FirstEvent, stream: func(_ http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
		}},
		"silent from the start": {after: falclient.FirstEvent, stream: func(w http.ResponseWriter, r *http.Request) {
			say(w, ": ping\n\n")
			<-r.Context().Done()
		}},
		"the error's body never ends": {after: falclient.FirstEvent, stream: func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusInternalServerError)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				q := &queue{status: polls(2), stream: func(_ int, w http.ResponseWriter, r *http.Request) { tc.stream(w, r) }}
				c, _ := bubble(t, q.ServeHTTP)
				st, told, err := watch(t.Context(), c)
				if want := tc.heard + "IN_PROGRESS IN_PROGRESS"; err != nil || told != want || st.State != falclient.Completed {
					t.Errorf("got %+v after %q, %v; want %q before", st, told, err, want)
				}
				if diff := cmp.Diff(map[string]int{"stream": 1, "status": 3}, q.counts()); diff != "" {
					t.Errorf("requests (-want +got):\n%s", diff)
				}
				if q.times[0] != tc.after || q.times[1]-q.times[0] != max(tc.after/10, 100*time.Millisecond) {
					t.Errorf("polled at %v", q.times)
				}
			})
		})
	}
}

// Each pause is a tenth of the time waited so far, within 100 ms and 2 s.
func TestWatchPollIntervals(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := &queue{status: polls(60), stream: noStream}
		c, _ := bubble(t, q.ServeHTTP)
		if _, _, err := watch(t.Context(), c); err != nil {
			t.Error(err)
		}
		for i := 1; i < len(q.times); i++ {
			want := min(max(q.times[i-1]/10, 100*time.Millisecond), 2*time.Second)
			if got := q.times[i] - q.times[i-1]; got != want {
				t.Errorf("poll %d came after %v, want %v", i, got, want)
			}
		}
	})
}

// A stream that was alive and falls silent, or is cut, is opened again after a
// poll: polling for hours is no answer.
func TestWatchReopensSteadyStream(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		first func(w http.ResponseWriter, r *http.Request)
		polls []time.Duration
	}{
		{"pings only", func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				say(w, ": ping\n\n")
				time.Sleep(15 * time.Second)
			}
		}, []time.Duration{falclient.EventSilence}},
		{"silence", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, []time.Duration{falclient.EventSilence}},
		{"cut by a proxy", func(http.ResponseWriter, *http.Request) {
			time.Sleep(9 * time.Second)
			panic(http.ErrAbortHandler)
		}, []time.Duration{9 * time.Second}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				q := &queue{status: polls(9), stream: func(n int, w http.ResponseWriter, r *http.Request) {
					say(w, event(`{"status":"IN_QUEUE"}`))
					if n == 0 {
						tc.first(w, r)
						return
					}
					say(w, event(done))
				}}
				c, _ := bubble(t, q.ServeHTTP)
				if _, told, err := watch(t.Context(), c); err != nil || told != "IN_QUEUE IN_PROGRESS IN_QUEUE" {
					t.Errorf("told %q, %v", told, err)
				}
				if diff := cmp.Diff(tc.polls, q.times); diff != "" || q.counts()["stream"] != 2 {
					t.Errorf("%d streams, polls (-want +got):\n%s", q.counts()["stream"], diff)
				}
			})
		})
	}
}

// One that was opened again and tells nothing is the last.
func TestWatchLeavesMuteStream(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := &queue{status: polls(5), stream: func(n int, w http.ResponseWriter, r *http.Request) {
			if n == 0 {
				say(w, event(`{"status":"IN_QUEUE"}`))
				time.Sleep(9 * time.Second)
				return
			}
			say(w, ": ping\n\n")
			<-r.Context().Done()
		}}
		c, _ := bubble(t, q.ServeHTTP)
		if st, _, err := watch(t.Context(), c); err != nil || st.State != falclient.Completed {
			t.Errorf("got %+v, %v", st, err)
		}
		if n := q.counts()["stream"]; n != 2 {
			t.Errorf("%d streams, want 2", n)
		}
	})
}

// The end that a silent stream withholds is found by the poll.
func TestWatchSilentStreamHidesTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := &queue{status: polls(0), stream: func(_ int, w http.ResponseWriter, r *http.Request) {
			say(w, event(`{"status":"IN_QUEUE"}`))
			<-r.Context().Done()
		}}
		c, _ := bubble(t, q.ServeHTTP)
		began := time.Now()
		if st, _, err := watch(t.Context(), c); err != nil || st.State != falclient.Completed || time.Since(began) != falclient.EventSilence {
			t.Errorf("got %+v, %v after %v", st, err, time.Since(began))
		}
	})
}

// Each line of the log is told once, in order, whichever way it came.
func TestWatchLogs(t *testing.T) {
	t.Parallel()
	logs := func(state, lines string) string {
		var b strings.Builder
		for i, l := range strings.Fields(lines) {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(`{"message":"` + l + `","timestamp":"t"}`)
		}
		return `{"status":"` + state + `","logs":[` + b.String() + `]}`
	}
	for _, tc := range []struct {
		name    string
		streams []string // the events of each stream; each but the last is cut after a while
		polls   []string
		told    string
	}{
		{"stream: new lines", []string{event(logs("IN_PROGRESS", "a b")) + event(logs("IN_PROGRESS", "c")) + event(logs("COMPLETED", "d"))}, nil, "a b c d"},
		{"stream, then polls: all lines", []string{event(logs("IN_PROGRESS", "a b")), ""}, []string{logs("IN_PROGRESS", "a b c"), logs("COMPLETED", "a b c d")}, "a b c d"},
		{"polls that lose lines", []string{""}, []string{logs("IN_PROGRESS", "a b c"), logs("IN_PROGRESS", "a"), logs("IN_PROGRESS", ""), logs("COMPLETED", "a b c d")}, "a b c d"},
		{"stream, poll, stream with new lines", []string{event(logs("IN_PROGRESS", "a b")), event(logs("COMPLETED", "d"))}, []string{logs("IN_PROGRESS", "a b c")}, "a b c d"},
		{"stream, poll, stream with all lines", []string{event(logs("IN_PROGRESS", "a b")), event(logs("COMPLETED", "a b c d"))}, []string{logs("IN_PROGRESS", "a b c")}, "a b c d"},
		{"the same line again", []string{event(logs("IN_PROGRESS", "a b")) + event(logs("IN_PROGRESS", "a")) + event(logs("COMPLETED", "a c"))}, nil, "a b a a c"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				q := &queue{
					stream: func(n int, w http.ResponseWriter, _ *http.Request) {
						say(w, tc.streams[n])
						if n+1 < len(tc.streams) {
							time.Sleep(9 * time.Second)
						}
					},
					status: func(n int, w http.ResponseWriter, _ *http.Request) { bodyOf(w, http.StatusOK, tc.polls[n]) },
				}
				c, _ := bubble(t, q.ServeHTTP)
				var told []string
				note := func(st falclient.Status) {
					for _, l := range st.Logs {
						told = append(told, l.Message)
					}
				}
				st, err := c.Watch(t.Context(), vision, testID, note)
				note(st)
				if got := strings.Join(told, " "); got != tc.told || err != nil {
					t.Errorf("told %q, %v; want %q", got, err, tc.told)
				}
			})
		})
	}
}

func TestWatchEndsWithItsContext(t *testing.T) {
	t.Parallel()
	hang := func(_ int, _ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	for name, q := range map[string]*queue{
		"while the stream is opened": {stream: hang},
		"while the stream speaks": {stream: func(_ int, w http.ResponseWriter, r *http.Request) {
			say(w, event(`{"status":"IN_PROGRESS"}`))
			<-r.Context().Done()
		}},
		"during a poll":  {stream: noStream, status: hang},
		"between polls":  {stream: noStream, status: polls(1000)},
		"during trouble": {stream: noStream, status: func(_ int, w http.ResponseWriter, _ *http.Request) { bodyOf(w, 503, "") }},
	} {
		for _, deadline := range []bool{false, true} {
			t.Run(name+map[bool]string{false: ", cancel", true: ", deadline"}[deadline], func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					c, _ := bubble(t, (&queue{stream: q.stream, status: q.status}).ServeHTTP)
					ctx, cancel := context.WithCancel(t.Context())
					want := context.Canceled
					if deadline {
						ctx, cancel = context.WithTimeout(t.Context(), 5*time.Second)
						want = context.DeadlineExceeded
					}
					defer cancel()
					time.AfterFunc(5*time.Second+time.Nanosecond, cancel)
					began := time.Now()
					_, _, err := watch(ctx, c)
					if took := time.Since(began).Round(time.Millisecond); !errors.Is(err, want) || took != 5*time.Second {
						t.Errorf("%v after %v, want %v after 5 s", err, took, want)
					}
				})
			})
		}
	}
}
