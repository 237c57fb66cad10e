package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"nemotron-mcp/internal/falsim"
)

const (
	aliceToken = "alice-token-0123456789"
	bobToken   = "bob-token-0123456789ab"
)

// overHTTP is the program, serving HTTP.
type overHTTP struct {
	t      *testing.T
	cmd    *exec.Cmd
	url    string
	stderr *lockedBuffer
	client *http.Client
	done   chan error // of the process
}

// startHTTP starts the server and waits until it serves.
func startHTTP(t *testing.T, sim *falsim.Server, args []string, settings ...string) *overHTTP {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &overHTTP{t: t, stderr: &lockedBuffer{}, done: make(chan error, 1)}
	address := "127.0.0.1:0"
	p.client = &http.Client{Transport: &http.Transport{}}
	for _, arg := range args {
		if path, ok := strings.CutPrefix(arg, "--http=unix:"); ok {
			address, p.url = "", "http://localhost"
			p.client.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "unix", path)
			}}
		}
	}
	if address != "" {
		args = append(args, "--http="+address)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // against a hang only
	t.Cleanup(cancel)
	p.cmd = exec.CommandContext(ctx, self, append([]string{"serve"}, args...)...)
	p.cmd.Env = append(environ(t, "FAL_KEY="+testKey, "FAL_QUEUE_URL="+sim.QueueURL(), "FAL_REST_URL="+sim.RESTURL()), settings...)
	serving := make(chan string, 1)
	p.cmd.Stderr = &addressFinder{to: p.stderr, found: serving}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.done <- p.cmd.Wait(); close(serving) }()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		for range p.done {
			break
		}
		p.client.CloseIdleConnections()
		for _, secret := range []string{testKey, aliceToken, bobToken} {
			if strings.Contains(p.stderr.String(), secret) {
				t.Errorf("%s is in the log", secret)
			}
		}
	})
	at := <-serving
	if at == "" {
		t.Fatalf("it does not serve: %s", p.stderr)
	}
	if p.url == "" {
		p.url = "http://" + at
	}
	return p
}

// addressFinder passes the log on, and finds where the server listens.
type addressFinder struct {
	to    io.Writer
	found chan string
	told  bool
}

func (f *addressFinder) Write(line []byte) (int, error) {
	var event struct{ Address, Message string }
	if !f.told && json.Unmarshal(line, &event) == nil && strings.HasPrefix(event.Message, "serving MCP over HTTP") {
		f.told = true
		f.found <- event.Address
	}
	return f.to.Write(line)
}

// ended waits for the process's end.
func (p *overHTTP) ended() error {
	p.t.Helper()
	err := <-p.done
	p.done <- err // for the cleanup
	return err
}

// httpClient is an MCP client with a session of its own.
type httpClient struct {
	p       *overHTTP
	token   string
	session string
}

func (p *overHTTP) connect(token string) *httpClient {
	p.t.Helper()
	c := &httpClient{p: p, token: token}
	res, body := c.post(p.t.Context(), `{"jsonrpc":"2.0","id":"init","method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}`)
	c.session = res.Header.Get("Mcp-Session-Id")
	if res.StatusCode != http.StatusOK || c.session == "" {
		p.t.Fatalf("initialize: %s %s", res.Status, body)
	}
	return c
}

// ask sends a message.
func (c *httpClient) ask(ctx context.Context, message string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.p.url+"/mcp", strings.NewReader(message))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	if c.session != "" {
		req.Header.Set("Mcp-Session-Id", c.session)
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	return c.p.client.Do(req)
}

func (c *httpClient) post(ctx context.Context, message string) (*http.Response, string) {
	c.p.t.Helper()
	res, err := c.ask(ctx, message)
	if err != nil {
		c.p.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		c.p.t.Fatal(err)
	}
	if bytes.Contains(body, []byte(testKey)) {
		c.p.t.Errorf("the key is in an answer: %s", body)
	}
	return res, string(body)
}

// tool calls a tool and returns its structured content, or its error's text.
func (c *httpClient) tool(ctx context.Context, name, arguments string) (content map[string]any, text string) {
	c.p.t.Helper()
	_, body := c.post(ctx, fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":%q,"arguments":%s}}`, name, arguments))
	var message struct {
		Result struct {
			StructuredContent map[string]any
			Content           []struct{ Text string }
		}
	}
	if err := json.Unmarshal([]byte(body), &message); err != nil || len(message.Result.Content) == 0 {
		c.p.t.Fatalf("%s: %s", name, body)
	}
	return message.Result.StructuredContent, message.Result.Content[0].Text
}

func tokens(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(name, []byte("alice:"+aliceToken+"\nbob:"+bobToken+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestCallersAreApart: what one caller has, another neither sees nor touches.
func TestCallersAreApart(t *testing.T) {
	t.Parallel()
	sim := startSimulator(t, falsim.Script{QueueDelay: time.Hour})
	p := startHTTP(t, sim, []string{"--auth-tokens=" + tokens(t)})
	alice, bob := p.connect(aliceToken), p.connect(bobToken)
	job, _ := alice.tool(t.Context(), "nemotron_generate", `{"prompt":"alice's own words","wait_seconds":0}`)
	id := fmt.Sprint(job["request_id"])

	for _, tool := range []string{"queue_status", "queue_cancel"} {
		content, text := bob.tool(t.Context(), tool, fmt.Sprintf(`{"request_id":%q}`, id))
		if content != nil || !strings.HasPrefix(text, "JOB_NOT_FOUND") {
			t.Errorf("%s of alice's job by bob: %v %s", tool, content, text)
		}
	}
	if _, text := bob.tool(t.Context(), "queue_list", `{}`); strings.Contains(text, "alice") || !strings.HasPrefix(text, "No jobs.") {
		t.Errorf("bob's list: %s", text)
	}
	if _, text := alice.tool(t.Context(), "queue_list", `{}`); !strings.Contains(text, "alice's own words") {
		t.Errorf("alice's list: %s", text)
	}
	stolen := &httpClient{p, bobToken, alice.session}
	if res, body := stolen.post(t.Context(), `{"jsonrpc":"2.0","id":1,"method":"ping"}`); res.StatusCode != http.StatusNotFound {
		t.Errorf("alice's session by bob: %s %s", res.Status, body)
	}
	if s := sim.Stats(); s.Cancelled != 0 || s.AuthFailures != 0 {
		t.Errorf("fal was asked to cancel %d jobs, and got another key %d times", s.Cancelled, s.AuthFailures)
	}
	if content, text := alice.tool(t.Context(), "queue_cancel", fmt.Sprintf(`{"request_id":%q}`, id)); content["status"] != "CANCELLED" {
		t.Errorf("alice's cancel: %v %s", content, text)
	}
}

// TestResourcesAreApart: a finished job is a resource of its caller's alone.
func TestResourcesAreApart(t *testing.T) {
	t.Parallel()
	sim := startSimulator(t, falsim.Script{Output: "for alice"})
	p := startHTTP(t, sim, []string{"--auth-tokens=" + tokens(t)})
	alice, bob := p.connect(aliceToken), p.connect(bobToken)
	job, _ := alice.tool(t.Context(), "nemotron_generate", `{"prompt":"alice's own words"}`)
	id := fmt.Sprint(job["request_id"])
	for _, c := range []struct{ method, params, alice, bob string }{
		{"resources/list", `{}`, "alice's own words", `"resources":[]`},
		{"resources/read", fmt.Sprintf(`{"uri":"nemotron://jobs/%s"}`, id), `"text":"for alice"`, `"error":{"code":-32002`},
		{"completion/complete", `{"ref":{"type":"ref/resource","uri":"nemotron://jobs/{request_id}"},"argument":{"name":"request_id","value":""}}`, `"values":["` + id + `"]`, `"values":[]`},
		{"prompts/get", `{"name":"delegate"}`, `"error":{"code":-32602,"message":"delegate: task: is required"}`, `"id":7`},
	} {
		message := fmt.Sprintf(`{"jsonrpc":"2.0","id":7,"method":%q,"params":%s}`, c.method, c.params)
		if _, body := alice.post(t.Context(), message); !strings.Contains(body, c.alice) || !strings.Contains(body, `"id":7`) {
			t.Errorf("%s by alice: %s", c.method, body)
		}
		if _, body := bob.post(t.Context(), message); !strings.Contains(body, c.bob) || strings.Contains(body, "for alice") || strings.Contains(body, "own words") {
			t.Errorf("%s by bob: %s", c.method, body)
		}
	}
}

// TestDisconnectCancels: a job for which nobody waits any more is cancelled.
func TestDisconnectCancels(t *testing.T) {
	t.Parallel()
	sim := startSimulator(t, falsim.Script{QueueDelay: time.Hour})
	p := startHTTP(t, sim, nil)
	c := p.connect("")
	ctx, leave := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() {
		res, err := c.ask(ctx, generateLine(1, "a question"))
		if err == nil {
			_ = res.Body.Close()
		}
		gone <- err
	}()
	waitFor(t, sim, func(s falsim.Stats) bool { return s.Accepted == 1 })
	leave()
	if err := <-gone; err == nil {
		t.Fatal("it was answered")
	}
	waitFor(t, sim, func(s falsim.Stats) bool { return s.Cancelled == 1 })
	if s := sim.Stats(); s.Billed != 0 {
		t.Errorf("%d bills", s.Billed)
	}
}

func waitFor(t *testing.T, sim *falsim.Server, is func(falsim.Stats) bool) {
	t.Helper()
	ctx, done := context.WithTimeout(t.Context(), 20*time.Second) // against a hang only
	defer done()
	if err := sim.WaitFor(ctx, is); err != nil {
		t.Fatalf("%v: %+v", err, sim.Stats())
	}
}

// TestShutdownHandsBack: at SIGTERM what waits is handed back, the job goes on, and
// the next server on the ledger has it.
func TestShutdownHandsBack(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("there is no SIGTERM")
	}
	sim := startSimulator(t, falsim.Script{RunTime: 3 * time.Second, Output: "the answer"})
	dir := "NEMOTRON_MCP_STATE_DIR=" + stateDir(t)
	p := startHTTP(t, sim, nil, dir)
	c := p.connect("")
	answered := make(chan map[string]any, 1)
	go func() {
		content, _ := c.tool(t.Context(), "nemotron_generate", `{"prompt":"a question"}`)
		answered <- content
	}()
	waitFor(t, sim, func(s falsim.Stats) bool { return s.Accepted == 1 })
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	job := <-answered
	if status := job["status"]; status != "IN_QUEUE" && status != "IN_PROGRESS" || job["request_id"] == "" {
		t.Errorf("handed back: %v", job)
	}
	began := time.Now()
	if err := p.ended(); err != nil || time.Since(began) > endTime {
		t.Errorf("ended with %v after %v: %s", err, time.Since(began), p.stderr)
	}
	if s := sim.Stats(); s.Cancelled != 0 {
		t.Error("the job was cancelled")
	}
	next := startHTTP(t, sim, nil, dir).connect("")
	done, text := next.tool(t.Context(), "queue_status", fmt.Sprintf(`{"request_id":%q,"wait_seconds":30}`, job["request_id"]))
	if done["output"] != "the answer" {
		t.Errorf("after the restart: %s", text)
	}
	if s := sim.Stats(); s.Accepted != 1 || s.Billed != 1 {
		t.Errorf("%d submissions, %d bills", s.Accepted, s.Billed)
	}
}

// TestUnsafeIsNotStarted: what other machines can reach needs tokens.
func TestUnsafeIsNotStarted(t *testing.T) {
	t.Parallel()
	sim := startSimulator(t, falsim.Script{})
	settings := []string{"FAL_KEY=" + testKey, "FAL_QUEUE_URL=" + sim.QueueURL()}
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"all addresses":          {[]string{"--http=0.0.0.0:0"}, "--auth-tokens"},
		"all addresses, IPv6":    {[]string{"--http=[::]:0"}, "--auth-tokens"},
		"no host":                {[]string{"--http=:0"}, "--auth-tokens"},
		"a name":                 {[]string{"--http=example.invalid:0"}, "--auth-tokens"},
		"a public name":          {[]string{"--http=127.0.0.1:0", "--allow-host=mcp.example.com"}, "--auth-tokens"},
		"no address":             {[]string{"--http=here"}, "not an address"},
		"no such tokens":         {[]string{"--http=127.0.0.1:0", "--auth-tokens=" + empty + "-not"}, "tokens can't be used"},
		"an empty file":          {[]string{"--http=0.0.0.0:0", "--auth-tokens=" + empty}, "tokens can't be used"},
		"tokens without HTTP":    {[]string{"--auth-tokens=" + empty}, "--http"},
		"an address not of ours": {[]string{"--http=192.0.2.1:0", "--auth-tokens=" + tokens(t)}, "--http 192.0.2.1:0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, log, err := command(t, settings, append([]string{"serve"}, tc.args...)...)
			if err == nil || !strings.Contains(log, tc.want) || out != "" {
				t.Errorf("%v: %s%s, want %q", err, out, log, tc.want)
			}
		})
	}
}

func TestUnixSocket(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("no modes to judge by")
	}
	dir, err := os.MkdirTemp("", "nm") // short: a socket's path has a limit
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	sim := startSimulator(t, falsim.Script{Output: "the answer"})
	p := startHTTP(t, sim, []string{"--http=unix:" + socket})
	if info, err := os.Stat(socket); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket: %v %v", info.Mode(), err)
	}
	if content, text := p.connect("").tool(t.Context(), "nemotron_generate", `{"prompt":"hi"}`); content["output"] != "the answer" {
		t.Errorf("the answer: %s", text)
	}
	// Another one is not put in its place, and one that was killed is.
	if _, log, err := command(t, []string{"FAL_KEY=" + testKey, "FAL_QUEUE_URL=" + sim.QueueURL()}, "serve", "--http=unix:"+socket); err == nil || !strings.Contains(log, "another process listens") {
		t.Errorf("a second server: %v %s", err, log)
	}
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = p.ended()
	startHTTP(t, sim, []string{"--http=unix:" + socket}).connect("")

	// A socket of another kind is somebody's.
	other := filepath.Join(dir, "o")
	datagrams, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: other, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer datagrams.Close()
	if _, log, err := command(t, []string{"FAL_KEY=" + testKey, "FAL_QUEUE_URL=" + sim.QueueURL()}, "serve", "--http=unix:"+other); err == nil || !strings.Contains(log, "may be in use") {
		t.Errorf("in another's place: %v %s", err, log)
	}
}

// TestFoldersOverHTTP: a project that the server's own environment names is not
// for clients on other machines.
func TestFoldersOverHTTP(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.log"), []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	sim := startSimulator(t, falsim.Script{Output: "the answer"})
	const call = `{"prompt":"why","files":["a.log"]}`
	project := startHTTP(t, sim, nil, "CLAUDE_PROJECT_DIR="+dir).connect("")
	if _, text := project.tool(t.Context(), "nemotron_generate", call); !strings.HasPrefix(text, "FILE_NOT_ALLOWED") {
		t.Errorf("by CLAUDE_PROJECT_DIR: %s", text)
	}
	allowed := startHTTP(t, sim, []string{"--allow-dir=" + dir}).connect("")
	if content, text := allowed.tool(t.Context(), "nemotron_generate", call); content["output"] != "the answer" {
		t.Errorf("by --allow-dir: %s", text)
	}
}

// TestHealth: ready, or why not, and nothing secret.
func TestHealth(t *testing.T) {
	t.Parallel()
	sim := startSimulator(t, falsim.Script{})
	get := func(p *overHTTP) (int, string) {
		t.Helper()
		res, err := p.client.Get(p.url + "/healthz")
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(body)
	}
	if code, body := get(startHTTP(t, sim, []string{"--auth-tokens=" + tokens(t)})); code != 200 || !strings.Contains(body, `"ok"`) {
		t.Errorf("ready: %d %s", code, body)
	}
	if code, body := get(startHTTP(t, sim, nil, "FAL_KEY=")); code != 503 || !strings.Contains(body, "no fal key") {
		t.Errorf("no key: %d %s", code, body)
	}
	newer := stateDir(t)
	if err := os.MkdirAll(newer, 0o755); err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" { // an unsafe folder
		if err := os.Chmod(newer, 0o777); err != nil {
			t.Fatal(err)
		}
		if code, body := get(startHTTP(t, sim, nil, "NEMOTRON_MCP_STATE_DIR="+newer)); code != 503 || strings.Contains(body, newer) {
			t.Errorf("a folder that can't be trusted: %d %s", code, body)
		}
	}
}

// TestMetrics: what happened is counted, for those who have a token.
func TestMetrics(t *testing.T) {
	t.Parallel()
	sim := startSimulator(t, falsim.Script{
		Usage:  &falsim.Usage{InputTokens: 700, OutputTokens: 300},
		Faults: []falsim.Fault{{Step: falsim.StepResult, Status: 503, Times: 1}},
	})
	p := startHTTP(t, sim, []string{"--auth-tokens=" + tokens(t)})
	alice := p.connect(aliceToken)
	if _, text := alice.tool(t.Context(), "nemotron_generate", `{"prompt":"hi"}`); !strings.Contains(text, "COMPLETED") {
		t.Fatal(text)
	}
	alice.tool(t.Context(), "nemotron_generate", `{"prompt":""}`)
	alice.tool(t.Context(), "upload_file", `{"content_base64":"aGVsbG8="}`)
	page := func(token string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url+"/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		res, err := p.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(body)
	}
	if code, _ := page(""); code != http.StatusUnauthorized {
		t.Errorf("without a token: %d", code)
	}
	_, got := page(bobToken)
	for _, want := range []string{
		`nemotron_mcp_tool_calls_total{tool="nemotron_generate",caller="alice",outcome="ok"} 1`,
		`nemotron_mcp_tool_calls_total{tool="nemotron_generate",caller="alice",outcome="INVALID_INPUT"} 1`,
		`nemotron_mcp_jobs_ended_total{endpoint="nvidia/nemotron-3-nano-omni",caller="alice",status="COMPLETED"} 1`,
		`nemotron_mcp_tokens_total{endpoint="nvidia/nemotron-3-nano-omni",caller="alice",direction="input"} 700`,
		`nemotron_mcp_cost_usd_total{endpoint="nvidia/nemotron-3-nano-omni",caller="alice"} 0.01`,
		`nemotron_mcp_fal_requests_total{op="submit",outcome="ok"} 1`,
		`nemotron_mcp_fal_retries_total{op="result"} 1`,
		`nemotron_mcp_uploads_total{outcome="sent"} 1`,
		`nemotron_mcp_upload_bytes_total 5`,
		`nemotron_mcp_http_requests_total{path="/metrics",method="GET",status="401"} 1`,
		"nemotron_mcp_sessions 1",
		"nemotron_mcp_calls_in_flight 0",
	} {
		if !strings.Contains(got, want+"\n") {
			t.Errorf("not told: %s", want)
		}
	}
	for _, secret := range []string{testKey, aliceToken, bobToken, alice.session} {
		if strings.Contains(got, secret) {
			t.Errorf("%s is told", secret)
		}
	}
	if t.Failed() {
		t.Log(got)
	}
}

// TestTokensAreNotRead: a caller who could read the file of tokens could be any
// other.
func TestTokensAreNotRead(t *testing.T) {
	t.Parallel()
	sim := startSimulator(t, falsim.Script{})
	file := tokens(t)
	bob := startHTTP(t, sim, []string{"--auth-tokens=" + file, "--allow-dir=" + filepath.Dir(file)}).connect(bobToken)
	for _, call := range [][2]string{
		{"upload_file", fmt.Sprintf(`{"path":%q}`, file)},
		{"upload_file", `{"path":"tokens"}`},
		{"nemotron_generate", `{"prompt":"x","files":["tokens"]}`},
		{"nemotron_generate", `{"prompt":"x","files":["*"]}`},
	} {
		if content, text := bob.tool(t.Context(), call[0], call[1]); content != nil || !strings.HasPrefix(text, "FILE_") {
			t.Errorf("%s %s: %s", call[0], call[1], text)
		}
	}
	if s := sim.Stats(); s.Uploads != 0 || s.Accepted != 0 {
		t.Errorf("%d uploads, %d jobs", s.Uploads, s.Accepted)
	}
}

// TestRefusalsOverHTTP: what a prompt or a resource refuses is answered with its
// code, and with the status that the request's protocol version wants.
func TestRefusalsOverHTTP(t *testing.T) {
	t.Parallel()
	p := startHTTP(t, startSimulator(t, falsim.Script{}), nil)
	c := p.connect("")
	const modern = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"h","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}},`
	for name, tt := range map[string]struct {
		method, params, code string
		modern               bool
		status               int
	}{
		"a resource":                    {"resources/read", `"uri":"nemotron://jobs/unknown"`, `"code":-32002`, false, http.StatusOK},
		"a resource, without handshake": {"resources/read", `"uri":"nemotron://jobs/unknown"`, `"code":-32602`, true, http.StatusBadRequest},
		"arguments":                     {"prompts/get", `"name":"delegate"`, `"code":-32602`, false, http.StatusOK},
		"arguments, without handshake":  {"prompts/get", `"name":"delegate"`, `"code":-32602`, true, http.StatusBadRequest},
	} {
		params := tt.params
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.url+"/mcp", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header = http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"}}
		if tt.modern {
			params = modern + params
			named := map[string]string{"resources/read": "nemotron://jobs/unknown", "prompts/get": "delegate"}[tt.method]
			req.Header["Mcp-Protocol-Version"], req.Header["Mcp-Method"], req.Header["Mcp-Name"] = []string{"2026-07-28"}, []string{tt.method}, []string{named}
		} else {
			req.Header["Mcp-Session-Id"] = []string{c.session}
		}
		message := fmt.Sprintf(`{"jsonrpc":"2.0","id":"seven","method":%q,"params":{%s}}`, tt.method, params)
		req.Body, req.ContentLength = io.NopCloser(strings.NewReader(message)), int64(len(message))
		res, err := p.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil || res.StatusCode != tt.status || !strings.Contains(string(body), tt.code) || !strings.Contains(string(body), `"id":"seven"`) {
			t.Errorf("%s: %s %s %v", name, res.Status, body, err)
		}
	}
}
