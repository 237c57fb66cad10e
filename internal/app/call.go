package app

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/mcp"

	"nemotron-mcp/tools"
)

type callCommand struct {
	Tool string   `arg:"" help:"Name of the tool, such as nemotron_generate."`
	Args []string `arg:"" optional:"" help:"Arguments: one JSON object, '-' for one on stdin, or key=value pairs."`
	JSON bool     `name:"json" help:"Print the structured result instead of the text."`
}

// maxArguments is the largest JSON object taken from stdin, as large as a line
// of the protocol may be.
const maxArguments = 16 << 20

// Run calls a tool through the same MCP server that a host would use.
func (c *callCommand) Run(s *session) error {
	args, err := c.arguments(s.In)
	if err != nil {
		return &configError{err.Error(), `Give one JSON object ('{"prompt": "Hi"}'), '-' to read it from stdin, or key=value pairs.`}
	}
	h, err := s.build()
	if err != nil {
		return err
	}
	defer h.close(endTime)
	host, err := client.NewInProcessClient(h.server)
	if err != nil {
		return err
	}
	defer host.Close()
	if err := connect(s.ctx, host, s.version); err != nil {
		return err
	}
	host.OnNotification(printProgress(s.Err))
	req := mcp.CallToolRequest{}
	req.Params.Name, req.Params.Arguments = c.Tool, args
	req.Params.Meta = &mcp.Meta{ProgressToken: "call"}
	var delivery tools.Delivery // what is on stdout has been delivered, and nothing else
	res, err := host.CallTool(tools.WithDelivery(s.ctx, &delivery), req)
	if err == nil {
		err = c.print(s.Out, res)
	}
	if err != nil {
		delivery.Dropped()
		return err
	}
	delivery.Delivered()
	if res.IsError {
		return errReported
	}
	return nil
}

func (c *callCommand) arguments(stdin io.Reader) (any, error) {
	if len(c.Args) != 1 || strings.Contains(c.Args[0], "=") && !strings.HasPrefix(c.Args[0], "{") {
		args := map[string]any{}
		for _, pair := range c.Args {
			key, value, found := strings.Cut(pair, "=")
			if !found || key == "" {
				return nil, fmt.Errorf("argument %q is not key=value", pair)
			}
			if _, twice := args[key]; twice {
				return nil, fmt.Errorf("argument %q is given twice", key)
			}
			args[key] = value // numbers and booleans are told apart by the schema
		}
		return args, nil
	}
	text := []byte(c.Args[0])
	if c.Args[0] == "-" {
		var err error
		if text, err = io.ReadAll(io.LimitReader(stdin, maxArguments)); err != nil {
			return nil, fmt.Errorf("reading the arguments: %w", err)
		}
	}
	if !json.Valid(text) {
		return nil, fmt.Errorf("the arguments are not JSON")
	}
	return json.RawMessage(text), nil
}

func (c *callCommand) print(w io.Writer, res *mcp.CallToolResult) error {
	if c.JSON && res.IsError && res.Meta != nil {
		res.StructuredContent = map[string]any{"error": res.Meta.AdditionalFields["nemotron/error"], "text": texts(res)}
	}
	if c.JSON && res.StructuredContent != nil {
		b, err := json.MarshalIndent(res.StructuredContent, "", "  ")
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(w, "%s\n", b)
		return err
	}
	_, err := fmt.Fprintln(w, texts(res))
	return err
}

func texts(res *mcp.CallToolResult) string {
	var lines []string
	for _, content := range res.Content {
		lines = append(lines, mcp.GetTextFromContent(content))
	}
	return strings.Join(lines, "\n")
}

// connect starts a client and shakes hands.
func connect(ctx context.Context, host *client.Client, version string) error {
	if err := host.Start(ctx); err != nil {
		return err
	}
	init := mcp.InitializeRequest{}
	init.Params.ProtocolVersion = mcp.LATEST_LEGACY_PROTOCOL_VERSION
	init.Params.ClientInfo = mcp.Implementation{Name: "nemotron-mcp", Version: version}
	_, err := host.Initialize(ctx, init)
	return err
}

// printProgress prints progress notifications as a person reads them.
func printProgress(w io.Writer) func(mcp.JSONRPCNotification) {
	return func(n mcp.JSONRPCNotification) {
		if n.Method != "notifications/progress" {
			return
		}
		seconds, _ := n.Params.AdditionalFields["progress"].(float64)
		fmt.Fprintf(w, "  %5.1fs  %v\n", seconds, n.Params.AdditionalFields["message"])
	}
}
