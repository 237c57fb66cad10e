package falsim

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestRefusals(t *testing.T) {
	t.Parallel()
	const invalidKey = `{"detail":"invalid key credentials"}`
	const someID = "764cabcf-b745-4b3e-ae38-1200304cf45b"
	for _, c := range []struct {
		name, method, path, body string
		headers                  []string
		script                   Script
		code                     int
		want                     string
	}{
		{name: "no key", method: "POST", path: chat, body: hello, headers: []string{"Authorization", ""}, code: 401, want: invalidKey},
		{name: "empty key", method: "POST", path: chat, body: hello, headers: []string{"Authorization", "Key "}, code: 401, want: invalidKey},
		{name: "wrong key", method: "POST", path: chat, body: hello, script: Script{Key: "other"}, code: 401, want: invalidKey},
		{name: "bearer", method: "POST", path: chat, body: hello, headers: []string{"Authorization", "Bearer k"}, code: 401, want: `{"detail":"bearer: unable to decode issuer"}`},
		{name: "wrong key on status", method: "GET", path: jobPath(someID) + "/status", script: Script{Key: "other"}, code: 401, want: invalidKey},
		{name: "wrong key on initiate", method: "POST", path: "/storage/upload/initiate", script: Script{Key: "other"}, code: 401, want: invalidKey},
		{name: "locked", method: "POST", path: chat, body: hello, script: Script{Locked: true}, code: 403, want: `{"detail":"User is locked. Reason: Exhausted balance. Top up your balance at fal.ai/dashboard/billing."}`},
		{name: "lock not told on status", method: "GET", path: jobPath(someID) + "/status", script: Script{Locked: true}, code: 404, want: `{"status":"NOT_FOUND"}`},
		{name: "lock told of the account", method: "GET", path: "/billing/user_details", script: Script{Locked: true}, code: 200, want: `{"user_id":"simulated","soft_monthly_budget":null,"hard_monthly_budget":null,"lock_reason":"Exhausted balance","is_paying":true,"is_locked":true}`},
		{name: "account without a lock", method: "GET", path: "/billing/user_details", code: 200, want: `{"user_id":"simulated","soft_monthly_budget":null,"hard_monthly_budget":null,"lock_reason":null,"is_paying":true,"is_locked":false}`},
		{name: "account by POST", method: "POST", path: "/billing/user_details", code: 405, want: `{"detail":"Method Not Allowed"}`},
		{name: "wrong key on account", method: "GET", path: "/billing/user_details", script: Script{Key: "other"}, code: 401, want: invalidKey},
		{name: "fault on account", method: "GET", path: "/billing/user_details", script: Script{Faults: []Fault{{Step: StepAccount, Status: 404, Body: `{"detail":"Not Found"}`}}}, code: 404, want: `{"detail":"Not Found"}`},
		{name: "unknown app", method: "POST", path: "/fal-ai/flux", body: hello, code: 404, want: `{"detail":"Application \"fal-ai/flux\" not found"}`},
		{name: "unknown sub-path", method: "POST", path: chat + "/smell", body: hello, code: 404, want: `{"detail":"Application \"nvidia/nemotron-3-nano-omni/smell\" not found"}`},
		{name: "unknown id, status", method: "GET", path: jobPath(someID) + "/status", code: 404, want: `{"status":"NOT_FOUND"}`},
		{name: "unknown id, stream", method: "GET", path: jobPath(someID) + "/status/stream", code: 404, want: `{"status":"NOT_FOUND"}`},
		{name: "unknown id, result", method: "GET", path: jobPath(someID), code: 404, want: `{"status":"NOT_FOUND"}`},
		{name: "unknown id, cancel", method: "PUT", path: jobPath(someID) + "/cancel", code: 404, want: `{"status":"NOT_FOUND"}`},
		{name: "sub-path before requests", method: "GET", path: chat + "/vision/requests/" + someID, code: 404, want: `{"detail":"Not Found"}`},
		{name: "result with a slash", method: "GET", path: jobPath(someID) + "/", code: 404, want: `{"detail":"Not Found"}`},
		{name: "cancel by POST", method: "POST", path: jobPath(someID) + "/cancel", code: 405, want: `{"detail":"Method Not Allowed"}`},
		{name: "not JSON", method: "POST", path: chat, body: "{", code: 422, want: `{"detail":[{"loc":["body"],"msg":"JSON decode error","type":"json_invalid"}]}`},
		{name: "not an object", method: "POST", path: chat, body: "null", code: 422, want: `{"detail":[{"loc":["body"],"msg":"JSON decode error","type":"json_invalid"}]}`},
		{name: "too large", method: "POST", path: chat, body: `{"prompt":"` + strings.Repeat("a", maxJSONBody) + `"}`, code: 413, want: `{"detail":"Request body is too large"}`},
		{name: "bad script header", method: "POST", path: chat, body: hello, headers: []string{ScriptHeader, `{"queue_dealy":"1s"}`}, code: 400, want: `{"detail":"X-Falsim-Script: json: unknown field \"queue_dealy\""}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := New(c.script)
			w := ask(t, s, c.method, c.path, c.body, c.headers...)
			if w.Code != c.code || w.Body.String() != c.want {
				t.Errorf("got %d %s, want %d %s", w.Code, w.Body, c.code, c.want)
			}
			st := s.Stats()
			if st.Accepted != 0 || st.Billed != 0 {
				t.Errorf("a refused request was accepted: %+v", st)
			}
			if got := st.AuthFailures == 1; got != (c.code == 401) {
				t.Errorf("auth failures: %d", st.AuthFailures)
			}
		})
	}
}

func TestSubmitAnswer(t *testing.T) {
	t.Parallel()
	s := New(Script{QueueDelay: time.Hour, QueuePositions: []int{3, 1}})
	w := ask(t, s, "POST", chat+"/vision?fal_webhook=https%3A%2F%2Fx", `{"prompt":"p","image_url":"https://x/y.png"}`,
		"X-Fal-Queue-Priority", "low", "User-Agent", "tester", "X-Fal-Store-IO", "0", "Idempotency-Key", "i")
	got := object(t, w.Body.Bytes())
	id := got["request_id"].(string)
	root := "http://example.com/nvidia/nemotron-3-nano-omni/requests/" + id
	want := map[string]any{
		"status": "IN_QUEUE", "request_id": id, "queue_position": 3.0,
		"response_url": root, "status_url": root + "/status", "cancel_url": root + "/cancel",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if w.Code != 200 || w.Header().Get("x-fal-request-id") != id {
		t.Errorf("code %d, headers %v", w.Code, w.Header())
	}
	j := s.Jobs()[0]
	wantHeaders := map[string]string{"User-Agent": "tester", "X-Fal-Queue-Priority": "low", "X-Fal-Store-Io": "0", "Idempotency-Key": "i"}
	if diff := cmp.Diff(wantHeaders, j.Headers); diff != "" {
		t.Error(diff)
	}
	if j.Query != "fal_webhook=https%3A%2F%2Fx" || j.Endpoint != appRoot+"/vision" || string(j.Input) != `{"prompt":"p","image_url":"https://x/y.png"}` {
		t.Errorf("job: %+v", j)
	}
}

func TestCourse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := New(Script{
			QueueDelay: 30 * time.Second, QueuePositions: []int{2, 1, 0}, RunTime: 20 * time.Second,
			Logs: []Log{{Message: "late", At: time.Hour}, {Message: "early", Level: "INFO", At: 5 * time.Second}},
		})
		id := submit(t, s, hello)
		started := time.Now().Add(30 * time.Second).UTC()
		line := func(msg string, at time.Duration) map[string]any {
			m := map[string]any{"message": msg, "timestamp": started.Add(at).Format("2006-01-02T15:04:05.000000"), "labels": map[string]any{}}
			if msg == "early" {
				m["level"], m["source"] = "INFO", "USER"
			}
			return m
		}
		for _, c := range []struct {
			name    string
			sleep   time.Duration
			query   string
			code    int
			want    map[string]any
			result  int
			billed  int
			running int
		}{
			{"queued", 0, "?logs=1", 202, map[string]any{"status": "IN_QUEUE", "queue_position": 2.0}, 400, 0, 0},
			{"second place", 10 * time.Second, "", 202, map[string]any{"status": "IN_QUEUE", "queue_position": 1.0}, 400, 0, 0},
			{"third place", 19 * time.Second, "", 202, map[string]any{"status": "IN_QUEUE", "queue_position": 0.0}, 400, 0, 0},
			{"running", time.Second, "?logs=0", 202, map[string]any{"status": "IN_PROGRESS", "logs": nil}, 400, 1, 1},
			{"no line yet", 0, "?logs=true", 202, map[string]any{"status": "IN_PROGRESS", "logs": []any{}}, 400, 1, 1},
			{"a line", 5 * time.Second, "?logs=1", 202, map[string]any{"status": "IN_PROGRESS", "logs": []any{line("early", 5*time.Second)}}, 400, 1, 1},
			{"logs=false", 0, "?logs=false", 202, map[string]any{"status": "IN_PROGRESS", "logs": nil}, 400, 1, 1},
			{"completed", 15 * time.Second, "?logs=1", 200, map[string]any{
				"status": "COMPLETED", "logs": []any{line("early", 5*time.Second), line("late", time.Hour)},
				"metrics": map[string]any{"inference_time": 20.0},
			}, 200, 1, 0},
		} {
			time.Sleep(c.sleep)
			w := ask(t, s, "GET", jobPath(id)+"/status"+c.query, "")
			got := object(t, w.Body.Bytes())
			root := "http://example.com" + jobPath(id)
			c.want["request_id"], c.want["response_url"], c.want["status_url"], c.want["cancel_url"] = id, root, root+"/status", root+"/cancel"
			if diff := cmp.Diff(c.want, got); diff != "" || w.Code != c.code {
				t.Errorf("%s: code %d, want %d\n%s", c.name, w.Code, c.code, diff)
			}
			r := ask(t, s, "GET", jobPath(id), "")
			if r.Code != c.result || r.Header().Get("x-fal-request-id") != id {
				t.Errorf("%s: result answered %d %s, want %d", c.name, r.Code, r.Body, c.result)
			}
			if r.Code == 400 && r.Body.String() != `{"detail":"Request is still in progress"}` {
				t.Errorf("%s: result %s", c.name, r.Body)
			}
			if st := s.Stats(); s.Bills() != c.billed || st.Running != c.running || st.Accepted != 1 || st.Queued != 1-c.billed {
				t.Errorf("%s: stats %+v", c.name, st)
			}
		}
		if st := s.Stats(); st.Completed != 1 || st.Failed != 0 || st.Requests.Status != 8 || st.Requests.Result != 8 {
			t.Errorf("stats %+v", st)
		}
		j := s.Jobs()[0]
		if j.State != "COMPLETED" || !j.Billed || j.ResultReads != 1 || j.StartedAt.Sub(j.SubmittedAt) != 30*time.Second || j.CompletedAt.Sub(j.StartedAt) != 20*time.Second {
			t.Errorf("job %+v", j)
		}
	})
}

func TestCancel(t *testing.T) {
	t.Parallel()
	const cancelled = `{"detail":"Request was cancelled by the client.","error_type":"client_cancelled"}`
	for _, c := range []struct {
		name   string
		script Script
		after  time.Duration
		code   int
		want   string
		result int
		body   string // empty: the model's answer
		bills  int
	}{
		{"queued", Script{QueueDelay: time.Minute}, time.Second, 200, `{"status":"OK"}`, 499, cancelled, 0},
		{"running", Script{RunTime: time.Minute}, time.Second, 202, `{"status":"CANCELLATION_REQUESTED"}`, 499, cancelled, 1},
		{"running, ignored", Script{RunTime: time.Minute, IgnoreCancel: true}, time.Second, 202, `{"status":"CANCELLATION_REQUESTED"}`, 200, "", 1},
		{"completed", Script{}, time.Second, 400, `{"status":"ALREADY_COMPLETED"}`, 200, "", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := New(c.script)
				id := submit(t, s, hello)
				time.Sleep(c.after)
				w := ask(t, s, "PUT", jobPath(id)+"/cancel", "")
				if w.Code != c.code || w.Body.String() != c.want {
					t.Errorf("cancel answered %d %s", w.Code, w.Body)
				}
				if c.body == "" {
					time.Sleep(time.Hour - time.Minute)
				}
				status := object(t, ask(t, s, "GET", jobPath(id)+"/status", "").Body.Bytes())
				r := ask(t, s, "GET", jobPath(id), "")
				if status["status"] != "COMPLETED" || r.Code != c.result || (c.body != "" && r.Body.String() != c.body) {
					t.Errorf("status %v, result %d %s", status, r.Code, r.Body)
				}
				ended := c.body != ""
				if ended != (status["error_type"] == "client_cancelled") || ended != (status["error"] != nil) || ended != (r.Header().Get("X-Fal-Error-Type") == "client_cancelled") {
					t.Errorf("status %v, headers %v", status, r.Header())
				}
				if st := s.Stats(); st.Billed != c.bills || (st.Cancelled == 1) != ended || st.Queued+st.Running != 0 || st.Completed != 1 {
					t.Errorf("stats %+v", st)
				}
				if j := s.Jobs()[0]; j.Cancelled != ended || j.CancelRequested != (c.code != 400) {
					t.Errorf("job %+v", j)
				}
				if again := ask(t, s, "PUT", jobPath(id)+"/cancel", ""); again.Code != 400 {
					t.Errorf("second cancel answered %d", again.Code)
				}
			})
		})
	}
}

func TestRetention(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		script Script
		input  string
		keep   time.Duration
	}{
		{"small", Script{}, hello, time.Hour},
		{"10 KiB", Script{OutputTokens: 2560}, `{"prompt":"p","max_tokens":20000}`, 6 * time.Minute},
		{"scripted", Script{Retention: time.Minute}, hello, time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := New(c.script)
				id := submit(t, s, c.input)
				time.Sleep(c.keep - time.Nanosecond)
				if w := ask(t, s, "GET", jobPath(id), ""); w.Code != 200 {
					t.Errorf("result within retention: %d", w.Code)
				}
				time.Sleep(time.Nanosecond)
				for _, p := range []string{"", "/status", "/status/stream"} {
					if w := ask(t, s, "GET", jobPath(id)+p, ""); w.Code != 404 || w.Body.String() != `{"status":"NOT_FOUND"}` {
						t.Errorf("%q beyond retention: %d %s", p, w.Code, w.Body)
					}
				}
			})
		})
	}
}

func TestStartTimeout(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		headers []string
		delay   time.Duration
		expires time.Duration // 0: the job runs
	}{
		{"exceeded", []string{"X-Fal-Request-Start-Timeout", "2.5"}, 10 * time.Second, 2500 * time.Millisecond},
		{"deprecated name", []string{"X-Fal-Request-Timeout", "2"}, 10 * time.Second, 2 * time.Second},
		{"new name wins", []string{"X-Fal-Request-Start-Timeout", "3", "X-Fal-Request-Timeout", "20"}, 10 * time.Second, 3 * time.Second},
		{"kept", []string{"X-Fal-Request-Start-Timeout", "10"}, 10 * time.Second, 0},
		{"too small to count", []string{"X-Fal-Request-Start-Timeout", "0.1"}, 10 * time.Second, 0},
		{"deprecated too small", []string{"X-Fal-Request-Timeout", "1"}, 10 * time.Second, 0},
		{"garbage", []string{"X-Fal-Request-Start-Timeout", "NaN"}, 10 * time.Second, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := New(Script{QueueDelay: c.delay})
				id := submit(t, s, hello, c.headers...)
				if c.expires == 0 {
					time.Sleep(c.delay)
					if w := ask(t, s, "GET", jobPath(id), ""); w.Code != 200 || s.Bills() != 1 {
						t.Errorf("result %d, bills %d", w.Code, s.Bills())
					}
					return
				}
				time.Sleep(c.expires - time.Nanosecond)
				if w := ask(t, s, "GET", jobPath(id), ""); w.Code != 400 {
					t.Errorf("before expiry: %d", w.Code)
				}
				time.Sleep(time.Nanosecond)
				w := ask(t, s, "GET", jobPath(id), "")
				if w.Code != 504 || w.Header().Get("X-Fal-Request-Timeout-Type") != "user" || w.Header().Get("X-Fal-Error-Type") != "startup_timeout" || s.Bills() != 0 {
					t.Errorf("result %d %v, bills %d", w.Code, w.Header(), s.Bills())
				}
			})
		})
	}
}

func TestMaxQueueLength(t *testing.T) {
	t.Parallel()
	s := New(Script{QueueDelay: time.Hour})
	for i, code := range []int{200, 200, 429} {
		w := ask(t, s, "POST", chat+"?fal_max_queue_length=1", hello)
		if w.Code != code {
			t.Errorf("submission %d answered %d, want %d", i, w.Code, code)
		}
	}
	if st := s.Stats(); st.Accepted != 2 {
		t.Errorf("stats %+v", st)
	}
}

func TestScriptHeader(t *testing.T) {
	t.Parallel()
	s := New(Script{Output: "general"})
	own := submit(t, s, hello, ScriptHeader, `{"output":"own","faults":[{"step":"result","times":1,"status":503}]}`)
	other := submit(t, s, hello)
	for _, c := range []struct {
		id   string
		code int
		want string
	}{{own, 503, ""}, {own, 200, "own"}, {other, 200, "general"}} {
		w := ask(t, s, "GET", jobPath(c.id), "")
		if w.Code != c.code || !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("got %d %s, want %d %s", w.Code, w.Body, c.code, c.want)
		}
	}
}

func TestSetScriptKeepsCourse(t *testing.T) {
	t.Parallel()
	s := New(Script{Output: "first"})
	id := submit(t, s, hello)
	s.SetScript(Script{Output: "second", Faults: []Fault{{Step: StepStatus, Status: 500}}})
	if w := ask(t, s, "GET", jobPath(id), ""); !strings.Contains(w.Body.String(), "first") {
		t.Errorf("result changed: %s", w.Body)
	}
	if w := ask(t, s, "GET", jobPath(id)+"/status", ""); w.Code != http.StatusInternalServerError {
		t.Errorf("new faults don't reach old jobs: %d", w.Code)
	}
}
