package falclient_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nemotron-mcp/falclient"
)

func TestParseNemotron(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, body string
		want       falclient.NemotronOutput
	}{
		{
			"whole", `{"output":"hi","finish_reason":"length","usage":{"input_tokens":412,"output_tokens":87}}`,
			falclient.NemotronOutput{Output: "hi", FinishReason: "length", Usage: falclient.Usage{InputTokens: 412, OutputTokens: 87}},
		},
		{"empty output", `{"output":""}`, falclient.NemotronOutput{}},
		{"usage null", `{"output":"hi","usage":null,"finish_reason":null}`, falclient.NemotronOutput{Output: "hi"}},
		{"usage of another model's", `{"output":"hi","usage":{"ttft_ms":3,"input_tokens":"7","output_tokens":2.0}}`, falclient.NemotronOutput{Output: "hi", Usage: falclient.Usage{OutputTokens: 2}}},
		{"negative and huge usage", `{"output":"hi","usage":{"input_tokens":-1,"output_tokens":1e300}}`, falclient.NemotronOutput{Output: "hi"}},
		{"unknown fields", `{"output":"hi","reasoning":"x"}`, falclient.NemotronOutput{Output: "hi"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, err := falclient.ParseNemotron(falclient.Result{Body: json.RawMessage(tc.body)})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	for _, body := range []string{"", "null", "[]", "{}", `{"output":null}`, `{"output":7}`, `{"output":["a"]}`, `{"usage":{}}`, `{"output":"a"`} {
		if got, err := falclient.ParseNemotron(falclient.Result{Body: json.RawMessage(body)}); !errors.As(err, new(*falclient.ResponseError)) {
			t.Errorf("%q: got %+v, %v; want *ResponseError", body, got, err)
		}
	}
}

func TestNemotronInput(t *testing.T) {
	t.Parallel()
	tokens, zero, off := 5, 0.0, false
	for _, tc := range []struct {
		name string
		in   falclient.NemotronInput
		want string
	}{
		{"what is left out is not sent", falclient.NemotronInput{Prompt: "hi"}, `{"prompt":"hi"}`},
		{
			"zero is a value",
			falclient.NemotronInput{Prompt: "hi", Temperature: &zero, TopP: &zero, EnableSafetyChecker: &off},
			`{"prompt":"hi","temperature":0,"top_p":0,"enable_safety_checker":false}`,
		},
		{
			"names are fal's",
			falclient.NemotronInput{Prompt: "hi", SystemPrompt: "s", ReasoningMode: "think", MaxTokens: &tokens},
			`{"prompt":"hi","system_prompt":"s","reasoning_mode":"think","max_tokens":5}`,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, err := json.Marshal(tc.in)
			if err != nil || string(got) != tc.want {
				t.Errorf("got %s, %v; want %s", got, err, tc.want)
			}
		})
	}
}
