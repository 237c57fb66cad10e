//go:build conformance

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

func addResources(s *server.MCPServer) {
	s.AddResource(mcp.NewResource("test://static-text", "Static text", mcp.WithMIMEType("text/plain")),
		content(mcp.TextResourceContents{URI: "test://static-text", MIMEType: "text/plain", Text: "This is the content of the static text resource."}))
	s.AddResource(mcp.NewResource("test://static-binary", "Static binary", mcp.WithMIMEType("image/png")),
		content(mcp.BlobResourceContents{URI: "test://static-binary", MIMEType: "image/png", Blob: image}))
	s.AddResource(mcp.NewResource("test://watched-resource", "Watched", mcp.WithMIMEType("text/plain")),
		content(mcp.TextResourceContents{URI: "test://watched-resource", MIMEType: "text/plain", Text: "Watched."}))
	s.AddResourceTemplate(mcp.NewResourceTemplate("test://template/{id}/data", "Template", mcp.WithTemplateMIMEType("application/json")),
		func(_ context.Context, req mcp.ReadResourceRequest) ([]mcp.ResourceContents, error) {
			id := strings.TrimSuffix(strings.TrimPrefix(req.Params.URI, "test://template/"), "/data")
			data, err := json.Marshal(map[string]any{"id": id, "templateTest": true, "data": "Data for ID: " + id})
			return []mcp.ResourceContents{mcp.TextResourceContents{URI: req.Params.URI, MIMEType: "application/json", Text: string(data)}}, err
		})
}

func content(of mcp.ResourceContents) server.ResourceHandlerFunc {
	return func(context.Context, mcp.ReadResourceRequest) ([]mcp.ResourceContents, error) {
		return []mcp.ResourceContents{of}, nil
	}
}

type promptHandler = server.PromptHandlerFunc

func addPrompts(s *server.MCPServer) {
	s.AddPrompt(mcp.NewPrompt("test_simple_prompt", mcp.WithPromptDescription("No arguments.")),
		says(func(map[string]string) []mcp.Content {
			return []mcp.Content{mcp.NewTextContent("This is a simple prompt for testing.")}
		}))
	s.AddPrompt(mcp.NewPrompt("test_prompt_with_arguments", mcp.WithPromptDescription("Two arguments."),
		mcp.WithArgument("arg1", mcp.ArgumentDescription("The first."), mcp.RequiredArgument()),
		mcp.WithArgument("arg2", mcp.ArgumentDescription("The second."), mcp.RequiredArgument())),
		says(func(args map[string]string) []mcp.Content {
			return []mcp.Content{mcp.NewTextContent(fmt.Sprintf("Prompt with arguments: arg1='%s', arg2='%s'", args["arg1"], args["arg2"]))}
		}))
	s.AddPrompt(mcp.NewPrompt("test_prompt_with_embedded_resource", mcp.WithPromptDescription("A resource inside."),
		mcp.WithArgument("resourceUri", mcp.ArgumentDescription("Its URI."), mcp.RequiredArgument())),
		says(func(args map[string]string) []mcp.Content {
			return []mcp.Content{
				embedded(args["resourceUri"], "text/plain", "Embedded resource content for testing."),
				mcp.NewTextContent("Please process the embedded resource above."),
			}
		}))
	s.AddPrompt(mcp.NewPrompt("test_prompt_with_image", mcp.WithPromptDescription("An image inside.")),
		says(func(map[string]string) []mcp.Content {
			return []mcp.Content{mcp.NewImageContent(image, "image/png"), mcp.NewTextContent("Please analyze the image above.")}
		}))
	s.AddPrompt(mcp.NewPrompt("test_input_required_result_prompt", mcp.WithPromptDescription("Asks the user first.")),
		func(ctx context.Context, req mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
			if server.ElicitationResponse(req.Params.InputResponses, "user_context") == nil {
				return server.NewInputRequestBuilder("").Elicit("user_context",
					form("What context should the prompt use?", map[string]any{"context": text("The context")}, "context")).PromptResult(), nil
			}
			return says(func(map[string]string) []mcp.Content {
				return []mcp.Content{mcp.NewTextContent("The context was given.")}
			})(ctx, req)
		})
}

// says is the handler of a prompt that has one message for each content.
func says(of func(args map[string]string) []mcp.Content) promptHandler {
	return func(_ context.Context, req mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
		result := new(mcp.GetPromptResult)
		for _, c := range of(req.Params.Arguments) {
			result.Messages = append(result.Messages, mcp.PromptMessage{Role: mcp.RoleUser, Content: c})
		}
		return result, nil
	}
}
