package tools

import (
	"fmt"
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"nemotron-mcp/internal/jobs"
)

// maxLimited bounds how many callers are kept.
const maxLimited = 10_000

// Limits bound how often each caller may call tools. Make it with [NewLimits];
// nil is no limit. It is safe for concurrent use.
type Limits struct {
	rate  rate.Limit
	burst int
	most  int // callers that are kept

	mu      sync.Mutex
	callers map[string]*rate.Limiter
}

// NewLimits allows each caller that many calls a minute in the long run, and
// burst of them at once, 1 at least. It returns nil, which is no limit, for a
// rate that is not above 0.
func NewLimits(callsPerMinute float64, burst int) *Limits {
	if !(callsPerMinute > 0) {
		return nil
	}
	return &Limits{
		rate: rate.Limit(callsPerMinute / time.Minute.Seconds()), burst: max(burst, 1), most: maxLimited,
		callers: map[string]*rate.Limiter{},
	}
}

// allow takes one call from what a caller has left. Where there is none, it
// takes nothing and returns the *jobs.Error to refuse the call with.
func (l *Limits) allow(caller string) error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	left := l.callers[caller]
	if left == nil {
		l.makeRoom(now)
		left = rate.NewLimiter(l.rate, l.burst)
		l.callers[caller] = left
	}
	if left.AllowN(now, 1) {
		return nil
	}
	missing := 1 - left.TokensAt(now)
	return tooOften(wholeSeconds(missing / float64(l.rate)))
}

// makeRoom drops callers where there is no room for one more: those that have
// been idle for so long that they would begin anew with the same, or else the
// one that is nearest to it.
func (l *Limits) makeRoom(now time.Time) {
	if len(l.callers) < l.most {
		return
	}
	fullest, most := "", math.Inf(-1)
	for caller, left := range l.callers {
		tokens := left.TokensAt(now)
		if tokens >= float64(l.burst) {
			delete(l.callers, caller)
		}
		if tokens > most {
			fullest, most = caller, tokens
		}
	}
	if len(l.callers) >= l.most {
		delete(l.callers, fullest)
	}
}

// wholeSeconds rounds up, so that a call is allowed when it comes that much
// later, and at most to a day.
func wholeSeconds(seconds float64) time.Duration {
	const day = 24 * 60 * 60
	return time.Duration(min(math.Ceil(seconds), day)) * time.Second
}

func tooOften(after time.Duration) *jobs.Error {
	return &jobs.Error{
		Code: jobs.RateLimited, Retryable: true, RetryAfter: after,
		Message: "You call this server more often than its operator allows. Nothing was sent.",
		Action:  fmt.Sprintf("Call again in %s; to wait for a job, use wait_seconds instead of asking again and again.", after),
	}
}
