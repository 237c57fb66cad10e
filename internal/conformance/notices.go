//go:build conformance

package main

import (
	"context"
	"errors"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"nemotron-mcp/tools"
)

// pause is what the suites want between two notifications.
const pause = 50 * time.Millisecond

// addNoticeTools adds the tools that tell something before they answer.
func addNoticeTools(s *server.MCPServer) {
	addTool(s, "test_tool_with_logging", "Logs three lines.", withLogging)
	addTool(s, "test_logging_tool", "Logs a line, where the request names a level.",
		func(ctx context.Context, req mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			if req.Params.Meta != nil && req.Params.Meta.LogLevel() != "" {
				if err := notify(ctx, "notifications/message", logLine("Tool executed")); err != nil {
					return nil, err
				}
			}
			return mcp.NewToolResultText("Tool executed"), nil
		})
	addTool(s, "test_tool_with_progress", "Reports its progress in three steps.", withProgress)
	addTool(s, "test_trigger_tool_change", "Says that the list of tools has changed.",
		func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			s.SendNotificationToAllClients(string(mcp.MethodNotificationToolsListChanged), nil)
			return mcp.NewToolResultText("Told."), nil
		})
	addTool(s, "test_trigger_prompt_change", "Says that the list of prompts has changed.",
		func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			s.SendNotificationToAllClients(string(mcp.MethodNotificationPromptsListChanged), nil)
			return mcp.NewToolResultText("Told."), nil
		})
}

func withLogging(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	for _, line := range []string{"Tool execution started", "Tool processing data", "Tool execution completed"} {
		if err := notify(ctx, "notifications/message", logLine(line)); err != nil {
			return nil, err
		}
		time.Sleep(pause)
	}
	return mcp.NewToolResultText("Tool with logging executed successfully"), nil
}

// withProgress sends the last of its progress right before the answer, where a
// transport loses it most easily.
func withProgress(ctx context.Context, req mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	for i, done := range []int{0, 50, 100} {
		if i > 0 {
			time.Sleep(pause)
		}
		if req.Params.Meta == nil || req.Params.Meta.ProgressToken == nil {
			continue
		}
		err := notify(ctx, "notifications/progress", map[string]any{
			"progressToken": req.Params.Meta.ProgressToken, "progress": done, "total": 100,
		})
		if err != nil {
			return nil, err
		}
	}
	return mcp.NewToolResultText("Tool with progress executed successfully"), nil
}

func logLine(text string) map[string]any {
	return map[string]any{"level": "info", "logger": "conformance", "data": text}
}

// notify tells the client of the call at once.
func notify(ctx context.Context, method string, fields map[string]any) error {
	n := tools.NotifierFrom(ctx)
	if n == nil {
		return errors.New("the transport gives calls no notifier")
	}
	return n.Notify(mcp.JSONRPCNotification{
		JSONRPC: mcp.JSONRPC_VERSION,
		Notification: mcp.Notification{
			Method: method, Params: mcp.NotificationParams{AdditionalFields: fields},
		},
	})
}
