package tools

import (
	"context"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
	"github.com/rs/zerolog"

	"nemotron-mcp/internal/jobs"
	"nemotron-mcp/internal/redact"
	"nemotron-mcp/internal/uploads"
)

// instructions are what a host tells its model of the server; hosts cut them
// at 2 KB.
const instructions = "Delegate self-contained work to NVIDIA Nemotron 3 Nano Omni on fal.ai with nemotron_generate. " +
	"It sees nothing of this conversation: put everything it needs into the prompt, or name files, an image, a video or a recording to send along. " +
	"When an answer is not there within wait_seconds you get a request_id: ask queue_status, with wait_seconds, and do not submit again. " +
	"A call is paid at most once; on SUBMIT_UNKNOWN decide for yourself whether to pay again. " +
	"An error names its code, what happened and what to do."

// Config is what the tools work on.
type Config struct {
	Version string
	Jobs    *jobs.Manager
	Uploads *uploads.Uploader
	Folders *Folders
	Secrets *redact.Redactor
	Limits  *Limits // of each caller; nil is none
	Log     zerolog.Logger
	// Observe, unless nil, is told of each call: ok or the code of its error.
	Observe func(tool, caller, outcome string, took time.Duration)
}

// service is the state that the handlers share.
type service struct {
	jobs    *jobs.Manager
	uploads *uploads.Uploader
	folders *Folders
	secrets *redact.Redactor
}

// NewServer makes the MCP server with all its tools. It does no more than
// declare them.
func NewServer(cfg Config) (*server.MCPServer, error) {
	tools, err := All(cfg)
	if err != nil {
		return nil, err
	}
	hooks := new(server.Hooks)
	hooks.AddOnUnregisterSession(func(_ context.Context, session server.ClientSession) { cfg.Folders.drop(session.SessionID()) })
	srv := server.NewMCPServer("nemotron-mcp", cfg.Version,
		server.WithHooks(hooks),
		server.WithToolCapabilities(false),
		server.WithInstructions(instructions),
	)
	srv.SetTools(tools...)
	srv.AddNotificationHandler(mcp.MethodNotificationRootsListChanged, func(ctx context.Context, _ mcp.JSONRPCNotification) {
		if session := server.ClientSessionFromContext(ctx); session != nil {
			cfg.Folders.heard(session.SessionID())
		}
	})
	return srv, nil
}

// All declares the tools, in the order in which they are documented.
func All(cfg Config) ([]server.ServerTool, error) {
	s := &service{jobs: cfg.Jobs, uploads: cfg.Uploads, folders: cfg.Folders, secrets: cfg.Secrets}
	f := frame{secrets: cfg.Secrets, limits: cfg.Limits, log: cfg.Log, observe: cfg.Observe}
	var all []server.ServerTool
	add := func(t server.ServerTool, err error) error {
		all = append(all, t)
		return err
	}
	for _, err := range []error{
		add(newTool(f, generateSpec, s.generate)),
		add(newTool(f, statusSpec, s.status)),
		add(newTool(f, cancelSpec, s.cancel)),
		add(newTool(f, listSpec, s.list)),
		add(newTool(f, uploadSpec, s.upload)),
	} {
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

type callerKey struct{}

// WithCaller names the one on whose behalf a call is made. Callers see their
// own jobs only; a transport that has one caller needs no name.
func WithCaller(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, callerKey{}, name)
}

// CallerFrom names the one on whose behalf a call is made; empty where there is
// only one.
func CallerFrom(ctx context.Context) string {
	name, _ := ctx.Value(callerKey{}).(string)
	return name
}

// maxHost bounds what a program's name may take in the ledger, in bytes.
const maxHost = 64

// hostFrom is the program on the other side, as it names itself.
func (s *service) hostFrom(ctx context.Context) string {
	session, ok := server.ClientSessionFromContext(ctx).(server.SessionWithClientInfo)
	if !ok {
		return ""
	}
	return shorten(s.secrets.String(session.GetClientInfo().Name), maxHost)
}

// Declarations lists the tools as a host sees them.
func Declarations() ([]mcp.Tool, error) {
	all, err := All(Config{})
	if err != nil {
		return nil, err
	}
	declared := make([]mcp.Tool, len(all))
	for i, t := range all {
		declared[i] = t.Tool
	}
	return declared, nil
}
