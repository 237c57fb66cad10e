package hosts

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/tailscale/hujson"
)

// jsonText is JSON with comments and trailing commas. Each edit replaces a range
// and reads the text again.
type jsonText struct {
	text []byte
	root hujson.Value
	eol  string
	unit string // of indentation
}

func openJSON(text []byte) (*jsonText, error) {
	if err := checkDepth(text); err != nil {
		return nil, err
	}
	d := &jsonText{text: text, eol: lineEnd(text), unit: "  "}
	err := d.read()
	if err != nil && onlyComments(text) {
		d.text = []byte("{}" + d.eol)
		if head := bytes.TrimRight(text, " \t\r\n"); len(head) > 0 {
			d.text = append(append(bytes.Clone(head), d.eol...), d.text...)
		}
		err = d.read()
	}
	if err != nil {
		return nil, err
	}
	root, ok := d.root.Value.(*hujson.Object)
	if !ok {
		return nil, fmt.Errorf("%w: an object should be the whole of it", ErrShape)
	}
	if len(root.Members) > 0 {
		if at := root.Members[0].Name.StartOffset; bytes.IndexByte(text[d.root.StartOffset:at], '\n') >= 0 && lineIndent(text, at) != "" {
			d.unit = lineIndent(text, at)
		}
	}
	return d, nil
}

func (d *jsonText) bytes() []byte { return d.text }

// read parses the text.
func (d *jsonText) read() error {
	// A comment may end with the text; the parser wants the end of its line.
	root, err := hujson.Parse(append(bytes.Clone(d.text), '\n'))
	if err != nil {
		where := err.Error()
		if i := strings.Index(where, "invalid literal"); i >= 0 {
			where = where[:i] + "invalid literal" // which may be a secret
		}
		return fmt.Errorf("%w: %s", ErrBroken, strings.TrimPrefix(where, "hujson: "))
	}
	d.root = root
	return nil
}

// onlyComments reports whether a text would be an empty object, were there one
// at its end.
func onlyComments(text []byte) bool {
	v, err := hujson.Parse(append(bytes.Clone(text), "\n{}"...))
	return err == nil && v.StartOffset == len(text)+1
}

// maxDepth is far above what a configuration has, and far below what a stack
// takes.
const maxDepth = 1000

// checkDepth keeps the parser, which calls itself for what is nested, from
// using up the stack.
func checkDepth(text []byte) error {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '{', '[':
			if depth++; depth > maxDepth {
				return fmt.Errorf("%w: it is nested too deeply", ErrBroken)
			}
		case '}', ']':
			depth--
		case '"':
			for i++; i < len(text) && text[i] != '"'; i++ {
				if text[i] == '\\' {
					i++
				}
			}
		case '/':
			i += commentLength(text[i:])
		}
	}
	return nil
}

// commentLength is how much of a comment follows its first character.
func commentLength(text []byte) int {
	for start, end := range map[string]string{"//": "\n", "/*": "*/"} {
		if rest, ok := bytes.CutPrefix(text, []byte(start)); ok {
			if n := bytes.Index(rest, []byte(end)); n >= 0 {
				return n + len(start) + len(end) - 1
			}
			return len(text)
		}
	}
	return 0
}

// at is the value at a path; nil where there is none.
func (d *jsonText) at(path ...string) (*hujson.Value, error) {
	v := &d.root
	for i, name := range path {
		obj, ok := v.Value.(*hujson.Object)
		if !ok {
			return nil, fmt.Errorf("%w: %s is not an object", ErrShape, strings.Join(path[:i], "."))
		}
		n, err := index(obj, name)
		if err != nil || n < 0 {
			return nil, err
		}
		v = &obj.Members[n].Value
	}
	return v, nil
}

// index is which member has a name; -1 where none has.
func index(obj *hujson.Object, name string) (int, error) {
	found := -1
	for i, m := range obj.Members {
		if literal, ok := m.Name.Value.(hujson.Literal); !ok || literal.String() != name {
			continue
		}
		if found >= 0 {
			return -1, fmt.Errorf("%w: it has %q twice", ErrShape, name)
		}
		found = i
	}
	return found, nil
}

// set makes the value at a path, and the objects on the way to it.
func (d *jsonText) set(value any, path ...string) error {
	v := &d.root
	for i, name := range path {
		obj, ok := v.Value.(*hujson.Object)
		if !ok {
			return fmt.Errorf("%w: %s is not an object", ErrShape, strings.Join(path[:i], "."))
		}
		n, err := index(obj, name)
		if err != nil {
			return err
		}
		if n < 0 {
			for _, outer := range reversed(path[i+1:]) {
				value = members{{outer, value}}
			}
			return d.insert(v, func(indent string, spread bool) string {
				return quote(name) + ": " + d.render(value, indent, spread)
			})
		}
		v = &obj.Members[n].Value
	}
	spread := d.spread(v.StartOffset, v.EndOffset)
	d.text = splice(d.text, v.StartOffset, v.EndOffset, d.render(value, lineIndent(d.text, v.StartOffset), spread))
	return d.read()
}

func reversed(path []string) []string {
	out := make([]string, 0, len(path))
	for i := range path {
		out = append(out, path[len(path)-1-i])
	}
	return out
}

// spread reports whether what stands in a range is to have lines of its own: not
// where all of the text is on one line.
func (d *jsonText) spread(start, end int) bool {
	if bytes.IndexByte(d.text[start:end], '\n') >= 0 {
		return true
	}
	obj, ok := d.root.Value.(*hujson.Object)
	return ok && len(obj.Members) == 0 || bytes.IndexByte(bytes.TrimSpace(d.text), '\n') >= 0
}

// items are the parts of an object or an array: from where to where each is, and
// what stands before the closing bracket.
func items(v *hujson.Value) (parts []hujson.Value, after hujson.Extra) {
	switch c := v.Value.(type) {
	case *hujson.Object:
		for _, m := range c.Members {
			parts = append(parts, hujson.Value{StartOffset: m.Name.StartOffset, EndOffset: m.Value.EndOffset, AfterExtra: m.Value.AfterExtra})
		}
		return parts, c.AfterExtra
	case *hujson.Array:
		return c.Elements, c.AfterExtra
	}
	return nil, nil
}

// insert adds a part at the end of an object or an array.
func (d *jsonText) insert(v *hujson.Value, render func(indent string, spread bool) string) error {
	parts, after := items(v)
	outer, spread := lineIndent(d.text, v.StartOffset), d.spread(v.StartOffset, v.EndOffset)
	if len(parts) > 0 {
		// Parts that stand on one line go on doing so.
		spread = bytes.IndexByte(d.text[v.StartOffset:v.EndOffset], '\n') >= 0
	}
	indent, point, comma := outer+d.unit, v.StartOffset+1, -1
	var tail string
	if n := len(parts); n > 0 {
		last := parts[n-1]
		if bytes.IndexByte(d.text[v.StartOffset:last.StartOffset], '\n') >= 0 {
			indent = lineIndent(d.text, last.StartOffset)
		}
		if point = last.EndOffset; last.AfterExtra == nil {
			comma = point
		} else {
			point, tail = point+len(last.AfterExtra)+1, ","
		}
	}
	point += len(bytes.TrimRight(after, " \t\r\n"))
	end := point // of the white space that is replaced
	var b strings.Builder
	switch {
	case spread:
		b.WriteString(d.eol + indent + render(indent, true) + tail)
		if close := v.EndOffset - 1; bytes.IndexByte(d.text[point:close], '\n') < 0 {
			b.WriteString(d.eol + outer)
			end = close
		}
	case len(parts) > 0:
		b.WriteString(" " + render(indent, false) + tail)
	default:
		b.WriteString(render(indent, false))
	}
	d.text = splice(d.text, point, end, b.String())
	if comma >= 0 {
		d.text = splice(d.text, comma, comma, ",")
	}
	return d.read()
}

// cut takes a part out of an object or an array, with the line it has to
// itself. Comments above it stay.
func (d *jsonText) cut(v *hujson.Value, i int) error {
	parts, after := items(v)
	part := parts[i]
	start, end := part.StartOffset, part.EndOffset
	last := i == len(parts)-1
	if !last || part.AfterExtra != nil {
		end += len(part.AfterExtra) + 1 // with its comma
	}
	head := bytes.TrimRight(d.text[:start], blank)
	rest := bytes.TrimLeft(d.text[end:], blank)
	switch lineHead := bytes.HasSuffix(head, []byte("\n")); {
	case lineHead && (rest[0] == '\n' || rest[0] == '\r'):
		start, end = len(bytes.TrimSuffix(head[:len(head)-1], []byte("\r"))), len(d.text)-len(rest)
	case lineHead || !last:
		end = len(d.text) - len(rest)
	default:
		start = len(head)
	}
	text := splice(d.text, start, end, "")
	if last && i > 0 && part.AfterExtra == nil {
		comma := parts[i-1].EndOffset + len(parts[i-1].AfterExtra)
		text = splice(text, comma, comma+1, "")
	}
	if len(parts) == 1 && len(bytes.TrimSpace(after)) == 0 {
		text = collapse(text, v.StartOffset)
	}
	d.text = text
	return d.read()
}

// collapse takes the white space out of brackets that hold nothing else.
func collapse(text []byte, open int) []byte {
	rest := bytes.TrimLeft(text[open+1:], " \t\r\n")
	if len(rest) == 0 || rest[0] != '}' && rest[0] != ']' {
		return text
	}
	return splice(text, open+1, len(text)-len(rest), "")
}

// lineWidth is how long a list may be that stands on one line, in bytes.
const lineWidth = 70

func (d *jsonText) render(value any, indent string, spread bool) string {
	var parts []string
	inner := indent + d.unit
	open, shut := "{", "}"
	switch v := value.(type) {
	case string:
		return quote(v)
	case bool:
		return fmt.Sprint(v)
	case []string:
		open, shut = "[", "]"
		length := 0
		for _, text := range v {
			parts = append(parts, quote(text))
			length += len(text) + len(`"", `)
		}
		spread = spread && length > lineWidth
	case members:
		for _, m := range v {
			parts = append(parts, quote(m.name)+": "+d.render(m.value, inner, spread))
		}
	}
	if len(parts) == 0 || !spread {
		return open + strings.Join(parts, ", ") + shut
	}
	return open + d.eol + inner + strings.Join(parts, ","+d.eol+inner) + d.eol + indent + shut
}

func quote(text string) string { return string(hujson.String(text)) }
