package falclient_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"nemotron-mcp/falclient"
)

// A list that was not read to its end says so, and ends.
func TestRequestsTruncated(t *testing.T) {
	t.Parallel()
	more := func(next string) string { return `"has_more":true,"next_cursor":` + next + `}` }
	for _, tc := range []struct {
		name  string
		tail  func(n int) string
		pages int
	}{
		{"the same cursor again", func(int) string { return more(`"x"`) }, 2},
		{"cursors in a circle", func(n int) string { return more(fmt.Sprintf(`"%d"`, n%3)) }, 4},
		{"a circle without has_more", func(n int) string { return fmt.Sprintf(`"next_cursor":"%d"}`, n%3) }, 4},
		{"more, and no cursor", func(int) string { return more("null") }, 1},
		{"an empty cursor", func(int) string { return more(`""`) }, 1},
		{"an endless list", func(n int) string { return more(fmt.Sprintf(`"%d"`, n)) }, 50},
		{"a huge cursor", func(int) string { return more(`"` + strings.Repeat("a", 4097) + `"`) }, 1},
		{"many bytes", func(n int) string { return more(fmt.Sprintf(`"%d"`, n)) + strings.Repeat(" ", 22<<20) }, 3},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			n := 0
			c := platform(t, func(*http.Request) (*http.Response, error) {
				n++
				return answer(200, fmt.Sprintf(`{"items":[{"request_id":"r%d"}],`, n)+tc.tail(n))
			})
			got, err := c.Requests(t.Context(), falclient.HistoryQuery{Endpoint: vision})
			if !errors.Is(err, falclient.ErrTruncated) || len(got) != tc.pages || n != tc.pages {
				t.Errorf("%d requests of %d pages, %v; want %d and ErrTruncated", len(got), n, err, tc.pages)
			}
		})
	}
}

func TestPlatformMalformed(t *testing.T) {
	t.Parallel()
	rows := strings.Repeat(`{},`, 1000) + "{}"
	for name, body := range map[string]string{
		"empty": "", "null": "null", "a page": nginx, "a list": "[]", "no list": `{"next_cursor":null}`, "cut": `{"items":[{"requ`,
		"the list null": `{"items":null,"prices":null}`, "the list an object": `{"items":{},"prices":{}}`,
		"a cursor that is a number": `{"items":[],"prices":[],"next_cursor":2}`, "has_more a word": `{"items":[],"prices":[],"has_more":"yes"}`,
		"rows of words": `{"items":["x"],"prices":["x"]}`, "too many rows": `{"items":[` + rows + `],"prices":[` + rows + `]}`,
	} {
		for _, op := range platformCalls {
			t.Run(name+", "+op.op, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					n := 0
					c := platform(t, func(*http.Request) (*http.Response, error) { n++; return answer(200, body) })
					err := op.call(t.Context(), c)
					var unreadable *falclient.ResponseError
					if !errors.As(err, &unreadable) || unreadable.Op != op.op || n != 5 {
						t.Errorf("%d requests, %v; want 5 and a *ResponseError", n, err)
					}
				})
			})
		}
	}
}

func TestPlatformRefusals(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		status   int
		kind     string
		message  string
		is       error
		requests int
	}{
		{401, "authorization_error", "bad key " + testKey, falclient.ErrUnauthorized, 1},
		{403, "authorization_error", "not this key", falclient.ErrUnauthorized, 1},
		{403, "authorization_error", "User is locked", falclient.ErrLocked, 1},
		{404, "not_found", "no such endpoint", falclient.ErrNotFound, 1},
		{400, "validation_error", "endpoint_id", nil, 1},
		{429, "rate_limited", "slow", falclient.ErrRateLimited, 1}, // with a Retry-After of an hour
		{500, "server_error", "oops", nil, 5},
	} {
		for _, op := range platformCalls {
			t.Run(fmt.Sprintf("%d %s, %s", tc.status, tc.message[:4], op.op), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					n := 0
					c := platform(t, func(*http.Request) (*http.Response, error) {
						n++
						resp, err := answer(tc.status, `{"error":{"type":"`+tc.kind+`","message":"`+tc.message+`","docs_url":"https://x","request_id":"y"}}`)
						if tc.status == 429 {
							resp.Header.Set("Retry-After", "3600")
						}
						return resp, err
					})
					err := op.call(t.Context(), c)
					var refused *falclient.APIError
					if !errors.As(err, &refused) || (tc.is != nil && !errors.Is(err, tc.is)) {
						t.Fatalf("error is %v, want an *APIError that is %v", err, tc.is)
					}
					want := strings.ReplaceAll(tc.message, testKey, "[redacted]")
					if refused.Op != op.op || refused.StatusCode != tc.status || refused.Type != tc.kind || refused.Message != want {
						t.Errorf("got %+v", refused)
					}
					if n != tc.requests {
						t.Errorf("%d requests, want %d", n, tc.requests)
					}
				})
			})
		}
	}
}

func TestPlatformOutlivesTrouble(t *testing.T) {
	t.Parallel()
	for _, op := range platformCalls {
		t.Run(op.op, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := 0
				c := platform(t, func(*http.Request) (*http.Response, error) {
					switch n++; n {
					case 1:
						return nil, io.ErrUnexpectedEOF
					case 2:
						return answer(502, nginx)
					case 3:
						return answer(200, `{"items":`)
					}
					return answer(200, op.good)
				})
				if err := op.call(t.Context(), c); err != nil || n != 4 {
					t.Errorf("%d requests, %v", n, err)
				}
			})
		})
	}
}

// The key goes to the platform URL, without a backup, and after no redirect.
func TestPlatformKeepsTheKey(t *testing.T) {
	t.Parallel()
	other := httptest.NewServer(forbidden(t))
	t.Cleanup(other.Close)
	for _, op := range platformCalls {
		t.Run(op.op, func(t *testing.T) {
			t.Parallel()
			var requests atomic.Int64
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				requests.Add(1)
				http.Redirect(w, r, other.URL+"/?"+r.Header.Get("Authorization"), http.StatusTemporaryRedirect)
			}))
			t.Cleanup(srv.Close)
			c := newClient(t, falclient.Config{QueueURL: other.URL, BackupURL: other.URL, PlatformURL: srv.URL})
			if err := op.call(t.Context(), c); !errors.Is(err, falclient.ErrRedirected) || requests.Load() != 1 {
				t.Errorf("%d requests, %v; want one, redirected", requests.Load(), err)
			}
			synctest.Test(t, func(t *testing.T) {
				var asked []string
				c := newClient(t, falclient.Config{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
					asked = append(asked, r.URL.Scheme+"://"+r.URL.Host+strings.SplitAfter(r.URL.Path, "/v1")[0])
					return nil, io.EOF
				})})
				var unreached *falclient.ConnectError
				if err := op.call(t.Context(), c); !errors.As(err, &unreached) || unreached.Host != "api.fal.ai" {
					t.Errorf("error is %v", err)
				}
				if got, want := strings.Join(asked, " "), strings.TrimSpace(strings.Repeat(falclient.DefaultPlatformURL+" ", 5)); got != want {
					t.Errorf("asked %q, want %q", got, want)
				}
			})
		})
	}
}

func TestPlatformBounds(t *testing.T) {
	t.Parallel()
	for _, op := range platformCalls {
		for _, tc := range []struct {
			status int
			limit  int64
			is     error
		}{{200, falclient.MaxBody, falclient.ErrTooLarge}, {404, falclient.MaxErrorBody, falclient.ErrNotFound}} {
			t.Run(fmt.Sprint(op.op, tc.status), func(t *testing.T) {
				t.Parallel()
				var took int64
				n := 0
				c := platform(t, func(*http.Request) (*http.Response, error) {
					n++
					return &http.Response{StatusCode: tc.status, Body: counted{endless{}, &took}}, nil
				})
				if err := op.call(t.Context(), c); !errors.Is(err, tc.is) || took != tc.limit+1 || n != 1 {
					t.Errorf("took %d bytes in %d requests, %v; want %d in one", took, n, err, tc.limit+1)
				}
			})
		}
		t.Run(op.op+", no answer", func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := platform(t, func(r *http.Request) (*http.Response, error) {
					<-r.Context().Done()
					return nil, r.Context().Err()
				})
				began := time.Now()
				if err := op.call(t.Context(), c); err == nil {
					t.Error("no error")
				}
				if took := time.Since(began); took < 5*falclient.ResultTimeout || took > 5*falclient.ResultTimeout+15*time.Second {
					t.Errorf("took %v", took)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if err := op.call(ctx, c); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("error is %v, want ctx's", err)
				}
			})
		})
	}
}

func TestPlatformAsksNothing(t *testing.T) {
	t.Parallel()
	unsent := roundTripper(func(r *http.Request) (*http.Response, error) {
		t.Errorf("sent: %s", r.URL)
		return nil, io.EOF
	})
	keyless, err := falclient.New(falclient.Config{Transport: unsent})
	if err != nil {
		t.Fatal(err)
	}
	defer keyless.Close()
	elsewhere := newClient(t, falclient.Config{QueueURL: "https://proxy.example", Transport: unsent})
	for _, op := range platformCalls {
		if err := op.call(t.Context(), keyless); !errors.Is(err, falclient.ErrNoKey) {
			t.Errorf("%s: %v, want ErrNoKey", op.op, err)
		}
		if err := op.call(t.Context(), elsewhere); !errors.Is(err, falclient.ErrNoPlatform) {
			t.Errorf("%s: %v, want ErrNoPlatform", op.op, err)
		}
	}
	c := platform(t, unsent)
	bad := falclient.Endpoint{Owner: "a/../..", Alias: "b"}
	many := make([]falclient.Endpoint, 51)
	for i := range many {
		many[i] = vision
	}
	for name, call := range map[string]func() error{
		"endpoint": func() error { _, err := c.Requests(t.Context(), falclient.HistoryQuery{Endpoint: bad}); return err },
		"id": func() error {
			_, err := c.Requests(t.Context(), falclient.HistoryQuery{Endpoint: vision, RequestID: "a&b"})
			return err
		},
		"price of a bad endpoint": func() error { _, err := c.Prices(t.Context(), vision, bad); return err },
		"no prices":               func() error { _, err := c.Prices(t.Context()); return err },
		"51 prices":               func() error { _, err := c.Prices(t.Context(), many...); return err },
	} {
		if call() == nil {
			t.Errorf("%s: no error", name)
		}
	}
	for _, raw := range []string{"http://api.fal.ai/v1", "https://u:hunter2@api.fal.ai", "ftp://127.0.0.1"} {
		if _, err := falclient.New(falclient.Config{PlatformURL: raw}); err == nil || !strings.Contains(err.Error(), "platform URL") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", raw, err)
		}
	}
}
