package app

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"
)

// asked are the results of requests to a server on stdio, by their order.
func asked(t *testing.T, requests ...string) []map[string]any {
	t.Helper()
	lines := `{"jsonrpc":"2.0","id":-1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"host","version":"1"}}}` +
		"\n" + `{"jsonrpc":"2.0","method":"notifications/initialized"}` + "\n"
	for i, request := range requests {
		lines += `{"jsonrpc":"2.0","id":` + string(rune('0'+i)) + `,` + request + "}\n"
	}
	var out, log bytes.Buffer
	if code := Main(Build{}, []string{"serve"}, Streams{In: strings.NewReader(lines), Out: &out, Err: &log}); code != 0 {
		t.Fatalf("exit code %d: %s", code, log.String())
	}
	results := make([]map[string]any, len(requests))
	for line := range strings.Lines(out.String()) {
		var answer struct {
			ID     int
			Result map[string]any
		}
		if err := json.Unmarshal([]byte(line), &answer); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if answer.ID >= 0 {
			results[answer.ID] = answer.Result // nil for what the server does not have
		}
	}
	return results
}

// TestManifest fails when the bundle's manifest has other tools than the server,
// or does not say that the server has prompts.
func TestManifest(t *testing.T) {
	lists := asked(t, `"method":"tools/list"`, `"method":"prompts/list"`)
	renew(t, "manifest.json", func(manifest map[string]any) {
		var described []any
		for _, tool := range lists[0]["tools"].([]any) {
			tool := tool.(map[string]any)
			described = append(described, map[string]any{"name": tool["name"], "description": tool["description"]})
		}
		if len(described) < 5 {
			t.Fatalf("%d tools", len(described))
		}
		manifest["tools"] = described
		// Those that a manifest lists come with a text into which the host puts the
		// arguments as they are: a quotation mark would end the JSON that ours stand
		// in, and one that is left out would stay a placeholder. The server, which
		// encodes them, is asked instead.
		delete(manifest, "prompts")
		delete(manifest, "prompts_generated")
		if listed, _ := lists[1]["prompts"].([]any); len(listed) > 0 {
			manifest["prompts_generated"] = true
		}
	})
}

// TestRegistryEntry fails when the registry's entry has other variables than the
// program.
func TestRegistryEntry(t *testing.T) {
	model, err := commandModel(Streams{Out: io.Discard, Err: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	all := []any{
		map[string]any{"name": "FAL_KEY", "description": "The fal key, from https://fal.ai/dashboard/keys.", "isRequired": true, "isSecret": true},
		map[string]any{"name": "NEMOTRON_MCP_ALLOW_DIR", "description": "A list of paths: folders in which tools may read files."},
	}
	for _, option := range model.Flags {
		if name := variableOf(option); name != "" && option.Name != "state-dir" && option.Name != "fal-key-file" {
			all = append(all, variableEntry(name, option))
		}
	}
	renew(t, "server.json", func(entry map[string]any) {
		for _, p := range entry["packages"].([]any) {
			p := p.(map[string]any)
			p["environmentVariables"] = all
			if p["registryType"] == "mcpb" { // its manifest asks for the rest
				p["environmentVariables"] = slices.DeleteFunc(slices.Clone(all), func(v any) bool {
					name := v.(map[string]any)["name"]
					return name != "FAL_KEY" && name != "NEMOTRON_MCP_ALLOW_DIR" && name != "NEMOTRON_MCP_MAX_COST_PER_DAY"
				})
			}
		}
	})
	if len(all) < 15 {
		t.Errorf("only %d variables", len(all))
	}
}

func variableOf(option *kong.Flag) string {
	if option.Hidden || len(option.Envs) == 0 || option.Envs[0] == "-" {
		return ""
	}
	return option.Envs[0]
}

func variableEntry(name string, option *kong.Flag) map[string]any {
	entry := map[string]any{"name": name, "description": option.Help}
	if option.Default != "" {
		entry["default"] = option.Default
	}
	var words []any
	for _, word := range plain(option.EnumSlice()) {
		words = append(words, word.word)
	}
	if option.Enum != "" {
		entry["choices"] = words
	} else if option.PlaceHolder != "" {
		entry["placeholder"] = option.PlaceHolder
	}
	return entry
}

// renew compares a file of dist/ with what edit makes of it.
func renew(t *testing.T, name string, edit func(map[string]any)) {
	t.Helper()
	path := filepath.Join("..", "..", "dist", name)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var was, is map[string]any
	for _, into := range []*map[string]any{&was, &is} {
		if err := json.Unmarshal(text, into); err != nil {
			t.Fatal(err)
		}
	}
	edit(is)
	diff := cmp.Diff(was, is)
	if diff == "" {
		return
	}
	if !*update {
		t.Fatalf("%s has drifted; run make golden:\n%s", name, diff)
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(is); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}
