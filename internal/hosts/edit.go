package hosts

import (
	"bytes"
	"errors"
	"fmt"
	"unicode/utf8"
)

// Errors that say why a configuration can't be edited. What they wrap them with
// names places, never contents, which may be secret.
var (
	// ErrBroken is a text that the host could not read either.
	ErrBroken = errors.New("it can't be read")
	// ErrShape is a text in which something else stands where servers should, or
	// where ours is.
	ErrShape = errors.New("it can't be edited")
)

// MaxSize is the largest configuration that is edited, in bytes.
const MaxSize = 8 << 20

// mark is what some editors begin a file with.
var mark = []byte("\ufeff")

// document is a configuration that is being edited.
type document interface {
	merge(h Host, s Server) (Change, error)
	remove(h Host, name string) (Change, error)
	find(h Host, name string) (*Found, error)
	// others is all that is in it but the server and what came with it.
	others(h Host, name string) (any, error)
	bytes() []byte
}

// open reads a text.
func (h Host) open(text []byte) (document, error) {
	switch {
	case len(text) > MaxSize:
		return nil, fmt.Errorf("%w: it is larger than %d MiB", ErrBroken, MaxSize>>20)
	case !utf8.Valid(text):
		return nil, fmt.Errorf("%w: it is not UTF-8", ErrBroken)
	}
	text = bytes.TrimPrefix(text, mark)
	if h.Format == TOML {
		return openTOML(text)
	}
	return openJSON(text)
}

// Merge puts the server into a configuration, which may be empty. An entry of
// that name is brought up to date: what a person added to it stays, and so does a
// secret that stands in it. Errors are ErrBroken, ErrShape, or about the server.
func (h Host) Merge(text []byte, s Server) (Change, error) {
	if err := s.check(); err != nil {
		return Change{}, err
	}
	return h.edit(text, s.Name, func(d document) (Change, error) { return d.merge(h, s) })
}

// Remove takes a server out of a configuration, with what Merge put in for it.
// Errors are ErrBroken or ErrShape.
func (h Host) Remove(text []byte, name string) (Change, error) {
	return h.edit(text, name, func(d document) (Change, error) { return d.remove(h, name) })
}

// Find is the server as the configuration has it, nil where it does not. Errors
// are ErrBroken or ErrShape.
func (h Host) Find(text []byte, name string) (*Found, error) {
	d, err := h.open(text)
	if err != nil {
		return nil, err
	}
	return d.find(h, name)
}

// edit makes a change, and looks whether it changed the one thing only.
func (h Host) edit(text []byte, name string, change func(document) (Change, error)) (Change, error) {
	d, err := h.open(text)
	if err != nil {
		return Change{}, err
	}
	before, err := d.others(h, name)
	if err != nil {
		return Change{}, err
	}
	c, err := change(d)
	if err != nil {
		return Change{}, err
	}
	c.Text = text
	if edited := d.bytes(); !bytes.Equal(edited, bytes.TrimPrefix(text, mark)) {
		c.Changed, c.Text = true, edited
		if bytes.HasPrefix(text, mark) {
			c.Text = append(bytes.Clone(mark), edited...)
		}
	}
	if !c.Changed {
		return c, nil
	}
	if d, err = h.open(c.Text); err != nil {
		return Change{}, fmt.Errorf("%w: the edit would have broken it", ErrShape)
	}
	if after, err := d.others(h, name); err != nil || !same(before, after) {
		return Change{}, fmt.Errorf("%w: the edit would have changed something else too", ErrShape)
	}
	return c, nil
}

// check says why a server can't stand in a configuration.
func (s Server) check() error {
	if err := CheckName(s.Name); err != nil {
		return err
	}
	for _, text := range append([]string{s.Command}, s.Args...) {
		if !utf8.ValidString(text) {
			return fmt.Errorf("%q is not UTF-8, which a configuration has to be", text)
		}
	}
	return nil
}

// lineEnd is what the text ends its first line with.
func lineEnd(text []byte) string {
	if i := bytes.IndexByte(text, '\n'); i > 0 && text[i-1] == '\r' {
		return "\r\n"
	}
	return "\n"
}

// splice replaces a range of a text.
func splice(text []byte, start, end int, by string) []byte {
	out := make([]byte, 0, len(text)-(end-start)+len(by))
	return append(append(append(out, text[:start]...), by...), text[end:]...)
}

const blank = " \t"

// lineIndent is the white space that the line of an offset begins with.
func lineIndent(text []byte, at int) string {
	line := text[bytes.LastIndexByte(text[:at], '\n')+1:]
	return string(line[:len(line)-len(bytes.TrimLeft(line, blank))])
}
