package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"nemotron-mcp/falclient"
	"nemotron-mcp/internal/metrics"
)

// Streams are the process's standard streams.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// commandLine is what kong parses.
type commandLine struct {
	Serve    serveCommand    `cmd:"" default:"withargs" help:"Serve MCP over stdio; what a host starts. The default."`
	Call     callCommand     `cmd:"" help:"Run one tool and print its result."`
	Demo     demoCommand     `cmd:"" help:"Delegate a prompt end to end: on the simulator, or on fal where FAL_KEY is set."`
	Doctor   doctorCommand   `cmd:"" help:"Check the key, the network, folders, ledger and budget, and say how to mend what is wrong."`
	Jobs     jobsCommand     `cmd:"" help:"List, show, watch, cancel, export and reconcile the jobs of the ledger."`
	Usage    usageCommand    `cmd:"" help:"Print what the jobs took, by day, endpoint and host; or refresh the prices."`
	Install  installCommand  `cmd:"" help:"Print the entry for a host's configuration and where it goes, or write it there."`
	Simulate simulateCommand `cmd:"" help:"Serve a simulator of fal on a loopback address."`
	Schema   schemaCommand   `cmd:"" help:"Print the tools as a host sees them."`
	Version  versionCommand  `cmd:"" help:"Print the version."`

	Completion completionCommand `cmd:"" help:"Print a script that completes commands in a shell."`

	Complete    completeCommand    `cmd:"" hidden:"" passthrough:"" help:"Print what may follow on a command line."`
	Healthcheck healthcheckCommand `cmd:"" hidden:"" help:"Ask the server in the same container whether it is well."`
	Man         manCommand         `cmd:"" hidden:"" help:"Print the manual page."`
	Reference   referenceCommand   `cmd:"" hidden:"" help:"Print a part of the documentation as Markdown."`

	Options `group:"Settings of every command:"`
}

// serveLine is the part of it that a host uses.
type serveLine struct {
	Serve serveCommand `cmd:"" default:"withargs"`

	Options
}

// parse reads the command line. A host's is read by a grammar of its own first:
// to make that of all commands takes a tenth of the start. Where it does not fit,
// help is asked for, or something is wrong, that of all has the word.
func parse(args []string, streams Streams) (*kong.Context, *Options, error) {
	if len(args) == 0 || args[0] == "serve" && !slices.Contains(args, "--help") && !slices.Contains(args, "-h") {
		var host serveLine
		if command, err := parseInto(&host, args, streams); err == nil {
			return command, &host.Options, nil
		}
	}
	var all commandLine
	command, err := parseInto(&all, args, streams)
	return command, &all.Options, err
}

func parseInto(grammar any, args []string, streams Streams) (*kong.Context, error) {
	parser, err := newParser(grammar, streams)
	if err != nil {
		return nil, err
	}
	return parser.Parse(mixedFlags(parser.Model, args))
}

// mixedFlags has the arguments of call stand anywhere between its flags: kong
// takes them in one piece only.
func mixedFlags(model *kong.Application, args []string) []string {
	const command = "call"
	if !slices.Contains(args, command) {
		return args
	}
	takesValue := map[string]bool{}
	for _, node := range append([]*kong.Node{model.Node}, model.Children...) {
		if node != model.Node && node.Name != command {
			continue
		}
		for _, flag := range node.Flags {
			takesValue["--"+flag.Name] = !flag.IsBool()
		}
	}
	var flags, words []string
	for i := 0; i < len(args); i++ {
		arg := args[i]
		switch {
		case arg == "--":
			words = append(words, args[i+1:]...)
			i = len(args)
		case len(arg) < 2 || arg[0] != '-':
			words = append(words, arg)
		case takesValue[arg] && i+1 < len(args):
			flags = append(flags, arg, args[i+1])
			i++
		default:
			flags = append(flags, arg)
		}
	}
	if len(words) < 2 || words[0] != command {
		return args
	}
	return slices.Concat(words[:1], flags, []string{"--"}, words[1:])
}

// commandModel is what the command line is made of.
func commandModel(streams Streams) (*kong.Application, error) {
	parser, err := newParser(new(commandLine), streams)
	if err != nil {
		return nil, err
	}
	return parser.Model, nil
}

func newParser(grammar any, streams Streams) (*kong.Kong, error) {
	return kong.New(grammar,
		kong.Name("nemotron-mcp"),
		kong.Description("An MCP server that delegates work to NVIDIA Nemotron 3 Nano Omni on fal.ai."),
		kong.Writers(streams.Out, streams.Err),
		kong.DefaultEnvars(envPrefix),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true}),
		kong.Vars{"server_name": defaultName, "queue_url": defaultQueueURL, "platform_url": falclient.DefaultPlatformURL, "rest_url": falclient.DefaultRESTURL},
	)
}

// session is what a command runs with.
type session struct {
	Streams
	opts    *Options
	args    []string // the command line, without the program
	version string
	// sampleImage is a PNG that the demo asks about.
	sampleImage []byte
	// overHTTP says that hosts may be on other machines, and namesCallers that
	// their callers are told apart.
	overHTTP, namesCallers bool
	metrics                *metrics.Server // nil where nobody asks for them
	ownFiles               []string        // of the command, that no tool may read
	ctx                    context.Context // ends at SIGINT, SIGTERM or SIGHUP
	endedAt                atomic.Int64    // when it did, in Unix nanoseconds
}

// ended is when a signal came; the zero time where none did.
func (s *session) ended() time.Time {
	if at := s.endedAt.Load(); at != 0 {
		return time.Unix(0, at)
	}
	return time.Time{}
}

// reported ends a command with that exit code; what happened has been told already.
type reported int

func (r reported) Error() string { return fmt.Sprintf("exit code %d", int(r)) }

// The exit codes of call, besides 0, 1 and 2.
const (
	errReported    = reported(1)
	errUnfinished  = reported(3)
	errInterrupted = reported(130) // as shells have it for SIGINT
)

// Build is what the program was built with.
type Build struct {
	Version     string // empty: that of the module
	SampleImage []byte // a PNG, for the demo
}

// Main runs the command that args name and returns the exit code: 0, 1 for a
// command that failed, 2 for a command line or a configuration that is wrong; of
// call also 3 for a job that has not ended, and 130 where a signal ended it.
func Main(build Build, args []string, streams Streams) int {
	dropEmpty(os.Environ())
	command, opts, err := parse(args, streams)
	if err != nil {
		fmt.Fprintf(streams.Err, "nemotron-mcp: %v\nRun 'nemotron-mcp --help' for the commands and flags.\n", err)
		for _, name := range placeholders(os.Environ()) {
			fmt.Fprintf(streams.Err, "%s holds a placeholder that the host did not fill in. Give the setting a value in the host, or take %s out of its entry for this server.\n", name, name)
		}
		return 2
	}
	// A host that goes away closes our stdout: an error to act on, not the
	// death by signal that Go makes of it.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	s := &session{Streams: streams, opts: opts, args: args, version: buildVersion(build.Version), sampleImage: build.SampleImage, ctx: ctx}
	// The first signal ends the work in order, the second one at once.
	context.AfterFunc(ctx, func() { s.endedAt.Store(time.Now().UnixNano()); stop() })

	err = command.Run(s)
	var told reported
	switch {
	case err == nil:
		return 0
	case errors.As(err, &told):
		return int(told)
	case errors.As(err, new(*configError)):
		fmt.Fprintln(streams.Err, "nemotron-mcp:", err)
		return 2
	}
	fmt.Fprintln(streams.Err, "nemotron-mcp:", err)
	return 1
}
