package schema_test

import (
	"encoding/json"
	"flag"
	"testing"

	"go.uber.org/goleak"

	"nemotron-mcp/schema"
)

func TestMain(m *testing.M) {
	flag.Bool("update", false, "renew the golden files in testdata")
	goleak.VerifyTestMain(m)
}

// callInput is as large as the largest tool's input.
type callInput struct {
	Prompt      string   `json:"prompt" jsonschema:"minLength=1" jsonschema_description:"The task, in English."`
	System      string   `json:"system_prompt,omitempty" jsonschema:"maxLength=20" jsonschema_description:"Role, tone and rules."`
	Mode        string   `json:"reasoning_mode,omitempty" jsonschema:"enum=think,enum=no_think,default=no_think" jsonschema_description:"think: first a trace, then the answer."`
	MaxTokens   *int     `json:"max_tokens,omitempty" jsonschema:"minimum=1,maximum=20000,default=1024" jsonschema_description:"Most tokens to generate."`
	Temperature *float64 `json:"temperature,omitempty" jsonschema:"minimum=0,maximum=2,default=0.7" jsonschema_description:"Spread of the samples."`
	TopP        *float64 `json:"top_p,omitempty" jsonschema:"minimum=0,maximum=1,default=0.95" jsonschema_description:"Nucleus of the samples."`
	Files       []string `json:"files,omitempty" jsonschema:"minLength=1,maxItems=3" jsonschema_description:"Text files to read first."`
	Trace       *bool    `json:"include_reasoning,omitempty" jsonschema:"default=true" jsonschema_description:"Whether to return the trace."`
	Wait        *int     `json:"wait_seconds,omitempty" jsonschema:"minimum=0,maximum=600,default=45" jsonschema_description:"How long to wait; 0 submits only."`
	Webhook     string   `json:"webhook_url,omitempty" jsonschema:"pattern=^https://" jsonschema_description:"Where to send the result."`
	Seed        *int64   `json:"seed,omitempty" jsonschema:"default=0" jsonschema_description:"Any integer."`
	Filter      *filter  `json:"filter,omitempty" jsonschema_description:"Which jobs."`
}

type filter struct {
	State  string            `json:"state" jsonschema:"enum=all,enum=running" jsonschema_description:"Which state."`
	Limits []int             `json:"limits,omitempty" jsonschema:"minimum=1,maximum=9" jsonschema_description:"Numbers from 1 to 9."`
	Labels map[string]string `json:"labels,omitempty" jsonschema_description:"Any labels."`
}

type paging struct {
	NextOffset int `json:"next_offset,omitempty" jsonschema_description:"Where the next page starts."`
}

type usage struct {
	InputTokens  int `json:"input_tokens" jsonschema:"minimum=0" jsonschema_description:"Tokens read."`
	OutputTokens int `json:"output_tokens" jsonschema:"minimum=0" jsonschema_description:"Tokens written."`
}

type jobOutput struct {
	paging
	Status string             `json:"status" jsonschema:"enum=IN_QUEUE,enum=COMPLETED" jsonschema_description:"Where the job is."`
	Usage  *usage             `json:"usage,omitempty" jsonschema_description:"Tokens, once known."`
	Logs   []logLine          `json:"logs" jsonschema_description:"fal's log."`
	Cost   float64            `json:"cost_usd,omitzero" jsonschema_description:"Estimate in USD, <0.01 as a rule."`
	Prices map[string]float64 `json:"prices,omitempty" jsonschema_description:"Price by model."`
	State  string             `json:"-"`
	hidden int
}

type logLine struct {
	Message string `json:"message" jsonschema_description:"The line."`
}

type noInput struct{}

func generate[T any](t testing.TB) json.RawMessage {
	t.Helper()
	doc, err := schema.Generate[T]()
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func compile[T any](t testing.TB) *schema.Validator {
	t.Helper()
	v, err := schema.Compile(generate[T](t))
	if err != nil {
		t.Fatal(err)
	}
	return v
}
