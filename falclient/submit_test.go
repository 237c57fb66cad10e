package falclient_test

import (
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"nemotron-mcp/falclient"
)

func TestSubmitRequest(t *testing.T) {
	t.Parallel()
	on, off := true, false
	plain := http.Header{
		"Authorization": {"Key " + testKey}, "User-Agent": {"test/1"}, "Accept": {"application/json"},
		"Content-Type": {"application/json"}, "Content-Length": {"24"}, "Accept-Encoding": {"gzip"},
	}
	with := func(pairs ...string) http.Header {
		h := plain.Clone()
		for i := 0; i < len(pairs); i += 2 {
			h.Set(pairs[i], pairs[i+1])
		}
		return h
	}
	cases := []struct {
		name   string
		opts   falclient.SubmitOptions
		header http.Header
		query  string
	}{
		{name: "no options", header: plain},
		{name: "priority", opts: falclient.SubmitOptions{Priority: "low"}, header: with("X-Fal-Queue-Priority", "low")},
		{
			name: "start timeout, under both names", opts: falclient.SubmitOptions{StartTimeout: 1500 * time.Millisecond},
			header: with("X-Fal-Request-Start-Timeout", "1.5", "X-Fal-Request-Timeout", "1.5"),
		},
		{name: "storage on", opts: falclient.SubmitOptions{StoreIO: &on}, header: with("X-Fal-Store-Io", "1")},
		{name: "storage off", opts: falclient.SubmitOptions{StoreIO: &off}, header: with("X-Fal-Store-Io", "0")},
		{
			name: "webhook", opts: falclient.SubmitOptions{WebhookURL: "https://me.example/hook?a=1&b=2#f"},
			header: plain, query: "fal_webhook=https%3A%2F%2Fme.example%2Fhook%3Fa%3D1%26b%3D2%23f",
		},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				if r.Method != "POST" || r.URL.Path != "/base/nvidia/nemotron-3-nano-omni/vision" || r.URL.RawQuery != tc.query {
					t.Errorf("got %s %s", r.Method, r.URL)
				}
				if got := string(body); got != `{"prompt":"<b> & </b>"}`+"\n" {
					t.Errorf("body is %q, want the bare input", got)
				}
				r.Header.Set("Content-Length", itoa(int(r.ContentLength)))
				if diff := cmp.Diff(tc.header, r.Header); diff != "" {
					t.Errorf("headers (-want +got):\n%s", diff)
				}
				bodyOf(w, http.StatusOK, taken)
			}))
			defer srv.Close()
			c := newClient(t, falclient.Config{QueueURL: srv.URL + "/base/", UserAgent: "test/1", Key: " " + testKey + "\n"})
			sub, err := c.Submit(t.Context(), vision, map[string]any{"prompt": "<b> & </b>"}, tc.opts)
			if err != nil {
				t.Fatal(err)
			}
			if sub.RequestID != testID || sub.QueuePosition == nil || *sub.QueuePosition != 3 {
				t.Errorf("got %+v", sub)
			}
		})
	}
}

func TestSubmitSendsNothing(t *testing.T) {
	t.Parallel()
	ended, end := context.WithCancel(t.Context())
	end()
	cases := []struct {
		name     string
		key      string
		ctx      context.Context
		endpoint falclient.Endpoint
		input    any
		is       error
	}{
		{name: "no key", key: " ", ctx: t.Context(), endpoint: vision, is: falclient.ErrNoKey},
		{name: "ended context", ctx: ended, endpoint: vision, is: context.Canceled},
		{name: "zero endpoint", ctx: t.Context()},
		{name: "endpoint with a query", ctx: t.Context(), endpoint: falclient.Endpoint{Owner: "a", Alias: "b?c"}},
		{name: "input that is no JSON", ctx: t.Context(), endpoint: vision, input: math.Inf(1)},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c := newClient(t, falclient.Config{Key: tc.key, Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
				t.Errorf("sent: %s %s", r.Method, r.URL)
				return nil, io.EOF
			})})
			_, err := c.Submit(tc.ctx, tc.endpoint, tc.input, falclient.SubmitOptions{MaxWait: time.Minute})
			if err == nil || (tc.is != nil && !errors.Is(err, tc.is)) {
				t.Errorf("error is %v, want %v", err, tc.is)
			}
			if errors.As(err, new(*falclient.SubmitUnknownError)) {
				t.Errorf("%v is unknown, though nothing was sent", err)
			}
		})
	}
}

// One 429, then success. Times are those of the second POST.
func TestSubmitRateLimited(t *testing.T) {
	t.Parallel()
	date := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(http.TimeFormat) }
	jitter := time.Second // the first pause is anywhere below
	cases := []struct {
		name       string
		retryAfter func() string
		maxWait    time.Duration
		from, to   time.Duration // when the second POST comes; none where to is 0
		told       time.Duration // RetryAfter of the error, where there is no second POST
	}{
		{name: "2 s", retryAfter: func() string { return "2" }, maxWait: time.Minute, from: 2 * time.Second, to: 2 * time.Second},
		{name: "2 s, just allowed", retryAfter: func() string { return "2" }, maxWait: 2 * time.Second, from: 2 * time.Second, to: 2 * time.Second},
		{name: "2 s, not allowed", retryAfter: func() string { return "2" }, maxWait: 1999 * time.Millisecond, told: 2 * time.Second},
		{name: "2 s, no waiting at all", retryAfter: func() string { return "2" }, told: 2 * time.Second},
		{name: "2 s, negative MaxWait", retryAfter: func() string { return "2" }, maxWait: -1, told: 2 * time.Second},
		{name: "30 s", retryAfter: func() string { return "30" }, maxWait: time.Hour, from: 30 * time.Second, to: 30 * time.Second},
		{name: "31 s", retryAfter: func() string { return "31" }, maxWait: time.Hour, told: 31 * time.Second},
		{name: "a day", retryAfter: func() string { return "86400" }, maxWait: time.Hour, told: 24 * time.Hour},
		{name: "huge", retryAfter: func() string { return strings.Repeat("9", 400) }, maxWait: time.Hour, told: 365 * 24 * time.Hour},
		{name: "0", retryAfter: func() string { return "0" }, maxWait: time.Hour, to: jitter},
		{name: "negative", retryAfter: func() string { return "-1" }, maxWait: time.Hour, to: jitter},
		{name: "garbage", retryAfter: func() string { return "soon" }, maxWait: time.Hour, to: jitter},
		{name: "absent", retryAfter: func() string { return "" }, maxWait: time.Hour, to: jitter},
		{name: "a date in the past", retryAfter: func() string { return date(-time.Hour) }, maxWait: time.Hour, to: jitter},
		{name: "a date in 5 s", retryAfter: func() string { return date(5 * time.Second) }, maxWait: time.Hour, from: 5 * time.Second, to: 5 * time.Second},
		{name: "a date far ahead", retryAfter: func() string { return "Fri, 31 Dec 9999 23:59:59 GMT" }, maxWait: time.Hour, told: 365 * 24 * time.Hour},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var posts atomic.Int64
				c, _ := bubble(t, func(w http.ResponseWriter, _ *http.Request) {
					if posts.Add(1) > 1 {
						bodyOf(w, http.StatusOK, taken)
						return
					}
					w.Header().Set("Retry-After", tc.retryAfter())
					bodyOf(w, http.StatusTooManyRequests, `{"detail":"too many"}`)
				})
				began := time.Now()
				_, err := submit(t.Context(), c, falclient.SubmitOptions{MaxWait: tc.maxWait})
				took := time.Since(began)
				if tc.to == 0 {
					var api *falclient.APIError
					if !errors.Is(err, falclient.ErrRateLimited) || !errors.As(err, &api) || api.RetryAfter != tc.told {
						t.Errorf("error is %v, want ErrRateLimited with %v", err, tc.told)
					}
					if took != 0 || posts.Load() != 1 {
						t.Errorf("%d POSTs in %v, want one at once", posts.Load(), took)
					}
					return
				}
				if err != nil || posts.Load() != 2 || took < tc.from || took > tc.to {
					t.Errorf("%d POSTs in %v (%v), want two in %v to %v", posts.Load(), took, err, tc.from, tc.to)
				}
			})
		})
	}
}

// A 429 for ever ends with the tries or with what MaxWait allows in all.
func TestSubmitRateLimitedForEver(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		maxWait time.Duration
		posts   int64
		took    time.Duration
	}{
		{name: "tries", maxWait: time.Hour, posts: 5, took: 40 * time.Second},
		{name: "MaxWait", maxWait: 29 * time.Second, posts: 3, took: 20 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var posts atomic.Int64
				c, _ := bubble(t, func(w http.ResponseWriter, _ *http.Request) {
					posts.Add(1)
					w.Header().Set("Retry-After", "10")
					bodyOf(w, http.StatusTooManyRequests, nginx)
				})
				began := time.Now()
				_, err := submit(t.Context(), c, falclient.SubmitOptions{MaxWait: tc.maxWait})
				if !errors.Is(err, falclient.ErrRateLimited) || posts.Load() != tc.posts || time.Since(began) != tc.took {
					t.Errorf("%d POSTs in %v (%v), want %d in %v", posts.Load(), time.Since(began), err, tc.posts, tc.took)
				}
			})
		})
	}
}
