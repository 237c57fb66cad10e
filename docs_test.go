package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"nemotron-mcp/internal/app"
)

var update = flag.Bool("update", false, "renew what commands have printed into the documentation")

// documents are the pages that people read.
func documents(t *testing.T) []string {
	t.Helper()
	var pages []string
	for _, pattern := range []string{"*.md", "docs/*.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			t.Fatalf("no documents %s: %v", pattern, err)
		}
		pages = append(pages, found...)
	}
	return pages
}

func readPage(t *testing.T, name string) string {
	t.Helper()
	page, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(page), "\r\n", "\n")
}

// printed is a part of a page that a command prints.
var printed = regexp.MustCompile(`(?s)(<!-- printed by "nemotron-mcp ([^"]*)" -->\n)(.*?)(<!-- /printed -->)`)

// TestPrinted fails when a part of a page is not what its command prints.
func TestPrinted(t *testing.T) {
	found := 0
	for _, name := range documents(t) {
		page := readPage(t, name)
		renewed := printed.ReplaceAllStringFunc(page, func(part string) string {
			found++
			m := printed.FindStringSubmatch(part)
			var out, errs bytes.Buffer
			code := app.Main(app.Build{}, strings.Fields(m[2]), app.Streams{In: strings.NewReader(""), Out: &out, Err: &errs})
			if code != 0 {
				t.Fatalf("%s: nemotron-mcp %s: exit code %d: %s", name, m[2], code, errs.String())
			}
			return m[1] + out.String() + m[4]
		})
		if open := strings.Count(page, "<!-- printed by"); open != strings.Count(page, "<!-- /printed -->") || open != len(printed.FindAllString(page, -1)) {
			t.Errorf("%s: a printed part is not closed", name)
		}
		if renewed == page {
			continue
		}
		if !*update {
			t.Errorf("%s: what a command prints has drifted; run make golden", name)
			continue
		}
		if err := os.WriteFile(name, []byte(renewed), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if found < 5 {
		t.Errorf("only %d printed parts were found", found)
	}
}
