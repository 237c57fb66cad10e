package falsim

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestScriptJSON(t *testing.T) {
	t.Parallel()
	sc := Script{
		QueueDelay: time.Second, RunTime: 50 * time.Millisecond, QueuePositions: []int{3, 2}, TokensPerSecond: 1.5,
		Output: "o", OutputTokens: 9, Reasoning: "r", FinishReason: "f", Usage: &Usage{1, 2},
		Logs: []Log{{"m", "INFO", time.Minute}}, Key: "k", Locked: true, Retention: time.Hour, IgnoreCancel: true, DiscardUploads: true,
		HistoryDelay: 3 * time.Second, DiscardPayloads: true,
		Faults: []Fault{{
			Step: StepStream, Kind: SplitEvent, Nth: 1, Times: 2, PerJob: true, RequestID: "i", PromptContains: "p", Accept: true,
			Delay: 1, Status: 500, Headers: map[string]string{"A": "b"}, Body: "b", Error: "e", ErrorType: "t", Bytes: 5,
			Interval: 2, After: 1, Pieces: 2, Hold: 3,
		}},
	}
	b, err := json.Marshal(sc)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"queue_delay":"1s"`, `"run_time":"50ms"`, `"at":"1m0s"`, `"delay":"1ns"`, `"retention":"1h0m0s"`, `"history_delay":"3s"`} {
		if !strings.Contains(string(b), want) {
			t.Errorf("no %s in %s", want, b)
		}
	}
	var back Script
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sc, back); diff != "" {
		t.Error(diff)
	}
	if b, _ := json.Marshal(Script{}); string(b) != "{}" {
		t.Errorf("the zero script is %s", b)
	}
}

func TestScriptsRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, json, want string }{
		{"unknown field", `{"speed":1}`, "unknown field"},
		{"unknown field of a fault", `{"faults":[{"step":"submit","kill":true}]}`, "unknown field"},
		{"unknown field of a log", `{"logs":[{"text":"x"}]}`, "unknown field"},
		{"bad duration", `{"run_time":"5 apples"}`, "duration"},
		{"number as duration", `{"run_time":5}`, "run_time"},
		{"negative duration", `{"run_time":"-1s"}`, "negative"},
		{"negative history delay", `{"history_delay":"-1s"}`, "negative"},
		{"negative log time", `{"logs":[{"message":"m","at":"-1s"}]}`, "negative"},
		{"too many tokens", `{"output_tokens":99999999}`, "at most"},
		{"unknown step", `{"faults":[{"step":"sumbit"}]}`, "unknown step"},
		{"unknown kind", `{"faults":[{"step":"submit","kind":"explode"}]}`, "kind"},
		{"stream kind on submit", `{"faults":[{"step":"submit","kind":"silent"}]}`, "does not belong"},
		{"job kind on status", `{"faults":[{"step":"status","kind":"stuck"}]}`, "does not belong"},
		{"request kind on job", `{"faults":[{"step":"job","kind":"hang"}]}`, "does not belong"},
		{"status out of range", `{"faults":[{"step":"submit","status":99}]}`, "status 99"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := New(Script{Output: "old"})
			w := ask(t, s, "PUT", "/_falsim/script", c.json)
			if w.Code != 400 || !strings.Contains(w.Body.String(), c.want) {
				t.Errorf("got %d %s", w.Code, w.Body)
			}
			if w := ask(t, s, "GET", "/_falsim/script", ""); w.Body.String() != `{"output":"old"}` {
				t.Errorf("the script became %s", w.Body)
			}
		})
	}
	defer func() {
		if recover() == nil {
			t.Error("New took a script that can't work")
		}
	}()
	New(Script{RunTime: -1})
}
