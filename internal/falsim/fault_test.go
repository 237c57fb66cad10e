package falsim

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestFaultOccurrences(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		fault Fault
		want  [2][]int // status codes of 4 polls of two jobs, in turn
	}{
		{"all", Fault{}, [2][]int{{500, 500, 500, 500}, {500, 500, 500, 500}}},
		{"from the second", Fault{Nth: 2}, [2][]int{{200, 500, 500, 500}, {500, 500, 500, 500}}},
		{"third and fourth", Fault{Nth: 3, Times: 2}, [2][]int{{200, 500, 200, 200}, {200, 500, 200, 200}}},
		{"first of each job", Fault{Times: 1, PerJob: true}, [2][]int{{500, 200, 200, 200}, {500, 200, 200, 200}}},
		{"by prompt", Fault{PromptContains: "two"}, [2][]int{{200, 200, 200, 200}, {500, 500, 500, 500}}},
		{"by unknown id", Fault{RequestID: "x"}, [2][]int{{200, 200, 200, 200}, {200, 200, 200, 200}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.fault.Step, c.fault.Status = StepStatus, 500
			s := New(Script{Faults: []Fault{c.fault}})
			ids := []string{submit(t, s, `{"prompt":"job one"}`), submit(t, s, `{"prompt":"job two"}`)}
			var got [2][]int
			for range 4 {
				for i, id := range ids {
					got[i] = append(got[i], ask(t, s, "GET", jobPath(id)+"/status", "").Code)
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestResetRestartsFaults(t *testing.T) {
	t.Parallel()
	s := New(Script{Faults: []Fault{{Step: StepSubmit, Times: 1, Status: 500}}})
	for range 2 {
		for _, code := range []int{500, 200} {
			if w := ask(t, s, "POST", chat, hello); w.Code != code {
				t.Errorf("got %d, want %d", w.Code, code)
			}
		}
		s.Reset()
	}
}

func TestFaultByRequestID(t *testing.T) {
	t.Parallel()
	s := New(Script{})
	a, b := submit(t, s, hello), submit(t, s, hello)
	s.SetScript(Script{Faults: []Fault{{Step: StepResult, RequestID: a, Status: 404}}})
	if x, y := ask(t, s, "GET", jobPath(a), "").Code, ask(t, s, "GET", jobPath(b), "").Code; x != 404 || y != 200 {
		t.Errorf("got %d and %d", x, y)
	}
}

// TestSubmitFaults plays each fault on a submission, over a socket, with and
// without the job being accepted.
func TestSubmitFaults(t *testing.T) {
	t.Parallel()
	isReset := func(_ string, err error) bool {
		// Windows has an error number of its own for it.
		return errors.Is(err, syscall.ECONNRESET) || (err != nil && strings.Contains(err.Error(), "forcibly closed"))
	}
	isEOF := func(_ string, err error) bool { return errors.Is(err, io.EOF) }
	gaveUp := func(_ string, err error) bool { return errors.Is(err, context.Canceled) }
	cutOff := func(s string, err error) bool {
		return errors.Is(err, io.ErrUnexpectedEOF) && strings.HasPrefix(s, `200 {"status":"IN_QUEUE"`)
	}
	normal := func(s string, err error) bool { return err == nil && strings.Contains(s, `"request_id":"`) }
	text := func(want string) func(string, error) bool {
		return func(s string, err error) bool { return err == nil && s == want }
	}
	for _, c := range []struct {
		name  string
		fault Fault
		ok    func(string, error) bool
		own   bool // the job is accepted in any case
	}{
		{"reset", Fault{Kind: ResetAfterRead}, isReset, false},
		{"close", Fault{Kind: CloseAfterAccept}, isEOF, false},
		{"hang", Fault{Kind: Hang}, gaveUp, false},
		{"long delay", Fault{Kind: Hang, Delay: time.Hour}, gaveUp, false},
		{"html", Fault{Status: 502, Body: "<html>bad gateway</html>"}, text("502 text/html <html>bad gateway</html>"), false},
		{"retry later", Fault{Status: 429, Headers: map[string]string{"Retry-After": "2"}, Body: "{}"}, text("429 retry 2 {}"), false},
		{"no request_id", Fault{Status: 200, Body: `{"status":"IN_QUEUE"}`}, text(`200 {"status":"IN_QUEUE"}`), false},
		{"empty", Fault{Kind: EmptyBody}, text("200 "), false},
		{"null", Fault{Kind: NullBody}, text("200 null"), false},
		{"truncated", Fault{Kind: TruncateBody}, cutOff, true},
		{"truncated at 30", Fault{Kind: TruncateBody, Bytes: 30}, cutOff, true},
		{"slow", Fault{Kind: SlowBody}, normal, true},
		{"delay", Fault{Delay: time.Millisecond}, normal, true},
		{"huge", Fault{Kind: HugeBody, Bytes: 1 << 20}, func(s string, err error) bool { return err == nil && len(s) == 1<<20+4 }, false},
	} {
		for _, accept := range []bool{false, true} {
			t.Run(c.name+map[bool]string{true: ", accepted"}[accept], func(t *testing.T) {
				t.Parallel()
				f := c.fault
				f.Step, f.Times, f.Accept = StepSubmit, 1, accept
				s, client, base := local(t, Script{Faults: []Fault{f}})
				want := 0
				if accept || c.own {
					want = 1
				}
				ctx, giveUp := context.WithCancel(t.Context())
				defer giveUp()
				hung := make(chan error, 1)
				if f.Kind == Hang {
					go func() {
						hung <- s.WaitFor(ctx, func(st Stats) bool { return st.Faults == 1 && st.Accepted == want })
						giveUp()
					}()
				} else {
					hung <- nil
				}
				if got, err := fetch(ctx, client, base); !c.ok(got, err) {
					t.Errorf("got %.200q, %v", got, err)
				}
				if err := <-hung; err != nil {
					t.Fatal(err)
				}
				if st := s.Stats(); st.Accepted != want || st.Billed != want || st.Faults != 1 || st.Requests.Submit != 1 {
					t.Errorf("stats %+v, want %d accepted", st, want)
				}
				if got, err := fetch(t.Context(), client, base); !normal(got, err) {
					t.Errorf("the next submission got %q, %v", got, err)
				}
			})
		}
	}
}

func fetch(ctx context.Context, client *http.Client, base string) (string, error) {
	resp, err := post(ctx, client, base+chat, hello)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	head := resp.Status[:3] + " "
	if ct := resp.Header.Get("Content-Type"); ct != "application/json" {
		head += ct + " "
	}
	if ra := resp.Header.Get("Retry-After"); ra != "" {
		head += "retry " + ra + " "
	}
	return head + string(b), err
}

func TestGzipBomb(t *testing.T) {
	t.Parallel()
	s := New(Script{Faults: []Fault{{Step: StepResult, Kind: GzipBomb, Bytes: 8 << 20}}})
	w := ask(t, s, "GET", jobPath(submit(t, s, hello)), "")
	if n := w.Body.Len(); n > 64<<10 {
		t.Errorf("%d bytes travelled", n)
	}
	z, err := gzip.NewReader(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, z); n != 8<<20 || err != nil {
		t.Errorf("unpacked %d bytes, %v", n, err)
	}
}

func TestRedirect(t *testing.T) {
	t.Parallel()
	s := New(Script{Faults: []Fault{{Step: StepSubmit, Status: 307, Headers: map[string]string{"location": "http://elsewhere/"}}}})
	if w := ask(t, s, "POST", chat, hello); w.Code != 307 || w.Header().Get("Location") != "http://elsewhere/" {
		t.Errorf("got %d %v", w.Code, w.Header())
	}
}

func TestUnknownStatusOnPoll(t *testing.T) {
	t.Parallel()
	s := New(Script{Faults: []Fault{{Step: StepStatus, Kind: UnknownStatus, Times: 1}}})
	id := submit(t, s, hello)
	for _, want := range []string{"PREEMPTED", "COMPLETED"} {
		if got := object(t, ask(t, s, "GET", jobPath(id)+"/status", "").Body.Bytes())["status"]; got != want {
			t.Errorf("status %v, want %s", got, want)
		}
	}
}

func TestDelays(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		fault    Fault
		accepted int // when the client gives up after a minute
		answered time.Duration
	}{
		{"before acceptance", Fault{Delay: time.Hour}, 0, 0},
		{"after acceptance", Fault{Delay: time.Hour, Accept: true}, 1, 0},
		{"short", Fault{Delay: time.Second}, 1, time.Second},
		{"slow bytes", Fault{Kind: SlowBody, Interval: time.Hour}, 1, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c.fault.Step = StepSubmit
				s := New(Script{Faults: []Fault{c.fault}})
				w := connect(s)
				defer w.close()
				w.client.Timeout = time.Minute
				start := time.Now()
				resp, err := post(t.Context(), w.client, "http://sim"+chat, hello)
				if err == nil {
					_, err = io.ReadAll(resp.Body)
					resp.Body.Close()
				}
				took := time.Since(start)
				if (err == nil) != (c.answered > 0) || (err == nil && took != c.answered) {
					t.Errorf("%v after %v", err, took)
				}
				time.Sleep(2 * time.Hour)
				if st := s.Stats(); st.Accepted != c.accepted {
					t.Errorf("stats %+v", st)
				}
			})
		})
	}
}

func TestJobFaults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		fault  Fault
		status string // error and error_type told on status
		code   int
		body   string
		header string // X-Fal-Error-Type
	}{
		{"told on status", Fault{Error: "runner left", ErrorType: "runner_disconnected"}, "runner left/runner_disconnected", 503, `{"detail":"runner left","error_type":"runner_disconnected"}`, "runner_disconnected"},
		{"result 404", Fault{Status: 404, Body: `{"status":"NOT_FOUND"}`}, "<nil>/<nil>", 404, `{"status":"NOT_FOUND"}`, ""},
		{"result 422", Fault{Status: 422, Body: `{"detail":"plain"}`}, "<nil>/<nil>", 422, `{"detail":"plain"}`, ""},
		{"result 500", Fault{Status: 500}, "<nil>/<nil>", 500, `{"detail":"The runner failed."}`, ""},
		{"own status", Fault{Error: "e", ErrorType: "bad_request", Status: 418}, "e/bad_request", 418, `{"detail":"e","error_type":"bad_request"}`, "bad_request"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.fault.Step, c.fault.PromptContains = StepJob, "bad"
			s := New(Script{Faults: []Fault{c.fault}})
			id := submit(t, s, `{"prompt":"bad"}`)
			st := object(t, ask(t, s, "GET", jobPath(id)+"/status", "").Body.Bytes())
			if got := sprintPair(st["error"], st["error_type"]); got != c.status || st["status"] != "COMPLETED" {
				t.Errorf("status %v", st)
			}
			r := ask(t, s, "GET", jobPath(id), "")
			if r.Code != c.code || r.Body.String() != c.body || r.Header().Get("X-Fal-Error-Type") != c.header {
				t.Errorf("result %d %s %v", r.Code, r.Body, r.Header())
			}
			if st := s.Stats(); st.Failed != 1 || st.Completed != 1 || st.Billed != 1 {
				t.Errorf("stats %+v", st)
			}
			if r := ask(t, s, "GET", jobPath(submit(t, s, hello)), ""); r.Code != 200 {
				t.Errorf("the other job's result: %d", r.Code)
			}
		})
	}
}

func sprintPair(a, b any) string {
	x, y := "<nil>", "<nil>"
	if s, ok := a.(string); ok {
		x = s
	}
	if s, ok := b.(string); ok {
		y = s
	}
	return x + "/" + y
}

func TestStuck(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := New(Script{Faults: []Fault{{Step: StepJob, Kind: Stuck}}})
		id := submit(t, s, hello)
		time.Sleep(1000 * time.Hour)
		if st := object(t, ask(t, s, "GET", jobPath(id)+"/status", "").Body.Bytes()); st["status"] != "IN_QUEUE" || s.Bills() != 0 {
			t.Errorf("status %v, bills %d", st, s.Bills())
		}
	})
}

func TestFaultsOverHTTP2(t *testing.T) {
	t.Parallel()
	s := New(Script{Faults: []Fault{{Step: StepSubmit, Kind: ResetAfterRead, Times: 1}, {Step: StepStream, Kind: BreakEvent, After: 0}}})
	srv := httptest.NewUnstartedServer(s)
	srv.EnableHTTP2 = true
	srv.StartTLS()
	t.Cleanup(srv.Close)
	if _, err := post(t.Context(), srv.Client(), srv.URL+chat, hello); err == nil {
		t.Error("the first submission was answered")
	}
	resp, err := post(t.Context(), srv.Client(), srv.URL+chat, hello)
	if err != nil || resp.ProtoMajor != 2 {
		t.Fatalf("the second submission: %v, %v", resp, err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	var got struct {
		StatusURL string `json:"status_url"`
	}
	if err := json.Unmarshal(b, &got); err != nil || !strings.HasPrefix(got.StatusURL, srv.URL+"/") {
		t.Fatalf("answer %s, %v", b, err)
	}
	stream, err := send(t.Context(), srv.Client(), "GET", got.StatusURL+"/stream", "")
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Body.Close()
	if b, err := io.ReadAll(stream.Body); err == nil {
		t.Errorf("the stream ended in good order: %q", b)
	}
}
