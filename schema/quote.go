package schema

import (
	"strconv"
	"strings"
	"unicode"
)

// maxShown bounds, in characters, how much of a value a message repeats.
const maxShown = 60

// quote writes s between quotation marks, shortened, with everything escaped
// that would not be seen as what it is: controls, bidirectional marks,
// zero-width and other invisible characters. Of a data URI only the scheme
// is shown.
func quote(s string) string {
	if len(s) >= 5 && strings.EqualFold(s[:5], "data:") {
		return `"data:…" (` + strconv.Itoa(len(s)) + " bytes)"
	}
	return `"` + visible(s, true) + `"`
}

// shorten is quote without the quotation marks.
func shorten(s string) string { return visible(s, false) }

// showName writes the name of a property, quoted only where it has to be.
func showName(name string) string {
	if isPropertyName(name) && len(name) <= maxShown {
		return name
	}
	return quote(name)
}

func visible(s string, quoted bool) string {
	var b strings.Builder
	shown := 0
	for _, r := range s {
		if shown == maxShown {
			b.WriteString("…")
			break
		}
		shown++
		switch {
		case quoted && (r == '"' || r == '\\'):
			b.WriteByte('\\')
			b.WriteRune(r)
		case isVisible(r):
			b.WriteRune(r)
		default:
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		}
	}
	return b.String()
}

// isVisible leaves out what Unicode calls default ignorable; Go's IsPrint
// passes the variation selectors and the Hangul fillers.
func isVisible(r rune) bool {
	return strconv.IsPrint(r) && !unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}
