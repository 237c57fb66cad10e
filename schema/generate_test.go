package schema_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/invopop/jsonschema"

	"nemotron-mcp/schema"
)

// TestGenerateGolden compares whole schemas with testdata; -update renews them.
func TestGenerateGolden(t *testing.T) {
	t.Parallel()
	update := flag.Lookup("update").Value.String() == "true"
	for name, doc := range map[string]json.RawMessage{
		"call_input": generate[callInput](t),
		"job_output": generate[jobOutput](t),
		"no_input":   generate[noInput](t),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, fault := range schema.Lint(doc) {
				t.Errorf("lint: %s", fault)
			}
			var got bytes.Buffer
			if err := json.Indent(&got, doc, "", "  "); err != nil {
				t.Fatal(err)
			}
			got.WriteByte('\n')
			file := filepath.Join("testdata", name+".golden.json")
			if update {
				if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Errorf("schema differs from %s (-want +got):\n%s", file, diff)
			}
		})
	}
}

func TestGenerateIsCompact(t *testing.T) {
	t.Parallel()
	doc := generate[callInput](t)
	var compact bytes.Buffer
	if err := json.Compact(&compact, doc); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(doc, compact.Bytes()) {
		t.Errorf("not compact: %s", doc)
	}
}

type (
	tree struct {
		Left *tree `json:"left,omitempty" jsonschema_description:"Left."`
	}
	forest struct {
		Trees []branch `json:"trees" jsonschema_description:"All."`
	}
	branch struct {
		Twigs map[string]forest `json:"twigs" jsonschema_description:"More."`
	}
	selfEmbedded struct {
		*selfEmbedded        //lint:ignore U1000 only the type is looked at
		A             string `json:"a" jsonschema_description:"A."`
	}
	selfSlice    []selfSlice
	ownSchema    string
	embeddedText string
)

func (ownSchema) JSONSchema() *jsonschema.Schema { return jsonschema.TrueSchema }

func fault[T any]() string {
	doc, err := schema.Generate[T]()
	if err == nil {
		return "no error: " + string(doc)
	}
	return err.Error()
}

func TestGenerateRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, got, want string }{
		{"no struct", fault[string](), "string is not a struct"},
		{"pointer", fault[*noInput](), "is not a struct"},
		{"interface", fault[any](), "is not a struct"},
		{"time itself", fault[time.Time](), "marshals itself"},
		{"recursion by pointer", fault[tree](), "left: schema_test.tree contains itself"},
		{"recursion by slice and map", fault[forest](), "trees[].twigs[]: schema_test.forest contains itself"},
		{"recursion by embedding", fault[selfEmbedded](), "only structs can be embedded"},
		{"recursion of a slice", fault[struct {
			A selfSlice `json:"a" jsonschema_description:"A."`
		}](), "a[]: schema_test.selfSlice contains itself"},
		{"any", fault[struct {
			A any `json:"a" jsonschema_description:"A."`
		}](), "a: interface {} would accept anything"},
		{"map of any", fault[struct {
			A map[string]any `json:"a" jsonschema_description:"A."`
		}](), "a[]: interface {} would accept anything"},
		{"raw JSON", fault[struct {
			A json.RawMessage `json:"a" jsonschema_description:"A."`
		}](), "a: json.RawMessage would accept anything"},
		{"json.Number", fault[struct {
			A json.Number `json:"a" jsonschema_description:"A."`
		}](), "a: json.Number is a number for encoding/json"},
		{"bytes", fault[struct {
			A []byte `json:"a" jsonschema_description:"A."`
		}](), "a: []uint8 is base64"},
		{"time", fault[struct {
			A *time.Time `json:"a" jsonschema_description:"A."`
		}](), "a: time.Time marshals itself"},
		{"foreign struct", fault[struct {
			A url.URL `json:"a" jsonschema_description:"A."`
		}](), "a.Scheme: has no description"},
		{"map with int keys", fault[struct {
			A map[int]string `json:"a" jsonschema_description:"A."`
		}](), "has keys that are not strings"},
		{"channel", fault[struct {
			A chan int `json:"a" jsonschema_description:"A."`
		}](), "has no JSON form"},
		{"own schema", fault[struct {
			A ownSchema `json:"a" jsonschema_description:"A."`
		}](), "writes its own schema"},
		{"embedded text", fault[struct {
			embeddedText
		}](), "only structs can be embedded"},
		{"json string option", fault[struct {
			A int `json:"a,string" jsonschema_description:"A."`
		}](), `a: the json option "string" is not supported`},
		{"name twice", fault[struct {
			logLine
			A string `json:"message" jsonschema_description:"A."`
		}](), "message: two fields have this name"},
		{"name that hosts refuse", fault[struct {
			A int `json:"a b" jsonschema_description:"A."`
		}](), "a b: a name has"},
		{"no description", fault[struct {
			A int `json:"a"`
		}](), "a: has no description"},
		{"blank description", fault[struct {
			A int `json:"a" jsonschema_description:" "`
		}](), "a: has no description"},
		{"described twice", fault[struct {
			A int `json:"a" jsonschema:"description=x" jsonschema_description:"y"`
		}](), "a: described twice"},
		{"comma in description", fault[struct {
			A int `json:"a" jsonschema:"description=one, two"`
		}](), `a: " two" in the jsonschema tag is no keyword`},
		{"escaped comma before required", fault[struct {
			A string `json:"a,omitempty" jsonschema:"description=this is\\,required"`
		}](), "a: the text after an escaped comma"},
		{"unknown word", fault[struct {
			A int `json:"a" jsonschema:"nullable" jsonschema_description:"A."`
		}](), `a: "nullable" in the jsonschema tag is no keyword`},
		{"unknown tag", fault[struct {
			A int `json:"a" jsonschema:"min=1" jsonschema_description:"A."`
		}](), "a: min= has no meaning for int"},
		{"tag of another type", fault[struct {
			A int `json:"a" jsonschema:"minLength=1" jsonschema_description:"A."`
		}](), "a: minLength= has no meaning for int"},
		{"tag that hosts refuse", fault[struct {
			A string `json:"a" jsonschema:"format=uri" jsonschema_description:"A."`
		}](), "a: format= has no meaning for string"},
		{"union", fault[struct {
			A string `json:"a" jsonschema:"oneof_required=x" jsonschema_description:"A."`
		}](), "a: oneof_required= has no meaning"},
		{"numeric enum", fault[struct {
			A int `json:"a" jsonschema:"enum=1" jsonschema_description:"A."`
		}](), "a: enum= has no meaning for int"},
		{"default of numbers", fault[struct {
			A []int `json:"a" jsonschema:"default=1" jsonschema_description:"A."`
		}](), "a: default= has no meaning for []int"},
		{"minimum no number", fault[struct {
			A int `json:"a" jsonschema:"minimum=abc" jsonschema_description:"A."`
		}](), "a: minimum=abc does not parse"},
		{"minimum NaN", fault[struct {
			A float64 `json:"a" jsonschema:"minimum=NaN" jsonschema_description:"A."`
		}](), "a: minimum=NaN does not parse"},
		{"minimum with plus", fault[struct {
			A int `json:"a" jsonschema:"minimum=+1" jsonschema_description:"A."`
		}](), "a: minimum=+1 does not parse"},
		{"minimum beyond float64", fault[struct {
			A float64 `json:"a" jsonschema:"minimum=1e999" jsonschema_description:"A."`
		}](), "a: minimum=1e999 does not parse"},
		{"nested too deep", fault[struct {
			A [][][][][][][][][][][][][][][][]string `json:"a" jsonschema_description:"A."`
		}](), "nested deeper than 16 levels"},
		{"fraction for an integer", fault[struct {
			A int `json:"a" jsonschema:"default=0.5" jsonschema_description:"A."`
		}](), "a: default=0.5 does not parse"},
		{"boolean default", fault[struct {
			A bool `json:"a" jsonschema:"default=yes" jsonschema_description:"A."`
		}](), "a: default=yes does not parse"},
		{"negative length", fault[struct {
			A string `json:"a" jsonschema:"minLength=-1" jsonschema_description:"A."`
		}](), "a: minLength=-1 does not parse"},
		{"bad pattern", fault[struct {
			A string `json:"a" jsonschema:"pattern=(" jsonschema_description:"A."`
		}](), "a: pattern=( does not parse"},
		{"empty range", fault[struct {
			A int `json:"a" jsonschema:"minimum=2,maximum=1" jsonschema_description:"A."`
		}](), "a: minimum 2 is above maximum 1"},
		{"empty length", fault[struct {
			A string `json:"a" jsonschema:"minLength=2,maxLength=1" jsonschema_description:"A."`
		}](), "a: minLength 2 is above maxLength 1"},
		{"given twice", fault[struct {
			A int `json:"a" jsonschema:"minimum=1,minimum=2" jsonschema_description:"A."`
		}](), "a: minimum= is given twice"},
		{"unsigned without minimum", fault[struct {
			A uint `json:"a" jsonschema_description:"A."`
		}](), "a: an unsigned number needs minimum=0"},
		{"extras", fault[struct {
			A int `json:"a" jsonschema_extras:"x=1" jsonschema_description:"A."`
		}](), "a: the tag jsonschema_extras is not supported"},
		{"hidden from the schema only", fault[struct {
			A int `json:"a" jsonschema:"-" jsonschema_description:"A."`
		}](), `a: "-" in the jsonschema tag is no keyword`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if !strings.Contains(tt.got, tt.want) {
				t.Errorf("got  %s\nwant %s", tt.got, tt.want)
			}
		})
	}
}

// TestGenerateNamesEveryFault: a struct is repaired in one go.
func TestGenerateNamesEveryFault(t *testing.T) {
	t.Parallel()
	got := fault[struct {
		A int  `json:"a"`
		B uint `json:"b" jsonschema:"minimum=0,nonsense=1" jsonschema_description:"B."`
	}]()
	for _, want := range []string{"a: has no description", "b: nonsense= has no meaning"} {
		if !strings.Contains(got, want) {
			t.Errorf("got %s\nwant also %s", got, want)
		}
	}
}

// TestGenerateAccepts has what looks like the refused shapes and is fine.
func TestGenerateAccepts(t *testing.T) {
	t.Parallel()
	type state string
	type twice struct {
		A *usage    `json:"a" jsonschema:"title=Usage" jsonschema_description:"A."`
		B []usage   `json:"b" jsonschema:"minItems=1" jsonschema_description:"The same type again."`
		C state     `json:"c,omitempty" jsonschema:"required,default=" jsonschema_description:"Text, with commas, and = signs."`
		D string    `json:"d" jsonschema:"pattern=^a{1\\,2}=$,description=No comma"`
		E [2]uint8  `json:"-"`
		F []float64 `json:"f" jsonschema:"minimum=-0.5" jsonschema_description:"F."`
	}
	doc := generate[twice](t)
	for _, fault := range schema.Lint(doc) {
		t.Errorf("lint: %s", fault)
	}
	for _, want := range []string{
		`"pattern":"^a{1,2}=$"`, `"description":"No comma"`, `"default":""`, `"required":["a","b","c","d","f"]`,
		`"items":{"type":"number","minimum":-0.5}`, `"description":"Text, with commas, and = signs."`,
	} {
		if !strings.Contains(string(doc), want) {
			t.Errorf("no %s in %s", want, doc)
		}
	}
}

func BenchmarkGenerate(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := schema.Generate[callInput](); err != nil {
			b.Fatal(err)
		}
	}
}
