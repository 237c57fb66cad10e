package tools

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"nemotron-mcp/internal/falsim"
	"nemotron-mcp/internal/jobs"
)

// refusal is what Limits says to a call; 0 where it is allowed.
func refusal(t *testing.T, l *Limits, caller string) time.Duration {
	t.Helper()
	err := l.allow(caller)
	if err == nil {
		return 0
	}
	told := new(jobs.Error)
	if !errors.As(err, &told) || told.Code != jobs.RateLimited || !told.Retryable || told.RetryAfter <= 0 {
		t.Fatalf("%+v", err)
	}
	return told.RetryAfter
}

func TestLimits(t *testing.T) {
	t.Parallel()
	type step struct {
		pause   time.Duration
		caller  string
		refused time.Duration
	}
	now := func(caller string) step { return step{0, caller, 0} }
	for _, tc := range []struct {
		name      string
		perMinute float64
		burst     int
		steps     []step
	}{
		{"as many as may come at once", 60, 3, []step{now("a"), now("a"), now("a"), {0, "a", time.Second}}},
		{"another caller has its own", 60, 1, []step{now("a"), {0, "a", time.Second}, now("b"), now(""), {0, "b", time.Second}, {0, "", time.Second}}},
		{"a refused call costs nothing", 60, 1, []step{
			now("a"), {0, "a", time.Second}, {500 * time.Millisecond, "a", time.Second}, {500 * time.Millisecond, "a", 0}, {0, "a", time.Second},
		}},
		{"as told, it is allowed", 7, 1, []step{now("a"), {0, "a", 9 * time.Second}, {9 * time.Second, "a", 0}}},
		{"idle, it has no more than at once", 60, 2, []step{now("a"), now("a"), {time.Hour, "a", 0}, now("a"), {0, "a", time.Second}}},
		{"half of it is back", 60, 4, []step{now("a"), now("a"), now("a"), now("a"), {2 * time.Second, "a", 0}, now("a"), {0, "a", time.Second}}},
		{"none at once is one", 60, 0, []step{now("a"), {0, "a", time.Second}}},
		{"less than one a minute", 0.5, 1, []step{now("a"), {0, "a", 2 * time.Minute}, {2 * time.Minute, "a", 0}}},
		{"hardly ever", 1e-9, 1, []step{now("a"), {0, "a", 24 * time.Hour}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l := NewLimits(tc.perMinute, tc.burst)
				for n, step := range tc.steps {
					time.Sleep(step.pause)
					if got := refusal(t, l, step.caller); got != step.refused {
						t.Errorf("step %d: refused for %v, want %v", n+1, got, step.refused)
					}
				}
			})
		})
	}
}

func TestNoLimits(t *testing.T) {
	t.Parallel()
	for _, perMinute := range []float64{0, -1, math.NaN()} {
		l := NewLimits(perMinute, 0)
		for range 1000 {
			if err := l.allow("a"); err != nil {
				t.Fatalf("%v a minute: %v", perMinute, err)
			}
		}
	}
}

// The callers that are kept are bounded, and dropping them gives none more than
// it would have.
func TestLimitsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := NewLimits(60, 2)
		l.most = 3
		spend := func(caller string, calls int) {
			t.Helper()
			for range calls {
				if after := refusal(t, l, caller); after != 0 {
					t.Fatalf("%s is refused for %v", caller, after)
				}
			}
		}
		spend("idle", 2)
		time.Sleep(2 * time.Second) // it is full again
		spend("a", 2)
		spend("b", 2)
		spend("c", 1) // in the place of the idle one
		if len(l.callers) != 3 || l.callers["idle"] != nil {
			t.Errorf("kept: %v", l.callers)
		}
		spend("d", 1) // in the place of c, the nearest to full
		if len(l.callers) != 3 || l.callers["c"] != nil {
			t.Errorf("kept: %v", l.callers)
		}
		if refusal(t, l, "a") == 0 || refusal(t, l, "b") == 0 {
			t.Error("one that had spent all was dropped")
		}
		time.Sleep(time.Minute)
		spend("e", 1) // in the place of all of them
		if len(l.callers) != 1 {
			t.Errorf("kept: %v", l.callers)
		}
		for n := range 100 {
			spend(fmt.Sprint(n), 1)
		}
		if len(l.callers) > 3 {
			t.Errorf("%d callers are kept", len(l.callers))
		}
	})
}

// Calls at once take no more than there is, and what is refused is not missing.
func TestLimitsAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const callers, each, burst = 4, 100, 7
		l := NewLimits(60, burst)
		round := func(want int) {
			t.Helper()
			var mu sync.Mutex
			var calls sync.WaitGroup
			allowed := map[string]int{}
			for n := range callers * each {
				calls.Go(func() {
					caller := fmt.Sprint(n % callers)
					if l.allow(caller) == nil {
						mu.Lock()
						defer mu.Unlock()
						allowed[caller]++
					}
				})
			}
			calls.Wait()
			if len(allowed) != callers {
				t.Errorf("calls of %d callers were allowed", len(allowed))
			}
			for caller, n := range allowed {
				if n != want {
					t.Errorf("%s: %d calls were allowed, want %d", caller, n, want)
				}
			}
		}
		round(burst)
		time.Sleep(3 * time.Second)
		round(3)
	})
}

// Every tool is limited, before it does anything; arguments that are refused
// cost nothing.
func TestLimitHoldsForEveryTool(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, rigOptions{script: falsim.Script{RunTime: time.Second}, limits: NewLimits(30, 1)})
		for _, tool := range []struct{ name, args, wrong string }{
			{"nemotron_generate", `{"prompt":"Hi"}`, `{"prompt":7}`},
			{"queue_status", `{"request_id":"00000000-0000-0000-0000-000000000000"}`, `{}`},
			{"queue_cancel", `{"request_id":"00000000-0000-0000-0000-000000000000"}`, `{}`},
			{"queue_list", `{}`, `{"limit":0}`},
			{"upload_file", `{"content_base64":"aGVsbG8="}`, `{"nothing":1}`},
		} {
			time.Sleep(2 * time.Second)
			if got := r.call(tool.name, tool.wrong); got.code() != "INVALID_INPUT" {
				t.Errorf("%s with wrong arguments: %s", tool.name, got.text)
			}
			if got := r.call(tool.name, tool.args); got.code() == "RATE_LIMITED" {
				t.Errorf("%s, the first: %s", tool.name, got.text)
			}
			// A generation has taken a second, in which half a call has come back.
			want := 2.0
			if tool.name == "nemotron_generate" {
				want = 1
			}
			before := r.sim.Stats()
			got := r.call(tool.name, tool.args)
			if got.code() != "RATE_LIMITED" || got.meta["retry_after_seconds"] != want || got.meta["retryable"] != true {
				t.Errorf("%s, the second: %s %v", tool.name, got.text, got.meta)
			}
			wantIn(t, got.text, "Nothing was sent.", "Call again in")
			if after := r.sim.Stats(); after.Requests != before.Requests || after.Uploads != before.Uploads {
				t.Errorf("%s was refused and asked fal: %+v, before %+v", tool.name, after, before)
			}
			other := callTool(WithCaller(t.Context(), "another-"+tool.name), t, r.client, r.schemas[tool.name], tool.name, tool.args)
			if other.code() == "RATE_LIMITED" {
				t.Errorf("%s, another's first: %s", tool.name, other.text)
			}
		}
	})
}

// queue_list shows a caller its own cap, and one in flight too many is told when
// to come again.
func TestCallersCapsAreShown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, rigOptions{script: falsim.Script{RunTime: time.Hour}, perDay: 2, perDayTotal: 1, inFlight: 1})
		ann := WithCaller(t.Context(), "ann")
		r.callWith(ann, "nemotron_generate", `{"prompt":"Hi","wait_seconds":0}`)
		again := r.callWith(ann, "nemotron_generate", `{"prompt":"More","wait_seconds":0}`)
		if again.code() != "RATE_LIMITED" || again.meta["retry_after_seconds"] != 10.0 {
			t.Errorf("a second in flight: %s %v", again.text, again.meta)
		}
		wantIn(t, again.text, "Wait for one of your jobs to end (queue_list), then call again.")
		list := r.callWith(ann, "queue_list", `{}`)
		wantIn(t, list.text, " of $2.000000")
		if bob := r.callWith(WithCaller(t.Context(), "bob"), "queue_list", `{}`); !strings.Contains(bob.text, "about $0.000000 of $2.000000") {
			t.Errorf("another's list: %s", bob.text)
		}
	})
}
