package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// maxEntries bounds the entries of all arrays and objects in one call
// together, duplicates and unknown names included. The engine allocates a
// fault for each bad entry, and a line of 16 MiB holds millions.
const maxEntries = 10_000

// Decode coerces the arguments raw, validates them and decodes them into the
// struct that into points to. Fields that the arguments leave out keep the
// value they had. No arguments, or null, count as {}.
//
// Coerced are, by the type that the schema gives a property: a string that
// spells an integer, a number, true or false as JSON does; 42.0 and 4.2e1 to
// the integer 42; a string that holds a JSON array to the array; null for an
// optional property to its absence. Of properties given twice the last wins.
// Names are case-sensitive. Arguments of more than 10,000 entries, in lists and
// objects together, are refused.
//
// Arguments that don't fit return an *[InvalidError] with all faults, and
// leave into as it was, unless the struct itself can't hold what the schema
// allows. Any other error is a mistake of the caller.
func (v *Validator) Decode(raw json.RawMessage, into any) error {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 || string(raw) == "null" {
		raw = json.RawMessage("{}")
	}
	if !json.Valid(raw) {
		return &InvalidError{Faults: []Fault{{Message: "the arguments are not valid JSON"}}}
	}
	if kind := rawKind(raw); kind != "object" {
		message := "the arguments must be a JSON object, got " + withArticle(kind)
		return &InvalidError{Faults: []Fault{{Message: message}}}
	}
	c := coercer{out: bytes.NewBuffer(make([]byte, 0, len(raw)+64))}
	value := c.value(v.root, raw, nil)
	if err := v.engine.Validate(value); err != nil {
		var invalid *jsonschema.ValidationError
		if !errors.As(err, &invalid) {
			return fmt.Errorf("schema: validate: %w", err)
		}
		c.engineFaults(invalid, value)
	}
	if len(c.faults) > 0 {
		return c.invalid(v.root)
	}
	return decodeInto(c.out.Bytes(), into)
}

// decodeInto fills in the struct. A value that the schema allows and the
// struct can't hold (300 for an int8 without a maximum) is still the caller's.
func decodeInto(doc []byte, into any) error {
	err := json.Unmarshal(doc, into)
	var mismatch *json.UnmarshalTypeError
	if errors.As(err, &mismatch) {
		message := fmt.Sprintf("%s does not fit this field", shorten(mismatch.Value))
		return &InvalidError{Faults: []Fault{{Field: mismatch.Field, Message: message}}}
	}
	if err != nil {
		return fmt.Errorf("schema: decode: %w", err)
	}
	return nil
}

// A coercer walks arguments beside their schema. It builds the value for the
// engine to validate and, in out, the JSON for the struct.
type coercer struct {
	out     *bytes.Buffer
	entries int // in arrays and objects so far

	faults    []placedFault
	places    map[string]bool // where they are
	strangers int             // unknown arguments that are told
	untold    int             // those beyond maxFaults
}

// value coerces raw, which is at path. What n has no word for is skipped: the
// engine gets an empty value of the same kind, enough to call its type wrong.
func (c *coercer) value(n *node, raw []byte, path []string) any {
	switch kind := rawKind(raw); kind {
	case "object":
		if n.Type == kind {
			return c.object(n, raw, path)
		}
		return map[string]any{}
	case "array":
		if n.Type == kind {
			return c.array(n, raw, path)
		}
		return []any{}
	case "string":
		return c.text(n, raw, path)
	case "number":
		if n.Type != "integer" && n.Type != "number" {
			return json.Number(raw) // the engine stops at its type
		}
		return c.number(n, string(raw), path)
	case "boolean":
		c.out.Write(raw)
		return raw[0] == 't'
	default:
		return nil
	}
}

func (c *coercer) object(n *node, raw []byte, path []string) any {
	last := make(map[string][]byte) // of duplicates the last wins
	var order []string
	for name, member := range members(raw) {
		if !c.room() {
			c.fault(path, "too many entries; a call takes %d", maxEntries)
			return nil
		}
		if n.child(name) == nil {
			c.unknown(n, path, name)
			continue
		}
		if _, twice := last[name]; !twice {
			order = append(order, name)
		}
		last[name] = member
	}
	value := make(map[string]any, len(last))
	c.out.WriteByte('{')
	for _, name := range order {
		sub := n.child(name)
		if string(last[name]) == "null" && !n.requires(name) {
			continue
		}
		if len(value) > 0 {
			c.out.WriteByte(',')
		}
		writeText(c.out, name)
		c.out.WriteByte(':')
		value[name] = c.value(sub, last[name], extend(path, name))
	}
	c.out.WriteByte('}')
	return value
}

func (c *coercer) array(n *node, raw []byte, path []string) any {
	value := []any{}
	c.out.WriteByte('[')
	for item := range elements(raw) {
		if !c.room() {
			c.fault(path, "too many items; %s", n.sizeLimit())
			return nil
		}
		if len(value) > 0 {
			c.out.WriteByte(',')
		}
		value = append(value, c.value(n.Items, item, extend(path, strconv.Itoa(len(value)))))
	}
	c.out.WriteByte(']')
	return value
}

func (c *coercer) text(n *node, raw []byte, path []string) any {
	s := text(raw)
	switch n.Type {
	case "integer":
		if isIntegerSpelling(s) {
			return c.number(n, s, path)
		}
	case "number":
		if isNumberLiteral(s) {
			return c.number(n, s, path)
		}
	case "boolean":
		if s == "true" || s == "false" {
			c.out.WriteString(s)
			return s == "true"
		}
	case "array":
		inner := bytes.TrimSpace([]byte(s))
		if len(inner) > 0 && inner[0] == '[' && json.Valid(inner) {
			return c.array(n, inner, path)
		}
	}
	c.out.Write(raw)
	return s
}

// room counts one more entry and reports whether the call may have it.
func (c *coercer) room() bool {
	c.entries++
	return c.entries <= maxEntries
}

// extend returns path with one more part, in memory of its own.
func extend(path []string, part string) []string {
	return append(path[:len(path):len(path)], part)
}

func writeText(out *bytes.Buffer, s string) {
	doc, _ := json.Marshal(s) // a string can't fail
	out.Write(doc)
}
