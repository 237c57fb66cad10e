package schema

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzScan holds the walk over raw JSON against encoding/json.
func FuzzScan(f *testing.F) {
	for _, doc := range []string{
		`{}`, ` {"a" : 1 , "b":[1, [2,"]"], {"c":"}"}],"a":"\\\"","\u0061":null} `, `[]`, `[[],{},"",0,-1.5e+3,true,false,null]`,
		`["\\","\"",",","]"]`, "[\t1\r\n,\n2 ]", `{"":{"":{"":[]}}}`, "[\"\xff\"]", "{\"\xff\":1}", `1`, `"x"`,
	} {
		f.Add([]byte(doc))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		doc = skipSpace(doc)
		if !json.Valid(doc) {
			t.Skip()
		}
		switch doc[0] {
		case '{':
			var want map[string]json.RawMessage
			if err := json.Unmarshal(doc, &want); err != nil {
				t.Fatal(err)
			}
			got := make(map[string]json.RawMessage)
			for name, raw := range members(doc) {
				got[name] = raw
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("members (-want +got):\n%s", diff)
			}
		case '[':
			var want []json.RawMessage
			if err := json.Unmarshal(doc, &want); err != nil {
				t.Fatal(err)
			}
			got := []json.RawMessage{}
			for raw := range elements(doc) {
				got = append(got, raw)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("elements (-want +got):\n%s", diff)
			}
		default:
			var v any
			if err := json.Unmarshal(doc, &v); err != nil {
				t.Skip() // a number beyond a float64
			}
			if rawKind(doc) != kindOf(v) {
				t.Errorf("%s is %s, want %s", doc, rawKind(doc), kindOf(v))
			}
		}
	})
}
