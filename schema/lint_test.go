package schema_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nemotron-mcp/schema"
)

func TestLint(t *testing.T) {
	t.Parallel()
	// property wraps the schema of one property into a root that is fine.
	property := func(s string) string {
		return `{"type":"object","properties":{"a":` + s + `},"additionalProperties":false}`
	}
	for _, tt := range []struct {
		name, doc string
		want      []string
	}{
		{"fine", property(`{"type":"string","description":"A."}`), nil},
		{"fine without properties", `{"type":"object","properties":{}}`, nil},
		{"union below the root", property(`{"description":"A.","anyOf":[{"type":"string"},{"type":"integer"}]}`), nil},
		{"no JSON", `{`, []string{"/: not JSON: unexpected EOF"}},
		{"boolean root", `true`, []string{"/: the root must be an object, not boolean"}},
		{"root of another type", `{"type":"array","items":{"type":"string"}}`, []string{
			"/: the root's type must be object", "/: the root must have properties",
		}},
		{"root unions", `{"type":"object","properties":{},"oneOf":[],"anyOf":[],"allOf":[]}`, []string{
			"/: allOf at the root", "/: anyOf at the root", "/: oneOf at the root",
		}},
		{"words at the root", `{"$schema":"x","$id":"x","$defs":{},"type":"object","properties":{}}`, []string{
			`/: "$defs" is not taken by every host`, `/: "$id" is not taken by every host`, `/: "$schema" is not taken by every host`,
		}},
		{"reference", property(`{"$ref":"#","description":"A."}`), []string{
			`/properties/a: "$ref" is not taken by every host`, "/properties/a: has no type",
		}},
		{"words of strings", property(`{"type":"string","description":"A.","format":"uri","const":"x","contentEncoding":"base64"}`), []string{
			`/properties/a: "const" is not taken by every host`,
			`/properties/a: "contentEncoding" is not taken by every host`,
			`/properties/a: "format" is not taken by every host`,
		}},
		{"words of numbers", property(`{"type":"number","description":"A.","exclusiveMinimum":0,"exclusiveMaximum":1,"multipleOf":2}`), []string{
			`/properties/a: "exclusiveMaximum" is not taken by every host`,
			`/properties/a: "exclusiveMinimum" is not taken by every host`,
			`/properties/a: "multipleOf" is not taken by every host`,
		}},
		{"unique items", property(`{"type":"array","items":{"type":"string"},"description":"A.","uniqueItems":true}`), []string{
			`/properties/a: "uniqueItems" is not taken by every host`,
		}},
		{"boolean schema", property(`true`), []string{"/properties/a: a schema must be an object, not boolean"}},
		{"additional properties", property(`{"type":"object","description":"A.","additionalProperties":true}`), []string{
			"/properties/a/additionalProperties: a schema must be an object, not boolean",
		}},
		{"map of anything", property(`{"type":"object","description":"A.","additionalProperties":{}}`), []string{
			"/properties/a/additionalProperties: has no type",
		}},
		{"list of types", property(`{"type":["string","null"],"description":"A."}`), []string{"/properties/a: a list of types"}},
		{"null", property(`{"type":"null","description":"A."}`), []string{`/properties/a: unknown type "null"`}},
		{"number as a type", property(`{"type":1,"description":"A."}`), []string{"/properties/a: type must be a string, not number"}},
		{"array without items", property(`{"type":"array","description":"A."}`), []string{"/properties/a: an array must have items"}},
		{"bad items", property(`{"type":"array","items":{"type":"array"},"description":"A."}`), []string{
			"/properties/a/items: an array must have items",
		}},
		{"numeric enum", property(`{"type":"integer","enum":[1],"description":"A."}`), []string{
			"/properties/a: enum holds number; every host takes strings only",
		}},
		{"empty enum", property(`{"type":"string","enum":[],"description":"A."}`), []string{"/properties/a: enum must be a list of strings"}},
		{"enum twice", property(`{"type":"string","enum":["x","x"],"description":"A."}`), []string{`/properties/a: enum holds "x" twice`}},
		{"enum of another type", property(`{"type":"integer","enum":["x"],"description":"A."}`), []string{
			"/properties/a: an enum of strings needs the type string",
		}},
		{"no description", property(`{"type":"string"}`), []string{"/properties/a: has no description"}},
		{"blank description", property(`{"type":"string","description":" "}`), []string{"/properties/a: has no description"}},
		{"nested without description", property(`{"type":"object","description":"A.","properties":{"b":{"type":"string"}}}`), []string{
			"/properties/a/properties/b: has no description",
		}},
		{"bad union", property(`{"description":"A.","anyOf":[{"type":"string","format":"uri"}]}`), []string{
			`/properties/a/anyOf/0: "format" is not taken by every host`,
		}},
		{"union of no list", property(`{"description":"A.","anyOf":{}}`), []string{"/properties/a/anyOf: must be an array"}},
		{"name", `{"type":"object","properties":{"a b":{"type":"string","description":"A."}}}`, []string{
			`/: property "a b": a name has 1 to 64 letters, digits, underscores, dots and hyphens`,
		}},
		{"required", `{"type":"object","properties":{},"required":["a"]}`, []string{"/: required names a, which is no property"}},
		{"required no list", `{"type":"object","properties":{},"required":true}`, []string{"/: required must be a list of names"}},
		{"properties no object", property(`{"type":"object","description":"A.","properties":[]}`), []string{
			"/properties/a: properties must be an object",
		}},
		{"default of another type", property(`{"type":"array","items":{"type":"integer"},"description":"A.","default":["1"]}`), []string{
			"/properties/a: the default does not fit its own schema",
		}},
		{"default out of range", property(`{"type":"integer","minimum":1,"description":"A.","default":0}`), []string{
			"/properties/a: the default does not fit its own schema",
		}},
		{"default not in the enum", property(`{"type":"string","enum":["x"],"description":"A.","default":"y"}`), []string{
			"/properties/a: the default does not fit its own schema",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, schema.Lint(json.RawMessage(tt.doc))); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
		})
	}
}
