package falclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

func api(op string, status int) *APIError { return &APIError{Op: op, StatusCode: status} }

func after(status int, d time.Duration) *APIError {
	return &APIError{Op: "status", StatusCode: status, RetryAfter: d}
}

func outcome(status int, kind string, structured bool) *APIError {
	return &APIError{Op: "result", StatusCode: status, Type: kind, Structured: structured}
}

const (
	gaveUp     = "the caller gave up"
	refused    = "fal refused the request; it would again"
	tooLong    = "fal asks for a longer wait than a call has"
	askedAgain = "fal asks to try again"
	trouble    = "fal, or a proxy before it, is in trouble"
	redirected = "a redirect is never followed"
	itsOutcome = "this is the job's own outcome, passed through"
	nothing    = "nothing was sent"
	broke      = "the connection broke"
)

func TestRepeatVerdict(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		err   error
		retry bool
		why   string
		after time.Duration
	}{
		{"the caller's cancel", fmt.Errorf("x: %w", context.Canceled), false, gaveUp, 0},
		{"no key", ErrNoKey, false, nothing, 0},
		{"not an id", ErrInvalidID, false, nothing, 0},
		{"not an endpoint", errEndpoint, false, nothing, 0},
		{"too large", &ResponseError{Op: "result", Err: ErrTooLarge}, false, "the answer would be as large again", 0},
		{"cut short", &ResponseError{Op: "result", Err: io.ErrUnexpectedEOF}, true, "the answer was cut short or mangled on its way", 0},
		{"no connection", &ConnectError{Err: errors.New("refused")}, true, "no connection was made", 0},
		{"a dial that timed out", &ConnectError{Err: os.ErrDeadlineExceeded}, true, "no connection was made", 0},
		{"a request that timed out", context.DeadlineExceeded, true, broke, 0},
		{"a reset", &net.OpError{Op: "read", Err: errors.New("connection reset")}, true, broke, 0},
		{"301", api("status", 301), false, redirected, 0},
		{"307", api("result", 307), false, redirected, 0},
		{"400", api("result", 400), false, refused, 0},
		{"401", api("status", 401), false, refused, 0},
		{"403", api("status", 403), false, refused, 0},
		{"404", api("status", 404), false, refused, 0},
		{"408", api("status", 408), true, "fal did not get the whole request", 0},
		{"422", outcome(422, "missing", true), false, refused, 0},
		{"429", api("status", 429), true, askedAgain, 0},
		{"429 in 30 s", after(429, 30*time.Second), true, askedAgain, 30 * time.Second},
		{"429 in 31 s", after(429, 31*time.Second), false, tooLong, 31 * time.Second},
		{"499", outcome(499, "client_cancelled", true), false, refused, 0},
		{"500", api("status", 500), true, trouble, 0},
		{"502", api("cancel", 502), true, trouble, 0},
		{"503 in 30 s", after(503, 30*time.Second), true, trouble, 30 * time.Second},
		{"503 in 31 s", after(503, 31*time.Second), false, tooLong, 31 * time.Second},
		{"504", api("status", 504), true, trouble, 0},
		{"status 500 with a type", &APIError{Op: "status", StatusCode: 500, Type: "internal_error", Structured: true}, true, trouble, 0},
		{"result 500 of the model's", outcome(500, "internal_server_error", true), false, itsOutcome, 0},
		{"result 504 of the model's", outcome(504, "generation_timeout", true), false, itsOutcome, 0},
		{"result 500 without a type", outcome(500, "", true), true, trouble, 0},
		{"result 502 page with a type in its header", outcome(502, "runner_error", false), true, trouble, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if got, want := repeatVerdict(tc.err), (verdict{tc.retry, tc.why, tc.after}); got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

func TestSubmitVerdict(t *testing.T) {
	t.Parallel()
	const again = "fal refused the submission; it would again"
	timedOut := &ConnectError{Op: "submit", Err: cleaner{mask: strings.NewReplacer()}.error(context.DeadlineExceeded)}
	for _, tc := range []struct {
		name  string
		err   error
		retry bool
		why   string
		after time.Duration
	}{
		{"unknown", &SubmitUnknownError{Err: io.EOF}, false, "fal may have taken the job", 0},
		{"unknown by a time-out", &SubmitUnknownError{Err: context.DeadlineExceeded}, false, "fal may have taken the job", 0},
		{"unknown after a 503 page", &SubmitUnknownError{Err: api("submit", 503)}, false, "fal may have taken the job", 0},
		{"unknown after a 429", &SubmitUnknownError{Err: api("submit", 429)}, false, "fal may have taken the job", 0},
		{"no connection", &ConnectError{Err: errors.New("refused")}, true, "the submission never reached fal", 0},
		{"a dial that timed out", timedOut, true, "the submission never reached fal", 0},
		{"cancel", context.Canceled, false, gaveUp, 0},
		{"deadline", context.DeadlineExceeded, false, gaveUp, 0},
		{"429", api("submit", 429), true, "fal refused the submission and asks to try again", 0},
		{"429 in 30 s", after(429, 30*time.Second), true, "fal refused the submission and asks to try again", 30 * time.Second},
		{"429 in 31 s", after(429, 31*time.Second), false, tooLong, 31 * time.Second},
		{"401", api("submit", 401), false, again, 0},
		{"403", api("submit", 403), false, again, 0},
		{"422", api("submit", 422), false, again, 0},
		{"307", api("submit", 307), false, again, 0},
		{"500 in fal's JSON", &APIError{Op: "submit", StatusCode: 500, Structured: true}, false, again, 0},
		{"503 in fal's JSON", &APIError{Op: "submit", StatusCode: 503, Structured: true}, false, again, 0},
		{"anything else", errors.New("?"), false, again, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if got, want := submitVerdict(tc.err), (verdict{tc.retry, tc.why, tc.after}); got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

func TestRefusesOutright(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		status     int
		structured bool
		want       bool
	}{
		{101, true, false},
		{300, true, false},
		{301, false, true},
		{302, true, false},
		{303, true, false},
		{304, true, false},
		{307, false, true},
		{308, false, true},
		{400, false, true},
		{401, true, true},
		{403, true, true},
		{404, false, true},
		{408, true, false},
		{413, false, true},
		{422, true, true},
		{429, false, true},
		{460, true, false},
		{499, true, false},
		{500, false, false},
		{500, true, true},
		{501, true, false},
		{502, true, false},
		{503, false, false},
		{503, true, true},
		{504, true, false},
		{600, true, false},
	} {
		t.Run(fmt.Sprint(tc.status, " structured ", tc.structured), func(t *testing.T) {
			t.Parallel()
			if got := refusesOutright(&APIError{StatusCode: tc.status, Structured: tc.structured, Type: "internal_error"}); got != tc.want {
				t.Errorf("got %v", got)
			}
		})
	}
	if refusesOutright(&APIError{StatusCode: 500, Structured: true}) {
		t.Error("a bare Internal Server Error proves nothing")
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 8, 2, 12, 0, 0, 0, time.UTC)
	const year = 365 * 24 * time.Hour
	for _, tc := range []struct {
		name, value string
		want        time.Duration
	}{
		{"absent", "", 0},
		{"seconds", "2", 2 * time.Second},
		{"with blanks", " 7 ", 7 * time.Second},
		{"zero", "0", 0},
		{"negative", "-1", 0},
		{"hugely negative", "-" + strings.Repeat("9", 30), 0},
		{"a day", "86400", 24 * time.Hour},
		{"more than a Duration holds", "9223372036", year},
		{"more than an int64 holds", strings.Repeat("9", 5000), year},
		{"garbage", "soon", 0},
		{"a fraction", "1.5", 0},
		{"infinity", "Inf", 0},
		{"a date ahead", "Sun, 02 Aug 2026 12:00:05 GMT", 5 * time.Second},
		{"a date now", "Sun, 02 Aug 2026 12:00:00 GMT", 0},
		{"a date in the past", "Sun, 02 Aug 2026 11:59:59 GMT", 0},
		{"a date far ahead", "Fri, 31 Dec 9999 23:59:59 GMT", year},
		{"a date in RFC 850's form", "Sunday, 02-Aug-26 12:00:05 GMT", 5 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			h := http.Header{}
			if tc.value != "" {
				h.Set("Retry-After", tc.value)
			}
			if got := retryAfter(h, now); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

// Full jitter: the n-th pause is anywhere between nothing and twice its average.
func TestBackOffBounds(t *testing.T) {
	t.Parallel()
	limits := []time.Duration{1, 2, 4, 8, 16, 30, 30}
	longest := make([]time.Duration, len(limits))
	for range 500 {
		b := newBackOff()
		for i, limit := range limits {
			d := b.NextBackOff()
			if d < 0 || d > limit*time.Second {
				t.Fatalf("pause %d is %v, beyond %v", i, d, limit*time.Second)
			}
			longest[i] = max(longest[i], d)
		}
	}
	for i, limit := range limits {
		if longest[i] < limit*time.Second*8/10 {
			t.Errorf("pause %d was never above %v of %v", i, longest[i], limit*time.Second)
		}
	}
}
