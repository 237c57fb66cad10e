package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// arrows says which rooms of ours a room may import. The way is downward only:
// main, app, transport, tools, uploads, jobs and files, falclient.
var arrows = map[string][]string{
	".":                  {"internal/app"},
	"internal/app":       {"internal/transport", "tools", "internal/uploads", "internal/files", "internal/jobs", "falclient", "internal/falsim", "internal/redact", "internal/metrics", "internal/page", "internal/hosts"},
	"internal/page":      {"tools", "internal/jobs", "falclient", "internal/redact"},
	"internal/transport": {"tools", "internal/workers"},
	"tools":              {"internal/uploads", "internal/files", "internal/jobs", "falclient", "schema", "internal/redact"},
	"internal/uploads":   {"internal/files", "internal/jobs", "falclient"},
	"internal/jobs":      {"falclient", "internal/workers"},
	"falclient":          nil,
	"schema":             nil,
	"internal/redact":    nil,
	"internal/files":     nil,
	"internal/falsim":    nil,
	"internal/workers":   nil,
	"internal/metrics":   nil,
	"internal/hosts":     nil,
	// Programs and tests of the project itself, which nothing imports.
	"internal/release":     nil,
	"internal/bench":       {"internal/falsim", "falclient", "internal/jobs"},
	"internal/chaos":       {"internal/jobs", "internal/falsim", "falclient"},
	"internal/transcript":  nil,
	"internal/conformance": {"internal/transport", "tools"},
	"internal/page/seed":   {"internal/jobs"},
}

// keepers says which rooms may see a library.
var keepers = map[string][]string{
	"github.com/mark3labs/mcp-go":           {"internal/app", "internal/transport", "tools", "internal/bench", "internal/conformance"},
	"github.com/invopop/jsonschema":         {"schema"},
	"github.com/santhosh-tekuri/jsonschema": {"schema"},
	"github.com/alecthomas/kong":            {"internal/app"},
	"github.com/tmaxmax/go-sse":             {"falclient"},
	"github.com/cenkalti/backoff/v5":        {"falclient", "internal/jobs"},
	"golang.org/x/sync/errgroup":            {"falclient"},
	"github.com/mattn/go-colorable":         {"internal/app"},
	"golang.org/x/term":                     {"internal/app"},
	"golang.org/x/time/rate":                {"falclient", "tools"},
	"github.com/rs/zerolog":                 {"internal/app", "internal/transport", "tools", "internal/uploads", "internal/jobs", "internal/page", "internal/page/seed", "internal/bench", "internal/chaos", "internal/conformance"},
	"modernc.org/sqlite":                    {"internal/jobs"},
	"github.com/tailscale/hujson":           {"internal/hosts"},
	"github.com/pelletier/go-toml/v2":       {"internal/hosts"},
	"github.com/gabriel-vasile/mimetype":    {"internal/files"},
	"code.dny.dev/ssrf":                     {"internal/files"},
	"github.com/bmatcuk/doublestar/v4":      {"internal/files"},
	"github.com/google/uuid":                {"internal/jobs", "internal/falsim", "tools", "internal/bench"},
}

func TestImportArrows(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for room, imports := range imports(t) {
		allowed, known := arrows[room]
		if !known {
			t.Errorf("%s is not in the table of arrows: say what it may import", room)
		}
		seen[room] = true
		for _, imported := range imports {
			if ours, ok := strings.CutPrefix(imported, "nemotron-mcp/"); ok {
				if !slices.Contains(allowed, ours) {
					t.Errorf("%s imports %s, against the arrows", room, ours)
				}
				continue
			}
			checkLibrary(t, room, imported)
		}
	}
	for room := range arrows {
		if !seen[room] {
			t.Errorf("the table of arrows names %s, which does not exist", room)
		}
	}
}

func checkLibrary(t *testing.T, room, imported string) {
	t.Helper()
	if !strings.Contains(strings.SplitN(imported, "/", 2)[0], ".") {
		return // the standard library
	}
	for library, rooms := range keepers {
		if imported == library || strings.HasPrefix(imported, library+"/") {
			if !slices.Contains(rooms, room) {
				t.Errorf("%s imports %s, which only %v may", room, imported, rooms)
			}
			return
		}
	}
	t.Errorf("%s imports %s, which is not in the table of libraries", room, imported)
}

// imports reads the imports of each folder's files, tests left out.
func imports(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || d.Name() == "node_modules" || strings.HasPrefix(d.Name(), ".") && name != ".") {
			return filepath.SkipDir
		}
		if filepath.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		room := path.Dir(filepath.ToSlash(name))
		found[room] = append(found[room], "") // a room without imports is a room
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			found[room] = append(found[room], imported)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for room, list := range found {
		found[room] = slices.DeleteFunc(list, func(s string) bool { return s == "" })
	}
	return found
}
