package files

import (
	"context"
	"errors"
	"fmt"
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

// A glob finds the files of patterns with one fixed part in one folder. It
// follows no symbolic link below the fixed part, and leaves out what is hidden,
// ignored by a .gitignore or named like a secret, unless the pattern itself
// names the hidden part.
type glob struct {
	ctx      context.Context
	folder   *folder
	secrets  []secretRule
	name     string    // as the caller wrote it
	base     []string  // the fixed folders
	patterns []pattern // below them
	budget   *budget

	found   [][]string
	leftOut int
}

// A budget is what is left of a Collect's limits.
type budget struct {
	limits  Limits
	entries int
	files   int
}

// A globStart is a folder to start from and what to look for below it.
type globStart struct {
	base     splitPath
	patterns []pattern
}

// splitGlob cuts a glob into its fixed folders and the patterns below each.
func splitGlob(name string) ([]globStart, *Error) {
	rules := hostRules()
	slashed := name
	if rules.windows {
		slashed = strings.ReplaceAll(name, `\`, "/")
	}
	if fault := noURI(name); fault != nil {
		return nil, fault
	}
	invalidGlob := invalid("Use a simpler glob, such as src/**/*.go.", `"%s" is no valid glob, or too large a one`, Visible(name))
	if len(name) > maxPattern || !utf8.ValidString(name) || strings.ContainsRune(name, 0) || !doublestar.ValidatePattern(slashed) {
		return nil, invalidGlob
	}
	alternatives := expand(slashed)
	if alternatives == nil {
		return nil, invalid("Name fewer.", `"%s" has too many alternatives: name fewer, at most %d in all`, Visible(name), maxAlternatives)
	}
	var starts []globStart
	at := map[string]int{}
	for _, one := range alternatives {
		fixed, rest := doublestar.SplitPattern(one)
		p, ok := newPattern(rest)
		if !ok {
			return nil, invalidGlob
		}
		base, fault := rules.split(fixed)
		if fault != nil {
			return nil, fault
		}
		// Those below one folder are looked for in one go.
		key := fmt.Sprint(base.absolute, base.volume, "/", strings.Join(base.elems, "/"))
		i, known := at[key]
		if !known {
			i = len(starts)
			at[key] = i
			starts = append(starts, globStart{base: base})
		}
		starts[i].patterns = append(starts[i].patterns, p)
	}
	return starts, nil
}

// run walks from the fixed folder down.
func (g *glob) run() error {
	if reason := secretReason(g.secrets, g.base); reason != "" {
		return notAllowed(actSecret, `"%s" is named like a secret (%s)`, Visible(strings.Join(g.base, "/")), reason)
	}
	// It may lead through links, to what is not allowed or belongs to the server.
	err := g.folder.reach(g.ctx, g.base, g.name)
	if errors.Is(err, errNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	var rules []ignoreFile
	for depth := range g.base {
		file, err := g.folder.readIgnore(g.base[:depth])
		if err != nil {
			return err
		}
		rules = append(rules, file)
		if ignored(g.ctx, rules, g.base[:depth+1], true) {
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
	if tooManyOpen(err) {
		return exhausted()
	}
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
	info, err := f.Stat()
	if err != nil || !info.IsDir() {
		return belowDir{}, nil
	}
	if among(g.folder.forbidden.now(), info) {
		g.leftOut++
		return belowDir{}, nil
	}
	own, err := g.folder.readIgnore(elems)
	if err != nil {
		return belowDir{}, err
	}
	below := belowDir{rules: append(rules[:len(rules):len(rules)], own)}
	for {
		batch, err := f.ReadDir(readBatch)
		for _, entry := range batch {
			if g.budget.entries++; g.budget.entries > g.budget.limits.Entries {
				return below, invalid("Use a narrower glob.", "the globs lead through more than %d files and folders", g.budget.limits.Entries)
			}
			at := append(elems[:len(elems):len(elems)], entry.Name())
			wanted := g.wanted(entry, at, below.rules)
			if err := g.ctx.Err(); err != nil {
				return below, err
			}
			if !wanted {
				continue
			}
			if entry.IsDir() {
				below.dirs = append(below.dirs, at)
				continue
			}
			if g.budget.files++; g.budget.files > g.budget.limits.Files {
				return below, invalid("Use a narrower glob.", "the globs match more than %s", count(g.budget.limits.Files, "file"))
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
	if !entry.IsDir() && !entry.Type().IsRegular() || !utf8.ValidString(entry.Name()) {
		return false
	}
	below := elems[len(g.base):]
	fit, shown := false, false
	for _, p := range g.patterns {
		if g.ctx.Err() != nil {
			return false
		}
		if entry.IsDir() && p.leads(below) || !entry.IsDir() && p.match(below) {
			fit, shown = true, shown || p.shows(below)
		}
	}
	if !fit {
		return false
	}
	if !shown || secretReason(g.secrets, elems) != "" || ignored(g.ctx, rules, elems, entry.IsDir()) {
		g.leftOut++
		return false
	}
	return true
}
