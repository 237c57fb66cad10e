package app

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	span     = regexp.MustCompile("`([^`\n]+)`")
	flagWord = regexp.MustCompile(`^--[a-z][a-z-]*$`)
)

// TestCommandsInProse: each command and each flag that the pages name in a
// sentence is one that the command line has. Whole blocks of commands are run,
// by the tests at the top of the project.
func TestCommandsInProse(t *testing.T) {
	t.Parallel()
	streams := Streams{In: strings.NewReader(""), Out: io.Discard, Err: io.Discard}
	model, err := commandModel(streams)
	if err != nil {
		t.Fatal(err)
	}
	flags := map[string]bool{"--help": true}
	for _, flag := range model.Flags {
		flags["--"+flag.Name] = true
	}
	for _, command := range model.Leaves(false) {
		for _, flag := range command.Flags {
			flags["--"+flag.Name] = true
		}
	}
	var pages []string
	for _, pattern := range []string{"../../*.md", "../../docs/*.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			t.Fatalf("no pages %s: %v", pattern, err)
		}
		pages = append(pages, found...)
	}
	commands := 0
	for _, name := range pages {
		page, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range span.FindAllStringSubmatch(string(page), -1) {
			words := strings.Fields(m[1])
			for _, word := range words {
				// Flags of other programs stand with their programs.
				flag, _, _ := strings.Cut(word, "=")
				if flagWord.MatchString(flag) && (words[0] == "nemotron-mcp" || words[0] == word) && !flags[flag] {
					t.Errorf("%s: no command has %s", name, flag)
				}
			}
			if words[0] != "nemotron-mcp" || len(words) == 1 || strings.Contains(m[1], "…") {
				continue
			}
			commands++
			if _, _, err := parse(words[1:], streams); err != nil {
				t.Errorf("%s: %q: %v", name, m[1], err)
			}
		}
	}
	if commands < 5 {
		t.Errorf("only %d commands were found", commands)
	}
}
