package tools

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"nemotron-mcp/falclient"
	"nemotron-mcp/internal/jobs"
	"nemotron-mcp/internal/redact"
)

// course is a fal whose one job goes as a test says.
type course struct {
	jobs.Fal
	steps    []step
	unheard  time.Duration // of Status
	position int
}

// step is a status, and how long after the one before it comes.
type step struct {
	after  time.Duration
	status falclient.Status
}

func (c *course) Submit(context.Context, falclient.Endpoint, any, falclient.SubmitOptions) (falclient.Submission, error) {
	time.Sleep(time.Second)
	return falclient.Submission{RequestID: "req-1", QueuePosition: &c.position}, nil
}

func (c *course) Watch(ctx context.Context, _ falclient.Endpoint, _ string, onChange func(falclient.Status)) (falclient.Status, error) {
	for _, s := range c.steps {
		select {
		case <-time.After(s.after):
		case <-ctx.Done():
			return falclient.Status{}, ctx.Err()
		}
		if s.status.State == falclient.Completed {
			return s.status, nil
		}
		onChange(s.status)
	}
	<-ctx.Done()
	return falclient.Status{}, ctx.Err()
}

func (c *course) Status(ctx context.Context, _ falclient.Endpoint, _ string, _ bool) (falclient.Status, error) {
	select {
	case <-time.After(c.unheard):
		return falclient.Status{}, &falclient.APIError{Op: "status", StatusCode: 404, Structured: true}
	case <-ctx.Done():
		return falclient.Status{}, ctx.Err()
	}
}

func (c *course) Result(context.Context, falclient.Endpoint, string) (falclient.Result, error) {
	return falclient.Result{Body: []byte(`{"output":"done","finish_reason":"stop","usage":{"input_tokens":1,"output_tokens":1}}`)}, nil
}

func position(n int) falclient.Status {
	return falclient.Status{State: falclient.InQueue, QueuePosition: &n}
}

func running(lines ...string) falclient.Status {
	st := falclient.Status{State: falclient.InProgress}
	for _, l := range lines {
		st.Logs = append(st.Logs, falclient.Log{Message: l})
	}
	return st
}

var completed = falclient.Status{State: falclient.Completed}

// note is a progress notification as the host got it.
type note struct {
	at       time.Time
	Token    json.RawMessage `json:"progressToken"`
	Progress float64         `json:"progress"`
	Total    *float64        `json:"total"`
	Message  string          `json:"message"`
}

// recorder is a session that writes at once, as the stdio transport's does.
type recorder struct {
	mu     sync.Mutex
	notes  []note
	broken bool
}

func (r *recorder) SessionID() string                                   { return "recorder" }
func (r *recorder) Initialize()                                         {}
func (r *recorder) Initialized() bool                                   { return true }
func (r *recorder) NotificationChannel() chan<- mcp.JSONRPCNotification { return nil }

func (r *recorder) Notify(n mcp.JSONRPCNotification) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	b, err := json.Marshal(n)
	if err != nil {
		return err
	}
	var wire struct {
		Method string `json:"method"`
		Params note   `json:"params"`
	}
	if err := json.Unmarshal(b, &wire); err != nil || wire.Method != "notifications/progress" {
		return fmt.Errorf("not progress: %s", b)
	}
	wire.Params.at = time.Now()
	r.notes = append(r.notes, wire.Params)
	if r.broken {
		return errors.New("the host is gone")
	}
	return nil
}

func (r *recorder) all() []note {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.notes
}

// run calls a tool with a progress token, empty for none, and checks what is
// promised of all progress.
func (r *recorder) run(t *testing.T, rg *rig, tool, args, token string) []note {
	t.Helper()
	meta := ""
	if token != "" {
		meta = `,"_meta":{"progressToken":` + token + `}`
	}
	message := fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":%q,"arguments":%s%s}}`, tool, args, meta)
	began := time.Now()
	reply := rg.server.HandleMessage(rg.server.WithContext(t.Context(), r), json.RawMessage(message))
	ended := time.Now()
	if _, ok := reply.(mcp.JSONRPCResponse); !ok {
		t.Fatalf("answered by %#v", reply)
	}
	count := len(r.all())
	time.Sleep(time.Minute)
	notes := r.all()
	if len(notes) != count {
		t.Errorf("%d notifications after the response", len(notes)-count)
	}
	last := note{at: began, Progress: -1}
	for i, n := range notes {
		if n.Progress <= last.Progress {
			t.Errorf("progress goes from %v to %v", last.Progress, n.Progress)
		}
		gap := n.at.Sub(last.at)
		if i > 0 && gap < 250*time.Millisecond {
			t.Errorf("%q comes %v after the one before", n.Message, gap)
		}
		if gap > 10*time.Second {
			t.Errorf("%q comes %v after the one before", n.Message, gap)
		}
		if string(n.Token) != token {
			t.Errorf("token %s comes back as %s", token, n.Token)
		}
		last = n
	}
	if token != "" && ended.Sub(last.at) > 10*time.Second {
		t.Errorf("nothing in the last %v", ended.Sub(last.at))
	}
	return notes
}

func messages(notes []note) []string {
	var texts []string
	for _, n := range notes {
		texts = append(texts, n.Message)
	}
	return texts
}

const generate = `{"prompt":"Hi","wait_seconds":600}`

func TestProgress(t *testing.T) {
	t.Parallel()
	flood := []step{{0, position(1000)}}
	for i := range 1000 {
		flood = append(flood, step{7 * time.Millisecond, position(999 - i)})
	}
	cut := strings.Repeat("é", 95) + keySecret // the limit falls into the secret
	tests := []struct {
		name  string
		steps []step
		exact bool // these, in this order, and no more
		want  []string
	}{
		{
			"queue, run, log", []step{
				{time.Second, position(2)},
				{time.Second, position(1)},
				{time.Second, running()},
				{time.Second, running("loading")},
				{2 * time.Second, running("thinking")},
				{time.Second, completed},
			}, true, []string{
				"submitting", "IN_QUEUE, position 3", "IN_QUEUE, position 2", "IN_QUEUE, position 1", "IN_PROGRESS, running 0 s",
				"IN_PROGRESS, running 1 s: loading", "IN_PROGRESS, running 3 s: thinking",
			},
		},
		{
			"the same again",
			[]step{{time.Second, position(2)}, {time.Second, position(2)}, {time.Second, position(2)}, {time.Second, completed}},
			true,
			[]string{"submitting", "IN_QUEUE, position 3", "IN_QUEUE, position 2"},
		},
		{"1,000 changes in 7 s", append(flood, step{time.Second, completed}), false, []string{"position 1000", "position 500", "position 0"}},
		{"35 s of silence", []step{{0, running()}, {35 * time.Second, completed}}, false, []string{"running 10 s", "running 20 s", "running 30 s"}},
		{"a log line that is told once", []step{{time.Second, running("loading")}, {15 * time.Second, running()}, {time.Second, completed}}, false, nil},
		{"a secret at the cut of a long line", []step{{time.Second, running(cut)}, {time.Second, completed}}, false, []string{strings.Repeat("é", 95) + redact.Mask}},
		{"a long line", []step{{time.Second, running("x" + strings.Repeat("é", 200))}, {time.Second, completed}}, false, []string{"x" + strings.Repeat("é", 99) + "…"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				rg := newRig(t, rigOptions{fal: &course{steps: tt.steps, position: 3}})
				notes := new(recorder).run(t, rg, "nemotron_generate", generate, `"a"`)
				all := strings.Join(messages(notes), "\n")
				wantNotIn(t, all, keySecret, keySecret[:8])
				for _, want := range tt.want {
					if !near(all, want) {
						t.Errorf("no %q in:\n%s", want, all)
					}
				}
				if first := strings.Join(tt.want, "\n"); tt.exact && all != first {
					t.Errorf("told:\n%s", all)
				}
				if n := strings.Count(all, "loading"); n > 1 {
					t.Errorf("a log line is told %d times", n)
				}
				if !utf8.ValidString(all) || strings.ContainsRune(all, utf8.RuneError) {
					t.Errorf("a character was cut: %q", all)
				}
			})
		})
	}
}

// near finds want; of a queue position that is told in passing, one within 40.
func near(all, want string) bool {
	var n int
	if _, err := fmt.Sscanf(want, "position %d", &n); err != nil {
		return strings.Contains(all, want)
	}
	for i := max(n-40, 0); i <= n+40; i++ {
		if strings.Contains(all, fmt.Sprintf("position %d\n", i)) || strings.HasSuffix(all, fmt.Sprintf("position %d", i)) {
			return true
		}
	}
	return false
}

func TestProgressTokens(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, token string
		told        bool
	}{
		{"none", ``, false},
		{"null", `null`, false},
		{"text", `"a \"token\""`, true},
		{"empty text", `""`, true},
		{"text that looks like a number", `"7"`, true},
		{"an integer", `7`, true},
		{"zero", `0`, true},
		{"negative", `-3`, true},
		{"the largest exact integer", `9007199254740991`, true},
		{"one that others are rounded to", `9007199254740992`, false},
		{"an integer that would come back as another", `9007199254740995`, false},
		{"an object", `{"a":1}`, false},
		{"a list", `[1]`, false},
		{"true", `true`, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				rg := newRig(t, rigOptions{fal: &course{steps: []step{{time.Second, running()}, {time.Second, completed}}}})
				token := tt.token
				if !tt.told {
					token = ""
				}
				r := new(recorder)
				if !tt.told && tt.token != "" {
					rg.server.HandleMessage(rg.server.WithContext(t.Context(), r), json.RawMessage(
						`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"nemotron_generate","arguments":`+generate+`,"_meta":{"progressToken":`+tt.token+`}}}`))
				} else {
					r.run(t, rg, "nemotron_generate", generate, token)
				}
				if got := len(r.all()) > 0; got != tt.told {
					t.Errorf("%d notifications", len(r.all()))
				}
			})
		})
	}
}

// TestProgressWhileFalIsAsked holds that a call which knows nothing of its job
// yet keeps its host waiting too.
func TestProgressWhileFalIsAsked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rg := newRig(t, rigOptions{fal: &course{unheard: 25 * time.Second}})
		for _, tool := range []string{"queue_status", "queue_cancel"} {
			notes := new(recorder).run(t, rg, tool, `{"request_id":"9a1f2b3c-0000-4000-8000-000000000001"}`, `1`)
			if len(notes) != 2 || notes[0].Message != "asking fal" {
				t.Errorf("%s: told %q", tool, messages(notes))
			}
		}
	})
}

// TestProgressOfStatus holds that queue_status tells what it waits for.
func TestProgressOfStatus(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rg := newRig(t, rigOptions{fal: &course{steps: []step{{5 * time.Second, running()}, {20 * time.Second, completed}}}})
		rg.call("nemotron_generate", `{"prompt":"Hi","wait_seconds":0}`)
		notes := new(recorder).run(t, rg, "queue_status", `{"request_id":"req-1","wait_seconds":60}`, `1`)
		wantIn(t, strings.Join(messages(notes), "\n"), "IN_QUEUE, position 0", "IN_PROGRESS, running 0 s", "running 10 s")
	})
}

func TestProgressToALostHost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rg := newRig(t, rigOptions{fal: &course{steps: []step{{time.Second, running()}, {3 * time.Second, completed}}}})
		r := &recorder{broken: true}
		if notes := r.run(t, rg, "nemotron_generate", generate, `1`); len(notes) != 1 {
			t.Errorf("%d notifications to a host that is gone", len(notes))
		}
	})
}

// TestProgressGap holds that a transport of mcp-go's, which delivers behind our
// back and over HTTP loses what comes last, has time for it.
func TestProgressGap(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rg := newRig(t, rigOptions{fal: &course{steps: []step{{time.Second, running()}, {time.Millisecond, completed}}}})
		told := make(chan time.Time, 8)
		rg.client.OnNotification(func(mcp.JSONRPCNotification) { told <- time.Now() })
		req := mcp.CallToolRequest{}
		req.Params.Name, req.Params.Arguments = "nemotron_generate", json.RawMessage(generate)
		req.Params.Meta = &mcp.Meta{ProgressToken: 7}
		_, err := rg.client.CallTool(t.Context(), req)
		must(t, err)
		ended := time.Now()
		synctest.Wait()
		if len(told) != 3 {
			t.Fatalf("%d notifications", len(told))
		}
		<-told
		<-told
		if gap := ended.Sub(<-told); gap < 2*time.Millisecond {
			t.Errorf("the last notification comes %v before the response", gap)
		}
	})
}

var _ server.ClientSession = (*recorder)(nil)
