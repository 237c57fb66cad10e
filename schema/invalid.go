package schema

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// maxFaults bounds the faults of one InvalidError: enough to repair a call in
// one go, and no flood into the model's context.
const maxFaults = 20

// An InvalidError says what is wrong with a call's arguments.
type InvalidError struct {
	// Faults has 1 to 20 faults, in the order of the schema's properties;
	// unknown arguments come last.
	Faults []Fault
	// Omitted counts the faults beyond those.
	Omitted int
}

// Error returns one line for each fault.
func (e *InvalidError) Error() string {
	lines := make([]string, 0, len(e.Faults)+1)
	for _, f := range e.Faults {
		lines = append(lines, f.String())
	}
	if e.Omitted > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", e.Omitted))
	}
	return strings.Join(lines, "\n")
}

// A Fault is one thing that a caller must change. Values are quoted in it
// only shortened, with invisible characters escaped.
type Fault struct {
	Field   string // such as max_tokens or files[2]; "" for the arguments as a whole
	Message string // without the field
}

// String returns the fault with its field: "prompt: required, but missing".
func (f Fault) String() string {
	if f.Field == "" {
		return f.Message
	}
	return f.Field + ": " + f.Message
}

// A placedFault is a fault with its place in the arguments.
type placedFault struct {
	path     []string
	message  string
	stranger int   // counts unknown arguments as they come, else 0
	rank     []int // of path among the schema's properties, for the order
}

func (c *coercer) fault(path []string, format string, args ...any) {
	if c.places == nil {
		c.places = make(map[string]bool)
	}
	c.places[placeKey(path)] = true
	c.faults = append(c.faults, placedFault{path: path, message: fmt.Sprintf(format, args...)})
}

// faulted reports whether the coercer has named a fault at path, so that the
// engine need not name its consequence.
func (c *coercer) faulted(path []string) bool {
	return c.places[placeKey(path)]
}

// placeKey is unambiguous but for unknown names with a NUL in them, whose call
// is refused anyway.
func placeKey(path []string) string {
	var b strings.Builder
	for _, part := range path {
		b.WriteByte(0)
		b.WriteString(part)
	}
	return b.String()
}

// invalid brings the faults into the schema's order and makes the error.
func (c *coercer) invalid(root *node) *InvalidError {
	for i, f := range c.faults {
		c.faults[i].rank = root.rank(f.path)
	}
	slices.SortStableFunc(c.faults, func(a, b placedFault) int {
		return cmp.Or(slices.Compare(a.rank, b.rank), cmp.Compare(a.stranger, b.stranger), slices.Compare(a.path, b.path))
	})
	invalid := &InvalidError{Omitted: c.untold}
	for _, f := range c.faults {
		if len(invalid.Faults) == maxFaults {
			invalid.Omitted++
			continue
		}
		invalid.Faults = append(invalid.Faults, Fault{Field: root.field(f.path), Message: f.message})
	}
	return invalid
}

// rank places path among the schema's properties; unknown names come last.
func (n *node) rank(path []string) []int {
	ranks := make([]int, 0, len(path))
	for _, part := range path {
		if n == nil {
			return append(ranks, 0)
		}
		if n.Type == "array" {
			index, _ := strconv.Atoi(part)
			ranks = append(ranks, index)
			n = n.Items
			continue
		}
		if i, ok := n.Properties.index[part]; ok {
			ranks = append(ranks, i)
		} else {
			ranks = append(ranks, len(n.Properties.names))
		}
		n = n.child(part)
	}
	return ranks
}

// field writes path as a model would: files[2], usage.input_tokens.
func (n *node) field(path []string) string {
	var b strings.Builder
	for _, part := range path {
		switch {
		case n != nil && n.Type == "array":
			b.WriteString("[" + part + "]")
			n = n.Items
			continue
		case b.Len() > 0:
			b.WriteByte('.')
		}
		b.WriteString(showName(part))
		if n != nil {
			n = n.child(part)
		}
	}
	return b.String()
}

func (n *node) requires(name string) bool { return slices.Contains(n.Required, name) }
