package app

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
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

// Run starts the server as a host would, in a process of its own on stdin and
// stdout, and delegates a prompt to it with a real MCP client.
func (c *demoCommand) Run(s *session) error {
	key, err := s.opts.key()
	if err != nil {
		return err
	}
	env := append(s.opts.environ(), "FAL_KEY="+key, envPrefix+"_LOG_LEVEL=warn")
	if key == "" {
		sim := falsim.New(falsim.Script{
			QueueDelay: 600 * time.Millisecond, QueuePositions: []int{2, 1, 0}, RunTime: 1200 * time.Millisecond,
			Logs: []falsim.Log{{Message: "loading the prompt", At: 100 * time.Millisecond}},
		})
		defer sim.Close()
		url, err := sim.Start()
		if err != nil {
			return err
		}
		env = append(env, "FAL_KEY=simulated-key", "FAL_QUEUE_URL="+url, envPrefix+"_STORE="+storeMemory)
		fmt.Fprintln(s.Out, "No FAL_KEY is set: running on the embedded simulator. Answers are simulated, nothing is billed.")
	} else {
		fmt.Fprintf(s.Out, "FAL_KEY is set: running on %s. On fal this is one paid job, of less than a cent.\n", cmp.Or(s.opts.QueueURL, defaultQueueURL))
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	host, err := client.NewStdioMCPClientWithOptions(self, env, []string{"serve"}, transport.WithCommandStderrWriter(s.Err))
	if err != nil {
		return fmt.Errorf("starting the server: %w", err)
	}
	err = c.delegate(s, host)
	return errors.Join(err, host.Close())
}

func (c *demoCommand) delegate(s *session, host *client.Client) error {
	ctx, done := context.WithTimeout(s.ctx, 2*time.Minute)
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
	fmt.Fprintf(s.Out, "Tools: %s\n\nPrompt: %s\n\n", strings.Join(names, ", "), c.Prompt)
	host.OnNotification(printProgress(s.Out))

	req := mcp.CallToolRequest{}
	req.Params.Name = "nemotron_generate"
	req.Params.Arguments = map[string]any{"prompt": c.Prompt, "max_tokens": 300}
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
	fmt.Fprintf(s.Out, "\nAnswer: %s\n\nUsage:  %d input tokens, %d output tokens\nCost:   about $%.6f\nTime:   %.1f s queued, %.1f s running\nId:     %s\n",
		job.Output, job.Usage.InputTokens, job.Usage.OutputTokens, *job.CostUSD, job.QueueSeconds, job.InferenceSeconds, job.RequestID)
	return nil
}

func decodeStructured(res *mcp.CallToolResult, into any) error {
	b, err := json.Marshal(res.StructuredContent)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, into)
}
