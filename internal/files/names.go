package files

import (
	"fmt"
	"path"
	"strconv"
	"strings"
	"unicode"
)

const (
	maxShown     = 300 // runes of a name in a message
	maxPlainName = 100 // bytes
	maxPlainExt  = 16  // bytes, with the dot
)

// Visible returns s fit to be shown: what can't be seen, changes the direction
// of text, or is not UTF-8 is written as an escape, a backslash that could be
// taken for one is left alone, and what is beyond 300 runes is cut.
func Visible(s string) string { return visible(s, maxShown) }

func visible(s string, limit int) string {
	var b strings.Builder
	shown := 0
	for i, r := range s {
		if shown++; shown > limit {
			b.WriteString("…")
			break
		}
		switch {
		case r == unicode.ReplacementChar && !strings.HasPrefix(s[i:], "\uFFFD"):
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case unicode.IsPrint(r) && !ignorable(r):
			b.WriteRune(r)
		default:
			q := strconv.QuoteRuneToASCII(r)
			b.WriteString(q[1 : len(q)-1])
		}
	}
	return b.String()
}

// ignorable tells the characters that Unicode counts as letters, marks or
// symbols but that show nothing: fillers, variation selectors, joiners.
func ignorable(r rune) bool {
	return unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Variation_Selector, r) ||
		unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r) ||
		r == '\u115f' || r == '\u1160' || r == '\u3164' || r == '\uffa0' || r == '\u2800'
}

// PlainName returns a name for fal that is safe in any header, URL and shell:
// the last element of name in ASCII letters, digits, dot, underscore and dash,
// starting with a letter, a digit or an underscore, its extension kept, at most
// 100 bytes long and never empty.
func PlainName(name string) string {
	if i := strings.LastIndexAny(name, `/\`); i >= 0 {
		name = name[i+1:]
	}
	var b strings.Builder
	for _, r := range name {
		switch {
		case r < unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r) || r == '.' || r == '-' || r == '_'):
			b.WriteRune(r)
		case unicode.Is(unicode.Mn, r) || ignorable(r):
			// An accent of a decomposed letter leaves the letter.
		case !strings.HasSuffix(b.String(), "_"):
			b.WriteByte('_')
		}
	}
	plain := strings.TrimLeft(b.String(), ".-")
	ext := path.Ext(name)
	if len(ext) < 2 || len(ext) > maxPlainExt || !strings.HasSuffix(plain, ext) {
		ext = ""
		if len(plain) <= maxPlainName {
			ext = path.Ext(plain)
		}
	}
	stem := strings.TrimRight(strings.TrimSuffix(plain, ext), ".")
	stem = stem[:min(len(stem), maxPlainName-len(ext))]
	if strings.Trim(stem, "._-") == "" {
		stem = "file"
	}
	return strings.TrimRight(stem+ext, ".")
}
