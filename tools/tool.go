package tools

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"runtime/debug"
	"sync"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
	"github.com/rs/zerolog"

	"nemotron-mcp/internal/jobs"
	"nemotron-mcp/internal/redact"
	"nemotron-mcp/schema"
)

// spec is what a host shows of a tool besides its schemas.
type spec struct {
	name, title, description                     string
	readOnly, destructive, idempotent, openWorld bool
}

// texter is an output that can be told in text too, for hosts that show no
// structured content.
type texter interface{ text() string }

// frame is what every tool is wrapped in.
type frame struct {
	secrets *redact.Redactor
	limits  *Limits
	observe func(tool, caller, outcome string, took time.Duration) // nil for none
	log     zerolog.Logger
}

// newTool turns a typed handler into an MCP tool. The input struct is the
// source of the schema that the host sees and of the validation of arguments.
func newTool[In any, Out texter](f frame, s spec, handle func(context.Context, In) (Out, error)) (server.ServerTool, error) {
	input, err := schema.Generate[In]()
	if err != nil {
		return server.ServerTool{}, fmt.Errorf("%s: input: %w", s.name, err)
	}
	output, err := schema.Generate[Out]()
	if err != nil {
		return server.ServerTool{}, fmt.Errorf("%s: output: %w", s.name, err)
	}
	// Open, so that a field of a later version does not fail a host that checks
	// results against the schema it was given; and shorter by an eighth.
	output = closings.ReplaceAll(output, nil)
	// Not NewTool with a raw schema: that leaves tools/list without a reply
	// (mcp-go v1.2.1).
	tool := mcp.NewToolWithRawSchema(s.name, s.description, input)
	tool.RawOutputSchema = output
	tool.Title = s.title
	tool.Annotations = mcp.ToolAnnotation{
		ReadOnlyHint: &s.readOnly, DestructiveHint: &s.destructive,
		IdempotentHint: &s.idempotent, OpenWorldHint: &s.openWorld,
	}
	// Compiling is left to the first call: start-up does nothing.
	validator := sync.OnceValues(func() (*schema.Validator, error) { return schema.Compile(input) })

	return server.ServerTool{Tool: tool, Handler: func(ctx context.Context, req mcp.CallToolRequest) (res *mcp.CallToolResult, _ error) {
		if f.observe != nil {
			began := time.Now()
			defer func() { f.observe(s.name, CallerFrom(ctx), outcome(res), time.Since(began)) }()
		}
		defer func() {
			if r := recover(); r != nil {
				f.log.Error().Str("tool", s.name).Str("panic", fmt.Sprint(r)).Str("stack", string(debug.Stack())).Msg("tool panicked")
				res = f.failure(errPanicked)
			}
		}()
		var in In
		if err := decode(validator, req, &in); err != nil {
			return f.failure(err), nil
		}
		if err := f.limits.allow(CallerFrom(ctx)); err != nil {
			return f.failure(err), nil
		}
		ctx, p := f.withProgress(ctx, req)
		defer p.stop()
		out, err := handle(ctx, in)
		if err != nil {
			return f.failure(err), nil
		}
		return f.success(out), nil
	}}, nil
}

// closings are what a schema says of properties that must be there, or must not.
// Names of properties hold no bracket.
var closings = regexp.MustCompile(`"additionalProperties":false,|,"required":\[[^]]*\]`)

// outcome is ok, or the code of an error result.
func outcome(res *mcp.CallToolResult) string {
	if !res.IsError {
		return "ok"
	}
	meta, _ := res.Meta.AdditionalFields["nemotron/error"].(map[string]any)
	code, _ := meta["code"].(jobs.Code)
	return string(code)
}

var errPanicked = &jobs.Error{
	Code: jobs.Internal, Message: "The tool failed inside the server.",
	Action: "Call queue_list to see whether the job was submitted before calling again. The operator finds the details in the server's log.",
}

func decode(validator func() (*schema.Validator, error), req mcp.CallToolRequest, in any) error {
	v, err := validator()
	if err != nil {
		return err
	}
	raw := req.Params.RawArguments
	if raw == nil && req.Params.Arguments != nil {
		if raw, err = json.Marshal(req.Params.Arguments); err != nil {
			return err
		}
	}
	err = v.Decode(raw, in)
	if invalid := new(schema.InvalidError); errors.As(err, &invalid) {
		return &jobs.Error{
			Code: jobs.InvalidInput, Message: invalid.Error(),
			Action: "Correct the arguments and call again; nothing was sent or spent.",
		}
	}
	return err
}

func (f frame) success(out texter) *mcp.CallToolResult {
	structured, err := json.Marshal(out)
	if err != nil {
		return f.failure(fmt.Errorf("encoding the answer: %w", err))
	}
	masked := f.secrets.Bytes(structured)
	if !bytes.Equal(masked, structured) && !json.Valid(masked) {
		// A secret of digits only may be masked inside a number.
		return f.failure(errors.New("the masked answer is not JSON"))
	}
	return &mcp.CallToolResult{
		Content:           []mcp.Content{mcp.NewTextContent(f.secrets.String(out.text()))},
		StructuredContent: json.RawMessage(masked),
	}
}

// failure makes an error result: the facts in text, where every host shows
// them to the model, and for programs in _meta. An error that no one has put
// into words for the model is logged and told as INTERNAL.
func (f frame) failure(err error) *mcp.CallToolResult {
	var told *jobs.Error
	if !errors.As(err, &told) {
		f.log.Error().Err(err).Msg("tool failed")
		told = &jobs.Error{Code: jobs.Internal, Message: "The server could not do this.", Action: "The operator finds the details in the server's log."}
	}
	meta := map[string]any{"code": told.Code, "retryable": told.Retryable}
	if told.RetryAfter > 0 {
		meta["retry_after_seconds"] = told.RetryAfter.Seconds()
	}
	text := fmt.Sprintf("%s: %s", told.Code, told.Message)
	if told.Action != "" {
		text += "\n" + told.Action
	}
	if told.RequestID != "" {
		text += "\nrequest_id: " + told.RequestID
		meta["request_id"] = f.secrets.String(told.RequestID)
	}
	res := mcp.NewToolResultError(f.secrets.String(text))
	res.Meta = &mcp.Meta{AdditionalFields: map[string]any{"nemotron/error": meta}}
	return res
}
