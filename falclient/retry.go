package falclient

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
)

const (
	maxTries = 5
	// maxRetryAfter is the longest Retry-After that is waited for; a longer one
	// is the caller's to know.
	maxRetryAfter = 30 * time.Second
)

// verdict is a decision about a failed request, with its reason.
type verdict struct {
	retry  bool
	reason string
	after  time.Duration // what fal asked for; 0 leaves it to the back-off
}

// repeatVerdict is the policy for requests that may be repeated: status,
// result and cancel.
func repeatVerdict(err error) verdict {
	var api *APIError
	var unreadable *ResponseError
	switch {
	case errors.Is(err, context.Canceled):
		return verdict{reason: "the caller gave up"}
	case errors.Is(err, ErrNoKey), errors.Is(err, ErrInvalidID), errors.Is(err, errEndpoint):
		return verdict{reason: "nothing was sent"}
	case errors.Is(err, ErrTooLarge):
		return verdict{reason: "the answer would be as large again"}
	case errors.As(err, &api):
		return statusVerdict(api)
	case errors.As(err, &unreadable):
		return verdict{retry: true, reason: "the answer was cut short or mangled on its way"}
	case errors.As(err, new(*ConnectError)):
		return verdict{retry: true, reason: "no connection was made"}
	default:
		return verdict{retry: true, reason: "the connection broke"}
	}
}

func statusVerdict(e *APIError) verdict {
	switch {
	case e.Is(ErrRedirected):
		return verdict{reason: "a redirect is never followed"}
	case e.StatusCode == http.StatusTooManyRequests:
		if e.RetryAfter > maxRetryAfter {
			return verdict{reason: "fal asks for a longer wait than a call has", after: e.RetryAfter}
		}
		return verdict{retry: true, reason: "fal asks to try again", after: e.RetryAfter}
	case e.StatusCode == http.StatusRequestTimeout:
		return verdict{retry: true, reason: "fal did not get the whole request"}
	case e.StatusCode < 500:
		return verdict{reason: "fal refused the request; it would again"}
	case e.Op == "result" && e.Structured && e.Type != "":
		return verdict{reason: "this is the job's own outcome, passed through"}
	case e.RetryAfter > maxRetryAfter:
		return verdict{reason: "fal asks for a longer wait than a call has", after: e.RetryAfter}
	default:
		return verdict{retry: true, reason: "fal, or a proxy before it, is in trouble", after: e.RetryAfter}
	}
}

// submitVerdict is the policy for a submission. Its only yes is where fal
// provably has not taken the job.
func submitVerdict(err error) verdict {
	var api *APIError
	switch {
	case errors.As(err, new(*SubmitUnknownError)):
		return verdict{reason: "fal may have taken the job"}
	case errors.As(err, new(*ConnectError)):
		// Before the question whether ctx has ended: a dial that timed out
		// matches context.DeadlineExceeded too.
		return verdict{retry: true, reason: "the submission never reached fal"}
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return verdict{reason: "the caller gave up"}
	case errors.As(err, &api) && api.StatusCode == http.StatusTooManyRequests:
		if api.RetryAfter > maxRetryAfter {
			return verdict{reason: "fal asks for a longer wait than a call has", after: api.RetryAfter}
		}
		return verdict{retry: true, reason: "fal refused the submission and asks to try again", after: api.RetryAfter}
	default:
		return verdict{reason: "fal refused the submission; it would again"}
	}
}

// repeat runs try until it succeeds, policy says no, the tries or the client's
// budget of retries are used up, or the next try would begin after the end of
// ctx or later than maxWait (no limit where it is negative). It returns ctx's
// error where ctx ended during a wait, else try's last one.
func (c *Client) repeat(ctx context.Context, op string, maxWait time.Duration, policy func(error) verdict, try func() error) error {
	pause := newBackOff()
	began := time.Now()
	for n := 1; ; n++ {
		err := try()
		c.observe(op, outcomeOf(err), n > 1)
		if err == nil {
			return nil
		}
		v := policy(err)
		if !v.retry || n == maxTries || ctx.Err() != nil {
			return err
		}
		wait := v.after
		if wait == 0 {
			wait = pause.NextBackOff()
		}
		if maxWait >= 0 && time.Since(began)+wait > maxWait {
			return err
		}
		if !c.retries.Allow() || !sleep(ctx, wait) {
			return cmp.Or(ctx.Err(), err)
		}
	}
}

// outcomeOf is what became of a try, in a word.
func outcomeOf(err error) string {
	var api *APIError
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &api) && api.StatusCode < 500:
		return "refused"
	}
	return "failed"
}

// newBackOff doubles from half a second on average, with full jitter: each
// pause is anywhere between nothing and twice its average, so that jobs that
// failed together do not come back together.
func newBackOff() *backoff.ExponentialBackOff {
	return &backoff.ExponentialBackOff{
		InitialInterval:     500 * time.Millisecond,
		RandomizationFactor: 1,
		Multiplier:          2,
		MaxInterval:         15 * time.Second,
	}
}

// sleep reports false where ctx ended first, or would end during the pause.
func sleep(ctx context.Context, d time.Duration) bool {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < d {
		return false
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// retryAfter reads the header's two forms, seconds and a date (RFC 9110
// section 10.2.3). What is absent, unreadable, negative or past is 0.
func retryAfter(h http.Header, now time.Time) time.Duration {
	v := strings.TrimSpace(h.Get("Retry-After"))
	if v == "" {
		return 0
	}
	seconds, err := strconv.ParseInt(v, 10, 64)
	if err == nil || errors.Is(err, strconv.ErrRange) {
		// A year is as good as for ever, and does not overflow a Duration.
		return time.Duration(min(max(seconds, 0), 365*24*3600)) * time.Second
	}
	at, err := http.ParseTime(v)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), 365*24*time.Hour)
}
