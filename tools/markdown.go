package tools

import (
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

// describe lists a schema's properties in their order.
func describe(doc json.RawMessage) (string, error) {
	var root struct {
		Properties json.RawMessage `json:"properties"`
		Required   []string        `json:"required"`
	}
	if err := json.Unmarshal(doc, &root); err != nil {
		return "", err
	}
	var parts []string
	dec := json.NewDecoder(strings.NewReader(string(root.Properties)))
	if _, err := dec.Token(); err != nil {
		return "", err
	}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return "", err
		}
		var p property
		if err := dec.Decode(&p); err != nil {
			return "", err
		}
		label := fmt.Sprintf("`%s`", name)
		if slices.Contains(root.Required, fmt.Sprint(name)) {
			label = "**" + label + "**"
		}
		parts = append(parts, label+" "+p.String())
	}
	return strings.Join(parts, "<br>"), nil
}

// property is what the table shows of a property's schema.
type property struct {
	Type    string   `json:"type"`
	Enum    []string `json:"enum"`
	Minimum *float64 `json:"minimum"`
	Maximum *float64 `json:"maximum"`
	Default any      `json:"default"`
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
