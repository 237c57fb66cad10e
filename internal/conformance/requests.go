//go:build conformance

package main

import (
	"context"
	"fmt"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

// addRequestTools adds the tools that ask the client while they run, as in the
// protocol with a handshake.
func addRequestTools(s *server.MCPServer) {
	addTool(s, "test_sampling", "Has the client's model answer a prompt.",
		func(ctx context.Context, req mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			got, err := s.RequestSampling(ctx, mcp.CreateMessageRequest{CreateMessageParams: sampling(req.GetString("prompt", ""), 100)})
			if err != nil {
				return mcp.NewToolResultError(err.Error()), nil
			}
			return mcp.NewToolResultText("LLM response: " + textOf(got.Content)), nil
		},
		mcp.WithString("prompt", mcp.Description("The prompt."), mcp.Required()))
	addTool(s, "test_elicitation", "Asks the user for a name and an address.",
		func(ctx context.Context, req mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			return elicit(ctx, s, "User response", form(req.GetString("message", ""), map[string]any{
				"username": text("The user's name"), "email": text("The user's email address"),
			}, "username", "email"))
		},
		mcp.WithString("message", mcp.Description("What the user is told."), mcp.Required()))
	addTool(s, "test_elicitation_sep1034_defaults", "Asks the user with defaults.",
		func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			return elicit(ctx, s, "Elicitation completed", form("Please review and update the form fields with defaults", map[string]any{
				"name":     map[string]any{"type": "string", "default": "John Doe"},
				"age":      map[string]any{"type": "integer", "default": 30},
				"score":    map[string]any{"type": "number", "default": 95.5},
				"status":   map[string]any{"type": "string", "enum": []string{"active", "inactive", "pending"}, "default": "active"},
				"verified": map[string]any{"type": "boolean", "default": true},
			}))
		})
	addTool(s, "test_elicitation_sep1330_enums", "Asks the user to choose.",
		func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			return elicit(ctx, s, "Elicitation completed", form("Please select options from the enum fields", map[string]any{
				"untitledSingle": map[string]any{"type": "string", "enum": []string{"option1", "option2", "option3"}},
				"titledSingle":   map[string]any{"type": "string", "oneOf": titled()},
				"legacyEnum": map[string]any{
					"type": "string", "enum": []string{"opt1", "opt2", "opt3"},
					"enumNames": []string{"Option One", "Option Two", "Option Three"},
				},
				"untitledMulti": map[string]any{"type": "array", "items": map[string]any{"type": "string", "enum": []string{"option1", "option2", "option3"}}},
				"titledMulti":   map[string]any{"type": "array", "items": map[string]any{"anyOf": titled()}},
			}))
		})
	addTool(s, "test_streaming_elicitation", "Asks the user before it answers.", asks(func(in mcp.MultiRoundTripParams) *server.InputRequestBuilder {
		if server.ElicitationResponse(in.InputResponses, "user_name") != nil {
			return nil
		}
		return server.NewInputRequestBuilder("").Elicit("user_name", nameForm("What is your name?"))
	}))
}

func elicit(ctx context.Context, s *server.MCPServer, label string, params mcp.ElicitationParams) (*mcp.CallToolResult, error) {
	got, err := s.RequestElicitation(ctx, mcp.ElicitationRequest{Params: params})
	if err != nil {
		return mcp.NewToolResultError(err.Error()), nil
	}
	return mcp.NewToolResultText(fmt.Sprintf("%s: action=%s, content=%v", label, got.Action, got.Content)), nil
}

func sampling(prompt string, most int) mcp.CreateMessageParams {
	return mcp.CreateMessageParams{
		Messages:  []mcp.SamplingMessage{{Role: mcp.RoleUser, Content: mcp.NewTextContent(prompt)}},
		MaxTokens: most,
	}
}

// textOf reads the text of a sampled message, which mcp-go may have left as it
// came.
func textOf(content any) string {
	switch content := content.(type) {
	case mcp.TextContent:
		return content.Text
	case map[string]any:
		text, _ := content["text"].(string)
		return text
	}
	return ""
}

func form(message string, properties map[string]any, required ...string) mcp.ElicitationParams {
	schema := map[string]any{"type": "object", "properties": properties}
	if len(required) > 0 {
		schema["required"] = required
	}
	return mcp.ElicitationParams{Message: message, RequestedSchema: schema}
}

func text(description string) map[string]any {
	return map[string]any{"type": "string", "description": description}
}

func titled() []any {
	return []any{
		map[string]any{"const": "value1", "title": "First Option"},
		map[string]any{"const": "value2", "title": "Second Option"},
		map[string]any{"const": "value3", "title": "Third Option"},
	}
}
