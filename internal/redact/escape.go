package redact

import (
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Encoders differ in what they escape, and how: Go writes < as \u003c, PHP
// writes / as \/, Python writes é as \u00e9, JSON inside JSON doubles the
// backslashes. So a text is not searched for the spellings of a secret, but
// read through a view that undoes escapes of every kind, mixed as they come.

// maxDouble is how often a backslash may have been doubled, in factors: JSON in
// JSON four deep. Longer runs match nothing, so that a text full of
// backslashes costs no more than any other.
const maxDouble = 16

// A scan walks the places of a text where a match with escapes may start: no
// farther before an escape than the longest form.
type scan struct {
	text   string
	depth  int    // how deep percent-encoding is nested: %253A is a colon at 2
	escape [3]int // the next place of each of the matcher's escapes
}

func newScan(m *matcher, text string) scan {
	s := scan{text: text, escape: [3]int{-1, -1, -1}}
	switch {
	case strings.Contains(text, "%25"):
		s.depth = 2
	case strings.Contains(text, "%"), len(m.escapes) > 2:
		s.depth = 1
	}
	return s
}

// nextEscape returns where the next escape at or behind i is, or -1.
func (s *scan) nextEscape(m *matcher, i int) int {
	next := len(s.text)
	for k, c := range m.escapes {
		if s.escape[k] < i {
			if found := strings.IndexByte(s.text[i:], c); found >= 0 {
				s.escape[k] = i + found
			} else {
				s.escape[k] = len(s.text)
			}
		}
		next = min(next, s.escape[k])
	}
	if next == len(s.text) {
		return -1
	}
	return next
}

// findEscaped is find for matches with escapes; it may also return others.
// It returns the scan to go on with.
func (m *matcher) findEscaped(s scan, from int) (span, scan) {
	for i := from; i < len(s.text); i++ {
		escape := s.nextEscape(m, i)
		if escape < 0 {
			break
		}
		for i = max(i, escape-m.longest); i < escape && !m.starts[pairAt(s.text, i)]; i++ {
		}
		end := -1
		for depth := range s.depth + 1 {
			end = max(end, m.matchAt(view{s.text, depth}, i))
		}
		if end >= 0 {
			return span{i, end}, s
		}
	}
	return span{-1, -1}, s
}

// matchAt returns where the longest match that starts at i ends, or -1.
func (m *matcher) matchAt(v view, i int) int {
	c, _ := v.char(i)
	end := m.matchForms(v, i, m.first[c])
	if c == '\\' {
		_, behind := v.backslashes(i, maxDouble)
		if behind < 0 {
			return end
		}
		if decoded, n, _ := v.letter(behind); n > 0 && decoded[0] != '\\' {
			end = max(end, m.matchForms(v, i, m.first[decoded[0]]))
		}
	}
	return end
}

func (m *matcher) matchForms(v view, i int, forms []int) int {
	end := -1
	for _, form := range forms {
		end = max(end, v.match(m.forms[form], i))
	}
	return end
}

// A view reads a text with its percent-encoding undone, nested depth times.
type view struct {
	text  string
	depth int
}

// char returns the byte at i and how much of the text it takes: 0 at the end.
func (v view) char(i int) (byte, int) {
	if i >= len(v.text) {
		return 0, 0
	}
	if v.depth == 0 || v.text[i] != '%' {
		return v.text[i], 1
	}
	at := i + 1
	for range v.depth - 1 {
		if !strings.HasPrefix(v.text[at:], "25") {
			return '%', 1
		}
		at += 2
	}
	if at+2 > len(v.text) {
		return '%', 1
	}
	high, low := digit(v.text[at]), digit(v.text[at+1])
	if high < 0 || low < 0 {
		return '%', 1
	}
	return byte(high<<4 | low), at + 2 - i
}

// match returns where form, which starts at i, ends, or -1.
func (v view) match(form string, i int) int {
	for k := 0; k < len(form); {
		c, size := v.char(i)
		switch {
		case size == 0:
			return -1
		case c == '\\':
			if k, i = v.matchEscape(form, k, i); i < 0 {
				return -1
			}
		case c == form[k], c == '+' && size == 1 && form[k] == ' ' && v.depth > 0:
			i += size
			k++
		default:
			return -1
		}
	}
	return i
}

// matchEscape matches form[k:] against the backslashes at i and what they
// escape. JSON in JSON multiplies backslashes, so a run of them stands for any
// smaller number. It returns how far it came in form and text, or -1.
func (v view) matchEscape(form string, k, i int) (int, int) {
	want := 0
	for k+want < len(form) && form[k+want] == '\\' {
		want++
	}
	run, behind := v.backslashes(i, maxDouble*(want+1))
	if run < want || behind < 0 {
		return k, -1
	}
	k += want
	if k == len(form) { // leave a backslash that escapes what follows
		for want*2 <= run {
			want *= 2
		}
		for range want {
			_, size := v.char(i)
			i += size
		}
		return k, i
	}
	if run > want {
		decoded, n, size := v.letter(behind)
		if n > 0 && strings.HasPrefix(form[k:], string(decoded[:n])) {
			return k + n, behind + size
		}
	}
	if want == 0 {
		return k, -1
	}
	return k, behind
}

// backslashes counts the backslashes from i on and returns where they end: -1
// where there are more than most.
func (v view) backslashes(i, most int) (int, int) {
	for count := range most + 1 {
		c, size := v.char(i)
		if size == 0 || c != '\\' {
			return count, i
		}
		i += size
	}
	return 0, -1
}

// letter decodes what follows the backslash of an escape: the bytes it stands
// for, their number (0 for no escape) and the length in the text.
func (v view) letter(i int) (decoded [utf8.UTFMax]byte, n, size int) {
	c, size := v.char(i)
	if size == 0 {
		return decoded, 0, 0
	}
	if short := strings.IndexByte("abtnvfr", c); short >= 0 {
		decoded[0] = '\a' + byte(short)
		return decoded, 1, size
	}
	digits := 0
	switch c {
	case 'x':
		digits = 2
	case 'u':
		digits = 4
	case 'U':
		digits = 8
	default:
		if c > ' ' && c < utf8.RuneSelf && !isAlphanumeric(c) {
			decoded[0] = c
			return decoded, 1, size
		}
		return decoded, 0, 0
	}
	r, end := v.hex(i+size, digits)
	if end < 0 {
		return decoded, 0, 0
	}
	if digits == 2 {
		decoded[0] = byte(r)
		return decoded, 1, end - i
	}
	if utf16.IsSurrogate(r) {
		r, end = v.lowSurrogate(r, end)
	}
	n = utf8.EncodeRune(decoded[:], r)
	return decoded, n, end - i
}

// lowSurrogate completes a rune whose high surrogate ends at i.
func (v view) lowSurrogate(high rune, i int) (rune, int) {
	run, behind := v.backslashes(i, maxDouble)
	if behind < 0 {
		return utf8.RuneError, i
	}
	c, size := v.char(behind)
	low, end := v.hex(behind+size, 4)
	if r := utf16.DecodeRune(high, low); run > 0 && c == 'u' && end >= 0 && r != utf8.RuneError {
		return r, end
	}
	return utf8.RuneError, i
}

// hex reads that many hex digits at i and returns where they end, or -1.
func (v view) hex(i, digits int) (rune, int) {
	var r rune
	for range digits {
		c, size := v.char(i)
		d := digit(c)
		if size == 0 || d < 0 {
			return 0, -1
		}
		r = r<<4 | rune(d)
		i += size
	}
	return r, i
}

func digit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

func isAlphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}
