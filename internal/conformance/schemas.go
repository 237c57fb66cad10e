//go:build conformance

package main

import (
	"encoding/json"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

// manyKeywords is a schema that a server must pass on untouched.
const manyKeywords = `{
	"$schema": "https://json-schema.org/draft/2020-12/schema",
	"type": "object",
	"$defs": {
		"address": {
			"$anchor": "addressDef",
			"type": "object",
			"properties": {"street": {"type": "string"}, "city": {"type": "string"}}
		}
	},
	"properties": {
		"name": {"type": "string"},
		"address": {"$ref": "#/$defs/address"},
		"contactMethod": {"type": "string", "enum": ["phone", "email"]},
		"phone": {"type": "string"},
		"email": {"type": "string"}
	},
	"allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
	"if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
	"then": {"required": ["phone"]},
	"else": {"required": ["email"]},
	"additionalProperties": false
}`

// mirrored is the schema of a parameter that travels in a header too.
const mirrored = `{
	"type": "object",
	"properties": {"region": {"type": "string", "description": "A region.", "x-mcp-header": "Region"}}
}`

func addSchemaTools(s *server.MCPServer) {
	s.AddTool(mcp.NewToolWithRawSchema("json_schema_2020_12_tool", "Tool with JSON Schema 2020-12 features", json.RawMessage(manyKeywords)),
		answer(mcp.NewTextContent("Done.")))
	s.AddTool(mcp.NewToolWithRawSchema("test_custom_header", "Has a parameter that travels in a header.", json.RawMessage(mirrored)),
		answer(mcp.NewTextContent("Done.")))
}
