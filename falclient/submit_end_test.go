package falclient_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"nemotron-mcp/falclient"
)

// fal took the job and never answered.
func TestSubmitHeaderTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var posts atomic.Int64
		c, _ := bubble(t, func(_ http.ResponseWriter, r *http.Request) {
			posts.Add(1)
			<-r.Context().Done()
		})
		began := time.Now()
		_, err := submit(t.Context(), c, falclient.SubmitOptions{MaxWait: time.Hour})
		if !errors.As(err, new(*falclient.SubmitUnknownError)) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error is %v, want unknown by time-out", err)
		}
		if took := time.Since(began); took != falclient.AnswerTimeout || posts.Load() != 1 {
			t.Errorf("%d POSTs in %v, want one in %v", posts.Load(), took, falclient.AnswerTimeout)
		}
	})
}

// The header came, with fal's id, and the body never.
func TestSubmitBodyTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, _ := bubble(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Fal-Request-Id", testID)
			w.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		})
		_, err := submit(t.Context(), c, falclient.SubmitOptions{MaxWait: time.Hour})
		var unknown *falclient.SubmitUnknownError
		if !errors.As(err, &unknown) || unknown.RequestID != testID {
			t.Errorf("error is %v, want unknown with fal's id as a hint", err)
		}
	})
}

// A dial that hangs is given up with its caller, at once.
func TestSubmitCancelledWhileDialling(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dialling, end := make(chan struct{}), make(chan struct{})
		tr := falclient.NewTransport()
		tr.Proxy = nil
		tr.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			close(dialling)
			select {
			case <-end:
			case <-ctx.Done():
			}
			return nil, errors.New("dial ended")
		}
		c := newClient(t, falclient.Config{QueueURL: "http://127.0.0.1", BackupURL: "http://127.0.0.1:81", Transport: tr})
		ctx, cancel := context.WithCancel(t.Context())
		go func() { <-dialling; time.Sleep(time.Second); cancel() }()
		began := time.Now()
		_, err := submit(ctx, c, falclient.SubmitOptions{MaxWait: time.Hour})
		if !errors.Is(err, context.Canceled) || errors.As(err, new(*falclient.ConnectError)) || time.Since(began) != time.Second {
			t.Errorf("%v after %v, want the caller's cancel and no fault of the network's after 1 s", err, time.Since(began))
		}
		close(end)
	})
}

// What was sent is brought to its end, because only the answer names the job.
func TestSubmitCancelledAfterSending(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		received := make(chan struct{})
		c, _ := bubble(t, func(w http.ResponseWriter, _ *http.Request) {
			close(received)
			time.Sleep(5 * time.Second)
			bodyOf(w, http.StatusOK, taken)
		})
		ctx, cancel := context.WithCancel(t.Context())
		go func() { <-received; cancel() }()
		sub, err := submit(ctx, c, falclient.SubmitOptions{})
		if err != nil || sub.RequestID != testID {
			t.Errorf("got %+v, %v; want the submission", sub, err)
		}
	})
}

func TestSubmitCancelledDuringWait(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name string
		end  func(context.Context) (context.Context, context.CancelFunc)
		is   error
		took time.Duration
	}{
		{name: "cancelled", is: context.Canceled, took: 3 * time.Second, end: func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(3*time.Second, cancel)
			return ctx, cancel
		}},
		// Waiting for what can't come would only delay the news.
		{name: "deadline before the end of the wait", is: falclient.ErrRateLimited, end: func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, 3*time.Second)
		}},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var posts atomic.Int64
				c, _ := bubble(t, func(w http.ResponseWriter, _ *http.Request) {
					posts.Add(1)
					w.Header().Set("Retry-After", "20")
					bodyOf(w, http.StatusTooManyRequests, "{}")
				})
				ctx, cancel := tc.end(t.Context())
				defer cancel()
				began := time.Now()
				_, err := submit(ctx, c, falclient.SubmitOptions{MaxWait: time.Minute})
				if !errors.Is(err, tc.is) || time.Since(began) != tc.took || posts.Load() != 1 {
					t.Errorf("%d POSTs, %v after %v; want one, %v after %v", posts.Load(), err, time.Since(began), tc.is, tc.took)
				}
			})
		})
	}
}
