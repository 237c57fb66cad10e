package app_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"nemotron-mcp/internal/falsim"
)

func TestDoctorOnClients(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := json.Marshal(self)
	if err != nil {
		t.Fatal(err)
	}
	entry := func(servers, env string) string {
		return `{"` + servers + `": {"nemotron": {"command": ` + string(program) + `, "env": ` + env + `}}}`
	}
	sim := startSimulator(t, falsim.Script{})
	for _, tc := range []struct {
		name, file, text string
		status           string
		words            []string
	}{
		{"no host", ".cursor/none.json", "", "ok", []string{"no host on this machine", "nemotron-mcp install"}},
		{"no limit", ".cursor/mcp.json", entry("mcpServers", `{"FAL_KEY": "${env:FAL_KEY}"}`), "ok", []string{"Cursor has this server", "no limit", "waits 45s", "refers to FAL_KEY and does not hold it"}},
		{"a limit", ".codex/config.toml", "[mcp_servers.nemotron]\ncommand = " + string(program) + "\nenv_vars = ['FAL_KEY']\n", "ok", []string{"Codex has this server", "after 5 minutes", "refers to FAL_KEY "}},
		{"a limit that progress extends", ".claude.json", entry("mcpServers", `{"FAL_KEY_ID": "${FAL_KEY_ID:-}", "FAL_KEY_SECRET": "${FAL_KEY_SECRET:-}"}`), "ok", []string{"Claude Code", "tells nothing for 30 minutes", "refers to FAL_KEY_ID and FAL_KEY_SECRET"}},
		{"over HTTP", ".cursor/mcp.json", `{"mcpServers": {"nemotron": {"url": "http://127.0.0.1:8080/mcp"}}}`, "ok", []string{"Cursor has this server"}},
		{"a key that it holds", ".cursor/mcp.json", entry("mcpServers", `{"FAL_KEY": "`+doctorKey+`"}`), "ok", []string{"holds a key in FAL_KEY"}},
		{"a placeholder", ".cursor/mcp.json", entry("mcpServers", `{"FAL_KEY": "${put your key here}"}`), "failed", []string{"FAL_KEY in the entry is still the placeholder", "https://fal.ai/dashboard/keys", "restart Cursor"}},
		{"a placeholder beside a key file", ".cursor/mcp.json", entry("mcpServers", `{"FAL_KEY": "${put your key here}", "NEMOTRON_MCP_FAL_KEY_FILE": "/k"}`), "ok", []string{"names a file with the key"}},
		{"a key file", ".cursor/mcp.json", `{"mcpServers": {"nemotron": {"command": ` + string(program) + `, "args": ["serve", "--fal-key-file", "/k"]}}}`, "ok", []string{"names a file with the key"}},
		{"no key", ".cursor/mcp.json", entry("mcpServers", `{}`), "warning", []string{"has no key", "install cursor --write' puts it in"}},
		{"half a key", ".cursor/mcp.json", entry("mcpServers", `{"FAL_KEY_ID": "x"}`), "warning", []string{"has no key"}},
		{"no key, of a host that hands on its own", ".config/zed/settings.json", entry("context_servers", `{}`), "ok", []string{"Zed hands its own variables"}},
		{"a program that is gone", ".cursor/mcp.json", `{"mcpServers": {"nemotron": {"command": "/nowhere/nemotron-mcp"}}}`, "failed", []string{"can't be run", "install cursor --write"}},
		{"a broken file", ".cursor/mcp.json", `{"mcpServers": `, "warning", []string{"Cursor", "can't be read", "Mend it"}},
		{"another server", ".cursor/mcp.json", `{"mcpServers": {"other": {"command": "/nowhere"}}}`, "ok", []string{"no host on this machine"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			home := t.TempDir()
			path := filepath.Join(home, filepath.FromSlash(tc.file))
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if tc.text != "" {
				if err := os.WriteFile(path, []byte(tc.text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			examine(t, append(atSimulator(sim), "HOME="+home, "USERPROFILE="+home, "XDG_CONFIG_HOME=", "APPDATA="+filepath.Join(home, ".config")), "--offline").holds(t, "clients", tc.status, tc.words...)
		})
	}
}
