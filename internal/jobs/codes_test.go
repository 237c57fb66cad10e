package jobs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"testing"

	"nemotron-mcp/internal/jobs"
)

// TestCodesAreDocumented holds the list of codes to the constants.
func TestCodesAreDocumented(t *testing.T) {
	t.Parallel()
	file, err := parser.ParseFile(token.NewFileSet(), "codes.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var declared []string
	ast.Inspect(file, func(n ast.Node) bool {
		group, ok := n.(*ast.GenDecl)
		if !ok || group.Tok != token.CONST {
			return true
		}
		for _, spec := range group.Specs {
			code, err := strconv.Unquote(spec.(*ast.ValueSpec).Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			declared = append(declared, code)
		}
		return false
	})
	var documented []string
	for _, m := range jobs.Codes() {
		documented = append(documented, string(m.Code))
		if m.Happened == "" || m.ToDo == "" {
			t.Errorf("%s has no meaning, or no remedy", m.Code)
		}
	}
	if !slices.Equal(declared, documented) {
		t.Errorf("declared:   %v\ndocumented: %v", declared, documented)
	}
}
