package tools

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/server"
	"github.com/rs/zerolog"
	engine "github.com/santhosh-tekuri/jsonschema/v6"

	"nemotron-mcp/internal/jobs"
	"nemotron-mcp/internal/redact"
)

// probe is a tool of the tests' own, in the frame that every tool has.
type probeInput struct {
	Name  string `json:"name" jsonschema:"minLength=2" jsonschema_description:"Name."`
	Count *int   `json:"count,omitempty" jsonschema:"minimum=1,maximum=9" jsonschema_description:"Count."`
	Kind  string `json:"kind,omitempty" jsonschema:"enum=a,enum=b" jsonschema_description:"Kind."`
}

type probeOutput struct {
	Name  string  `json:"name" jsonschema_description:"Name."`
	Count int     `json:"count" jsonschema_description:"Count."`
	Price float64 `json:"price,omitempty" jsonschema_description:"Price."`
}

func (o probeOutput) text() string { return "name " + o.Name }

type bench struct {
	t      *testing.T
	client *client.Client
	output *engine.Schema
	log    *logBuffer
}

func newBench(t *testing.T, handle func(context.Context, probeInput) (probeOutput, error)) *bench {
	t.Helper()
	b := &bench{t: t, log: new(logBuffer)}
	secrets := redact.New(key, "445566")
	f := frame{secrets: secrets, log: zerolog.New(secrets.Writer(b.log))}
	tool, err := newTool(f, spec{name: "probe", title: "Probe", description: "Probe."}, handle)
	must(t, err)
	srv := server.NewMCPServer("bench", "1", server.WithToolCapabilities(false))
	srv.SetTools(tool)
	b.client = newClient(t, srv)
	b.output = compile(t, tool.Tool.RawOutputSchema)
	return b
}

func (b *bench) call(args string) answer {
	b.t.Helper()
	return callTool(b.t.Context(), b.t, b.client, b.output, "probe", args)
}

func echo(_ context.Context, in probeInput) (probeOutput, error) {
	out := probeOutput{Name: in.Name}
	if in.Count != nil {
		out.Count = *in.Count
	}
	return out, nil
}

func TestArguments(t *testing.T) {
	t.Parallel()
	b := newBench(t, echo)
	tests := []struct {
		name, args string
		want       string   // of structuredContent
		faults     []string // of INVALID_INPUT
	}{
		{"fitting", `{"name":"ab","count":3}`, `{"count":3,"name":"ab"}`, nil},
		{"an integer as text", `{"name":"ab","count":"7"}`, `{"count":7,"name":"ab"}`, nil},
		{"null for an optional one", `{"name":"ab","count":null}`, `{"count":0,"name":"ab"}`, nil},
		{"none", ``, ``, []string{"name: required, but missing"}},
		{"null", `null`, ``, []string{"name: required, but missing"}},
		{"a string", `"name=ab"`, ``, []string{"must be a JSON object, got a string"}},
		{"an array", `["ab"]`, ``, []string{"must be a JSON object, got an array"}},
		{"a number", `7`, ``, []string{"must be a JSON object, got a number"}},
		{"an unknown one", `{"name":"ab","cuont":3}`, ``, []string{`cuont: unknown argument; valid arguments: name, count, kind; did you mean "count"?`}},
		{
			"every fault at once", `{"name":"a","count":"42","kind":"c","x":1}`, ``,
			[]string{"name: must have 2", "count: 42 is above the maximum 9", `kind: "c" is not one of a, b`, "x: unknown argument"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := callTool(t.Context(), t, b.client, b.output, "probe", tt.args)
			if len(tt.faults) == 0 {
				if got.isError || string(got.raw) != tt.want {
					t.Errorf("got %s %s", got.text, got.raw)
				}
				return
			}
			if got.code() != string(jobs.InvalidInput) || got.meta["retryable"] != false {
				t.Errorf("told as %v", got.meta)
			}
			wantIn(t, got.text, tt.faults...)
			wantIn(t, got.text, "nothing was sent or spent")
		})
	}
}

func TestPanic(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(context.Context, probeInput) (probeOutput, error) {
		panic("text of the panic, with " + keySecret)
	})
	got := b.call(`{"name":"ab"}`)
	if got.code() != string(jobs.Internal) {
		t.Errorf("told as %v", got.meta)
	}
	wantNotIn(t, got.text, "text of the panic", "goroutine", ".go:")
	wantIn(t, b.log.String(), "text of the panic", "tool_test.go", `"tool":"probe"`, redact.Mask)
	wantNotIn(t, b.log.String(), keySecret)
	if again := b.call(`{"name":"ab"}`); again.code() != string(jobs.Internal) {
		t.Error("the second call was not served")
	}
}

func TestFailures(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		err  error
		code jobs.Code
		meta map[string]any
		in   []string
		out  []string
	}{
		{
			name: "without words for the model", err: errors.New("open /var/lib/secret: " + keySecret),
			code: jobs.Internal, meta: map[string]any{"retryable": false},
			in: []string{"The server could not do this."}, out: []string{"/var/lib"},
		},
		{
			name: "with all that can be told",
			err: &jobs.Error{
				Code: jobs.RateLimited, Message: "Too many.", Action: "Wait.", Retryable: true,
				RetryAfter: 90 * time.Second, RequestID: "req-1",
			},
			code: jobs.RateLimited,
			meta: map[string]any{"retryable": true, "retry_after_seconds": 90.0, "request_id": "req-1"},
			in:   []string{"RATE_LIMITED: Too many.", "Wait.", "request_id: req-1"},
		},
		{
			name: "a secret in each part",
			err: &jobs.Error{
				Code: jobs.JobFailed, Message: "fal echoed " + keySecret, RequestID: keySecret,
				Action: "Send " + base64.StdEncoding.EncodeToString([]byte(keySecret)) + " elsewhere.",
			},
			code: jobs.JobFailed, meta: map[string]any{"request_id": redact.Mask},
			in:  []string{"fal echoed " + redact.Mask, "Send " + redact.Mask},
			out: []string{base64.StdEncoding.EncodeToString([]byte(keySecret))},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, func(context.Context, probeInput) (probeOutput, error) {
				return probeOutput{Name: "half an answer"}, tt.err
			})
			got := b.call(`{"name":"ab"}`)
			if got.code() != string(tt.code) {
				t.Errorf("told as %v", got.meta)
			}
			for name, want := range tt.meta {
				if got.meta[name] != want {
					t.Errorf("%s is %v, not %v", name, got.meta[name], want)
				}
			}
			wantIn(t, got.text, tt.in...)
			wantNotIn(t, got.text, append(tt.out, keySecret, "half an answer")...)
			if tt.code == jobs.Internal {
				wantIn(t, b.log.String(), "open /var/lib/secret: "+redact.Mask)
			}
		})
	}
}

func TestSecretsInAnswers(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(_ context.Context, in probeInput) (probeOutput, error) {
		return probeOutput{Name: "<" + keySecret + `> "` + key + `"`}, nil
	})
	got := b.call(`{"name":"ab"}`)
	wantIn(t, got.text, `name <`+redact.Mask+`> "`+redact.Mask+`"`)
	var out probeOutput
	must(t, json.Unmarshal(got.raw, &out))
	if out.Name != "<"+redact.Mask+`> "`+redact.Mask+`"` {
		t.Errorf("structured as %s", got.raw)
	}
}

// TestSecretInNumber holds that an answer which masking has spoilt is an
// error of the tool's, and not of the protocol's.
func TestSecretInNumber(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(context.Context, probeInput) (probeOutput, error) {
		return probeOutput{Name: "ab", Price: 0.1445566}, nil
	})
	if got := b.call(`{"name":"ab"}`); got.code() != string(jobs.Internal) {
		t.Errorf("told as %q %s", got.text, got.raw)
	}
}

// TestUnencodable holds the same of an answer that is no JSON at all.
func TestUnencodable(t *testing.T) {
	t.Parallel()
	zero := 0.0
	b := newBench(t, func(context.Context, probeInput) (probeOutput, error) {
		return probeOutput{Name: "ab", Price: 1 / zero}, nil
	})
	if got := b.call(`{"name":"ab"}`); got.code() != string(jobs.Internal) {
		t.Errorf("told as %q %s", got.text, got.raw)
	}
	wantIn(t, b.log.String(), "encoding the answer")
}

func TestBrokenDeclarations(t *testing.T) {
	t.Parallel()
	type loose struct {
		Any any `json:"any" jsonschema_description:"Any."`
	}
	_, err := newTool(frame{}, spec{name: "probe"}, func(context.Context, loose) (probeOutput, error) { return probeOutput{}, nil })
	if err == nil || !strings.Contains(err.Error(), "probe: input:") {
		t.Errorf("an input that hosts refuse: %v", err)
	}
	_, err = newTool(frame{}, spec{name: "probe"}, func(context.Context, probeInput) (looseOutput, error) { return looseOutput{}, nil })
	if err == nil || !strings.Contains(err.Error(), "probe: output:") {
		t.Errorf("an output that hosts refuse: %v", err)
	}
}

type looseOutput struct {
	Any any `json:"any" jsonschema_description:"Any."`
}

func (looseOutput) text() string { return "" }

func TestDelivery(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		settle func(*Delivery)
		want   []bool
	}{
		{"delivered", (*Delivery).Delivered, []bool{true}},
		{"dropped", (*Delivery).Dropped, []bool{false}},
		{"told twice, once", func(d *Delivery) { d.Dropped(); d.Delivered() }, []bool{false}},
		{"not yet", func(*Delivery) {}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var got []bool
			d := new(Delivery)
			onSettled(WithDelivery(t.Context(), d), func(delivered bool) { got = append(got, delivered) })
			tt.settle(d)
			if len(got) != len(tt.want) || len(got) == 1 && got[0] != tt.want[0] {
				t.Errorf("told %v", got)
			}
		})
	}
	told := false
	onSettled(t.Context(), func(delivered bool) { told = delivered })
	if !told {
		t.Error("a transport that can't tell counts as delivered")
	}
}
