package schema_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nemotron-mcp/schema"
)

// FuzzDecode: no arguments make Decode panic or fail in any way but with
// faults; what it takes, encoded again, it takes again as the same.
func FuzzDecode(f *testing.F) {
	for _, args := range []string{
		``, `null`, `{}`, `[]`, `"x"`, `{"prompt":"p"}`, `{"prompt":""}`, `{"prompt":"p","max_tokens":"42"}`,
		`{"prompt":"p","seed":9223372036854775807.0,"temperature":1e-999999999}`, `{"prompt":"p","seed":1e999999999}`,
		`{"prompt":"p","files":"[\"a\",\"b\"]","filter":{"state":"all","limits":[1,"2",3.0],"labels":{"a":"b"}}}`,
		`{"prompt":"p","prompt":null,"Prompt":"x","":1,"\u0000":{"a":[[{}]]}}`, `{"prompt":"\ud800\uffff\\\"]}"}`,
		"{\"prompt\":\"\xff\xfe\"}", `{"prompt" : "p" , "include_reasoning" : "true" }`,
	} {
		f.Add([]byte(args))
	}
	v := compile[callInput](f)
	f.Fuzz(func(t *testing.T, args []byte) {
		before := bytes.Clone(args)
		var in callInput
		err := v.Decode(args, &in)
		if !bytes.Equal(before, args) {
			t.Fatal("the arguments were changed")
		}
		if err != nil {
			var invalid *schema.InvalidError
			if !errors.As(err, &invalid) {
				t.Fatalf("not the caller's fault: %v", err)
			}
			if len(invalid.Faults) == 0 || len(invalid.Faults) > 20 {
				t.Fatalf("%d faults", len(invalid.Faults))
			}
			return
		}
		doc, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		var again callInput
		if err := v.Decode(doc, &again); err != nil {
			t.Fatalf("%s: %v", doc, err)
		}
		twice, err := json.Marshal(again)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(doc), string(twice)); diff != "" {
			t.Fatalf("encoded again (-first +second):\n%s", diff)
		}
	})
}
