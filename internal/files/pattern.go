package files

import (
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

const (
	maxPattern      = 1024 // bytes
	maxWild         = 8    // double stars of one pattern
	maxAlternatives = 64   // patterns that the braces of one glob stand for
)

// A pattern is a glob without braces, one part for each element of a path; a
// part "**" stands for any number of them. Only single parts are left to
// doublestar, which of a whole path would try every way through its braces and
// lets a class such as [!a] take a slash. So a match costs at most the lengths
// of the pattern and of the path, multiplied.
type pattern []string

// newPattern takes a brace-free pattern apart, and tells whether it is valid.
func newPattern(text string) (pattern, bool) {
	if len(text) > maxPattern || strings.Count(text, "**") > maxWild {
		return nil, false
	}
	p := pattern(splitParts(text))
	for i, part := range p {
		if !doublestar.ValidatePattern(part) {
			return nil, false
		}
		if part != "**" {
			p[i] = oneStar(part)
		}
	}
	return p, true
}

// splitParts cuts at the slashes, with a backslash before them or without, of
// which those inside a class are none.
func splitParts(text string) []string {
	var parts []string
	from, inClass := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\':
			if i++; !inClass && i < len(text) && text[i] == '/' {
				parts = append(parts, text[from:i-1])
				from = i + 1
			}
		case inClass:
			inClass = c != ']'
		case c == '[':
			inClass = true
		case c == '/':
			parts = append(parts, text[from:i])
			from = i + 1
		}
	}
	return append(parts, text[from:])
}

// oneStar writes stars that follow one another inside a part as the one that
// they mean.
func oneStar(part string) string {
	var b strings.Builder
	star := false
	for i := 0; i < len(part); i++ {
		c := part[i]
		if star && c == '*' {
			continue
		}
		star = c == '*'
		b.WriteByte(c)
		if c == '\\' && i+1 < len(part) {
			i++
			b.WriteByte(part[i])
		}
	}
	return b.String()
}

// match tells whether the pattern fits the whole path.
func (p pattern) match(elems []string) bool {
	part, elem, star, from := 0, 0, -1, 0
	for elem < len(elems) {
		switch {
		case part < len(p) && p[part] == "**":
			star, from = part, elem
			part++
		case part < len(p) && fits(p[part], elems[elem]):
			part++
			elem++
		case star >= 0: // the double star takes one element more
			from++
			part, elem = star+1, from
		default:
			return false
		}
	}
	for part < len(p) && p[part] == "**" {
		part++
	}
	return part == len(p)
}

// leads tells whether the path of a file below a folder can match.
func (p pattern) leads(dir []string) bool {
	for i, elem := range dir {
		if i < len(p) && p[i] == "**" {
			return true
		}
		if i >= len(p)-1 || !fits(p[i], elem) {
			return false
		}
	}
	return true
}

// shows tells whether each hidden element is named by a part with a dot.
func (p pattern) shows(elems []string) bool {
	for _, elem := range elems {
		if strings.HasPrefix(elem, ".") && !slices.ContainsFunc(p, func(part string) bool {
			return strings.HasPrefix(part, ".") && fits(part, elem)
		}) {
			return false
		}
	}
	return true
}

func fits(part, elem string) bool { return doublestar.MatchUnvalidated(part, elem) }

// expand writes a valid glob's alternatives out, each once and in their order.
// It returns nothing where they are too many.
func expand(glob string) []string {
	var whole []string
	for todo := []string{glob}; len(todo) > 0; {
		next := todo[0]
		choices := choose(next)
		if choices == nil {
			whole, todo = append(whole, next), todo[1:]
			continue
		}
		todo = append(choices, todo[1:]...)
		if len(whole)+len(todo) > maxAlternatives {
			return nil
		}
	}
	seen := map[string]bool{}
	return slices.DeleteFunc(whole, func(one string) bool {
		twice := seen[one]
		seen[one] = true
		return twice
	})
}

// choose returns the glob with its first braces replaced by each of their
// alternatives, or nothing where it has none.
func choose(glob string) []string {
	var choices []string
	depth, open, from, inClass := 0, 0, 0, false
	for i := 0; i < len(glob); i++ {
		switch c := glob[i]; {
		case c == '\\':
			i++
		case inClass:
			inClass = c != ']'
		case c == '[':
			inClass = true
		case c == '{':
			if depth++; depth == 1 {
				open, from = i, i+1
			}
		case depth == 1 && (c == ',' || c == '}'):
			choices = append(choices, glob[from:i])
			from = i + 1
			if c == '}' {
				for j, choice := range choices {
					choices[j] = glob[:open] + choice + glob[from:]
				}
				return choices
			}
		case c == '}':
			depth--
		}
	}
	return nil
}
