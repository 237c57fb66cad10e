package files

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"unicode/utf8"

	"github.com/bmatcuk/doublestar/v4"
)

// readBatch is how many entries of a folder are read at once.
const readBatch = 256

// isGlob tells a pattern from a plain path.
func isGlob(name string) bool { return strings.ContainsAny(name, "*?[{") }

// A glob finds the files of one pattern in one folder. It follows no symbolic
// link below the pattern's fixed part, and leaves out what is hidden, ignored by
// a .gitignore or named like a secret, unless the pattern itself names the
// hidden part.
type glob struct {
	ctx     context.Context
	folder  *folder
	secrets []secretRule
	base    []string // the fixed folders
	pattern string   // below them, with slashes
	parts   []string // of pattern
	budget  *budget

	found   [][]string
	leftOut int
}

// A budget is what is left of a Collect's limits.
type budget struct {
	limits  Limits
	entries int
	files   int
}

// splitGlob cuts a pattern into a folder to start from and the rest.
func splitGlob(name string) (base splitPath, pattern string, fault *Error) {
	rules := hostRules()
	slashed := name
	if rules.windows {
		slashed = strings.ReplaceAll(name, `\`, "/")
	}
	if len(name) > maxPattern || !utf8.ValidString(name) || strings.ContainsRune(name, 0) || !boundedPattern(slashed) || !doublestar.ValidatePattern(slashed) {
		return base, "", invalid("Use a simpler glob, such as src/**/*.go.", `"%s" is no valid glob, or too large a one`, Visible(name))
	}
	start, pattern := doublestar.SplitPattern(slashed)
	base, fault = rules.split(start)
	return base, pattern, fault
}

// run walks from the fixed folder down.
func (g *glob) run() error {
	g.parts = strings.Split(g.pattern, "/")
	if reason := secretReason(g.secrets, g.base); reason != "" {
		return notAllowed(actSecret, `"%s" is named like a secret (%s)`, Visible(strings.Join(g.base, "/")), reason)
	}
	var rules []ignoreFile
	for depth := range g.base {
		file, err := g.folder.readIgnore(g.base[:depth])
		if err != nil {
			return err
		}
		rules = append(rules, file)
		if ignored(rules, g.base[:depth+1], true) {
			g.leftOut++
			return nil
		}
	}
	return g.dir(g.base, rules)
}

func (g *glob) dir(elems []string, rules []ignoreFile) error {
	if len(elems)-len(g.base) > g.budget.limits.Depth {
		return invalid("Use a narrower glob.", "the folders are more than %d deep", g.budget.limits.Depth)
	}
	f, err := g.folder.root.OpenFile(path.Join(".", strings.Join(elems, "/")), os.O_RDONLY|nonBlocking, 0)
	if err != nil {
		return nil // not there, or not to be read: nothing matches in it
	}
	below, err := g.entries(f, elems, rules)
	_ = f.Close() // was only read
	if err != nil {
		return err
	}
	for _, dir := range below.dirs {
		if err := g.dir(dir, below.rules); err != nil {
			return err
		}
	}
	return nil
}

// belowDir is what a folder leaves to do when it is closed again, so that few
// are open at once.
type belowDir struct {
	dirs  [][]string
	rules []ignoreFile
}

func (g *glob) entries(f *os.File, elems []string, rules []ignoreFile) (belowDir, error) {
	if info, err := f.Stat(); err != nil || !info.IsDir() {
		return belowDir{}, nil
	}
	own, err := g.folder.readIgnore(elems)
	if err != nil {
		return belowDir{}, err
	}
	below := belowDir{rules: append(rules[:len(rules):len(rules)], own)}
	for {
		if err := g.ctx.Err(); err != nil {
			return below, err
		}
		batch, err := f.ReadDir(readBatch)
		for _, entry := range batch {
			if g.budget.entries++; g.budget.entries > g.budget.limits.Entries {
				return below, invalid("Use a narrower glob.", "the globs lead through more than %d files and folders", g.budget.limits.Entries)
			}
			at := append(elems[:len(elems):len(elems)], entry.Name())
			if !g.wanted(entry, at, below.rules) {
				continue
			}
			if entry.IsDir() {
				below.dirs = append(below.dirs, at)
				continue
			}
			if g.budget.files++; g.budget.files > g.budget.limits.Files {
				return below, invalid("Use a narrower glob.", "the globs match more than %d files", g.budget.limits.Files)
			}
			g.found = append(g.found, at)
		}
		if errors.Is(err, io.EOF) || err != nil || len(batch) == 0 {
			return below, nil
		}
	}
}

// wanted tells whether an entry is a file that matches, or a folder in which one
// can.
func (g *glob) wanted(entry fs.DirEntry, elems []string, rules []ignoreFile) bool {
	name, below := entry.Name(), elems[len(g.base):]
	if !entry.IsDir() && !entry.Type().IsRegular() || !utf8.ValidString(name) {
		return false
	}
	if entry.IsDir() && !g.leads(below) {
		return false
	}
	if !entry.IsDir() {
		if ok, _ := doublestar.Match(g.pattern, strings.Join(below, "/")); !ok { // was validated
			return false
		}
	}
	if g.hidden(name) || secretReason(g.secrets, elems) != "" || ignored(rules, elems, entry.IsDir()) {
		g.leftOut++
		return false
	}
	return true
}

// hidden tells a dot file that no part of the pattern names by its dot.
func (g *glob) hidden(name string) bool {
	if !strings.HasPrefix(name, ".") {
		return false
	}
	for _, part := range g.parts {
		if !strings.HasPrefix(part, ".") {
			continue
		}
		if ok, _ := doublestar.Match(part, name); ok { // a part alone may be malformed
			return false
		}
	}
	return true
}

// leads tells whether a file below a folder can match.
func (g *glob) leads(dir []string) bool {
	if strings.Contains(g.pattern, "{") {
		return true // an alternation may hold slashes
	}
	for i, elem := range dir {
		if i >= len(g.parts)-1 {
			return i < len(g.parts) && g.parts[i] == "**"
		}
		if g.parts[i] == "**" {
			return true
		}
		if ok, _ := doublestar.Match(g.parts[i], elem); !ok {
			return false
		}
	}
	return true
}
