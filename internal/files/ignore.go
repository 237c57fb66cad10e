package files

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

const (
	maxIgnoreSize  = 1 << 20 // bytes of one .gitignore
	maxIgnoreRules = 10_000  // of one .gitignore
	maxPattern     = 1024    // bytes
	maxWild        = 8       // double stars, and alternations, of one pattern
)

// An ignoreRule is a line of a .gitignore as a pattern of doublestar, relative
// to the folder that holds it.
type ignoreRule struct {
	pattern string
	negated bool
	dirOnly bool
}

// An ignoreFile holds the rules of one folder, and how deep that folder lies.
type ignoreFile struct {
	depth int
	rules []ignoreRule
}

// parseIgnore reads a .gitignore as gitignore(5) tells. A line that is no valid
// pattern counts for nothing, as with git.
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
	rule.pattern = escapeBraces(line)
	if !anchored {
		rule.pattern = "**/" + rule.pattern
	}
	if strings.HasSuffix(rule.pattern, "/**") {
		rule.pattern += "/*" // all that is in the folder, not the folder
	}
	return rule, boundedPattern(rule.pattern) && doublestar.ValidatePattern(rule.pattern)
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

// boundedPattern keeps matching cheap: its cost grows with each of these.
func boundedPattern(pattern string) bool {
	return len(pattern) <= maxPattern && strings.Count(pattern, "**") <= maxWild && strings.Count(pattern, "{") <= 8*maxWild
}

// ignored tells whether the last rule that fits says so; the rules of deeper
// folders come later. That the folders above are not ignored is the caller's.
func ignored(files []ignoreFile, elems []string, dir bool) bool {
	for i := len(files) - 1; i >= 0; i-- {
		name := strings.Join(elems[files[i].depth:], "/")
		for j := len(files[i].rules) - 1; j >= 0; j-- {
			rule := files[i].rules[j]
			if rule.dirOnly && !dir {
				continue
			}
			if ok, _ := doublestar.Match(rule.pattern, name); ok { // patterns were validated
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
	if err != nil {
		return ignoreFile{}, broken
	}
	f, err := fo.root.OpenFile(name, os.O_RDONLY|nonBlocking, 0)
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
