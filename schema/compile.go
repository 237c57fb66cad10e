package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// schemaURL is what the engine calls the one schema it compiles; nothing is
// loaded from it.
const schemaURL = "mem:///schema"

// A Validator checks arguments against one schema. It is immutable and safe
// for concurrent use.
type Validator struct {
	engine *jsonschema.Schema
	root   *node
}

// Compile prepares a schema for Decode: one such as Generate makes, in which
// every schema has one type, every array items, and every object either
// additionalProperties false or a schema for them. It costs several
// times a Generate, so callers do it when the first call comes, not at start.
func Compile(doc json.RawMessage) (*Validator, error) {
	var root *node
	if err := json.Unmarshal(doc, &root); err != nil {
		return nil, fmt.Errorf("schema: compile: %w", err)
	}
	if root == nil || root.Type != "object" {
		return nil, errors.New("schema: compile: the root's type must be object")
	}
	parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(doc))
	if err != nil {
		return nil, fmt.Errorf("schema: compile: %w", err)
	}
	engine, err := compileEngine(parsed)
	if err != nil {
		return nil, fmt.Errorf("schema: compile: %w", err)
	}
	return &Validator{engine: engine, root: root}, nil
}

func compileEngine(parsed any) (*jsonschema.Schema, error) {
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.UseLoader(noLoader{})
	if err := c.AddResource(schemaURL, parsed); err != nil {
		return nil, err
	}
	return c.Compile(schemaURL)
}

// noLoader keeps a $ref from reading files, which the engine does by default.
type noLoader struct{}

func (noLoader) Load(url string) (any, error) {
	return nil, fmt.Errorf("%s: a schema must not refer to another document", url)
}

// A node is what coercion and messages need to know of a schema: the engine
// keeps neither the order of properties nor the text of a bound.
type node struct {
	Type       string          `json:"type"`
	Properties properties      `json:"properties"`
	Required   []string        `json:"required"`
	Items      *node           `json:"items"`
	Additional json.RawMessage `json:"additionalProperties"`
	Minimum    json.Number     `json:"minimum"`
	Maximum    json.Number     `json:"maximum"`
	MaxItems   json.Number     `json:"maxItems"`

	values *node // the schema of additionalProperties, nil where that is false
}

// properties are the properties of an object in the schema's order.
type properties struct {
	names []string
	nodes map[string]*node
	index map[string]int
}

// UnmarshalJSON reads a schema. It refuses one that leaves open what a value
// may be: every value in arguments is coerced and bounded by its type.
func (n *node) UnmarshalJSON(doc []byte) error {
	type plain node
	if err := json.Unmarshal(doc, (*plain)(n)); err != nil {
		return err
	}
	switch n.Type {
	case "string", "integer", "number", "boolean":
	case "array":
		if n.Items == nil {
			return errors.New("an array without items")
		}
	case "object":
		if string(n.Additional) == "false" {
			return nil
		}
		if err := json.Unmarshal(n.Additional, &n.values); err != nil || n.values == nil {
			return errors.New("additionalProperties must be false or a schema")
		}
	default:
		return fmt.Errorf("unknown type %q", n.Type)
	}
	return nil
}

// UnmarshalJSON keeps the order, which a map would lose.
func (p *properties) UnmarshalJSON(doc []byte) error {
	if kind := rawKind(doc); kind != "object" {
		return fmt.Errorf("properties must be an object, not %s", kind)
	}
	p.nodes = make(map[string]*node)
	p.index = make(map[string]int)
	for name, raw := range members(doc) {
		n := new(node)
		if err := json.Unmarshal(raw, n); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if _, twice := p.nodes[name]; !twice {
			p.index[name] = len(p.names)
			p.names = append(p.names, name)
		}
		p.nodes[name] = n
	}
	return nil
}

// child returns the schema of the property name, nil where n does not take it.
func (n *node) child(name string) *node {
	if sub, ok := n.Properties.nodes[name]; ok {
		return sub
	}
	return n.values
}
