package hosts

import (
	"strings"
	"time"
)

// Scope says for whom a configuration is.
type Scope string

// The scopes.
const (
	User    Scope = "user"    // every project of the user
	Project Scope = "project" // one folder, and whoever shares it
)

// Format is the syntax of a configuration.
type Format int

// The formats.
const (
	JSON Format = iota // with comments and trailing commas where the file has them
	TOML
)

// Secrets says how a host hands a secret to a server.
type Secrets int

// The ways of handing over a secret.
const (
	// Expands puts the value of a variable of the host's own environment where the
	// entry names it.
	Expands Secrets = iota
	// Asks asks the person once and keeps the answer itself.
	Asks
	// Forwards clears the environment and passes on the variables that are listed.
	Forwards
	// Inherits hands its own environment to the server, and replaces nothing in the
	// entry.
	Inherits
	// Literal has the value itself in the file: there is nothing else.
	Literal
)

// Host is a program that starts MCP servers.
type Host struct {
	Name, Title string
	Format      Format
	// ServersKey is the member of the configuration that holds the servers.
	ServersKey string
	Secrets    Secrets
	// CallLimit is how long the host waits for one call; 0 where no limit is known.
	// ExtendedByProgress says that it counts from the last progress.
	CallLimit          time.Duration
	ExtendedByProgress bool

	reference string // of a variable in the entry, %s being its name
	special   string // what begins something that the host replaces in an entry
	typed     bool   // an entry says that it is of type stdio
	paths     map[Scope]location
}

// All are the hosts that are known, in the order in which they are listed.
func All() []Host {
	return []Host{
		{
			// Without a default an unset variable keeps older versions from starting at
			// all.
			Name: "claude-code", Title: "Claude Code", ServersKey: "mcpServers", Secrets: Expands, reference: "${%s:-}", special: "${",
			CallLimit: 30 * time.Minute, ExtendedByProgress: true, typed: true,
			paths: map[Scope]location{User: {root: claudeConfig, rest: []string{".claude.json"}}, Project: {rest: []string{".mcp.json"}}},
		},
		{
			Name: "claude-desktop", Title: "Claude Desktop", ServersKey: "mcpServers", Secrets: Literal, CallLimit: 4 * time.Minute,
			paths: map[Scope]location{User: {root: appConfig, rest: []string{"Claude", "claude_desktop_config.json"}}},
		},
		{
			Name: "cursor", Title: "Cursor", ServersKey: "mcpServers", Secrets: Expands, reference: "${env:%s}", special: "${",
			paths: map[Scope]location{User: {root: home, rest: []string{".cursor", "mcp.json"}}, Project: {rest: []string{".cursor", "mcp.json"}}},
		},
		{
			Name: "vscode", Title: "VS Code", ServersKey: "servers", Secrets: Asks, reference: "${input:%s}", special: "${", typed: true,
			paths: map[Scope]location{User: {root: appConfig, rest: []string{"Code", "User", "mcp.json"}}, Project: {rest: []string{".vscode", "mcp.json"}}},
		},
		{
			Name: "codex", Title: "Codex", Format: TOML, ServersKey: "mcp_servers", Secrets: Forwards, CallLimit: 300 * time.Second,
			paths: map[Scope]location{User: {root: codexHome, rest: []string{"config.toml"}}, Project: {rest: []string{".codex", "config.toml"}}},
		},
		{
			// It keeps variables that look like secrets from a server whose entry does not
			// name them.
			Name: "gemini", Title: "Gemini CLI", ServersKey: "mcpServers", Secrets: Expands, reference: "${%s}", special: "$", CallLimit: 600 * time.Second,
			paths: map[Scope]location{User: {root: geminiHome, rest: []string{".gemini", "settings.json"}}, Project: {rest: []string{".gemini", "settings.json"}}},
		},
		{
			Name: "zed", Title: "Zed", ServersKey: "context_servers", Secrets: Inherits, CallLimit: 60 * time.Second,
			paths: map[Scope]location{User: {root: zedConfig, rest: []string{"settings.json"}}, Project: {rest: []string{".zed", "settings.json"}}},
		},
		{
			Name: "windsurf", Title: "Windsurf", ServersKey: "mcpServers", Secrets: Expands, reference: "${env:%s}", special: "${",
			paths: map[Scope]location{User: {root: home, rest: []string{".codeium", "windsurf", "mcp_config.json"}}},
		},
	}
}

// Lookup finds a host by its name.
func Lookup(name string) (Host, bool) {
	for _, h := range All() {
		if h.Name == name {
			return h, true
		}
	}
	return Host{}, false
}

// Scopes are those that the host has a file for, that of the user first.
func (h Host) Scopes() []Scope {
	var scopes []Scope
	for _, s := range []Scope{User, Project} {
		if _, ok := h.paths[s]; ok {
			scopes = append(scopes, s)
		}
	}
	return scopes
}

// Replaces reports whether the host would replace a part of the text by
// something else, were it in an entry.
func (h Host) Replaces(text string) bool {
	return h.special != "" && strings.Contains(text, h.special)
}
