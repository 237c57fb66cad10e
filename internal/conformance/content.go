//go:build conformance

package main

import (
	"context"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

const (
	// image is a PNG of one pixel, sound a WAV of one sample.
	image = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
	sound = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YQIAAAAAAA=="
)

type toolHandler = server.ToolHandlerFunc

// answer is the handler of a tool that says the same each time.
func answer(content ...mcp.Content) toolHandler {
	return func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return &mcp.CallToolResult{Content: content}, nil
	}
}

func embedded(uri, kind, text string) mcp.Content {
	return mcp.NewEmbeddedResource(mcp.TextResourceContents{URI: uri, MIMEType: kind, Text: text})
}

func addTool(s *server.MCPServer, name, description string, handler toolHandler, options ...mcp.ToolOption) {
	s.AddTool(mcp.NewTool(name, append(options, mcp.WithDescription(description))...), handler)
}

// addContentTools adds a tool for each kind of content.
func addContentTools(s *server.MCPServer) {
	addTool(s, "test_simple_text", "Answers with text.",
		answer(mcp.NewTextContent("This is a simple text response for testing.")))
	addTool(s, "test_image_content", "Answers with an image.", answer(mcp.NewImageContent(image, "image/png")))
	addTool(s, "test_audio_content", "Answers with sound.", answer(mcp.NewAudioContent(sound, "audio/wav")))
	addTool(s, "test_embedded_resource", "Answers with a resource.",
		answer(embedded("test://embedded-resource", "text/plain", "This is an embedded resource content.")))
	addTool(s, "test_multiple_content_types", "Answers with text, an image and a resource.", answer(
		mcp.NewTextContent("Multiple content types test:"),
		mcp.NewImageContent(image, "image/png"),
		embedded("test://mixed-content-resource", "application/json", `{"test":"data","value":123}`),
	))
	addTool(s, "test_error_handling", "Fails.", func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return mcp.NewToolResultError("This tool intentionally returns an error for testing"), nil
	})
}
