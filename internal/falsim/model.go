package falsim

import (
	"encoding/json"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	appRoot = "nvidia/nemotron-3-nano-omni"

	// maxOutputTokens bounds what one answer may weigh: 4 MiB of text.
	maxOutputTokens = 1 << 20

	defaultMaxTokens = 1024
)

// mediaFields names the input that each endpoint needs besides the prompt.
var mediaFields = map[string]string{
	appRoot:             "",
	appRoot + "/vision": "image_url",
	appRoot + "/video":  "video_url",
	appRoot + "/audio":  "audio_url",
}

// input is a submission as the runner reads it. Values stay raw until they are
// validated, because the runner and not the queue refuses them.
type input map[string]json.RawMessage

func (in input) text(field string) string {
	var s string
	_ = json.Unmarshal(in[field], &s)
	return s
}

// fieldFault is one entry of the runner's 422 body.
type fieldFault struct {
	Loc   []string        `json:"loc"`
	Msg   string          `json:"msg"`
	Type  string          `json:"type"`
	URL   string          `json:"url"`
	Ctx   map[string]any  `json:"ctx,omitempty"`
	Input json.RawMessage `json:"input,omitempty"`
}

type validator struct {
	in     input
	faults []fieldFault
}

func (v *validator) fault(field, kind, msg string, ctx map[string]any) {
	v.faults = append(v.faults, fieldFault{
		Loc: []string{"body", field}, Msg: msg, Type: kind,
		URL: "https://docs.fal.ai/errors/#" + kind, Ctx: ctx, Input: v.in[field],
	})
}

// given tells whether the field was sent with a value of its own.
func (v *validator) given(field string) bool {
	raw, ok := v.in[field]
	return ok && string(raw) != "null"
}

func (v *validator) requiredText(field string) {
	var s string
	switch {
	case v.in[field] == nil:
		v.fault(field, "missing", "Field required", nil)
	case !v.given(field) || json.Unmarshal(v.in[field], &s) != nil:
		v.fault(field, "string_type", "Input should be a valid string", nil)
	case s == "":
		v.fault(field, "string_too_short", "String should have at least 1 character", map[string]any{"min_length": 1})
	}
}

func (v *validator) optionalText(field string, oneOf ...string) {
	if !v.given(field) {
		return
	}
	var s string
	if json.Unmarshal(v.in[field], &s) != nil {
		v.fault(field, "string_type", "Input should be a valid string", nil)
		return
	}
	if len(oneOf) > 0 && !slices.Contains(oneOf, s) {
		v.fault(field, "one_of", fmt.Sprintf("Input should be one of %q", oneOf), map[string]any{"expected": oneOf})
	}
}

func (v *validator) number(field string, low, high float64, whole bool) {
	if !v.given(field) {
		return
	}
	var f float64
	if json.Unmarshal(v.in[field], &f) != nil {
		v.fault(field, "float_type", "Input should be a valid number", nil)
		return
	}
	switch {
	case whole && f != math.Trunc(f):
		v.fault(field, "int_from_float", "Input should be a valid integer, got a number with a fractional part", nil)
	case f < low:
		v.fault(field, "greater_than_equal", fmt.Sprintf("Input should be greater than or equal to %v", low), map[string]any{"ge": low})
	case f > high:
		v.fault(field, "less_than_equal", fmt.Sprintf("Input should be less than or equal to %v", high), map[string]any{"le": high})
	}
}

// validate checks an input as the runner does, and tells what media it found.
func validate(endpoint string, in input, fetch func(*url.URL) (*found, bool)) (*Media, []fieldFault) {
	v := &validator{in: in}
	v.requiredText("prompt")
	v.optionalText("system_prompt")
	v.optionalText("reasoning_mode", "think", "no_think")
	v.number("max_tokens", 1, 20000, true)
	v.number("temperature", 0, 2, false)
	v.number("top_p", 0, 1, false)
	if v.given("enable_safety_checker") {
		var b bool
		if json.Unmarshal(in["enable_safety_checker"], &b) != nil {
			v.fault("enable_safety_checker", "bool_type", "Input should be a valid boolean", nil)
		}
	}
	var media *Media
	if field := mediaFields[endpoint]; field != "" {
		media = v.media(field, fetch)
	}
	return media, v.faults
}

func tokens(n int) int { return (n + 3) / 4 }

// run gives the outcome of a valid input; media is nil where nobody looked at
// any.
func (p *plan) run(in input, media *Media) outcome {
	prompt := in.text("prompt")
	text := p.answerText(prompt, media)
	if in.text("reasoning_mode") == "think" {
		trace := p.Reasoning
		if trace == "" {
			trace = "[simulated] A reasoning trace would stand here."
		}
		text = trace + "</think>" + text
	}
	finish := p.FinishReason
	if finish == "" {
		finish = "stop"
	}
	limit := defaultMaxTokens
	var asked float64
	if json.Unmarshal(in["max_tokens"], &asked) == nil && asked >= 1 {
		limit = int(asked)
	}
	if tokens(len(text)) > limit {
		text, finish = cut(text, limit*4), "length"
	}
	use := Usage{tokens(len(prompt)) + tokens(len(in.text("system_prompt"))), tokens(len(text))}
	if p.Usage != nil {
		use = *p.Usage
	}
	body, _ := json.Marshal(struct {
		Output       string `json:"output"`
		FinishReason string `json:"finish_reason"`
		Usage        Usage  `json:"usage"`
	}{text, finish, use})
	units := float64(use.InputTokens+use.OutputTokens) / 1000
	return outcome{
		status: 200, body: body, tokens: use.OutputTokens, inference: true,
		header: map[string]string{"X-Fal-Billable-Units": strconv.FormatFloat(units, 'f', -1, 64)},
	}
}

func (p *plan) answerText(prompt string, media *Media) string {
	text := p.Output
	if text == "" {
		text = "[simulated] This is fal's simulator, no model was asked. "
		if media != nil {
			text += fmt.Sprintf("With the prompt came %s of %d bytes. ", media.Kind, media.Size)
		}
		text += "The prompt begins: " + firstWords(prompt, 12)
	}
	if p.OutputTokens > 0 && text != "" {
		want := p.OutputTokens * 4
		text = cut(strings.Repeat(text+" ", want/(len(text)+1)+1), want)
	}
	return text
}

func firstWords(s string, n int) string {
	words := strings.Fields(cut(s, 400))
	return strings.Join(words[:min(n, len(words))], " ")
}

// cut shortens s to at most n bytes at a rune boundary.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

func (p *plan) runTime(o outcome) time.Duration {
	if p.TokensPerSecond <= 0 {
		return p.RunTime
	}
	return time.Duration(float64(o.tokens) / p.TokensPerSecond * float64(time.Second))
}

func (p *plan) retentionOf(o outcome) time.Duration {
	switch {
	case p.Retention > 0:
		return p.Retention
	case len(o.body) >= 10<<10:
		return 6 * time.Minute
	}
	return time.Hour
}

func refused(faults []fieldFault) outcome {
	body, _ := json.Marshal(map[string]any{"detail": faults})
	return outcome{status: 422, body: body, failed: true, header: map[string]string{"X-Fal-Retryable": "false"}}
}

// platformStatus is fal's table of request errors.
func platformStatus(errorType string) int {
	switch errorType {
	case "request_timeout", "startup_timeout", "generation_timeout":
		return 504
	case "runner_scheduling_failure", "runner_connection_timeout", "runner_disconnected",
		"runner_connection_refused", "runner_connection_error":
		return 503
	case "runner_incomplete_response":
		return 502
	case "client_disconnected", "client_cancelled":
		return 499
	case "bad_request":
		return 400
	}
	return 500
}

func platformFailure(msg, errorType string, status int) outcome {
	if status == 0 {
		status = platformStatus(errorType)
	}
	o := outcome{status: status, err: msg, errType: errorType, failed: true, header: map[string]string{}}
	o.body, _ = json.Marshal(struct {
		Detail    string `json:"detail"`
		ErrorType string `json:"error_type,omitempty"`
	}{msg, errorType})
	if errorType != "" {
		o.header["X-Fal-Error-Type"] = errorType
	}
	return o
}

// failure gives the outcome that a Fail fault asks for.
func (f *Fault) failure() outcome {
	msg := f.Error
	if msg == "" {
		msg = "The runner failed."
	}
	o := platformFailure(msg, f.ErrorType, f.Status)
	o.err = f.Error
	if f.Body != "" {
		o.body = []byte(f.Body)
	}
	for k, v := range f.Headers {
		o.header[k] = v
	}
	return o
}
