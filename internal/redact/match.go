package redact

import (
	"slices"
	"strings"
)

// maxPasses bounds how often a text is masked again because masking made a
// new match: a secret like "x[reda" can arise at a mask's edge.
const maxPasses = 4

// unreserved are the bytes that encoders leave as they are. A form of these
// alone is not looked for in escapes, the raw secret excepted.
const unreserved = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"

// A matcher finds many forms at once. Forms without escapes it finds after Wu
// and Manber: it looks at the last two bytes of a window as long as the
// shortest form and skips as far as no form can start, typically tens of bytes
// a step. Where the text has escapes it looks closer (escape.go).
type matcher struct {
	forms   []string
	window  int              // length of the shortest form
	shift   [1 << 16]uint8   // by two bytes: how far the window may move on
	buckets map[uint16][]int // forms by the two bytes at their window's end

	// Of the forms that an encoder may escape:
	first   [256][]int    // forms by their first byte
	starts  [1 << 16]bool // by two bytes: whether a form can start so
	longest int           // length of the longest
	escapes []byte        // the bytes that start an escape
}

// span is a part of a text, from start up to but not including end.
type span struct{ start, end int }

// newMatcher returns a matcher of the secrets' forms, or nil where there are
// none. Parts of Mask are left out: they are no secrets, and masking them would
// never end.
func newMatcher(secrets []string) *matcher {
	m := &matcher{window: 255, buckets: make(map[uint16][]int), escapes: []byte{'\\', '%'}}
	seen := make(map[string]bool)
	for _, secret := range secrets {
		for _, form := range forms(secret) {
			if seen[form] || strings.Contains(Mask, form) {
				continue
			}
			seen[form] = true
			m.window = min(m.window, len(form))
			if form == secret || strings.Trim(form, unreserved) != "" {
				m.first[form[0]] = append(m.first[form[0]], len(m.forms))
				m.longest = max(m.longest, len(form))
			}
			m.forms = append(m.forms, form)
		}
	}
	if len(m.forms) == 0 {
		return nil
	}
	m.fillShift()
	m.fillStarts()
	return m
}

// fillStarts notes how the forms that may be escaped start: with their first
// two bytes, or with the first and an escape.
func (m *matcher) fillStarts() {
	spaces := false
	for _, list := range m.first {
		for _, form := range list {
			f := m.forms[form]
			spaces = spaces || strings.Contains(f, " ")
			m.starts[pairAt(f, 0)] = true
			for _, escape := range []byte{'\\', '%', '+'} {
				m.starts[uint16(f[0])<<8|uint16(escape)] = true
			}
		}
	}
	if spaces {
		m.escapes = append(m.escapes, '+')
	}
}

func (m *matcher) fillShift() {
	for i := range m.shift {
		m.shift[i] = uint8(m.window - 1)
	}
	for i, form := range m.forms {
		for end := 2; end <= m.window; end++ {
			pair := pairAt(form, end-2)
			m.shift[pair] = min(m.shift[pair], uint8(m.window-end))
		}
		last := pairAt(form, m.window-2)
		m.buckets[last] = append(m.buckets[last], i)
	}
}

// matches reports whether text has anything to mask.
func (m *matcher) matches(text string) bool {
	if m.find(text, 0).start >= 0 {
		return true
	}
	found, _ := m.findEscaped(newScan(m, text), 0)
	return found.start >= 0
}

// mask replaces all matches, overlapping and adjacent ones by one Mask, until
// none is left.
func (m *matcher) mask(text string) string {
	for range maxPasses {
		spans := m.spans(text)
		if len(spans) == 0 {
			return text
		}
		var b strings.Builder
		b.Grow(len(text) + len(Mask))
		done := 0
		for i := 0; i < len(spans); {
			start, end := spans[i].start, spans[i].end
			for i++; i < len(spans) && spans[i].start <= end; i++ {
				end = max(end, spans[i].end)
			}
			b.WriteString(text[done:start])
			b.WriteString(Mask)
			done = end
		}
		b.WriteString(text[done:])
		text = b.String()
	}
	if m.matches(text) {
		return Mask
	}
	return text
}

// spans returns all matches by their starts.
func (m *matcher) spans(text string) []span {
	var spans []span
	for s := m.find(text, 0); s.start >= 0; s = m.find(text, s.start+1) {
		spans = append(spans, s)
	}
	scan := newScan(m, text)
	var s span
	for s, scan = m.findEscaped(scan, 0); s.start >= 0; s, scan = m.findEscaped(scan, s.start+1) {
		spans = append(spans, s)
	}
	slices.SortFunc(spans, func(a, b span) int { return a.start - b.start })
	return spans
}

// find returns the first match without escapes that starts at or behind from,
// the longest one there; its start is -1 where there is none.
func (m *matcher) find(text string, from int) span {
	for i := from; i+m.window <= len(text); {
		pair := pairAt(text, i+m.window-2)
		if shift := m.shift[pair]; shift > 0 {
			i += int(shift)
			continue
		}
		length := 0
		for _, form := range m.buckets[pair] {
			if f := m.forms[form]; len(f) > length && strings.HasPrefix(text[i:], f) {
				length = len(f)
			}
		}
		if length > 0 {
			return span{i, i + length}
		}
		i++
	}
	return span{-1, -1}
}

func pairAt(text string, i int) uint16 {
	return uint16(text[i])<<8 | uint16(text[i+1])
}
