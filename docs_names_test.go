package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	testName = regexp.MustCompile("`((?:Test|Fuzz)[A-Z]\\w*)`")
	makeName = regexp.MustCompile("`make ([a-z]+)`")
	link     = regexp.MustCompile(`\]\(([^)#\s]+)(#[^)\s]*)?\)`)
	heading  = regexp.MustCompile(`(?m)^#+ (.*)$`)
)

// TestNamesInDocuments: the tests, targets, pages and headings that the pages
// name are there.
func TestNamesInDocuments(t *testing.T) {
	t.Parallel()
	code := sources(t)
	makefile := readPage(t, "Makefile")
	for _, name := range documents(t) {
		page := readPage(t, name)
		for _, m := range testName.FindAllStringSubmatch(page, -1) {
			if !strings.Contains(code, "\nfunc "+m[1]+"(") {
				t.Errorf("%s names %s, which is no test", name, m[1])
			}
		}
		for _, m := range makeName.FindAllStringSubmatch(page, -1) {
			if !strings.Contains(makefile, "\n"+m[1]+":") {
				t.Errorf("%s names make %s, which is no target", name, m[1])
			}
		}
		for _, m := range link.FindAllStringSubmatch(page, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			target := filepath.Join(filepath.Dir(name), m[1])
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links to %s: %v", name, m[1], err)
				continue
			}
			if m[2] != "" && !hasHeading(readPage(t, target), m[2][1:]) {
				t.Errorf("%s links to %s%s, which has no such heading", name, m[1], m[2])
			}
		}
	}
}

// hasHeading reports whether a page has the heading of an anchor.
func hasHeading(page, anchor string) bool {
	for _, m := range heading.FindAllStringSubmatch(page, -1) {
		letters := strings.Map(func(r rune) rune {
			if r == ' ' || r == '-' || r == '_' || r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
				return r
			}
			return -1
		}, strings.ToLower(m[1]))
		if strings.ReplaceAll(letters, " ", "-") == anchor {
			return true
		}
	}
	return false
}

// sources is the text of all tests.
func sources(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || d.Name() == "node_modules" || strings.HasPrefix(d.Name(), ".") && name != ".") {
			return filepath.SkipDir
		}
		if strings.HasSuffix(name, "_test.go") {
			all.WriteString("\n" + readPage(t, name))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}
