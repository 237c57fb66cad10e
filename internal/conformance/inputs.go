//go:build conformance

package main

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

// asks is the handler of a tool that answers only after the client has given
// what next asks for, as in the protocol without a handshake; nil ends the asking.
func asks(next func(mcp.MultiRoundTripParams) *server.InputRequestBuilder) toolHandler {
	return func(_ context.Context, req mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		if more := next(req.Params.MultiRoundTripParams); more != nil {
			return more.ToolResult(), nil
		}
		return mcp.NewToolResultText("Done."), nil
	}
}

// addInputTools adds the tools that need input of the client's.
func addInputTools(s *server.MCPServer) {
	addTool(s, "test_input_required_result_elicitation", "Greets the user by name.", greet)
	addTool(s, "test_input_required_result_sampling", "Asks the client's model.", asks(func(in mcp.MultiRoundTripParams) *server.InputRequestBuilder {
		if server.SamplingResponse(in.InputResponses, "capital_question") != nil {
			return nil
		}
		return server.NewInputRequestBuilder("").Sample("capital_question", sampling("What is the capital of France?", 100))
	}))
	addTool(s, "test_input_required_result_list_roots", "Asks for the client's roots.", asks(func(in mcp.MultiRoundTripParams) *server.InputRequestBuilder {
		if server.RootsResponse(in.InputResponses, "client_roots") != nil {
			return nil
		}
		return server.NewInputRequestBuilder("").Roots("client_roots")
	}))
	addTool(s, "test_input_required_result_multiple_inputs", "Asks for three things at once.", asks(func(in mcp.MultiRoundTripParams) *server.InputRequestBuilder {
		got := in.InputResponses
		if server.ElicitationResponse(got, "user_name") != nil && server.SamplingResponse(got, "greeting") != nil && server.RootsResponse(got, "client_roots") != nil {
			return nil
		}
		return server.NewInputRequestBuilder("waiting for three").
			Elicit("user_name", nameForm("What is your name?")).
			Sample("greeting", sampling("Generate a greeting", 50)).
			Roots("client_roots")
	}))
	addTool(s, "test_input_required_result_multi_round", "Asks twice.", asks(func(in mcp.MultiRoundTripParams) *server.InputRequestBuilder {
		switch {
		case in.RequestState == "second" && server.ElicitationResponse(in.InputResponses, "step2") != nil:
			return nil
		case in.RequestState == "first" && server.ElicitationResponse(in.InputResponses, "step1") != nil:
			return server.NewInputRequestBuilder("second").
				Elicit("step2", form("Step 2: What is your favorite color?", map[string]any{"color": text("A color")}, "color"))
		}
		return server.NewInputRequestBuilder("first").Elicit("step1", nameForm("Step 1: What is your name?"))
	}))
	addTool(s, "test_input_required_result_capabilities", "Asks for what the client can give.", whatIsPossible)
	addTool(s, "test_missing_capability", "Needs a client with a model.", needsSampling)
	seal := newSeal()
	addTool(s, "test_input_required_result_request_state", "Keeps its state with the client.", seal.confirm)
	addTool(s, "test_input_required_result_tampered_state", "Keeps its state with the client, sealed.", seal.confirm)
}

func nameForm(message string) mcp.ElicitationParams {
	return form(message, map[string]any{"name": text("A name")}, "name")
}

func greet(_ context.Context, req mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	if got := server.ElicitationResponse(req.Params.InputResponses, "user_name"); got != nil {
		fields, _ := got.Content.(map[string]any)
		if name, ok := fields["name"].(string); ok {
			return mcp.NewToolResultText("Hello, " + name + "!"), nil
		}
	}
	return server.NewInputRequestBuilder("").Elicit("user_name", nameForm("What is your name?")).ToolResult(), nil
}

// capabilities are what the client declares with its request.
func capabilities(req mcp.CallToolRequest) mcp.ClientCapabilities {
	if req.Params.Meta != nil {
		if c := req.Params.Meta.ClientCapabilities(); c != nil {
			return *c
		}
	}
	return mcp.ClientCapabilities{}
}

func whatIsPossible(_ context.Context, req mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	can := capabilities(req)
	more := server.NewInputRequestBuilder("by capability")
	if can.Elicitation != nil {
		more.Elicit("user_name", nameForm("What is your name?"))
	}
	if can.Sampling != nil {
		more.Sample("greeting", sampling("Generate a greeting", 50))
	}
	return more.ToolResult(), nil
}

func needsSampling(_ context.Context, req mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	if capabilities(req).Sampling == nil {
		return nil, mcp.MissingRequiredClientCapabilityError{Capability: "sampling"}
	}
	return mcp.NewToolResultText("The client has a model."), nil
}

// seal marks state that is the server's own.
type seal struct{ key []byte }

func newSeal() *seal { return &seal{[]byte(rand.Text())} }

func (s *seal) mark(state string) string {
	mac := hmac.New(sha256.New, s.key)
	mac.Write([]byte(state))
	return state + "." + hex.EncodeToString(mac.Sum(nil))
}

func (s *seal) confirm(_ context.Context, req mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	given := req.Params.RequestState
	state, _, _ := strings.Cut(given, ".")
	switch {
	case given == "":
		return server.NewInputRequestBuilder(s.mark("confirming")).
			Elicit("confirm", form("Please confirm", map[string]any{"ok": map[string]any{"type": "boolean"}}, "ok")).
			ToolResult(), nil
	case !hmac.Equal([]byte(given), []byte(s.mark(state))):
		return nil, mcp.ErrInvalidParams
	}
	return mcp.NewToolResultText("state-ok"), nil
}
