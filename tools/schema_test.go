package tools

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/mark3labs/mcp-go/mcp"

	"nemotron-mcp/schema"
)

var update = flag.Bool("update", false, "renew the golden files")

const goldenFolder = "../testdata/schema"

// listed is a tool as a client gets it.
type listed struct {
	Name         string          `json:"name"`
	Title        string          `json:"title"`
	Description  string          `json:"description"`
	InputSchema  json.RawMessage `json:"inputSchema"`
	OutputSchema json.RawMessage `json:"outputSchema"`
	Annotations  map[string]any  `json:"annotations"`
}

// listTools asks for the tools as a host does. mcp-go's client does not keep
// the schemas' text, so the server's message is read as it was sent.
func listTools(t *testing.T) (tools []listed, whole []byte) {
	t.Helper()
	srv, err := NewServer(Config{Version: "1"})
	must(t, err)
	c := newClient(t, srv)
	typed, err := c.ListTools(t.Context(), mcp.ListToolsRequest{})
	must(t, err)
	reply := srv.HandleMessage(t.Context(), json.RawMessage(`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`))
	whole, err = json.Marshal(reply)
	must(t, err)
	var wire struct {
		Result struct {
			Tools []listed `json:"tools"`
		} `json:"result"`
	}
	must(t, json.Unmarshal(whole, &wire))
	if len(typed.Tools) != len(wire.Result.Tools) || len(typed.Tools) == 0 {
		t.Fatalf("the client sees %d tools, the wire has %d", len(typed.Tools), len(wire.Result.Tools))
	}
	for i, tool := range typed.Tools {
		if tool.Name != wire.Result.Tools[i].Name || tool.InputSchema.Type != "object" || tool.OutputSchema.Type != "object" {
			t.Errorf("the client sees %+v", tool)
		}
	}
	return wire.Result.Tools, whole
}

// TestGolden shows each change of what a host is told. Run it with -update to
// accept one.
func TestGolden(t *testing.T) {
	t.Parallel()
	tools, _ := listTools(t)
	want := map[string]bool{}
	for _, tool := range tools {
		name := filepath.Join(goldenFolder, tool.Name+".json")
		want[filepath.Base(name)] = true
		got := golden(t, tool)
		if *update {
			must(t, os.MkdirAll(goldenFolder, 0o755))
			must(t, os.WriteFile(name, got, 0o644))
		}
		file, err := os.ReadFile(name)
		if err != nil {
			t.Errorf("%v; -update writes it", err)
			continue
		}
		file = bytes.ReplaceAll(file, []byte("\r\n"), []byte("\n"))
		if diff := cmp.Diff(string(file), string(got)); diff != "" {
			t.Errorf("%s (-golden +now):\n%s", name, diff)
		}
	}
	files, err := filepath.Glob(filepath.Join(goldenFolder, "*.json"))
	must(t, err)
	for _, name := range files {
		if !want[filepath.Base(name)] {
			t.Errorf("%s is of no tool", name)
		}
	}
}

func golden(t *testing.T, tool listed) []byte {
	t.Helper()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	must(t, enc.Encode(tool))
	return b.Bytes()
}

// TestHostRules holds every tool against what hosts take.
func TestHostRules(t *testing.T) {
	t.Parallel()
	const (
		server       = "nemotron-mcp"
		maxNames     = 60      // server and tool, in Cursor
		maxTold      = 2 << 10 // description and instructions, in Claude Code
		instructions = "instructions"
	)
	name := regexp.MustCompile(`^[a-z][a-z0-9_]{0,40}$`)
	tools, _ := listTools(t)
	for _, tool := range tools {
		if !name.MatchString(tool.Name) || len(server)+len(tool.Name) > maxNames {
			t.Errorf("%s: not a name for every host", tool.Name)
		}
		if len(tool.Description) >= maxTold || tool.Description == "" || tool.Title == "" {
			t.Errorf("%s: title %q, description of %d bytes", tool.Name, tool.Title, len(tool.Description))
		}
		for _, hint := range []string{"readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"} {
			if _, ok := tool.Annotations[hint].(bool); !ok {
				t.Errorf("%s: %s is %v", tool.Name, hint, tool.Annotations[hint])
			}
		}
		// Lint names properties without a description too.
		for what, doc := range map[string]json.RawMessage{"input": tool.InputSchema, "output": tool.OutputSchema} {
			for _, fault := range schema.Lint(doc) {
				t.Errorf("%s: %s: %s", tool.Name, what, fault)
			}
		}
	}
	srv, err := NewServer(Config{Version: "1"})
	must(t, err)
	c := newClient(t, srv)
	init := mcp.InitializeRequest{}
	init.Params.ProtocolVersion = mcp.LATEST_LEGACY_PROTOCOL_VERSION
	res, err := c.Initialize(t.Context(), init)
	must(t, err)
	if res.Instructions == "" || len(res.Instructions) >= maxTold {
		t.Errorf("%s of %d bytes", instructions, len(res.Instructions))
	}
}

// TestHints holds the annotations against what each tool does.
func TestHints(t *testing.T) {
	t.Parallel()
	want := map[string]map[string]any{
		"nemotron_generate": {"readOnlyHint": false, "destructiveHint": false, "idempotentHint": false, "openWorldHint": true},
		"queue_status":      {"readOnlyHint": true, "destructiveHint": false, "idempotentHint": true, "openWorldHint": true},
		"queue_cancel":      {"readOnlyHint": false, "destructiveHint": true, "idempotentHint": true, "openWorldHint": true},
		"queue_list":        {"readOnlyHint": true, "destructiveHint": false, "idempotentHint": true, "openWorldHint": false},
		"upload_file":       {"readOnlyHint": false, "destructiveHint": false, "idempotentHint": false, "openWorldHint": true},
	}
	got := map[string]map[string]any{}
	tools, _ := listTools(t)
	for _, tool := range tools {
		got[tool.Name] = tool.Annotations
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestBudget bounds what the tools cost every conversation, in tokens of 4
// bytes.
func TestBudget(t *testing.T) {
	t.Parallel()
	const beforeModel, wholeList = 1200, 2400
	tools, whole := listTools(t)
	sum := 0
	for _, tool := range tools {
		b, err := json.Marshal(map[string]any{"name": tool.Name, "description": tool.Description, "inputSchema": tool.InputSchema})
		must(t, err)
		t.Logf("%s: %d tokens", tool.Name, len(b)/4)
		sum += len(b)
	}
	t.Logf("before the model: %d tokens; tools/list: %d", sum/4, len(whole)/4)
	if sum/4 > beforeModel {
		t.Errorf("%d tokens before the model, more than %d", sum/4, beforeModel)
	}
	if len(whole)/4 > wholeList {
		t.Errorf("tools/list has %d tokens, more than %d", len(whole)/4, wholeList)
	}
}

func TestMarkdown(t *testing.T) {
	t.Parallel()
	declared, err := Declarations()
	must(t, err)
	table, err := Markdown(declared)
	must(t, err)
	wantIn(t, table,
		"| `nemotron_generate` | ", "**`prompt`** string", "`reasoning_mode` think or no_think, default no_think",
		"`max_tokens` integer 1 to 20000, default 1024", "`offset` integer from 0, default 0", "| `queue_list` | ")
	for i, row := range strings.Split(strings.TrimSpace(table), "\n") {
		if n := strings.Count(strings.ReplaceAll(row, `\|`, ""), "|"); n != 4 {
			t.Errorf("row %d has %d bars: %s", i, n, row)
		}
	}
	if _, err := Markdown([]mcp.Tool{{Name: "broken", RawInputSchema: json.RawMessage(`[]`)}}); err == nil {
		t.Error("a broken schema makes a table")
	}
}
