package falsim

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestListensOnLoopbackOnly(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		addr string
		ok   bool
	}{
		{"127.0.0.1:0", true},
		{"localhost:0", true},
		{"0.0.0.0:0", false},
		{":0", false},
		{"[::]:0", false},
		{"192.0.2.1:0", false},
		{"example.com:0", false},
		{"127.0.0.1", false},
	} {
		t.Run(c.addr, func(t *testing.T) {
			t.Parallel()
			s := New(Script{})
			defer s.Close()
			base, err := s.StartAddr(c.addr)
			if (err == nil) != c.ok {
				t.Fatalf("StartAddr: %q, %v", base, err)
			}
			if s.QueueURL() != base || s.RESTURL() != base || s.CDNURL() != base {
				t.Errorf("URLs %q %q %q, want %q", s.QueueURL(), s.RESTURL(), s.CDNURL(), base)
			}
			if !c.ok {
				return
			}
			if !strings.HasPrefix(base, "http://127.0.0.1:") || strings.HasSuffix(base, "/") {
				t.Errorf("base %q", base)
			}
			if _, err := s.Start(); err == nil {
				t.Error("started twice")
			}
		})
	}
}

func TestCloseEndsEverything(t *testing.T) {
	t.Parallel()
	s, client, base := local(t, Script{
		RunTime: time.Hour,
		Faults:  []Fault{{Step: StepCancel, Kind: Hang}, {Step: StepResult, Delay: time.Hour}},
	})
	resp, err := post(t.Context(), client, base+chat, hello)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	job := base + jobPath(object(t, b)["request_id"].(string))
	errs := make(chan error, 3)
	for method, url := range map[string]string{"PUT": job + "/cancel", "GET": job} {
		go func() {
			resp, err := send(t.Context(), client, method, url, "")
			if err == nil {
				resp.Body.Close()
				err = errors.New("answered")
			}
			errs <- err
		}()
	}
	go func() {
		resp, err := send(t.Context(), client, "GET", job+"/status/stream", "")
		if err == nil {
			_, err = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
		errs <- err
	}()
	if err := s.WaitFor(t.Context(), func(st Stats) bool { return st.Faults == 2 && st.OpenStreams == 1 }); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	s.mu.Lock()
	if s.busy != 0 || s.conns != 0 {
		t.Errorf("after Close %d requests and %d connections are left", s.busy, s.conns)
	}
	s.mu.Unlock()
	for range 3 {
		if err := <-errs; err != nil && err.Error() == "answered" {
			t.Error("a hanging request was answered at Close")
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if w := ask(t, s, "POST", chat, hello); w.Code != 503 {
		t.Errorf("a closed server answered %d", w.Code)
	}
	if _, err := s.Start(); err == nil {
		t.Error("a closed server started")
	}
}

// TestCloseAsHandler closes a server whose connections are somebody else's.
func TestCloseAsHandler(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		faults []Fault
		err    bool
	}{
		{"stream", nil, false},
		{"silent stream", []Fault{{Step: StepStream, Kind: Silent}}, false},
		{"hang", []Fault{{Step: StepStream, Kind: Hang}}, true},
		{"delay", []Fault{{Step: StepStream, Delay: time.Hour}}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := New(Script{RunTime: time.Hour, Faults: c.faults})
				w := connect(s)
				defer w.close()
				id := w.submit(t, hello)
				time.AfterFunc(time.Minute, func() { _ = s.Close() })
				start := time.Now()
				resp, err := send(t.Context(), w.client, "GET", "http://sim"+jobPath(id)+"/status/stream", "")
				if err == nil {
					_, err = io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
				if err == nil && resp.StatusCode == 503 {
					// Go's transport sends a GET again whose connection broke.
					err = errors.New("closed")
				}
				if (err != nil) != c.err || time.Since(start) != time.Minute {
					t.Errorf("%v after %v", err, time.Since(start))
				}
			})
		})
	}
}

func TestWaitFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := New(Script{QueueDelay: time.Minute, RunTime: time.Minute})
		submit(t, s, hello)
		start := time.Now()
		for _, c := range []struct {
			name string
			ok   func(Stats) bool
			at   time.Duration
		}{
			{"queued", func(st Stats) bool { return st.Queued == 1 }, 0},
			{"billed", func(st Stats) bool { return st.Billed == 1 && st.Running == 1 }, time.Minute},
			{"completed", func(st Stats) bool { return st.Completed == 1 && st.Running == 0 }, 2 * time.Minute},
		} {
			if err := s.WaitFor(t.Context(), c.ok); err != nil || time.Since(start) != c.at {
				t.Errorf("%s: %v after %v, want %v", c.name, err, time.Since(start), c.at)
			}
		}
		time.AfterFunc(time.Second, func() { ask(t, s, "GET", jobPath("x"), "") })
		if err := s.WaitFor(t.Context(), func(st Stats) bool { return st.Requests.Result == 1 }); err != nil {
			t.Error(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.WaitFor(ctx, func(Stats) bool { return false }); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("WaitFor: %v", err)
		}
	})
}

func TestAdmin(t *testing.T) {
	t.Parallel()
	_, client, base := local(t, Script{})
	do := func(method, path, body string, headers ...string) (int, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, base+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		setHeaders(r, headers)
		if h := r.Header.Get("Host"); h != "" {
			r.Host = h
		}
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(b)
	}
	if code, body := do("PUT", "/_falsim/script", `{"output":"new","key":"k"}`); code != 200 {
		t.Errorf("script: %d %s", code, body)
	}
	if code, body := do("POST", chat, hello, "Authorization", "Key k"); code != 200 {
		t.Errorf("submit: %d %s", code, body)
	}
	var st Stats
	if _, body := do("GET", "/_falsim/stats", ""); json.Unmarshal([]byte(body), &st) != nil || st.Accepted != 1 || st.Requests.Submit != 1 {
		t.Errorf("stats %s", body)
	}
	var jobs []JobInfo
	if _, body := do("GET", "/_falsim/jobs", ""); json.Unmarshal([]byte(body), &jobs) != nil || len(jobs) != 1 || string(jobs[0].Input) != hello || strings.Contains(body, "Key k") {
		t.Errorf("jobs %s", body)
	}
	if code, body := do("GET", "/_falsim/uploads", ""); code != 200 || body != "[]" {
		t.Errorf("uploads: %d %s", code, body)
	}
	if code, _ := do("POST", "/_falsim/reset", "", "Host", "rebound.example"); code != 403 {
		t.Errorf("reset from a foreign host: %d", code)
	}
	if code, _ := do("POST", "/_falsim/reset", ""); code != 200 {
		t.Errorf("reset: %d", code)
	}
	if _, body := do("GET", "/_falsim/jobs", ""); body != "[]" {
		t.Errorf("jobs after reset %s", body)
	}
	if _, body := do("GET", "/_falsim/script", ""); body != `{"output":"new","key":"k"}` {
		t.Errorf("script after reset %s", body)
	}
	if code, _ := do("GET", "/_falsim/nothing", ""); code != 404 {
		t.Errorf("unknown admin path: %d", code)
	}
}

func TestServeCommand(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		end  func(stdin io.Closer, cancel func())
	}{
		{"stdin ends", func(stdin io.Closer, _ func()) { stdin.Close() }},
		{"context ends", func(_ io.Closer, cancel func()) { cancel() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			in, stdin := io.Pipe()
			stdout, out := io.Pipe()
			done := make(chan error, 1)
			go func() { done <- ServeCommand(ctx, "127.0.0.1:0", Script{Output: "cmd"}, in, out) }()
			line, err := bufio.NewReader(stdout).ReadBytes('\n')
			if err != nil {
				t.Fatal(err)
			}
			var a Addresses
			if err := json.Unmarshal(line, &a); err != nil || a.AdminURL != a.QueueURL+"/_falsim" || a.RESTURL == "" || a.CDNURL == "" || a.PlatformURL != a.QueueURL+"/v1" {
				t.Fatalf("line %s: %v", line, err)
			}
			tr := &http.Transport{}
			resp, err := send(t.Context(), &http.Client{Transport: tr}, "GET", a.AdminURL+"/script", "")
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			tr.CloseIdleConnections()
			c.end(stdin, cancel)
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
	if err := ServeCommand(t.Context(), "0.0.0.0:0", Script{}, nil, io.Discard); err == nil {
		t.Error("served on all addresses")
	}
	if err := ServeCommand(t.Context(), "127.0.0.1:0", Script{RunTime: -1}, nil, io.Discard); err == nil {
		t.Error("served an impossible script")
	}
}

func TestJobsAreBounded(t *testing.T) {
	t.Parallel()
	s := New(Script{})
	first := submit(t, s, hello)
	// As if the limit on bytes had been reached.
	s.mu.Lock()
	s.kept = maxJobBytes
	s.mu.Unlock()
	submit(t, s, hello)
	if n := len(s.Jobs()); n != 1 {
		t.Errorf("%d jobs are kept", n)
	}
	if w := ask(t, s, "GET", jobPath(first), ""); w.Code != 404 {
		t.Errorf("the forgotten job: %d", w.Code)
	}
	s.SetScript(Script{QueueDelay: time.Hour})
	s.Reset()
	submit(t, s, hello)
	s.mu.Lock()
	s.kept = maxJobBytes
	s.mu.Unlock()
	if w := ask(t, s, "POST", chat, hello); w.Code != 503 {
		t.Errorf("a full simulator answered %d", w.Code)
	}
}

func BenchmarkInstantJob(b *testing.B) {
	s := New(Script{})
	base, err := s.Start()
	if err != nil {
		b.Fatal(err)
	}
	tr := &http.Transport{}
	defer s.Close()
	defer tr.CloseIdleConnections()
	client := &http.Client{Transport: tr}
	get := func(method, url, body string) []byte {
		resp, err := send(b.Context(), client, method, url, body)
		if err != nil {
			b.Fatal(err)
		}
		defer resp.Body.Close()
		raw, err := io.ReadAll(resp.Body)
		if err != nil {
			b.Fatal(err)
		}
		return raw
	}
	b.ReportAllocs()
	for b.Loop() {
		var got struct {
			ResponseURL string `json:"response_url"`
			StatusURL   string `json:"status_url"`
		}
		if err := json.Unmarshal(get("POST", base+chat, hello), &got); err != nil {
			b.Fatal(err)
		}
		get("GET", got.StatusURL+"/stream", "")
		get("GET", got.ResponseURL, "")
	}
}
