package schema

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"sort"
)

// Lint returns what in the schema doc some host refuses, each fault with the
// JSON Pointer of the place; none for a schema that every host takes. It is
// meant for tests: it costs far more than Generate.
//
// Every host takes: a root of type object with properties; types, each a
// single one; descriptions on all properties; items on all arrays; enums of
// strings; minimum, maximum, minLength, maxLength, minItems, maxItems and
// pattern; additionalProperties. Unions are taken below the root only.
func Lint(doc json.RawMessage) []string {
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.UseNumber()
	var root any
	if err := dec.Decode(&root); err != nil {
		return []string{fmt.Sprintf("/: not JSON: %v", err)}
	}
	var l linter
	l.root(root)
	return l.faults
}

type linter struct{ faults []string }

func (l *linter) fault(path, format string, args ...any) {
	if path == "" {
		path = "/"
	}
	l.faults = append(l.faults, path+": "+fmt.Sprintf(format, args...))
}

func (l *linter) root(root any) {
	s, ok := root.(map[string]any)
	if !ok {
		l.fault("", "the root must be an object, not %s", kindOf(root))
		return
	}
	if s["type"] != "object" {
		l.fault("", "the root's type must be object")
	}
	if _, ok := s["properties"].(map[string]any); !ok {
		l.fault("", "the root must have properties")
	}
	for _, word := range []string{"allOf", "anyOf", "oneOf"} {
		if _, ok := s[word]; ok {
			l.fault("", "%s at the root", word)
		}
	}
	l.schema(s, "")
}

func (l *linter) schema(v any, path string) {
	s, ok := v.(map[string]any)
	if !ok {
		l.fault(path, "a schema must be an object, not %s", kindOf(v))
		return
	}
	l.words(s, path)
	l.types(s, path)
	l.enum(s, path)
	l.properties(s, path)
	if items, ok := s["items"]; ok {
		l.schema(items, path+"/items")
	}
	if more, ok := s["additionalProperties"]; ok && more != false {
		l.schema(more, path+"/additionalProperties")
	}
	for _, word := range []string{"allOf", "anyOf", "oneOf"} {
		list, ok := s[word].([]any)
		if !ok && s[word] != nil {
			l.fault(path+"/"+word, "must be an array")
		}
		for i, sub := range list {
			l.schema(sub, fmt.Sprintf("%s/%s/%d", path, word, i))
		}
	}
	l.defaultValue(s, path)
}

// words refuses what is not on the list: hosts strip, misread or refuse the
// rest ($schema, $ref, const, exclusive bounds, multipleOf, format, …).
func (l *linter) words(s map[string]any, path string) {
	allowed := []string{
		"type", "title", "description", "default", "enum", "examples",
		"properties", "required", "additionalProperties", "items",
		"minimum", "maximum", "minLength", "maxLength", "pattern", "minItems", "maxItems",
		"allOf", "anyOf", "oneOf",
	}
	for _, word := range sortedKeys(s) {
		if !slices.Contains(allowed, word) {
			l.fault(path, "%q is not taken by every host", word)
		}
	}
}

func (l *linter) types(s map[string]any, path string) {
	switch t := s["type"].(type) {
	case string:
		if !slices.Contains([]string{"object", "array", "string", "integer", "number", "boolean"}, t) {
			l.fault(path, "unknown type %q", t)
		}
		if _, ok := s["items"]; t == "array" && !ok {
			l.fault(path, "an array must have items")
		}
	case nil:
		if s["allOf"] == nil && s["anyOf"] == nil && s["oneOf"] == nil {
			l.fault(path, "has no type")
		}
	case []any:
		l.fault(path, "a list of types")
	default:
		l.fault(path, "type must be a string, not %s", kindOf(t))
	}
}

func (l *linter) enum(s map[string]any, path string) {
	v, ok := s["enum"]
	if !ok {
		return
	}
	list, ok := v.([]any)
	if !ok || len(list) == 0 {
		l.fault(path, "enum must be a list of strings")
		return
	}
	seen := make(map[string]bool)
	for _, item := range list {
		text, ok := item.(string)
		if !ok {
			l.fault(path, "enum holds %s; every host takes strings only", kindOf(item))
			return
		}
		if seen[text] {
			l.fault(path, "enum holds %q twice", text)
		}
		seen[text] = true
	}
	if s["type"] != "string" {
		l.fault(path, "an enum of strings needs the type string")
	}
}

func (l *linter) properties(s map[string]any, path string) {
	props, ok := s["properties"].(map[string]any)
	if !ok && s["properties"] != nil {
		l.fault(path, "properties must be an object")
		return
	}
	for _, name := range sortedKeys(props) {
		at := path + "/properties/" + name
		if !isPropertyName(name) {
			l.fault(path, "property %q: a name has 1 to 64 letters, digits, underscores, dots and hyphens", name)
		}
		l.schema(props[name], at)
		if sub, ok := props[name].(map[string]any); ok {
			if text, ok := sub["description"].(string); !ok || !notEmpty(text) {
				l.fault(at, "has no description")
			}
		}
	}
	required, ok := s["required"].([]any)
	if !ok && s["required"] != nil {
		l.fault(path, "required must be a list of names")
	}
	for _, name := range required {
		text, ok := name.(string)
		if _, known := props[text]; !ok || !known {
			l.fault(path, "required names %v, which is no property", name)
		}
	}
}

// defaultValue checks a default against its own schema: a model copies it.
func (l *linter) defaultValue(s map[string]any, path string) {
	value, ok := s["default"]
	if !ok {
		return
	}
	engine, err := compileEngine(s)
	if err != nil {
		return // what is wrong with s was named above, or Compile says it
	}
	if engine.Validate(value) != nil {
		l.fault(path, "the default does not fit its own schema")
	}
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	return keys
}
