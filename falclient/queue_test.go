package falclient_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"nemotron-mcp/falclient"
)

type operation struct {
	name, method, target string
	good                 string // an answer that ends the call well
	call                 func(context.Context, *falclient.Client, falclient.Endpoint, string) error
}

const root = "/nvidia/nemotron-3-nano-omni/requests/" + testID

// operations are the calls about a request that fal has.
func operations() []operation {
	return []operation{
		{"status", "GET", root + "/status?logs=1", `{"status":"IN_PROGRESS"}`, func(ctx context.Context, c *falclient.Client, e falclient.Endpoint, id string) error {
			_, err := c.Status(ctx, e, id, true)
			return err
		}},
		{"status without logs", "GET", root + "/status?logs=0", `{"status":"IN_PROGRESS"}`, func(ctx context.Context, c *falclient.Client, e falclient.Endpoint, id string) error {
			_, err := c.Status(ctx, e, id, false)
			return err
		}},
		{"result", "GET", root, `{"output":"x"}`, func(ctx context.Context, c *falclient.Client, e falclient.Endpoint, id string) error {
			_, err := c.Result(ctx, e, id)
			return err
		}},
		{"cancel", "PUT", root + "/cancel", `{"status":"OK"}`, func(ctx context.Context, c *falclient.Client, e falclient.Endpoint, id string) error {
			_, err := c.Cancel(ctx, e, id)
			return err
		}},
	}
}

// The sub-path of the endpoint is dropped, and the request id can't change the
// address.
func TestAddresses(t *testing.T) {
	t.Parallel()
	for _, op := range operations() {
		t.Run(op.name, func(t *testing.T) {
			t.Parallel()
			var requests atomic.Int64
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				requests.Add(1)
				want := http.Header{"Authorization": {"Key " + testKey}, "Accept": {"application/json"}, "Accept-Encoding": {"gzip"}, "User-Agent": {"test/1"}}
				if op.method == "PUT" {
					want.Set("Content-Length", "0")
				}
				if diff := cmp.Diff(want, r.Header); diff != "" {
					t.Errorf("headers (-want +got):\n%s", diff)
				}
				if r.Method != op.method || r.RequestURI != op.target {
					t.Errorf("got %s %s, want %s %s", r.Method, r.RequestURI, op.method, op.target)
				}
				bodyOf(w, http.StatusOK, op.good)
			}))
			t.Cleanup(srv.Close)
			c := newClient(t, falclient.Config{QueueURL: srv.URL, UserAgent: "test/1"})
			if err := op.call(t.Context(), c, vision, testID); err != nil {
				t.Error(err)
			}
			for _, id := range []string{"", "..", "a/b", "a?b", "a#b", "a%2fb", "a\nb", strings.Repeat("a", 129)} {
				if err := op.call(t.Context(), c, vision, id); !errors.Is(err, falclient.ErrInvalidID) {
					t.Errorf("id %q: %v, want ErrInvalidID", id, err)
				}
			}
			if err := op.call(t.Context(), c, falclient.Endpoint{Owner: "a/../..", Alias: "b"}, testID); err == nil {
				t.Error("an endpoint with dots was asked")
			}
			if requests.Load() != 1 {
				t.Errorf("%d requests, want 1", requests.Load())
			}
		})
	}
}

// Trouble that passes is outlived: on each call, with pauses.
func TestRepeatedUntilItWorks(t *testing.T) {
	t.Parallel()
	faults := map[string]func(w http.ResponseWriter){
		"500":        func(w http.ResponseWriter) { bodyOf(w, 500, "") },
		"502 page":   func(w http.ResponseWriter) { bodyOf(w, 502, nginx) },
		"503 JSON":   func(w http.ResponseWriter) { bodyOf(w, 503, `{"detail":"later"}`) },
		"504":        func(w http.ResponseWriter) { bodyOf(w, 504, nginx) },
		"408":        func(w http.ResponseWriter) { bodyOf(w, 408, "") },
		"429":        func(w http.ResponseWriter) { bodyOf(w, 429, "{}") },
		"reset":      func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
		"cut answer": func(w http.ResponseWriter) { w.Header().Set("Content-Length", "99"); bodyOf(w, 200, `{"status"`) },
	}
	for name, fault := range faults {
		for _, op := range operations() {
			t.Run(name+", "+op.name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					var requests atomic.Int64
					c, _ := bubble(t, func(w http.ResponseWriter, _ *http.Request) {
						if requests.Add(1) <= 4 {
							fault(w)
							return
						}
						bodyOf(w, http.StatusOK, op.good)
					})
					began := time.Now()
					if err := op.call(t.Context(), c, vision, testID); err != nil {
						t.Error(err)
					}
					if took := time.Since(began); took > 15*time.Second || requests.Load() != 5 {
						t.Errorf("%d requests in %v, want 5 within 1+2+4+8 s", requests.Load(), took)
					}
				})
			})
		}
	}
}

func TestRepeatedAndGivenUp(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, retryAfter string
		status           int
		requests         int64
		from, to         time.Duration
	}{
		{"503 for ever", "", 503, 5, 0, 15 * time.Second},
		{"503 with 30 s", "30", 503, 5, 2 * time.Minute, 2 * time.Minute},
		{"503 with 31 s", "31", 503, 1, 0, 0},
		{"429 with 30 s", "30", 429, 5, 2 * time.Minute, 2 * time.Minute},
		{"429 with 31 s", "31", 429, 1, 0, 0},
		{"404", "", 404, 1, 0, 0},
		{"401 with Retry-After", "1", 401, 1, 0, 0},
		{"422", "", 422, 1, 0, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var requests atomic.Int64
				c, _ := bubble(t, func(w http.ResponseWriter, _ *http.Request) {
					requests.Add(1)
					w.Header().Set("Retry-After", tc.retryAfter)
					bodyOf(w, tc.status, nginx)
				})
				began := time.Now()
				_, err := c.Status(t.Context(), vision, testID, false)
				var api *falclient.APIError
				if !errors.As(err, &api) || api.StatusCode != tc.status || api.RequestID != testID {
					t.Errorf("error is %v", err)
				}
				if took := time.Since(began); requests.Load() != tc.requests || took < tc.from || took > tc.to {
					t.Errorf("%d requests in %v, want %d in %v to %v", requests.Load(), took, tc.requests, tc.from, tc.to)
				}
			})
		})
	}
}

// The budget of retries is one for all calls: an outage is not multiplied by
// their number.
func TestOutageIsNotMultiplied(t *testing.T) {
	t.Parallel()
	for _, connected := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			var requests atomic.Int64
			c, m := bubble(t, func(w http.ResponseWriter, _ *http.Request) {
				requests.Add(1)
				bodyOf(w, http.StatusServiceUnavailable, nginx)
			})
			m.refused.Store(!connected)
			const calls = 200
			began := time.Now()
			var wg sync.WaitGroup
			for range calls {
				wg.Go(func() {
					if _, err := c.Status(t.Context(), vision, testID, false); err == nil {
						t.Error("no error")
					}
				})
			}
			wg.Wait()
			got := requests.Load()
			if !connected {
				got = m.dials.Load()
			}
			allowed := calls + 50 + int64(10*time.Since(began).Seconds()) + 1
			if got < calls+50 || got > allowed {
				t.Errorf("connected %v: %d requests in %v, want %d to %d", connected, got, time.Since(began), calls+50, allowed)
			}
		})
	}
}

func TestResult(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, body string
		status     int
		requests   int64
		is         error
		outcome    bool // an *APIError of the job's own
	}{
		{name: "an answer", status: 200, body: ` {"output":"x","new":[1]} `, requests: 1},
		{name: "unfinished", status: 400, body: `{"detail":"Request is still in progress"}`, requests: 1, is: falclient.ErrUnfinished},
		{name: "gone", status: 404, body: `{"detail":"not found"}`, requests: 1, is: falclient.ErrNotFound},
		{name: "the model's 422", status: 422, body: `{"detail":[{"msg":"no","type":"content_policy_violation"}]}`, requests: 1, outcome: true},
		{name: "the model's 500", status: 500, body: `{"detail":[{"msg":"no","type":"internal_server_error"}]}`, requests: 1, outcome: true},
		{name: "the platform's 503", status: 503, body: `{"detail":"no","error_type":"runner_disconnected"}`, requests: 1, outcome: true},
		{name: "cancelled", status: 499, body: `{"detail":"no","error_type":"client_cancelled"}`, requests: 1, outcome: true},
		{name: "a page of the ingress", status: 503, body: nginx, requests: 5, outcome: true},
		{name: "200 with HTML", status: 200, body: nginx, requests: 5},
		{name: "200 with nothing", status: 200, body: "", requests: 5},
		{name: "200 with null", status: 200, body: "null", requests: 5},
		{name: "200 with a list", status: 200, body: "[1]", requests: 5},
		{name: "200 with half an object", status: 200, body: `{"output":"x"`, requests: 5},
		{name: "200 with 20,000 levels", status: 200, body: strings.Repeat(`{"a":`, 20000) + "1" + strings.Repeat("}", 20000), requests: 5},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var requests atomic.Int64
				c, _ := bubble(t, func(w http.ResponseWriter, _ *http.Request) {
					requests.Add(1)
					w.Header().Set("X-Fal-Billable-Units", "1.5")
					bodyOf(w, tc.status, tc.body)
				})
				res, err := c.Result(t.Context(), vision, testID)
				if requests.Load() != tc.requests {
					t.Errorf("%d requests, want %d", requests.Load(), tc.requests)
				}
				var unreadable *falclient.ResponseError
				switch {
				case tc.status == 200 && tc.requests == 1:
					if err != nil || string(res.Body) != strings.TrimSpace(tc.body) || res.BillableUnits != "1.5" {
						t.Errorf("got %s, %q, %v", res.Body, res.BillableUnits, err)
					}
				case tc.status == 200:
					if !errors.As(err, &unreadable) || len(err.Error()) > 200 {
						t.Errorf("error is %v, want *ResponseError", err)
					}
				case tc.is != nil && !errors.Is(err, tc.is):
					t.Errorf("error is %v, want %v", err, tc.is)
				case tc.outcome != (errors.As(err, new(*falclient.APIError)) && tc.is == nil):
					t.Errorf("error is %v", err)
				}
			})
		})
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, body string
		status     int
		want       falclient.CancelOutcome
		is         error
	}{
		{"queued", `{"status":"OK"}`, 200, falclient.CancelledInQueue, nil},
		{"running", `{"status":"CANCELLATION_REQUESTED"}`, 202, falclient.CancelRequested, nil},
		{"running, with 200", `{"status":"CANCELLATION_REQUESTED"}`, 200, falclient.CancelRequested, nil},
		{"OK, with 202", `{"status":"OK"}`, 202, falclient.CancelRequested, nil},
		{"success", `{"success":true}`, 200, falclient.CancelRequested, nil},
		{"204", ``, 204, falclient.CancelRequested, nil},
		{"a page with 200", nginx, 200, falclient.CancelRequested, nil},
		{"completed", `{"status":"ALREADY_COMPLETED"}`, 400, falclient.CancelTooLate, nil},
		{"unknown", `{"status":"NOT_FOUND"}`, 404, falclient.CancelRequestUnknown, nil},
		{"another 400", `{"detail":"bad"}`, 400, "", errAny},
		{"bad key", `{"detail":"invalid key credentials"}`, 401, "", falclient.ErrUnauthorized},
		{"locked", `{"detail":"User is locked."}`, 403, "", falclient.ErrLocked},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { bodyOf(w, tc.status, tc.body) }))
			t.Cleanup(srv.Close)
			got, err := newClient(t, falclient.Config{QueueURL: srv.URL}).Cancel(t.Context(), vision, testID)
			if got != tc.want || (err != nil) != (tc.is != nil) || (tc.is != errAny && !errors.Is(err, tc.is)) {
				t.Errorf("got %q, %v; want %q, %v", got, err, tc.want, tc.is)
			}
		})
	}
}

var errAny = errors.New("any error")

// Ending ctx ends each call, whatever it is waiting for, with ctx's word.
func TestCallsEndWithTheirContext(t *testing.T) {
	t.Parallel()
	for name, wait := range map[string]func(w http.ResponseWriter, r *http.Request){
		"answer": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"pause":  func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Retry-After", "30"); bodyOf(w, 503, "") },
	} {
		for _, op := range operations() {
			t.Run(name+", "+op.name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					c, _ := bubble(t, wait)
					ctx, cancel := context.WithCancel(t.Context())
					time.AfterFunc(3*time.Second, cancel)
					began := time.Now()
					if err := op.call(ctx, c, vision, testID); err != context.Canceled || time.Since(began) != 3*time.Second {
						t.Errorf("%v after %v", err, time.Since(began))
					}
				})
			})
		}
	}
}
