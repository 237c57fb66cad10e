package tools

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
	"github.com/rs/zerolog"
	engine "github.com/santhosh-tekuri/jsonschema/v6"
	"go.uber.org/goleak"

	"nemotron-mcp/falclient"
	"nemotron-mcp/internal/falsim"
	"nemotron-mcp/internal/files"
	"nemotron-mcp/internal/jobs"
	"nemotron-mcp/internal/redact"
	"nemotron-mcp/internal/uploads"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	keySecret = "s3cret-half-of-the-key"
	key       = "key-id:" + keySecret
)

// rig is the tools behind an MCP client, before a simulated fal that is reached
// over pipes, so that all of it can live in a synctest bubble.
type rig struct {
	t       *testing.T
	sim     *falsim.Server
	jobs    *jobs.Manager
	server  *server.MCPServer
	client  *client.Client
	schemas map[string]*engine.Schema
	log     *logBuffer
	dial    func() error
	rate    int // bytes a second towards fal; 0 is no limit
	ledger  jobs.Ledger
	folders *Folders
	project string // a folder that calls may read
}

type rigOptions struct {
	script falsim.Script
	noKey  bool
	dial   func() error // fails where no connection can be made
	fal    jobs.Fal     // instead of the simulator
	ledger jobs.Ledger  // instead of one in memory
	// metadataOnly has the ledger drop what was delivered.
	metadataOnly    bool
	perCall, perDay float64 // caps in USD
	perDayTotal     float64
	inFlight        int
	limits          *Limits
	folders         []string
	noFolders       bool // instead of the project and folders
	fetcher         uploads.Fetcher
	maxUpload       int64
	rate            int // bytes a second towards fal
}

func newRig(t *testing.T, o rigOptions) *rig {
	t.Helper()
	r := &rig{t: t, sim: falsim.New(o.script), log: new(logBuffer), dial: o.dial, rate: o.rate, project: tempDir(t)}
	secrets := redact.New(key)
	log := zerolog.New(secrets.Writer(r.log))
	storage := r.connect(o.noKey)
	fal := o.fal
	if fal == nil {
		fal = storage
	}
	if r.ledger = o.ledger; r.ledger == nil {
		r.ledger = jobs.NewMemory()
	}
	r.jobs = jobs.New(fal, r.ledger, jobs.Options{
		MetadataOnly: o.metadataOnly, MaxCostPerCall: o.perCall, MaxCostPerDay: o.perDay,
		MaxCostPerDayTotal: o.perDayTotal, MaxInFlight: o.inFlight,
		Prices: jobs.DefaultPrices(), KnowsKey: !o.noKey, OneCaller: true, Log: log,
	})
	allowed := append([]string{r.project}, o.folders...)
	if o.noFolders {
		allowed = nil
	}
	r.folders = NewFolders(allowed, log)
	t.Cleanup(r.folders.Close)
	if o.fetcher == nil {
		o.fetcher = files.NewFetcher("test")
	}
	var err error
	r.server, err = NewServer(Config{
		Version: "1.2.3", Jobs: r.jobs, Folders: r.folders, Secrets: secrets, Limits: o.limits, Log: log,
		Uploads: uploads.New(uploads.Config{
			Storage: storage, Ledger: jobs.NewMemory(), Fetcher: o.fetcher, KnowsKey: !o.noKey, MaxSize: o.maxUpload, Log: log,
		}),
	})
	must(t, err)
	r.client = newClient(t, r.server)
	r.schemas = outputSchemas(t)
	t.Cleanup(func() {
		ctx, done := context.WithTimeout(context.Background(), time.Minute)
		defer done()
		if err := r.jobs.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return r
}

// connect makes a client of the simulator's.
func (r *rig) connect(noKey bool) *falclient.Client {
	l := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
	srv := &http.Server{Handler: r.sim}
	var served sync.WaitGroup
	served.Go(func() { _ = srv.Serve(l) })
	cfg := falclient.Config{Key: key, QueueURL: "http://localhost", RESTURL: "http://localhost", Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			if r.dial != nil {
				if err := r.dial(); err != nil {
					return nil, err
				}
			}
			conn, err := l.dial(ctx)
			if err == nil && r.rate > 0 {
				conn = slowConn{conn, r.rate}
			}
			return conn, err
		},
	}}
	if noKey {
		cfg.Key = ""
	}
	fal, err := falclient.New(cfg)
	must(r.t, err)
	r.t.Cleanup(func() {
		fal.Close()
		_ = r.sim.Close()
		close(l.done)
		_ = srv.Close()
		served.Wait()
	})
	return fal
}

// pipes is a listener without a network.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (p *pipes) dial(ctx context.Context) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case p.conns <- theirs:
		return ours, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// newClient shakes hands with srv as a host does.
func newClient(t *testing.T, srv *server.MCPServer) *client.Client {
	t.Helper()
	c, err := client.NewInProcessClient(srv)
	must(t, err)
	must(t, c.Start(t.Context()))
	t.Cleanup(func() { _ = c.Close() })
	init := mcp.InitializeRequest{}
	init.Params.ProtocolVersion = mcp.LATEST_LEGACY_PROTOCOL_VERSION
	init.Params.ClientInfo = mcp.Implementation{Name: "test", Version: "1"}
	_, err = c.Initialize(t.Context(), init)
	must(t, err)
	return c
}

// answer is what a host gets of a tool.
type answer struct {
	text    string
	isError bool
	meta    map[string]any // of _meta["nemotron/error"]
	raw     []byte         // structuredContent
}

func (a answer) code() string {
	code, _ := a.meta["code"].(string)
	return code
}

func (a answer) job(t *testing.T) JobStatus {
	t.Helper()
	if a.isError {
		t.Fatalf("an error: %s", a.text)
	}
	var job JobStatus
	must(t, json.Unmarshal(a.raw, &job))
	return job
}

// call runs a tool and checks what is promised of every answer. args is JSON;
// empty leaves the arguments out.
func (r *rig) call(tool, args string) answer {
	r.t.Helper()
	return r.callWith(r.t.Context(), tool, args)
}

func (r *rig) callWith(ctx context.Context, tool, args string) answer {
	r.t.Helper()
	return callTool(ctx, r.t, r.client, r.schemas[tool], tool, args)
}

func callTool(ctx context.Context, t *testing.T, c *client.Client, out *engine.Schema, tool, args string) answer {
	t.Helper()
	req := mcp.CallToolRequest{}
	req.Params.Name = tool
	if args != "" {
		req.Params.Arguments = json.RawMessage(args)
	}
	res, err := c.CallTool(ctx, req)
	if err != nil {
		t.Fatalf("%s: a protocol error: %v", tool, err)
	}
	a := answer{isError: res.IsError}
	for _, content := range res.Content {
		a.text += mcp.GetTextFromContent(content)
	}
	if a.text == "" {
		t.Errorf("%s: no text", tool)
	}
	whole, err := json.Marshal(res)
	must(t, err)
	if bytes.Contains(whole, []byte(keySecret)) {
		t.Errorf("%s: a secret is in the answer: %s", tool, whole)
	}
	if a.isError {
		a.meta = checkFailure(t, tool, res)
		return a
	}
	a.raw, err = json.Marshal(res.StructuredContent)
	must(t, err)
	value, err := engine.UnmarshalJSON(bytes.NewReader(a.raw))
	must(t, err)
	if err := out.Validate(value); err != nil {
		t.Errorf("%s: structuredContent does not fit the outputSchema: %v\n%s", tool, err, a.raw)
	}
	return a
}

// checkFailure checks an error result and returns its facts.
func checkFailure(t *testing.T, tool string, res *mcp.CallToolResult) map[string]any {
	t.Helper()
	if res.StructuredContent != nil {
		t.Errorf("%s: an error result with structuredContent %v", tool, res.StructuredContent)
	}
	if res.Meta == nil {
		t.Fatalf("%s: an error result without _meta", tool)
	}
	meta, _ := res.Meta.AdditionalFields["nemotron/error"].(map[string]any)
	code, _ := meta["code"].(string)
	if _, ok := meta["retryable"].(bool); !ok || code == "" {
		t.Errorf("%s: _meta is %v", tool, res.Meta.AdditionalFields)
	}
	text := mcp.GetTextFromContent(res.Content[0])
	if !strings.HasPrefix(text, code+": ") {
		t.Errorf("%s: the text does not begin with the code %s: %s", tool, code, text)
	}
	if id, ok := meta["request_id"].(string); ok && !strings.Contains(text, "request_id: "+id) {
		t.Errorf("%s: request_id %s is in _meta only: %s", tool, id, text)
	}
	return meta
}

// outputSchemas compiles what the tools declare of their outputs.
func outputSchemas(t *testing.T) map[string]*engine.Schema {
	t.Helper()
	declared, err := Declarations()
	must(t, err)
	schemas := map[string]*engine.Schema{}
	for _, tool := range declared {
		schemas[tool.Name] = compile(t, tool.RawOutputSchema)
	}
	return schemas
}

func compile(t *testing.T, doc json.RawMessage) *engine.Schema {
	t.Helper()
	parsed, err := engine.UnmarshalJSON(bytes.NewReader(doc))
	must(t, err)
	c := engine.NewCompiler()
	must(t, c.AddResource("mem:///output", parsed))
	s, err := c.Compile("mem:///output")
	must(t, err)
	return s
}

// logBuffer is a log that can be read while it is written.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantIn checks that text holds each of the parts.
func wantIn(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q is not in: %s", part, text)
		}
	}
}

// wantNotIn checks that text holds none of the parts.
func wantNotIn(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if strings.Contains(text, part) {
			t.Errorf("%q is in: %s", part, text)
		}
	}
}
