package falsim

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestValidation(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, endpoint, input string
		want                  []string // field:type
	}{
		{"valid", "", hello, nil},
		{"nulls", "", `{"prompt":"p","system_prompt":null,"max_tokens":null,"top_p":null,"reasoning_mode":null}`, nil},
		{"bounds", "", `{"prompt":"p","max_tokens":20000,"temperature":2,"top_p":1,"reasoning_mode":"think","enable_safety_checker":false}`, nil},
		{"low bounds", "", `{"prompt":"p","max_tokens":1,"temperature":0,"top_p":0}`, nil},
		{"unknown field", "", `{"prompt":"p","seed":1}`, nil},
		{"no prompt", "", `{}`, []string{"prompt:missing"}},
		{"null prompt", "", `{"prompt":null}`, []string{"prompt:string_type"}},
		{"empty prompt", "", `{"prompt":""}`, []string{"prompt:string_too_short"}},
		{"wrong types", "", `{"prompt":1,"system_prompt":[],"max_tokens":"1","enable_safety_checker":"no"}`, []string{"prompt:string_type", "system_prompt:string_type", "max_tokens:float_type", "enable_safety_checker:bool_type"}},
		{"above", "", `{"prompt":"p","max_tokens":20001,"temperature":2.1,"top_p":1.1}`, []string{"max_tokens:less_than_equal", "temperature:less_than_equal", "top_p:less_than_equal"}},
		{"below", "", `{"prompt":"p","max_tokens":0,"temperature":-1,"top_p":-0.1}`, []string{"max_tokens:greater_than_equal", "temperature:greater_than_equal", "top_p:greater_than_equal"}},
		{"fraction", "", `{"prompt":"p","max_tokens":1.5}`, []string{"max_tokens:int_from_float"}},
		{"mode", "", `{"prompt":"p","reasoning_mode":"hard"}`, []string{"reasoning_mode:one_of"}},
		{"vision without image", "/vision", hello, []string{"image_url:missing"}},
		{"video with image", "/video", `{"prompt":"p","image_url":"https://x/y"}`, []string{"video_url:missing"}},
		{"audio", "/audio", `{"prompt":"p","audio_url":"https://x/y.mp3"}`, nil},
		{"data URI", "/vision", `{"prompt":"p","image_url":"` + tinyPNG + `"}`, nil},
		{"data URI without data", "/vision", `{"prompt":"p","image_url":"data:image/png"}`, []string{"image_url:file_download_error"}},
		{"local path", "/vision", `{"prompt":"p","image_url":"/tmp/x.png"}`, []string{"image_url:file_download_error"}},
		{"file that was never uploaded", "/vision", `{"prompt":"p","image_url":"http://example.com/files/b/nope/x.png"}`, []string{"image_url:file_download_error"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := New(Script{RunTime: time.Hour})
			w := ask(t, s, "POST", chat+c.endpoint, c.input)
			if w.Code != 200 {
				t.Fatalf("submit answered %d %s: the runner validates, not the queue", w.Code, w.Body)
			}
			id := object(t, w.Body.Bytes())["request_id"].(string)
			status := object(t, ask(t, s, "GET", jobPath(id)+"/status", "").Body.Bytes())
			if c.want == nil {
				if status["status"] != "IN_PROGRESS" {
					t.Errorf("status %v", status)
				}
				return
			}
			if status["status"] != "COMPLETED" {
				t.Errorf("status %v", status)
			}
			r := ask(t, s, "GET", jobPath(id), "")
			var body struct {
				Detail []fieldFault `json:"detail"`
			}
			if err := json.Unmarshal(r.Body.Bytes(), &body); err != nil || r.Code != 422 {
				t.Fatalf("result %d %s", r.Code, r.Body)
			}
			var got []string
			for _, f := range body.Detail {
				got = append(got, f.Loc[1]+":"+f.Type)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAnswer(t *testing.T) {
	t.Parallel()
	const long = `{"prompt":"12345","system_prompt":"1234","max_tokens":2,"reasoning_mode":"think"}`
	for _, c := range []struct {
		name   string
		script Script
		input  string
		want   string
		units  string
	}{
		{"default", Script{}, `{"prompt":"  Say   hello"}`, `{"output":"[simulated] This is fal's simulator, no model was asked. The prompt begins: Say hello","finish_reason":"stop","usage":{"input_tokens":4,"output_tokens":22}}`, "0.026"},
		{"scripted", Script{Output: "42"}, `{"prompt":"12345","system_prompt":"1234"}`, `{"output":"42","finish_reason":"stop","usage":{"input_tokens":3,"output_tokens":1}}`, "0.004"},
		{"think", Script{Output: "42", Reasoning: "hm"}, `{"prompt":"p","reasoning_mode":"think"}`, `{"output":"hm\u003c/think\u003e42","finish_reason":"stop","usage":{"input_tokens":1,"output_tokens":3}}`, "0.004"},
		{"no_think", Script{Output: "42", Reasoning: "hm"}, `{"prompt":"p","reasoning_mode":"no_think"}`, `{"output":"42","finish_reason":"stop","usage":{"input_tokens":1,"output_tokens":1}}`, "0.002"},
		{"cut", Script{Output: "42", Reasoning: "hmmmmmmm", FinishReason: "eos"}, long, `{"output":"hmmmmmmm","finish_reason":"length","usage":{"input_tokens":3,"output_tokens":2}}`, "0.005"},
		{"finish reason and usage", Script{Output: "42", FinishReason: "eos", Usage: &Usage{1000, 2000}}, hello, `{"output":"42","finish_reason":"eos","usage":{"input_tokens":1000,"output_tokens":2000}}`, "3"},
		{"output tokens", Script{Output: "abc", OutputTokens: 3}, hello, `{"output":"abc abc abc ","finish_reason":"stop","usage":{"input_tokens":6,"output_tokens":3}}`, "0.009"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := New(c.script)
			r := ask(t, s, "GET", jobPath(submit(t, s, c.input)), "")
			if r.Code != 200 || r.Body.String() != c.want || r.Header().Get("X-Fal-Billable-Units") != c.units {
				t.Errorf("got  %d %s %s\nwant %s %s", r.Code, r.Body, r.Header().Get("X-Fal-Billable-Units"), c.want, c.units)
			}
		})
	}
}

func TestCutKeepsRunes(t *testing.T) {
	t.Parallel()
	s := New(Script{Output: strings.Repeat("é", 3000)})
	r := ask(t, s, "GET", jobPath(submit(t, s, `{"prompt":"p","max_tokens":3}`)), "")
	out := object(t, r.Body.Bytes())["output"].(string)
	if out != "éééééé" || !utf8.ValidString(out) {
		t.Errorf("output %q", out)
	}
	s.SetScript(Script{Output: "€€€€€"})
	r = ask(t, s, "GET", jobPath(submit(t, s, `{"prompt":"p","max_tokens":1}`)), "")
	if out := object(t, r.Body.Bytes())["output"]; out != "€" {
		t.Errorf("output %q", out)
	}
}

func TestTokensPerSecond(t *testing.T) {
	t.Parallel()
	p, err := newPlan(Script{Output: strings.Repeat("a", 400), TokensPerSecond: 50, RunTime: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	o := p.run(input{"prompt": json.RawMessage(`"p"`)}, nil)
	if got := p.runTime(o); got != 2*time.Second {
		t.Errorf("100 tokens at 50 a second take %v", got)
	}
}
