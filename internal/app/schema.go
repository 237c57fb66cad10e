package app

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/mark3labs/mcp-go/mcp"

	"nemotron-mcp/tools"
)

type schemaCommand struct {
	Tool     string `arg:"" optional:"" help:"One tool; all of them where left out."`
	Markdown bool   `help:"Print the tables of the documentation instead of JSON."`
}

// Run prints what tools/list answers.
func (c *schemaCommand) Run(s *session) error {
	declared, err := tools.Declarations()
	if err != nil {
		return err
	}
	if c.Tool != "" {
		var one []mcp.Tool
		var names []string
		for _, t := range declared {
			names = append(names, t.Name)
			if t.Name == c.Tool {
				one = append(one, t)
			}
		}
		if declared = one; len(one) == 0 {
			return &configError{fmt.Sprintf("there is no tool %q", c.Tool), "The tools are " + strings.Join(names, ", ") + "."}
		}
	}
	if c.Markdown {
		table, err := tools.Markdown(declared)
		if err != nil {
			return err
		}
		_, err = fmt.Fprint(s.Out, table)
		return err
	}
	b, err := json.MarshalIndent(map[string]any{"tools": declared}, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.Out, "%s\n", b)
	return err
}
