package hosts

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// tomlText is TOML whose statements are known by their place.
type tomlText struct {
	text       []byte
	eol        string
	statements []statement
}

// statement is a line of TOML, or the lines of one value.
type statement struct {
	kind       unstable.Kind // Table, ArrayTable or KeyValue
	key        []string      // from the root
	table      []string      // the one it stands in
	start, end int           // whole lines
	from, to   int           // its value
	value      any           // a string, a list, a map, or the text of anything else
}

func openTOML(text []byte) (*tomlText, error) {
	d := &tomlText{text: text, eol: lineEnd(text)}
	return d, d.read()
}

func (d *tomlText) bytes() []byte { return d.text }

func (d *tomlText) read() error {
	d.statements = nil
	var p unstable.Parser
	p.Reset(d.text)
	var table []string
	for p.NextExpression() {
		s := d.statement(&p, p.Expression(), table)
		if s.kind != unstable.KeyValue {
			table = s.key
		}
		d.statements = append(d.statements, s)
	}
	if err := p.Error(); err != nil {
		line := 1 + bytes.Count(d.text, []byte("\n"))
		if parse := (*unstable.ParserError)(nil); errors.As(err, &parse) && len(parse.Highlight) > 0 {
			line = 1 + bytes.Count(d.text[:p.Range(parse.Highlight).Offset], []byte("\n"))
		}
		return fmt.Errorf("%w: line %d is not TOML", ErrBroken, line) // its text may be secret
	}
	return d.checkTwice()
}

func (d *tomlText) statement(p *unstable.Parser, node *unstable.Node, table []string) statement {
	s := statement{kind: node.Kind, table: table}
	last := 0
	keys := node.Key()
	for keys.Next() {
		k := keys.Node()
		s.key = append(s.key, string(k.Data))
		last = int(k.Raw.Offset + k.Raw.Length)
		if s.start == 0 {
			s.start = int(k.Raw.Offset)
		}
	}
	end := last
	if s.kind == unstable.KeyValue {
		s.key = append(slices.Clone(table), s.key...)
		end = int(node.Raw.Offset + node.Raw.Length)
		s.from = last + bytes.IndexByte(d.text[last:], '=') + 1
		s.from += len(d.text[s.from:]) - len(bytes.TrimLeft(d.text[s.from:], blank))
		s.to = s.from + len(bytes.TrimRight(d.text[s.from:end], blank))
		s.value = tomlValue(p, node.Value(), d.text[s.from:s.to])
	}
	s.start = bytes.LastIndexByte(d.text[:s.start], '\n') + 1
	s.end = len(d.text)
	if i := bytes.IndexByte(d.text[end:], '\n'); i >= 0 {
		s.end = end + i + 1
	}
	return s
}

func tomlValue(p *unstable.Parser, node *unstable.Node, raw []byte) any {
	children := node.Children()
	switch node.Kind {
	case unstable.String:
		return string(node.Data)
	case unstable.Array:
		list := []any{}
		for children.Next() {
			list = append(list, tomlValue(p, children.Node(), nil))
		}
		return list
	case unstable.InlineTable:
		table := map[string]any{}
		for children.Next() {
			var key []string
			keys := children.Node().Key()
			for keys.Next() {
				key = append(key, string(keys.Node().Data))
			}
			table[strings.Join(key, ".")] = tomlValue(p, children.Node().Value(), nil)
		}
		return table
	}
	return fmt.Sprintf("%d %s%s", node.Kind, raw, node.Data)
}

// checkTwice finds what is defined twice, which the host would refuse.
func (d *tomlText) checkTwice() error {
	seen := map[string]unstable.Kind{}
	for _, s := range d.statements {
		id := strings.Join(s.key, "\x00")
		old, again := seen[id]
		switch {
		case s.kind == unstable.ArrayTable:
			for other := range seen {
				if strings.HasPrefix(other, id+"\x00") {
					delete(seen, other) // those of the element before
				}
			}
			again = again && old != unstable.ArrayTable
		case s.kind == unstable.Table && old == unstable.ArrayTable:
			again = true
		}
		if again {
			return fmt.Errorf("%w: %q is defined twice", ErrBroken, strings.Join(s.key, "."))
		}
		seen[id] = s.kind
	}
	return nil
}

func hasPrefix(key, prefix []string) bool {
	return len(key) >= len(prefix) && slices.Equal(key[:len(prefix)], prefix)
}

// ours are the statements that make the server. Only its own tables can be
// edited.
func (d *tomlText) ours(h Host, name string) (own []statement, editable bool, err error) {
	prefix := []string{h.ServersKey, name}
	editable = true
	for _, s := range d.statements {
		if slices.Equal(s.key, prefix[:1]) && s.kind != unstable.Table {
			return nil, false, fmt.Errorf("%w: %s should be a table of its own in it", ErrShape, h.ServersKey)
		}
		if !hasPrefix(s.key, prefix) {
			continue
		}
		if s.kind == unstable.ArrayTable {
			return nil, false, fmt.Errorf("%w: %s in it is a list of tables", ErrShape, name)
		}
		if s.kind == unstable.KeyValue && !hasPrefix(s.table, prefix) {
			editable = false
		}
		own = append(own, s)
	}
	return own, editable, nil
}

func (d *tomlText) merge(h Host, s Server) (Change, error) {
	c := Change{}
	found, err := d.find(h, s.Name)
	if err != nil {
		return c, err
	}
	own, editable, err := d.ours(h, s.Name)
	if err != nil {
		return c, err
	}
	if len(own) == 0 {
		return c, d.add(h, s)
	}
	head := slices.IndexFunc(own, func(o statement) bool {
		return o.kind == unstable.Table && len(o.key) == 2
	})
	if !editable || head < 0 {
		return c, fmt.Errorf("%w: %s in it is not in a table [%s.%s]; take it out with --remove first", ErrShape, s.Name, h.ServersKey, s.Name)
	}
	if found.URL != "" {
		return c, fmt.Errorf("%w: %s in it is a server that is reached at a URL", ErrShape, s.Name)
	}
	c.Existed = true
	for _, m := range h.entry(s) {
		if m.name == "env_vars" {
			continue
		}
		changed, err := d.setKey(h, s.Name, m.name, m.value)
		if err != nil {
			return c, err
		}
		c.NewCommand = c.NewCommand || changed
	}
	return c, d.forward(h, s, found, &c)
}

// forward lists variables that are to be passed on, beside those that are, and
// leaves out those that are not to be any more.
func (d *tomlText) forward(h Host, s Server, found *Found, c *Change) error {
	if len(s.Keys)+len(s.Unused) == 0 {
		return nil
	}
	var names []string
	there := false
	for _, o := range d.statements {
		if !slices.Equal(o.key, []string{h.ServersKey, s.Name, "env_vars"}) {
			continue
		}
		there = true
		list, ok := o.value.([]any)
		for _, element := range list {
			name, isText := element.(string)
			ok = ok && isText
			names = append(names, name)
		}
		if !ok {
			return fmt.Errorf("%w: env_vars of %s is not a list of names", ErrShape, s.Name)
		}
	}
	before := slices.Clone(names)
	for _, variable := range s.Unused {
		if found.Env[variable] != "" {
			c.KeptUnused = append(c.KeptUnused, variable)
		}
		names = slices.DeleteFunc(names, func(name string) bool { return name == variable })
	}
	for _, variable := range s.Keys {
		if stands(found.Env[variable]) {
			c.KeptKeys = append(c.KeptKeys, variable)
		} else if !slices.Contains(names, variable) {
			names = append(names, variable)
		}
	}
	if slices.Equal(names, before) {
		return nil
	}
	if there && len(names) == 0 {
		return d.dropKey(h, s.Name, "env_vars")
	}
	_, err := d.setKey(h, s.Name, "env_vars", names)
	return err
}

// setKey sets a key in the server's own table, and says whether it was another.
func (d *tomlText) setKey(h Host, name, key string, value any) (bool, error) {
	table := []string{h.ServersKey, name}
	path := append(slices.Clone(table), key)
	at := -1
	for _, s := range d.statements {
		switch {
		case slices.Equal(s.key, path) && s.kind == unstable.KeyValue:
			if same(s.value, plain(value)) {
				return false, nil
			}
			d.text = splice(d.text, s.from, s.to, tomlRender(value))
			return true, d.read()
		case slices.Equal(s.key, table), slices.Equal(s.table, table) && s.kind == unstable.KeyValue:
			at = s.end
		}
	}
	line := key + " = " + tomlRender(value) + d.eol
	if at > 0 && d.text[at-1] != '\n' {
		line = d.eol + strings.TrimSuffix(line, d.eol)
	}
	d.text = splice(d.text, at, at, line)
	return true, d.read()
}

// dropKey takes a key and its lines out of the server's own table.
func (d *tomlText) dropKey(h Host, name, key string) error {
	for _, s := range d.statements {
		if slices.Equal(s.key, []string{h.ServersKey, name, key}) {
			d.text = splice(d.text, s.start, s.end, "")
			return d.read()
		}
	}
	return nil
}

// add writes the server's table at the end.
func (d *tomlText) add(h Host, s Server) error {
	var b strings.Builder
	b.Write(d.text)
	if len(d.text) > 0 {
		if d.text[len(d.text)-1] != '\n' {
			b.WriteString(d.eol)
		}
		b.WriteString(d.eol)
	}
	fmt.Fprintf(&b, "[%s.%s]%s", h.ServersKey, s.Name, d.eol)
	for _, m := range h.entry(s) {
		fmt.Fprintf(&b, "%s = %s%s", m.name, tomlRender(m.value), d.eol)
	}
	d.text = []byte(b.String())
	return d.read()
}

func (d *tomlText) remove(h Host, name string) (Change, error) {
	own, _, err := d.ours(h, name)
	if err != nil || len(own) == 0 {
		return Change{}, err
	}
	for _, s := range slices.Backward(own) {
		start := s.start
		if before := d.text[:start]; s.kind == unstable.Table && start > 0 {
			// The empty line that parts it from the table before.
			for _, end := range []string{"\r\n", "\n"} {
				if bytes.HasSuffix(before, []byte("\n"+end)) {
					start -= len(end)
					break
				}
			}
		}
		d.text = splice(d.text, start, s.end, "")
	}
	return Change{Existed: true}, d.read()
}

func (d *tomlText) find(h Host, name string) (*Found, error) {
	own, _, err := d.ours(h, name)
	if err != nil || len(own) == 0 {
		return nil, err
	}
	entry := map[string]any{}
	for _, s := range own {
		if s.kind == unstable.KeyValue {
			put(entry, s.key[2:], s.value)
		}
	}
	return foundIn(entry), nil
}

// put sets a value below a path; no key is the whole.
func put(table map[string]any, key []string, value any) {
	if len(key) == 0 {
		if inline, ok := value.(map[string]any); ok {
			for k, v := range inline {
				put(table, strings.Split(k, "."), v)
			}
		}
		return
	}
	if len(key) == 1 {
		table[key[0]] = value
		return
	}
	inner, ok := table[key[0]].(map[string]any)
	if !ok {
		inner = map[string]any{}
		table[key[0]] = inner
	}
	put(inner, key[1:], value)
}

func (d *tomlText) others(h Host, name string) (any, error) {
	var rest [][]string
	for _, s := range d.statements {
		if !hasPrefix(s.key, []string{h.ServersKey, name}) {
			rest = append(rest, append([]string{fmt.Sprint(s.kind), string(d.text[s.from:s.to])}, s.key...))
		}
	}
	return rest, nil
}

// plain is a value as tomlValue would have it.
func plain(value any) any {
	names, ok := value.([]string)
	if !ok {
		return value
	}
	list := []any{}
	for _, name := range names {
		list = append(list, name)
	}
	return list
}

func tomlRender(value any) string {
	names, ok := value.([]string)
	if !ok {
		text, _ := value.(string)
		return strings.ReplaceAll(quote(text), "\x7f", `\u007f`)
	}
	var parts []string
	for _, name := range names {
		parts = append(parts, tomlRender(name))
	}
	return "[" + strings.Join(parts, ", ") + "]"
}
