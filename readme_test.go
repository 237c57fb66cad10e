package main

import (
	"flag"
	"os"
	"strings"
	"testing"

	"nemotron-mcp/tools"
)

var update = flag.Bool("update", false, "renew the table of tools in README.md")

// TestReadmeTools fails when the README's table is not what the tools declare.
func TestReadmeTools(t *testing.T) {
	const begin, end = "<!-- tools: printed by \"nemotron-mcp schema --markdown\" -->\n", "<!-- /tools -->"
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(strings.ReplaceAll(string(readme), "\r\n", "\n"), begin)
	table, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatal("README.md has no place for the table of tools")
	}
	declared, err := tools.Declarations()
	if err != nil {
		t.Fatal(err)
	}
	want, err := tools.Markdown(declared)
	if err != nil {
		t.Fatal(err)
	}
	if table == want {
		return
	}
	if !*update {
		t.Fatal("the README's table of tools has drifted; run make golden")
	}
	if err := os.WriteFile("README.md", []byte(before+begin+want+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}
