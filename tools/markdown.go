package tools

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/mark3labs/mcp-go/mcp"
)

// Markdown is the documentation's table of the tools: one row each, with the
// arguments as the schema has them.
func Markdown(declared []mcp.Tool) (string, error) {
	var b strings.Builder
	b.WriteString("| tool | what it does | arguments (required in bold) |\n|---|---|---|\n")
	for _, t := range declared {
		arguments, err := describe(t.RawInputSchema)
		if err != nil {
			return "", fmt.Errorf("%s: %w", t.Name, err)
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", t.Name, cell(t.Description), cell(arguments))
	}
	return b.String(), nil
}

// Reference is the documentation's page of the tools: what each takes and
// answers, and its hints.
func Reference(declared []mcp.Tool) (string, error) {
	var b strings.Builder
	for _, t := range declared {
		fmt.Fprintf(&b, "## %s\n\n%s\n\n%s.\n", t.Name, t.Description, hints(t.Annotations))
		for _, part := range []struct {
			head string
			doc  json.RawMessage
		}{{"argument", t.RawInputSchema}, {"answer", t.RawOutputSchema}} {
			properties, err := propertiesOf(part.doc)
			if err != nil {
				return "", fmt.Errorf("%s: %w", t.Name, err)
			}
			fmt.Fprintf(&b, "\n| %s | type | meaning |\n|---|---|---|\n", part.head)
			for _, p := range properties {
				fmt.Fprintf(&b, "| %s | %s | %s |\n", p.label(), cell(p.String()), cell(p.Description))
			}
		}
		b.WriteString("\n")
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}

// hints are the annotations in words.
func hints(a mcp.ToolAnnotation) string {
	words := make([]string, 0, 4)
	for _, hint := range []struct {
		set     *bool
		yes, no string
	}{
		{a.ReadOnlyHint, "Read-only", "Not read-only"},
		{a.DestructiveHint, "destructive", "not destructive"},
		{a.IdempotentHint, "idempotent", "not idempotent"},
		{a.OpenWorldHint, "open world", "closed world"},
	} {
		word := hint.no
		if hint.set != nil && *hint.set {
			word = hint.yes
		}
		words = append(words, word)
	}
	return strings.Join(words, ", ")
}

// describe lists a schema's properties in their order.
func describe(doc json.RawMessage) (string, error) {
	properties, err := propertiesOf(doc)
	if err != nil {
		return "", err
	}
	parts := make([]string, len(properties))
	for i, p := range properties {
		parts[i] = p.label() + " " + p.String()
	}
	return strings.Join(parts, "<br>"), nil
}

// propertiesOf are a schema's properties in their order.
func propertiesOf(doc json.RawMessage) ([]property, error) {
	var root struct {
		Properties json.RawMessage `json:"properties"`
		Required   []string        `json:"required"`
	}
	if err := json.Unmarshal(doc, &root); err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(root.Properties))
	if _, err := dec.Token(); err != nil {
		return nil, err
	}
	var all []property
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return nil, err
		}
		p := property{name: fmt.Sprint(name)}
		if err := dec.Decode(&p); err != nil {
			return nil, err
		}
		p.required = slices.Contains(root.Required, p.name)
		all = append(all, p)
	}
	return all, nil
}

// property is what the table shows of a property's schema.
type property struct {
	Type        string   `json:"type"`
	Enum        []string `json:"enum"`
	Minimum     *float64 `json:"minimum"`
	Maximum     *float64 `json:"maximum"`
	Default     any      `json:"default"`
	Description string   `json:"description"`

	name     string
	required bool
}

// label is the name, in bold where the property must be given.
func (p property) label() string {
	if p.required {
		return "**`" + p.name + "`**"
	}
	return "`" + p.name + "`"
}

func (p property) String() string {
	text := p.Type
	if len(p.Enum) > 0 {
		text = strings.Join(p.Enum, " or ")
	}
	switch {
	case p.Minimum != nil && p.Maximum != nil:
		text += " " + number(*p.Minimum) + " to " + number(*p.Maximum)
	case p.Minimum != nil:
		text += " from " + number(*p.Minimum)
	}
	if p.Default != nil {
		text += fmt.Sprintf(", default %v", p.Default)
	}
	return text
}

// number writes large ones without an exponent.
func number(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

func cell(text string) string { return strings.ReplaceAll(text, "|", "\\|") }
