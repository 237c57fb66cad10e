package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/mcp"

	"nemotron-mcp/tools"
)

const (
	generateTool = "nemotron_generate"
	statusTool   = "queue_status"
	cancelTool   = "queue_cancel"
	uploadTool   = "upload_file"
)

type callCommand struct {
	Tool       string   `arg:"" help:"Name of the tool, such as nemotron_generate."`
	Args       []string `arg:"" optional:"" help:"A prompt, key=value pairs, one JSON object, or '-' for stdin."`
	PromptFile string   `help:"Read the prompt from this file; '-' is stdin." type:"path" env:"-" placeholder:"FILE"`
	Image      string   `help:"JPEG or PNG to ask about: a file, or an https URL." env:"-" placeholder:"FILE|URL"`
	Video      string   `help:"MP4 to ask about: a file, or an https URL." env:"-" placeholder:"FILE|URL"`
	Audio      string   `help:"WAV or MP3 to ask about: a file, or an https URL." env:"-" placeholder:"FILE|URL"`
	File       []string `help:"Text file to put before the prompt, or a quoted glob such as 'src/**/*.go'; may be repeated." sep:"none" env:"-" placeholder:"FILE"`
	JSON       bool     `name:"json" help:"Print the structured result on stdout."`
}

// Help says what the line of each argument has no room for.
func (c *callCommand) Help() string {
	return `The prompt of nemotron_generate is given in one of three ways: as an argument, by --prompt-file, or on stdin by '-'. ` +
		`Beside a prompt, '-' puts stdin below it: git diff | nemotron-mcp call nemotron_generate "Review this" -

An argument that begins with the name of one of the tool's arguments and '=' is that argument; one that begins with '{' is a JSON object of them; ` +
		`'-' without a prompt takes such an object too. What may be a mistake in these is refused and not sent as a prompt; ` +
		`prompt='...' takes any text, and so do --prompt-file FILE and --prompt-file - (which is always text).

Files that these flags name need no --allow-dir. Names such as .env, and secrets, are refused all the same.

The answer, and nothing else, goes to stdout; usage, cost, notes and reasoning go to stderr, as does the progress on a terminal. ` +
		`The call waits for the job's end, unless wait_seconds is given. Ctrl-C cancels the job at fal and says what it cost; a second one ends at once.

Exit codes: 0 answered; 1 the tool failed; 2 the command line or the configuration is wrong; 3 not finished yet; 130 interrupted.`
}

// Run calls a tool through the same MCP server that a host would use.
func (c *callCommand) Run(s *session) error {
	g, err := c.parse()
	if err != nil {
		return err
	}
	s.opts.quiet()
	s.opts.MaxCallsPerMinute = 0 // one call is all this process makes, whatever it takes to follow it
	line := newProgressLine(s.Err)
	defer line.close()
	s.Err = line.writer()
	h, err := s.build()
	if err != nil {
		return err
	}
	defer func() { h.close(s.timeLeft(time.Time{})) }()
	return h.told(c.run(s, h, g, line))
}

func (c *callCommand) run(s *session, h *house, g *given, line *progressLine) error {
	if !h.knowsKey && (c.Tool == generateTool || c.Tool == uploadTool) {
		return &configError{"no usable fal key is configured, so nothing was sent", "Set FAL_KEY, or name a file that holds the key with --fal-key-file. Keys: https://fal.ai/dashboard/keys"}
	}
	if err := g.read(s, h); err != nil {
		return err
	}
	host, err := client.NewInProcessClient(h.server)
	if err != nil {
		return err
	}
	defer host.Close()
	if err := connect(s.ctx, host, s.version); err != nil {
		if s.ctx.Err() != nil {
			return errInterrupted
		}
		return err
	}
	call := &shellCall{callCommand: c, session: s, house: h, host: host, line: line, waits: g.waits}
	err = call.run(g.values)
	call.settle(err)
	return err
}

// shellCall is one call under way.
type shellCall struct {
	*callCommand
	*session
	*house
	host     *client.Client
	line     *progressLine
	waits    bool           // for the job's end, however long it takes
	delivery tools.Delivery // of all results: what is on stdout has been delivered, and nothing else
	printed  bool
}

// settle says whether what the tools returned has been delivered.
func (c *shellCall) settle(err error) {
	var code reported
	if c.printed && (err == nil || errors.As(err, &code)) {
		c.delivery.Delivered()
		return
	}
	c.delivery.Dropped()
}

func (c *shellCall) run(arguments map[string]any) error {
	c.line.begin()
	res, err := c.callTool(c.Tool, arguments)
	if err != nil {
		return err
	}
	if !isJobTool(c.Tool) {
		return c.finishOther(res)
	}
	job, res, err := c.follow(res)
	if err != nil {
		return err
	}
	if c.ctx.Err() != nil {
		return c.interrupted(job.RequestID, res)
	}
	c.line.close()
	if res != nil {
		return c.fail(res)
	}
	return c.report(job)
}

// isJobTool reports whether a tool's result is a job.
func isJobTool(name string) bool {
	return name == generateTool || name == statusTool || name == cancelTool
}

func (c *shellCall) callTool(name string, arguments map[string]any) (*mcp.CallToolResult, error) {
	req := mcp.CallToolRequest{}
	req.Params.Name, req.Params.Arguments = name, arguments
	ctx := tools.WithWatcher(c.ctx, tools.Watcher{Job: c.line.job, Upload: c.line.upload})
	return c.host.CallTool(tools.WithDelivery(ctx, &c.delivery), req)
}

// follow waits for the end of the job in a result where that is wanted, and reads
// all pages of its output. failed is the result that is an error, if one is.
func (c *shellCall) follow(res *mcp.CallToolResult) (job tools.JobStatus, failed *mcp.CallToolResult, err error) {
	next := func(more map[string]any) (page tools.JobStatus) {
		if more != nil {
			more["request_id"] = job.RequestID
			res, err = c.callTool(statusTool, more)
		}
		if err == nil && !res.IsError {
			err = decodeStructured(res, &page)
		}
		return page
	}
	ended := func() bool { return err != nil || res.IsError || c.ctx.Err() != nil }
	job = next(nil)
	for c.waits && !ended() && unfinished(job.Job) {
		if page := next(map[string]any{"wait_seconds": longestWait}); !ended() {
			job = page
		}
	}
	for !ended() && job.NextOffset > 0 {
		if page := next(map[string]any{"offset": job.NextOffset}); !ended() {
			job.Join(page.Job)
		}
	}
	if res != nil && res.IsError {
		failed = res
	}
	return job, failed, err
}

// longestWait is the longest that a tool waits, in seconds.
const longestWait = 600

func decodeStructured(res *mcp.CallToolResult, into any) error {
	b, err := json.Marshal(res.StructuredContent)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, into)
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

// followCommand is what waits for a job's answer.
func followCommand(requestID string) string {
	return fmt.Sprintf("'nemotron-mcp call queue_status request_id=%s wait_seconds=600'", requestID)
}
