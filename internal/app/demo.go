package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"

	"nemotron-mcp/internal/falsim"
	"nemotron-mcp/tools"
)

type demoCommand struct {
	Prompt string `help:"What to delegate." default:"In two sentences: why do database servers write a log before they change a table?"`
}

// demoImage is the sample's name in the folder that the demo's server may read.
const demoImage = "chart.png"

// Run starts the server as a host would, in a process of its own on stdin and
// stdout, and delegates a prompt and a question about an image to it with a
// real MCP client.
func (c *demoCommand) Run(s *session) (err error) {
	folder, err := os.MkdirTemp("", "nemotron-mcp-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	if err := os.WriteFile(filepath.Join(folder, demoImage), s.sampleImage, 0o600); err != nil {
		return err
	}
	env, end, err := c.environ(s, folder)
	if err != nil {
		return err
	}
	defer end()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	host, err := client.NewStdioMCPClientWithOptions(self, env, []string{"serve"}, transport.WithCommandStderrWriter(s.Err))
	if err != nil {
		return fmt.Errorf("starting the server: %w", err)
	}
	err = c.converse(s, host)
	return errors.Join(err, host.Close())
}

// environ is what the server runs with: fal where a key is set, else a simulator
// that lives until end is called.
func (c *demoCommand) environ(s *session, folder string) (env []string, end func(), err error) {
	key, err := s.opts.key()
	if err != nil {
		return nil, nil, err
	}
	env = append(s.opts.environ(), "FAL_KEY="+key, envPrefix+"_LOG_LEVEL=warn", envPrefix+"_ALLOW_DIR="+folder)
	if key != "" {
		fmt.Fprintf(s.Out, "FAL_KEY is set: running on %s. On fal these are two paid jobs, of less than a cent each.\n", cmp.Or(s.opts.QueueURL, defaultQueueURL))
		return env, func() {}, nil
	}
	sim := falsim.New(falsim.Script{
		QueueDelay: 600 * time.Millisecond, QueuePositions: []int{2, 1, 0}, RunTime: 1200 * time.Millisecond,
		Logs: []falsim.Log{{Message: "loading the prompt", At: 100 * time.Millisecond}},
	})
	url, err := sim.Start()
	if err != nil {
		return nil, nil, errors.Join(err, sim.Close())
	}
	fmt.Fprintln(s.Out, "No FAL_KEY is set: running on the embedded simulator. Answers are simulated, nothing is billed.")
	env = append(env, "FAL_KEY=simulated-key", "FAL_QUEUE_URL="+url, "FAL_REST_URL="+sim.RESTURL(), envPrefix+"_STORE="+storeMemory)
	return env, func() { _ = sim.Close() }, nil
}

func (c *demoCommand) converse(s *session, host *client.Client) error {
	ctx, done := context.WithTimeout(s.ctx, 4*time.Minute)
	defer done()
	if err := connect(ctx, host, s.version); err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	list, err := host.ListTools(ctx, mcp.ListToolsRequest{})
	if err != nil {
		return fmt.Errorf("listing the tools: %w", err)
	}
	var names []string
	for _, t := range list.Tools {
		names = append(names, t.Name)
	}
	fmt.Fprintf(s.Out, "Tools: %s\n", strings.Join(names, ", "))
	host.OnNotification(printProgress(s.Out))
	if err := c.delegate(ctx, s, host, map[string]any{"prompt": c.Prompt, "max_tokens": 300}); err != nil {
		return err
	}
	return c.delegate(ctx, s, host, map[string]any{
		"prompt": "Which bar of this chart is the highest?", "image_url": demoImage, "max_tokens": 300,
	})
}

// delegate makes one call and prints what came of it.
func (c *demoCommand) delegate(ctx context.Context, s *session, host *client.Client, arguments map[string]any) error {
	fmt.Fprintf(s.Out, "\nPrompt: %s\n", arguments["prompt"])
	if image, ok := arguments["image_url"]; ok {
		fmt.Fprintf(s.Out, "Image:  %s\n", image)
	}
	fmt.Fprintln(s.Out)
	req := mcp.CallToolRequest{}
	req.Params.Name = "nemotron_generate"
	req.Params.Arguments = arguments
	req.Params.Meta = &mcp.Meta{ProgressToken: "demo"}
	res, err := host.CallTool(ctx, req)
	if err != nil {
		return fmt.Errorf("calling nemotron_generate: %w", err)
	}
	if res.IsError {
		for _, content := range res.Content {
			fmt.Fprintln(s.Out, mcp.GetTextFromContent(content))
		}
		return errReported
	}
	var job tools.Job
	if err := decodeStructured(res, &job); err != nil {
		return err
	}
	if job.Usage == nil || job.CostUSD == nil {
		return fmt.Errorf("no answer yet: %s", job.Note)
	}
	fmt.Fprintf(s.Out, "\nAnswer: %s\n", job.Output)
	if job.Note != "" {
		fmt.Fprintf(s.Out, "Note:   %s\n", job.Note)
	}
	fmt.Fprintf(s.Out, "Usage:  %d input tokens, %d output tokens\nCost:   about $%.6f\nTime:   %.1f s queued, %.1f s running\nId:     %s\n",
		job.Usage.InputTokens, job.Usage.OutputTokens, *job.CostUSD, job.QueueSeconds, job.InferenceSeconds, job.RequestID)
	return nil
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
