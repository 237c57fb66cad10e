package hosts_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pelletier/go-toml/v2"
	"github.com/tailscale/hujson"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"nemotron-mcp/internal/hosts"
)

var update = flag.Bool("update", false, "renew the golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func server(args ...string) hosts.Server {
	return hosts.Server{Name: "nemotron", Command: `/opt/nemo "tron"/nemotron-mcp`, Args: append([]string{"serve"}, args...), Keys: []string{"FAL_KEY"}}
}

func lookup(t rapid.TB, name string) hosts.Host {
	h, ok := hosts.Lookup(name)
	if !ok {
		t.Fatalf("no host %s", name)
	}
	return h
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

// decode reads a configuration with other code than what edits it.
func decode(t rapid.TB, h hosts.Host, text []byte) map[string]any {
	var v map[string]any
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	var err error
	if h.Format == hosts.TOML {
		err = toml.Unmarshal(text, &v)
	} else if text, err = hujson.Standardize(append(bytes.Clone(text), '\n')); err == nil {
		err = json.Unmarshal(text, &v)
	}
	if err != nil {
		t.Fatalf("not readable: %v\n%s", err, text)
	}
	return v
}

func TestRender(t *testing.T) {
	t.Parallel()
	for _, h := range hosts.All() {
		t.Run(h.Name, func(t *testing.T) {
			t.Parallel()
			text, err := h.Render(server("--allow-dir=/srv/a folder"))
			if err != nil {
				t.Fatal(err)
			}
			golden(t, h.Name, text)
			golden(t, h.Name+".lines", fmt.Appendf(nil, "%s\n%s\n%s\n", h.Link(server()), h.CommandLine(server(), hosts.User, "linux"), h.CommandLine(server(), hosts.User, "windows")))
		})
	}
}

// TestMerge edits real configurations: into each, again, and out again.
func TestMerge(t *testing.T) {
	t.Parallel()
	samples, err := filepath.Glob("testdata/*.in")
	if err != nil || len(samples) < 10 {
		t.Fatalf("samples: %v, %v", samples, err)
	}
	for _, sample := range samples {
		name := strings.TrimSuffix(filepath.Base(sample), ".in")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := lookup(t, strings.SplitN(name, ".", 2)[0])
			before, err := os.ReadFile(sample)
			if err != nil {
				t.Fatal(err)
			}
			merged, err := h.Merge(before, server())
			if err != nil || !merged.Changed {
				t.Fatalf("changed %v, error %v", merged.Changed, err)
			}
			golden(t, name, merged.Text)
			again, err := h.Merge(merged.Text, server())
			if err != nil || again.Changed || !bytes.Equal(again.Text, merged.Text) {
				t.Errorf("a second merge changed it: %v\n%s", err, again.Text)
			}
			found, err := h.Find(merged.Text, "nemotron")
			if err != nil || found == nil || found.Command != server().Command || !cmp.Equal(found.Args, server().Args) {
				t.Errorf("found %+v, %v", found, err)
			}
			removed, err := h.Remove(merged.Text, "nemotron")
			if err != nil {
				t.Fatal(err)
			}
			golden(t, name+".removed", removed.Text)
			servers, _ := decode(t, h, removed.Text)[h.ServersKey].(map[string]any)
			if _, still := servers["nemotron"]; still {
				t.Error("still there")
			}
		})
	}
}

// TestUnused switches to another source of the key: what was put in for the old
// one goes, and what a person put in stays.
func TestUnused(t *testing.T) {
	t.Parallel()
	variables := []string{"FAL_KEY", "FAL_KEY_ID", "FAL_KEY_SECRET"}
	for _, h := range hosts.All() {
		t.Run(h.Name, func(t *testing.T) {
			t.Parallel()
			old, fromFile := server(), server("--fal-key-file=/k")
			old.Keys, fromFile.Keys, fromFile.Unused = variables, nil, variables
			before, err := h.Render(old)
			if err != nil {
				t.Fatal(err)
			}
			c, err := h.Merge(before, fromFile)
			if err != nil || len(c.KeptUnused) > 0 {
				t.Fatal(c.KeptUnused, err)
			}
			want, err := h.Render(fromFile)
			if err != nil {
				t.Fatal(err)
			}
			got := decode(t, h, c.Text)
			if inputs, ok := got["inputs"].([]any); ok && len(inputs) == 0 {
				delete(got, "inputs")
			}
			if diff := cmp.Diff(decode(t, h, want), got); diff != "" {
				t.Error(diff)
			}
			pair := server()
			pair.Keys, pair.Unused = variables[1:], variables[:1]
			c, err = h.Merge(before, pair)
			if err != nil || h.Secrets != hosts.Inherits && strings.Contains(string(c.Text), `FAL_KEY"`) {
				t.Errorf("FAL_KEY is still there: %v\n%s", err, c.Text)
			}
		})
	}
	for name, tt := range map[string]struct{ host, text string }{
		"a value":            {"cursor", `{"mcpServers": {"nemotron": {"command": "x", "env": {"FAL_KEY": "hush", "FAL_KEY_ID": ""}}}}`},
		"another reference":  {"cursor", `{"mcpServers": {"nemotron": {"command": "x", "env": {"FAL_KEY": "${env:MINE}"}}}}`},
		"a value in TOML":    {"codex", "[mcp_servers.nemotron]\ncommand = 'x'\nenv = {FAL_KEY = 'hush'}\n"},
		"a value beside one": {"zed", `{"context_servers": {"nemotron": {"command": "x", "env": {"FAL_KEY": "hush"}}}}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := server("--fal-key-file=/k")
			s.Keys, s.Unused = nil, variables
			c, err := lookup(t, tt.host).Merge([]byte(tt.text), s)
			if err != nil || !cmp.Equal(c.KeptUnused, variables[:1]) || !strings.Contains(string(c.Text), "FAL_KEY") {
				t.Errorf("kept %v, %v\n%s", c.KeptUnused, err, c.Text)
			}
		})
	}
}

// TestRemoveKeepsInputs: an input of a person's stays, whatever its description.
func TestRemoveKeepsInputs(t *testing.T) {
	t.Parallel()
	h := lookup(t, "vscode")
	const mine = `{"inputs": [{"id": "mine", "type": "promptString", "description": "fal.ai: mine too"}], "servers": {}}`
	merged, err := h.Merge([]byte(mine), server())
	if err != nil {
		t.Fatal(err)
	}
	removed, err := h.Remove(merged.Text, "nemotron")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(decode(t, h, []byte(mine)), decode(t, h, removed.Text)); diff != "" {
		t.Error(diff)
	}
}

func TestCheckName(t *testing.T) {
	t.Parallel()
	for name, good := range map[string]bool{
		"nemotron": true, "N": true, "a-b_c9": true, strings.Repeat("a", 32): true,
		"": false, "-x": false, "--write": false, "__proto__": false, "9a": false, "a b": false, "a.b": false, "é": false, strings.Repeat("a", 33): false,
	} {
		if err := hosts.CheckName(name); (err == nil) != good {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestEmpty(t *testing.T) {
	t.Parallel()
	for _, h := range hosts.All() {
		want, err := h.Render(server())
		if err != nil {
			t.Fatal(err)
		}
		texts := []string{"", " \n", "\ufeff"}
		if h.Format == hosts.JSON {
			texts = append(texts, "{}", "{ }\n", "// nothing\n", "{\n}\n")
		}
		for _, text := range texts {
			c, err := h.Merge([]byte(text), server())
			if err != nil || !cmp.Equal(decode(t, h, c.Text), decode(t, h, want)) {
				t.Errorf("%s, %q: %v\n%s", h.Name, text, err, c.Text)
			}
		}
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		host, text string
		want       error
	}{
		"cut off":                {"cursor", `{"mcpServers": {`, hosts.ErrBroken},
		"not JSON":               {"cursor", `mcpServers`, hosts.ErrBroken},
		"secret in a bad string": {"cursor", `{"k": "hush-hush\x"}`, hosts.ErrBroken},
		"nested":                 {"cursor", strings.Repeat(`{"]":[`, 1<<19), hosts.ErrBroken},
		"large":                  {"cursor", `{"a":"` + strings.Repeat("x", 10<<20) + `"}`, hosts.ErrBroken},
		"not UTF-8":              {"cursor", "{\"a\":\"\xff\"}", hosts.ErrBroken},
		"UTF-16":                 {"cursor", "\xff\xfe{\x00}\x00", hosts.ErrBroken},
		"root is a list":         {"cursor", `[]`, hosts.ErrShape},
		"servers are a list":     {"cursor", `{"mcpServers": []}`, hosts.ErrShape},
		"servers are null":       {"cursor", `{"mcpServers": null}`, hosts.ErrShape},
		"servers twice":          {"cursor", `{"mcpServers": {}, "mcp\u0053ervers": {}}`, hosts.ErrShape},
		"entry twice":            {"cursor", `{"mcpServers": {"nemotron": {}, "nemotron": {}}}`, hosts.ErrShape},
		"entry is text":          {"cursor", `{"mcpServers": {"nemotron": "x"}}`, hosts.ErrShape},
		"env is a list":          {"cursor", `{"mcpServers": {"nemotron": {"env": []}}}`, hosts.ErrShape},
		"a URL":                  {"cursor", `{"mcpServers": {"nemotron": {"url": "http://127.0.0.1/mcp"}}}`, hosts.ErrShape},
		"inputs are an object":   {"vscode", `{"inputs": {}}`, hosts.ErrShape},
		"not TOML":               {"codex", "a = hush-hush\n", hosts.ErrBroken},
		"a table twice":          {"codex", "[a]\n[a]\n", hosts.ErrBroken},
		"a key twice":            {"codex", "[a]\nb=1\nb=2\n", hosts.ErrBroken},
		"inline servers":         {"codex", "mcp_servers = {}\n", hosts.ErrShape},
		"list of servers":        {"codex", "[[mcp_servers]]\n", hosts.ErrShape},
		"list of entries":        {"codex", "[[mcp_servers.nemotron]]\n", hosts.ErrShape},
		"inline entry":           {"codex", "[mcp_servers]\nnemotron = {command = 'x'}\n", hosts.ErrShape},
		"dotted entry":           {"codex", "mcp_servers.nemotron.command = 'x'\n", hosts.ErrShape},
		"a URL in TOML":          {"codex", "[mcp_servers.nemotron]\nurl = 'http://x'\n", hosts.ErrShape},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := lookup(t, tt.host).Merge([]byte(tt.text), server())
			if !errors.Is(err, tt.want) || c.Text != nil {
				t.Errorf("error %v, want %v; text %.80q", err, tt.want, c.Text)
			}
			if err != nil && strings.Contains(err.Error(), "hush") {
				t.Errorf("the error tells what is in the file: %v", err)
			}
		})
	}
}

// TestAnyFile puts the server in and takes it out of files that nobody wrote by
// hand: all else must stay.
func TestAnyFile(t *testing.T) {
	t.Parallel()
	space := rapid.SampledFrom([]string{"", " ", "\n", "\n\t", "\r\n  ", " // c, \"}\n", "/* ] */", "\n  # "})
	key := rapid.SampledFrom([]string{"a", "nemotron", "mcpServers", "servers", "inputs", "x\\\"y", "é"})
	rapid.Check(t, func(t *rapid.T) {
		gap := func() string { return strings.ReplaceAll(space.Draw(t, "gap"), "#", "") }
		var value func(depth int) string
		object := func(depth int, first string) string {
			var parts []string
			if first != "" {
				parts = append(parts, first)
			}
			for i, n := 0, rapid.IntRange(0, 3).Draw(t, "n"); i < n; i++ {
				parts = append(parts, fmt.Sprintf(`%s"%s%d"%s:%s%s%s`, gap(), key.Draw(t, "key"), i, gap(), gap(), value(depth+1), gap()))
			}
			text := strings.Join(parts, ",")
			if len(parts) > 0 && rapid.Bool().Draw(t, "comma") {
				text += ","
			}
			return "{" + text + gap() + "}"
		}
		value = func(depth int) string {
			switch k := rapid.IntRange(0, 4).Draw(t, "kind"); {
			case k == 0 && depth < 4:
				return object(depth, "")
			case k == 1 && depth < 4:
				return "[" + gap() + value(depth+1) + gap() + "," + gap() + value(depth+1) + "]"
			case k == 2:
				return `"te\"xt // no"`
			case k == 3:
				return "12.50"
			}
			return "null"
		}
		h := rapid.SampledFrom(hosts.All()).Draw(t, "host")
		if h.Format == hosts.TOML {
			h = lookup(t, "vscode")
		}
		first := ""
		if rapid.Bool().Draw(t, "servers") {
			first = gap() + `"` + h.ServersKey + `":` + gap() + object(1, "") + gap()
		}
		before := []byte(gap() + object(0, first) + gap())
		merged, err := h.Merge(before, server())
		if err != nil {
			t.Fatalf("%v in %s", err, before)
		}
		want := decode(t, h, before)
		servers, _ := want[h.ServersKey].(map[string]any)
		got := decode(t, h, merged.Text)[h.ServersKey].(map[string]any)
		if len(got) != len(servers)+1 || got["nemotron"] == nil {
			t.Fatalf("%s became\n%s", before, merged.Text)
		}
		for _, comment := range []string{"// c,", "/* ] */"} {
			if bytes.Count(before, []byte(comment)) != bytes.Count(merged.Text, []byte(comment)) {
				t.Fatalf("a comment is gone: %s became\n%s", before, merged.Text)
			}
		}
		removed, err := h.Remove(merged.Text, "nemotron")
		if err != nil {
			t.Fatalf("%v in %s", err, merged.Text)
		}
		after := decode(t, h, removed.Text)
		for _, v := range []map[string]any{want, after} {
			if m, ok := v[h.ServersKey].(map[string]any); ok && len(m) == 0 {
				delete(v, h.ServersKey)
			}
			if l, ok := v["inputs"].([]any); ok && len(l) == 0 {
				delete(v, "inputs")
			}
		}
		if diff := cmp.Diff(want, after); diff != "" {
			t.Fatalf("%s\n%s\n%s\n%s", before, merged.Text, removed.Text, diff)
		}
	})
}

// TestAnyTOML does the same for TOML.
func TestAnyTOML(t *testing.T) {
	t.Parallel()
	h := lookup(t, "codex")
	rapid.Check(t, func(t *rapid.T) {
		lines := []string{"", "# c", "  # [x]"}
		var b strings.Builder
		for i, n := 0, rapid.IntRange(0, 6).Draw(t, "tables"); i < n; i++ {
			if i > 0 {
				table := rapid.SampledFrom([]string{"a%d", "mcp_servers.b%d", `mcp_servers."nemotron.x%d"`, "nemotron.x%d"}).Draw(t, "table")
				fmt.Fprintf(&b, "%s\n["+table+"]\n", rapid.SampledFrom(lines).Draw(t, "gap"), i)
			}
			for j, m := 0, rapid.IntRange(0, 3).Draw(t, "keys"); j < m; j++ {
				value := rapid.SampledFrom([]string{"1", `"x"`, "'''\n[mcp_servers.nemotron]\n'''", "[\n 1, # c\n]", "{a = {b = 1}}", "2026-01-02 03:04:05", "1.5 # c"}).Draw(t, "value")
				fmt.Fprintf(&b, "k%d = %s\n", j, value)
			}
		}
		before := []byte(b.String())
		merged, err := h.Merge(before, server())
		if err != nil {
			t.Fatalf("%v in %s", err, before)
		}
		if !bytes.HasPrefix(merged.Text, before) {
			t.Fatalf("%s\nbecame\n%s", before, merged.Text)
		}
		removed, err := h.Remove(merged.Text, "nemotron")
		if err != nil || !bytes.Equal(removed.Text, before) {
			t.Fatalf("%v: %q came back as %q", err, before, removed.Text)
		}
		if diff := cmp.Diff(decode(t, h, before), decode(t, h, removed.Text)); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestPath(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		host, os string
		scope    hosts.Scope
		env      map[string]string
		want     string
	}{
		"claude code":             {"claude-code", "linux", hosts.User, map[string]string{"HOME": "/h"}, "/h/.claude.json"},
		"claude code, elsewhere":  {"claude-code", "linux", hosts.User, map[string]string{"HOME": "/h", "CLAUDE_CONFIG_DIR": "/c/"}, "/c/.claude.json"},
		"claude code, windows":    {"claude-code", "windows", hosts.User, map[string]string{"USERPROFILE": `C:\Users\u`}, `C:\Users\u\.claude.json`},
		"claude code, project":    {"claude-code", "linux", hosts.Project, nil, "/p/.mcp.json"},
		"claude desktop, mac":     {"claude-desktop", "darwin", hosts.User, map[string]string{"HOME": "/Users/u"}, "/Users/u/Library/Application Support/Claude/claude_desktop_config.json"},
		"claude desktop, windows": {"claude-desktop", "windows", hosts.User, map[string]string{"APPDATA": `C:\Users\u\AppData\Roaming`}, `C:\Users\u\AppData\Roaming\Claude\claude_desktop_config.json`},
		"cursor":                  {"cursor", "darwin", hosts.User, map[string]string{"HOME": "/h"}, "/h/.cursor/mcp.json"},
		"vs code, linux":          {"vscode", "linux", hosts.User, map[string]string{"HOME": "/h"}, "/h/.config/Code/User/mcp.json"},
		"vs code, xdg":            {"vscode", "linux", hosts.User, map[string]string{"HOME": "/h", "XDG_CONFIG_HOME": "/x"}, "/x/Code/User/mcp.json"},
		"vs code, relative xdg":   {"vscode", "linux", hosts.User, map[string]string{"HOME": "/h", "XDG_CONFIG_HOME": "x"}, "/h/.config/Code/User/mcp.json"},
		"vs code, mac":            {"vscode", "darwin", hosts.User, map[string]string{"HOME": "/h", "XDG_CONFIG_HOME": "/x"}, "/h/Library/Application Support/Code/User/mcp.json"},
		"vs code, windows":        {"vscode", "windows", hosts.User, map[string]string{"USERPROFILE": `C:\u`}, `C:\u\AppData\Roaming\Code\User\mcp.json`},
		"codex":                   {"codex", "linux", hosts.User, map[string]string{"HOME": "/h"}, "/h/.codex/config.toml"},
		"codex, elsewhere":        {"codex", "linux", hosts.User, map[string]string{"CODEX_HOME": "/c"}, "/c/config.toml"},
		"gemini":                  {"gemini", "linux", hosts.User, map[string]string{"HOME": "/h"}, "/h/.gemini/settings.json"},
		"gemini, elsewhere":       {"gemini", "linux", hosts.User, map[string]string{"GEMINI_CLI_HOME": "/g"}, "/g/.gemini/settings.json"},
		"zed, mac":                {"zed", "darwin", hosts.User, map[string]string{"HOME": "/h", "XDG_CONFIG_HOME": "/x"}, "/h/.config/zed/settings.json"},
		"zed, flatpak":            {"zed", "linux", hosts.User, map[string]string{"HOME": "/h", "FLATPAK_XDG_CONFIG_HOME": "/f"}, "/f/zed/settings.json"},
		"zed, windows":            {"zed", "windows", hosts.User, map[string]string{"APPDATA": `C:\a`}, `C:\a\Zed\settings.json`},
		"windsurf":                {"windsurf", "linux", hosts.User, map[string]string{"HOME": "/h"}, "/h/.codeium/windsurf/mcp_config.json"},
		"no home":                 {"cursor", "linux", hosts.User, nil, ""},
		"no project":              {"windsurf", "linux", hosts.Project, map[string]string{"HOME": "/h"}, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := lookup(t, tt.host).Path(tt.scope, hosts.Place{OS: tt.os, Env: func(v string) string { return tt.env[v] }, Project: "/p"})
			if got != tt.want || (err == nil) != (tt.want != "") {
				t.Errorf("%q, %v; want %q", got, err, tt.want)
			}
		})
	}
}
