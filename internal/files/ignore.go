package files

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
)

const (
	maxIgnoreSize  = 1 << 20 // bytes of one .gitignore
	maxIgnoreRules = 10_000  // of one .gitignore
)

// An ignoreRule is a line of a .gitignore, relative to the folder that holds it.
type ignoreRule struct {
	pattern pattern
	negated bool
	dirOnly bool
}

// An ignoreFile holds the rules of one folder, and how deep that folder lies.
type ignoreFile struct {
	depth int
	rules []ignoreRule
}

// parseIgnore reads a .gitignore as gitignore(5) tells. A line that is no valid
// pattern counts for nothing, as with git. doublestar does the matching; a library
// for the lines that is well kept and bounds what it reads and tries was not
// found. .git/info/exclude and the user's own excludes are not read: they lie in
// .git, or outside the allowed folders, where nothing is read.
func parseIgnore(content []byte) []ignoreRule {
	var rules []ignoreRule
	for line := range bytes.Lines(bytes.TrimPrefix(content, []byte("\xef\xbb\xbf"))) {
		if rule, ok := parseIgnoreLine(strings.TrimRight(string(line), "\r\n")); ok && len(rules) < maxIgnoreRules {
			rules = append(rules, rule)
		}
	}
	return rules
}

func parseIgnoreLine(line string) (ignoreRule, bool) {
	for strings.HasSuffix(line, " ") && !strings.HasSuffix(line, `\ `) {
		line = line[:len(line)-1]
	}
	if line == "" || line[0] == '#' {
		return ignoreRule{}, false
	}
	var rule ignoreRule
	line, rule.negated = strings.CutPrefix(line, "!")
	line, rule.dirOnly = strings.CutSuffix(line, "/")
	anchored := strings.Contains(line, "/")
	line = strings.TrimPrefix(line, "/")
	if line == "" {
		return ignoreRule{}, false
	}
	line = escapeBraces(line)
	if !anchored {
		line = "**/" + line
	}
	if strings.HasSuffix(line, "/**") {
		line += "/*" // all that is in the folder, not the folder
	}
	var ok bool
	rule.pattern, ok = newPattern(line)
	return rule, ok
}

// escapeBraces makes braces ordinary, as they are to git.
func escapeBraces(pattern string) string {
	var b strings.Builder
	for i := 0; i < len(pattern); i++ {
		switch c := pattern[i]; c {
		case '\\':
			b.WriteByte(c)
			if i++; i < len(pattern) {
				b.WriteByte(pattern[i])
			}
		case '{', '}':
			b.WriteString(`\` + string(c))
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// ignored tells whether the last rule that fits says so; the rules of deeper
// folders come later. That the folders above are not ignored is the caller's. It
// says so too where the context has ended, as the caller then notices.
func ignored(ctx context.Context, files []ignoreFile, elems []string, dir bool) bool {
	const between = 256 // rules, between two looks at the context
	for i := len(files) - 1; i >= 0; i-- {
		below := elems[files[i].depth:]
		for j := len(files[i].rules) - 1; j >= 0; j-- {
			if j%between == 0 && ctx.Err() != nil {
				return true
			}
			rule := files[i].rules[j]
			if rule.dirOnly && !dir {
				continue
			}
			if rule.pattern.match(below) {
				return !rule.negated
			}
		}
	}
	return false
}

// readIgnore reads the .gitignore of a folder. As with git, one that is a
// symbolic link does not count. One that is there and can't be read, or is too
// large, is an *Error: what it keeps back must not slip out.
func (fo *folder) readIgnore(elems []string) (ignoreFile, error) {
	name := strings.Join(append(elems[:len(elems):len(elems)], ".gitignore"), "/")
	info, err := fo.root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
		return ignoreFile{depth: len(elems)}, nil
	}
	broken := invalid("Name the files one by one.", `"%s" can't be honoured: it is unreadable, changing, or larger than %d bytes`, Visible(name), maxIgnoreSize)
	if tooManyOpen(err) {
		return ignoreFile{}, exhausted()
	}
	if err != nil {
		return ignoreFile{}, broken
	}
	f, err := fo.root.OpenFile(name, os.O_RDONLY|nonBlocking, 0)
	if tooManyOpen(err) {
		return ignoreFile{}, exhausted()
	}
	if err != nil {
		return ignoreFile{}, broken
	}
	defer func() { _ = f.Close() }() // was only read
	if now, err := f.Stat(); err != nil || !os.SameFile(info, now) {
		return ignoreFile{}, broken
	}
	content, err := io.ReadAll(io.LimitReader(f, maxIgnoreSize+1))
	if err != nil || len(content) > maxIgnoreSize {
		return ignoreFile{}, broken
	}
	return ignoreFile{depth: len(elems), rules: parseIgnore(content)}, nil
}
