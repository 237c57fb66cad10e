package falclient_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"nemotron-mcp/falclient"
	"nemotron-mcp/internal/falsim"
)

var plainName = falclient.UploadOptions{FileName: "x"}

// storageBubble is storage on a network in memory, for synctest.Test. before
// sees each request first, and leaves it to the simulator where it returns true.
func storageBubble(t *testing.T, sc falsim.Script, before func(http.ResponseWriter, *http.Request) bool) (*falclient.Client, *falsim.Server) {
	t.Helper()
	sim := falsim.New(sc)
	m := &memory{accept: make(chan net.Conn), done: make(chan struct{})}
	var wg sync.WaitGroup
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		wg.Add(1)
		defer wg.Done()
		if before == nil || before(w, r) {
			sim.ServeHTTP(w, r)
		}
	})}
	wg.Go(func() { _ = srv.Serve(m) })
	t.Cleanup(func() {
		_, _ = sim.Close(), srv.Close()
		time.Sleep(time.Second) // net/http closes a spoilt connection half a second late
		synctest.Wait()
		wg.Wait()
	})
	tr := falclient.NewTransport()
	tr.DialContext, tr.Proxy = m.dial, nil
	c := newClient(t, falclient.Config{QueueURL: "http://127.0.0.1", RESTURL: "http://127.0.0.1", Transport: tr})
	c.SetUploadSizes(putLimit, partSize)
	return c, sim
}

// troubles are faults of one step, and what is to come of them.
func troubles(step falsim.Step) []trouble {
	page := "<html>" + strings.Repeat("x", 1000) + "</html>"
	once := func(f falsim.Fault) falsim.Fault { f.Step, f.Times = step, 1; return f }
	presigned := step != falsim.StepInitiate && step != falsim.StepInitiateMultipart
	all := []trouble{
		{"reset", once(falsim.Fault{Kind: falsim.ResetAfterRead}), 2, nil},
		{"closed", once(falsim.Fault{Kind: falsim.CloseAfterAccept}), 2, nil},
		{"closed once it was done", once(falsim.Fault{Kind: falsim.CloseAfterAccept, Accept: true}), 2, nil},
		{"500", once(falsim.Fault{Status: 500, Body: `{"detail":"x"}`}), 2, nil},
		{"502 page", once(falsim.Fault{Status: 502, Body: page}), 2, nil},
		{"200 page", once(falsim.Fault{Status: 200, Body: page}), 2, nil},
		{"429", once(falsim.Fault{Status: 429, Headers: map[string]string{"Retry-After": "2"}}), 2, nil},
		{"408", once(falsim.Fault{Status: 408}), 2, nil},
		{"silence", once(falsim.Fault{Kind: falsim.Hang}), 2, nil},
		{"429 for a day", once(falsim.Fault{Status: 429, Headers: map[string]string{"Retry-After": "86400"}}), 1, falclient.ErrRateLimited},
		{"redirect", once(falsim.Fault{Status: 307, Headers: map[string]string{"Location": "http://evil.example/"}}), 1, falclient.ErrRedirected},
		{"500 for ever", falsim.Fault{Step: step, Status: 500}, 5, errAny},
		{"silence for ever", falsim.Fault{Step: step, Kind: falsim.Hang}, 5, errAny},
		{"400", once(falsim.Fault{Status: 400, Body: `{"detail":"x"}`}), 1, errAny},
		{"404", once(falsim.Fault{Status: 404}), 1, errAny},
	}
	if presigned {
		return append(all, trouble{"403", once(falsim.Fault{Status: 403}), 1, errAny})
	}
	return append(all,
		trouble{"403", once(falsim.Fault{Status: 403}), 1, falclient.ErrUnauthorized},
		trouble{"locked", once(falsim.Fault{Status: 403, Body: `{"detail":"User is locked. Reason: Exhausted balance."}`}), 1, falclient.ErrLocked},
		trouble{"truncated", once(falsim.Fault{Kind: falsim.TruncateBody}), 2, nil},
		trouble{"empty", once(falsim.Fault{Kind: falsim.EmptyBody}), 2, nil},
		trouble{"null", once(falsim.Fault{Kind: falsim.NullBody}), 2, nil},
		trouble{"one byte a second", falsim.Fault{Step: step, Kind: falsim.SlowBody, Interval: time.Second}, 5, errAny},
		trouble{"huge", once(falsim.Fault{Kind: falsim.HugeBody, Bytes: 1 << 20}), 1, falclient.ErrTooLarge},
		trouble{"gzip bomb", once(falsim.Fault{Kind: falsim.GzipBomb, Bytes: 1 << 20}), 1, falclient.ErrTooLarge},
	)
}

type trouble struct {
	name  string
	fault falsim.Fault
	tries int   // of the step
	want  error // nil for none
}

func TestUploadTroubles(t *testing.T) {
	t.Parallel()
	for step, size := range map[falsim.Step]int{
		falsim.StepInitiate: putLimit, falsim.StepPut: putLimit, falsim.StepInitiateMultipart: putLimit + 1, falsim.StepPart: putLimit + 1, falsim.StepComplete: putLimit + 1,
	} {
		for _, tc := range troubles(step) {
			t.Run(string(step)+" "+tc.name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { upsetUpload(t, step, size, tc) })
			})
		}
	}
}

func upsetUpload(t *testing.T, step falsim.Step, size int, tc trouble) {
	c, sim := storageBubble(t, falsim.Script{Faults: []falsim.Fault{tc.fault}}, nil)
	began := time.Now()
	got, err := c.Upload(t.Context(), source(noise(size)), plainName)
	q := sim.Stats().Requests
	tries := map[falsim.Step]int{
		falsim.StepInitiate: q.Initiate, falsim.StepPut: q.Put, falsim.StepInitiateMultipart: q.InitiateMultipart,
		falsim.StepPart: q.Part - 3, falsim.StepComplete: q.Complete,
	}
	if step != falsim.StepPart || tc.want == nil {
		if tries[step] != tc.tries {
			t.Errorf("%d requests, want %d", tries[step], tc.tries)
		}
	}
	if took := time.Since(began); took > 4*time.Minute {
		t.Errorf("took %v", took)
	}
	if tc.want == nil {
		whole := slices.ContainsFunc(sim.Uploads(), func(up falsim.Upload) bool {
			return up.Ready && up.SHA256 == got.SHA256 && strings.HasSuffix(got.URL, up.Path)
		})
		if err != nil || got.SHA256 != sumOf(noise(size)) || !whole {
			t.Errorf("%+v, %v", got, err)
		}
		return
	}
	if err == nil || (tc.want != errAny && !errors.Is(err, tc.want)) {
		t.Errorf("got %v, want %v", err, tc.want)
	}
	for _, misleading := range []error{falclient.ErrUnauthorized, falclient.ErrLocked, falclient.ErrNotFound, context.Canceled} {
		if errors.Is(err, misleading) && misleading != tc.want {
			t.Errorf("%v matches %v", err, misleading)
		}
	}
	for _, up := range sim.Uploads() {
		if up.Ready && tc.fault.Kind != falsim.Hang && !tc.fault.Accept {
			t.Errorf("a file came of it: %+v", up)
		}
	}
}

// TestUploadStalls: the network takes a few bytes and then nothing.
func TestUploadStalls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var puts atomic.Int32
		c, sim := storageBubble(t, falsim.Script{}, func(_ http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodPut || puts.Add(1) > 1 {
				return true
			}
			_, _ = io.ReadFull(r.Body, make([]byte, 100))
			time.Sleep(time.Hour)
			panic(http.ErrAbortHandler)
		})
		c.SetUploadSizes(1<<20, 1<<20)
		defer time.Sleep(time.Hour) // of the handler
		began := time.Now()
		if _, err := c.Upload(t.Context(), source(noise(1<<20)), plainName); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took < falclient.StallTimeout || took > falclient.StallTimeout+5*time.Second || puts.Load() != 2 {
			t.Errorf("%d tries in %v", puts.Load(), took)
		}
		if st := sim.Stats(); st.Uploads != 1 {
			t.Errorf("stats %+v", st)
		}
	})
}

// TestUploadAnsweredEarly: a 200 that can't be about bytes never read.
func TestUploadAnsweredEarly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var puts atomic.Int32
		c, sim := storageBubble(t, falsim.Script{}, func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodPut || puts.Add(1) > 1 {
				return true
			}
			w.Header().Set("Connection", "close")
			w.WriteHeader(http.StatusOK)
			return false
		})
		c.SetUploadSizes(1<<20, 1<<20)
		got, err := c.Upload(t.Context(), source(noise(1<<20)), plainName)
		if err != nil || puts.Load() != 2 || sim.Uploads()[0].SHA256 != got.SHA256 {
			t.Errorf("%d tries, %+v, %v", puts.Load(), got, err)
		}
	})
}

// TestPartAnswers: the etag may stand in the body or in the header; what is no
// answer to the part is asked for again.
func TestPartAnswers(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		answer func(http.ResponseWriter, *http.Request)
		tries  int32
		whole  bool // the answer stands for the part, which the simulator never saw
	}{
		{"header only", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("ETag", `"abc"`) }, 1, true},
		{"no etag", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"partNumber":1}`) }, 2, false},
		{"of another part", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"partNumber":2,"etag":"abc"}`)
		}, 2, false},
		{"huge etag", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"partNumber":1,"etag":"`+strings.Repeat("a", 600)+`"}`)
		}, 2, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var first atomic.Int32
				completed := ""
				c, _ := storageBubble(t, falsim.Script{}, func(w http.ResponseWriter, r *http.Request) bool {
					if strings.HasSuffix(r.URL.Path, "/complete") && tc.whole {
						b, _ := io.ReadAll(r.Body)
						completed = string(b)
						return false
					}
					if !strings.HasSuffix(r.URL.Path, "/1") || first.Add(1) > 1 {
						return true
					}
					_, _ = io.Copy(io.Discard, r.Body)
					tc.answer(w, r)
					return false
				})
				if _, err := c.Upload(t.Context(), source(noise(putLimit+1)), plainName); err != nil {
					t.Fatal(err)
				}
				if first.Load() != tc.tries {
					t.Errorf("%d tries", first.Load())
				}
				if tc.whole && !strings.HasPrefix(completed, `{"parts":[{"partNumber":1,"etag":"\"abc\""},{"partNumber":2,`) {
					t.Errorf("completed with %s", completed)
				}
			})
		})
	}
}

// TestUploadErrorsAreClean: fal echoes the key and the presigned URL.
func TestUploadErrorsAreClean(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		signature := ""
		c, _ := storageBubble(t, falsim.Script{}, func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodPut {
				return true
			}
			signature = r.URL.RawQuery
			bodyOf(w, 403, `{"detail":"`+testKey+" "+r.URL.RawQuery+` \u001b[31m"}`)
			return false
		})
		_, err := c.Upload(t.Context(), source([]byte("x")), plainName)
		if err == nil || signature == "" || strings.Contains(err.Error(), testKey) || strings.Contains(err.Error(), signature) || strings.Contains(err.Error(), "\x1b") {
			t.Errorf("%q, signature %q", err, signature)
		}
	})
}
