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
	sim := startSimulator(t, falsim.Script{})
	for _, tc := range []struct {
		name, file, text string
		status           string
		words            []string
	}{
		{"no host", ".cursor/none.json", "", "ok", []string{"no host on this machine", "nemotron-mcp install"}},
		{"no limit", ".cursor/mcp.json", `{"mcpServers": {"nemotron": {"command": ` + string(program) + `}}}`, "ok", []string{"Cursor has this server", "no limit", "waits 45s"}},
		{"a limit", ".codex/config.toml", "[mcp_servers.nemotron]\ncommand = " + string(program) + "\n", "ok", []string{"Codex has this server", "after 5 minutes"}},
		{"a limit that progress extends", ".claude.json", `{"mcpServers": {"nemotron": {"command": ` + string(program) + `}}}`, "ok", []string{"Claude Code", "tells nothing for 30 minutes"}},
		{"over HTTP", ".cursor/mcp.json", `{"mcpServers": {"nemotron": {"url": "http://127.0.0.1:8080/mcp"}}}`, "ok", []string{"Cursor has this server"}},
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
			examine(t, append(atSimulator(sim), "HOME="+home, "USERPROFILE="+home), "--offline").holds(t, "clients", tc.status, tc.words...)
		})
	}
}
