package schema

import (
	"encoding/json"
	"math/big"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// engineFaults adds what the engine found, in our words. value is what it
// validated.
func (c *coercer) engineFaults(err *jsonschema.ValidationError, value any) {
	if len(err.Causes) > 0 {
		for _, cause := range err.Causes {
			c.engineFaults(cause, value)
		}
		return
	}
	path := err.InstanceLocation
	if c.faulted(path) {
		return
	}
	if required, ok := err.ErrorKind.(*kind.Required); ok {
		for _, name := range required.Missing {
			c.fault(extend(path, name), "required, but missing")
		}
		return
	}
	c.fault(path, "%s", engineMessage(err.ErrorKind, at(value, path)))
}

// engineMessage says in words what is wrong with got.
func engineMessage(k jsonschema.ErrorKind, got any) string {
	switch k := k.(type) {
	case *kind.Type:
		return "must be " + alternatives(k.Want) + ", got " + describe(got)
	case *kind.Enum:
		allowed := make([]string, len(k.Want))
		for i, want := range k.Want {
			allowed[i] = plain(want)
		}
		return show(got) + " is not one of " + strings.Join(allowed, ", ")
	case *kind.Minimum:
		return show(got) + " is below the minimum " + bound(k.Want)
	case *kind.Maximum:
		return show(got) + " is above the maximum " + bound(k.Want)
	case *kind.MinLength:
		return "must have " + strconv.Itoa(k.Want) + " or more characters" + has(k.Got, k.Want > 1)
	case *kind.MaxLength:
		return "must have " + strconv.Itoa(k.Want) + " or fewer characters" + has(k.Got, true)
	case *kind.MinItems:
		return "must have " + strconv.Itoa(k.Want) + " or more items" + has(k.Got, k.Want > 1)
	case *kind.MaxItems:
		return "must have " + strconv.Itoa(k.Want) + " or fewer items" + has(k.Got, true)
	case *kind.Pattern:
		return show(got) + " does not match the pattern " + k.Want
	}
	return "does not fit the schema's " + strings.Join(k.KeywordPath(), " ")
}

func has(count int, tell bool) string {
	if !tell {
		return ""
	}
	return ", has " + strconv.Itoa(count)
}

// bound writes a limit of the schema: 2, 0.95.
func bound(limit *big.Rat) string {
	if limit.IsInt() {
		return limit.Num().String()
	}
	f, _ := limit.Float64()
	return strconv.FormatFloat(f, 'g', -1, 64)
}

func alternatives(types []string) string {
	texts := make([]string, len(types))
	for i, t := range types {
		texts[i] = withArticle(t)
	}
	return strings.Join(texts, " or ")
}

func withArticle(kind string) string {
	switch kind {
	case "null":
		return kind
	case "array", "object", "integer":
		return "an " + kind
	default:
		return "a " + kind
	}
}

// at returns the part of value that path leads to.
func at(value any, path []string) any {
	for _, part := range path {
		switch v := value.(type) {
		case map[string]any:
			value = v[part]
		case []any:
			i, err := strconv.Atoi(part)
			if err != nil || i < 0 || i >= len(v) {
				return nil
			}
			value = v[i]
		default:
			return nil
		}
	}
	return value
}

// describe tells the kind of a value of the wrong type, and shows short ones.
func describe(v any) string {
	switch v.(type) {
	case string:
		return "a string " + show(v)
	case []any, map[string]any:
		return withArticle(kindOf(v))
	default:
		return show(v)
	}
}

// unknown adds the fault of an argument that the schema does not know, once
// for each name.
func (c *coercer) unknown(n *node, path []string, name string) {
	place := extend(path, name)
	if c.faulted(place) {
		return
	}
	if c.strangers >= maxFaults {
		c.untold++
		return
	}
	c.strangers++
	what := "argument"
	if len(path) > 0 {
		what = "field"
	}
	message := "unknown " + what + "; valid " + what + "s: " + strings.Join(n.Properties.names, ", ")
	if len(n.Properties.names) == 0 {
		message = "unknown " + what + "; there are none"
	}
	if meant := closest(name, n.Properties.names); meant != "" {
		message += "; did you mean \"" + meant + "\"?"
	}
	c.fault(place, "%s", message)
	c.faults[len(c.faults)-1].stranger = c.strangers
}

// closest returns the candidate that name is a likely misspelling of, or "".
func closest(name string, candidates []string) string {
	if len(name) > 64 {
		return ""
	}
	name = fold(name)
	best, found := min(len(name)/3, 3), ""
	for _, candidate := range candidates {
		if d := distance(name, fold(candidate)); d <= best && (found == "" || d < best) {
			best, found = d, candidate
		}
	}
	return found
}

// fold drops what models confuse: case, underscores, hyphens.
func fold(name string) string {
	return strings.NewReplacer("_", "", "-", "").Replace(strings.ToLower(name))
}

// distance is the edit distance of a and b in bytes, a swap of neighbours
// counting as one edit.
func distance(a, b string) int {
	var before, above []int
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before, above = above, row
		row = make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(above[j+1]+1, row[j]+1, above[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
	}
	return row[len(b)]
}

// plain shows a value of the schema, a string without quotes.
func plain(v any) string {
	if s, ok := v.(string); ok && s != "" {
		return s
	}
	return show(v)
}

// show writes a value of the caller for a message: a string quoted and
// shortened, a list or object by its kind.
func show(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return strconv.FormatBool(v)
	case json.Number:
		return shorten(v.String())
	case string:
		return quote(v)
	default:
		return withArticle(kindOf(v))
	}
}
