package schema_test

import (
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nemotron-mcp/schema"
)

const validNames = "prompt, system_prompt, reasoning_mode, max_tokens, temperature, top_p, files, " +
	"include_reasoning, wait_seconds, webhook_url, seed, filter"

// faults decodes args, which may leave out the prompt, and returns the faults.
func faults(t *testing.T, v *schema.Validator, args string) []string {
	t.Helper()
	var in callInput
	err := v.Decode(json.RawMessage(args), &in)
	if err == nil {
		return nil
	}
	var invalid *schema.InvalidError
	if !errors.As(err, &invalid) {
		t.Fatalf("no InvalidError: %v", err)
	}
	if diff := cmp.Diff(callInput{}, in); diff != "" {
		t.Errorf("refused arguments changed the struct:\n%s", diff)
	}
	return strings.Split(invalid.Error(), "\n")
}

func TestDecodeFaults(t *testing.T) {
	t.Parallel()
	v := compile[callInput](t)
	for _, tt := range []struct{ name, args, want string }{
		{"above the maximum", `"max_tokens":30000`, `max_tokens: 30000 is above the maximum 20000`},
		{"below the minimum", `"temperature":-1`, `temperature: -1 is below the minimum 0`},
		{"below the minimum 0, as integer", `"wait_seconds":-1`, `wait_seconds: -1 is below the minimum 0`},
		{"a hair above the maximum", `"top_p":1.0000001`, `top_p: 1.0000001 is above the maximum 1`},
		{"coerced, then above", `"max_tokens":"30000"`, `max_tokens: 30000 is above the maximum 20000`},
		{"no such value", `"reasoning_mode":"deep"`, `reasoning_mode: "deep" is not one of think, no_think`},
		{"value in another case", `"reasoning_mode":"Think"`, `reasoning_mode: "Think" is not one of think, no_think`},
		{"empty value", `"reasoning_mode":""`, `reasoning_mode: "" is not one of think, no_think`},
		{"empty", `"prompt":""`, `prompt: must have 1 or more characters`},
		{"too long", `"system_prompt":"ääääääääääääääääääääb"`, `system_prompt: must have 20 or fewer characters, has 21`},
		{"pattern", `"webhook_url":"http://x"`, `webhook_url: "http://x" does not match the pattern ^https://`},
		{"word for an integer", `"max_tokens":"lots"`, `max_tokens: must be an integer, got a string "lots"`},
		{"fraction for an integer", `"wait_seconds":1.5`, `wait_seconds: must be an integer, got 1.5`},
		{"fraction as text", `"wait_seconds":"1.5"`, `wait_seconds: must be an integer, got a string "1.5"`},
		{"whole fraction as text", `"wait_seconds":"1.0"`, `wait_seconds: must be an integer, got a string "1.0"`},
		{"digits and letters", `"wait_seconds":"42abc"`, `wait_seconds: must be an integer, got a string "42abc"`},
		{"spaces around digits", `"wait_seconds":" 42 "`, `wait_seconds: must be an integer, got a string " 42 "`},
		{"space behind digits", `"wait_seconds":"42 "`, `wait_seconds: must be an integer, got a string "42 "`},
		{"hexadecimal", `"wait_seconds":"0x1F"`, `wait_seconds: must be an integer, got a string "0x1F"`},
		{"exponent as text", `"wait_seconds":"1e3"`, `wait_seconds: must be an integer, got a string "1e3"`},
		{"plus sign", `"wait_seconds":"+4"`, `wait_seconds: must be an integer, got a string "+4"`},
		{"leading zero", `"wait_seconds":"007"`, `wait_seconds: must be an integer, got a string "007"`},
		{"underscore", `"wait_seconds":"1_0"`, `wait_seconds: must be an integer, got a string "1_0"`},
		{"other digits", `"wait_seconds":"٤٢"`, `wait_seconds: must be an integer, got a string "٤٢"`},
		{"no digits", `"wait_seconds":""`, `wait_seconds: must be an integer, got a string ""`},
		{"NaN", `"temperature":"NaN"`, `temperature: must be a number, got a string "NaN"`},
		{"infinity", `"temperature":"Infinity"`, `temperature: must be a number, got a string "Infinity"`},
		{"hexadecimal number", `"temperature":"0x1p-2"`, `temperature: must be a number, got a string "0x1p-2"`},
		{"number without a zero", `"temperature":".5"`, `temperature: must be a number, got a string ".5"`},
		{"number with a space", `"temperature":"0.5\n"`, `temperature: must be a number, got a string "0.5\n"`},
		{"beyond int64", `"seed":9223372036854775808`, `seed: 9223372036854775808 is out of range`},
		{"beyond int64, below", `"seed":-9223372036854775809`, `seed: -9223372036854775809 is out of range`},
		{"beyond int64, as text", `"seed":"9223372036854775808"`, `seed: 9223372036854775808 is out of range`},
		{"beyond int64, as float", `"seed":9223372036854775808.0`, `seed: 9223372036854775808.0 is out of range`},
		{"beyond int64, as exponent", `"seed":1e19`, `seed: 1e19 is out of range`},
		{"beyond int64, with a range", `"max_tokens":99999999999999999999`, `max_tokens: 99999999999999999999 is out of range (allowed: 1 to 20000)`},
		{"beyond float64", `"temperature":1e400`, `temperature: 1e400 is out of range (allowed: 0 to 2)`},
		{"beyond float64, integer", `"seed":-1e400`, `seed: -1e400 is out of range`},
		{"an exponent to fall over", `"temperature":1e999999999`, `temperature: 1e999999999 is out of range (allowed: 0 to 2)`},
		{"the same as text", `"max_tokens":1e999999999`, `max_tokens: 1e999999999 is out of range (allowed: 1 to 20000)`},
		{"too small to be an integer", `"seed":1e-999999999`, `seed: must be an integer, got 5e-324`},
		{"nearly an integer", `"seed":1.00000000000000000001`, `seed: must be an integer, got 1.00000000000000000001`},
		{"number for text", `"prompt":42`, `prompt: must be a string, got 42`},
		{"huge number for text", `"prompt":1e999999999`, `prompt: must be a string, got 1e999999999`},
		{"boolean for text", `"prompt":true`, `prompt: must be a string, got true`},
		{"list for text", `"prompt":["a"]`, `prompt: must be a string, got an array`},
		{"object for text", `"prompt":{"text":"a"}`, `prompt: must be a string, got an object`},
		{"null for a required one", `"prompt":null`, `prompt: must be a string, got null`},
		{"another word for true", `"include_reasoning":"yes"`, `include_reasoning: must be a boolean, got a string "yes"`},
		{"True", `"include_reasoning":"True"`, `include_reasoning: must be a boolean, got a string "True"`},
		{"1 for true", `"include_reasoning":1`, `include_reasoning: must be a boolean, got 1`},
		{"boolean for an integer", `"wait_seconds":true`, `wait_seconds: must be an integer, got true`},
		{"text for a list", `"files":"a.txt"`, `files: must be an array, got a string "a.txt"`},
		{"text that starts like a list", `"files":"[a.txt]"`, `files: must be an array, got a string "[a.txt]"`},
		{"object as text for a list", `"files":"{}"`, `files: must be an array, got a string "{}"`},
		{"number as text for a list", `"files":"7"`, `files: must be an array, got a string "7"`},
		{"two lists", `"files":"[][]"`, `files: must be an array, got a string "[][]"`},
		{"object for a list", `"files":{}`, `files: must be an array, got an object`},
		{"bad item", `"files":["a",1]`, `files[1]: must be a string, got 1`},
		{"bad item in text", `"files":"[\"a\",null]"`, `files[1]: must be a string, got null`},
		{"empty item", `"files":["a",""]`, `files[1]: must have 1 or more characters`},
		{"too many items", `"files":["a","a","a","a"]`, `files: must have 3 or fewer items, has 4`},
		{"object as text", `"filter":"{}"`, `filter: must be an object, got a string "{}"`},
		{"missing inside", `"filter":{}`, `filter.state: required, but missing`},
		{"unknown inside", `"filter":{"state":"all","stats":1}`, `filter.stats: unknown field; valid fields: state, limits, labels; did you mean "state"?`},
		{"bad inside", `"filter":{"state":"all","limits":[1,"22"]}`, `filter.limits[1]: 22 is above the maximum 9`},
		{"bad value of a map", `"filter":{"state":"all","labels":{"a b":1}}`, `filter.labels."a b": must be a string, got 1`},
		{"unknown", `"foo":1`, `foo: unknown argument; valid arguments: ` + validNames},
		{"misspelt", `"promt":1`, `promt: unknown argument; valid arguments: ` + validNames + `; did you mean "prompt"?`},
		{"nothing like it", `"topic":1`, `topic: unknown argument; valid arguments: ` + validNames},
		{"capitals", `"PROMPTS":1`, `PROMPTS: unknown argument; valid arguments: ` + validNames + `; did you mean "prompt"?`},
		{"another case", `"Prompt":"x"`, `Prompt: unknown argument; valid arguments: ` + validNames + `; did you mean "prompt"?`},
		{"camel case", `"maxTokens":1`, `maxTokens: unknown argument; valid arguments: ` + validNames + `; did you mean "max_tokens"?`},
		{"swapped letters", `"fiels":1`, `fiels: unknown argument; valid arguments: ` + validNames + `; did you mean "files"?`},
		{"unknown null", `"foo":null`, `foo: unknown argument; valid arguments: ` + validNames},
		{"unknown with escapes", `"a\u202e\"b":1`, `"a\u202e\"b": unknown argument; valid arguments: ` + validNames},
		{"the empty name", `"":1`, `"": unknown argument; valid arguments: ` + validNames},
		{
			"invisible characters", `"reasoning_mode":"a\u0000\u001b[31m\u200b\u202e\ufe0f\u3164\u2028\"\\"`,
			`reasoning_mode: "a\x00\x1b[31m\u200b\u202e\ufe0f\u3164\u2028\"\\" is not one of think, no_think`,
		},
		{
			"long value", `"reasoning_mode":"` + strings.Repeat("ü", 61) + `"`,
			`reasoning_mode: "` + strings.Repeat("ü", 60) + `…" is not one of think, no_think`,
		},
		{"long number", `"seed":` + strings.Repeat("9", 100_000), `seed: ` + strings.Repeat("9", 60) + `… is out of range`},
		{"too long to compute with", `"seed":1.` + strings.Repeat("0", 100_000), `seed: 1.` + strings.Repeat("0", 58) + `… is out of range`},
		{
			"long name", `"` + strings.Repeat("a", 70) + `":1`,
			`"` + strings.Repeat("a", 60) + `…": unknown argument; valid arguments: ` + validNames,
		},
		{
			"data URI", `"max_tokens":"DATA:image/png;base64,AAAA"`,
			`max_tokens: must be an integer, got a string "data:…" (26 bytes)`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			args := `{` + tt.args + `}`
			if !strings.Contains(tt.args, `"prompt"`) {
				args = `{"prompt":"p",` + tt.args + `}`
			}
			if diff := cmp.Diff([]string{tt.want}, faults(t, v, args)); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDecodeWholeArguments(t *testing.T) {
	t.Parallel()
	v := compile[callInput](t)
	const missing = "prompt: required, but missing"
	for _, tt := range []struct{ name, args, want string }{
		{"none", "", missing},
		{"blank", " \n", missing},
		{"null", "null", missing},
		{"empty", " {} ", missing},
		{"text", `"prompt"`, "the arguments must be a JSON object, got a string"},
		{"an object as text", `"{\"prompt\":\"x\"}"`, "the arguments must be a JSON object, got a string"},
		{"array", `[{"prompt":"x"}]`, "the arguments must be a JSON object, got an array"},
		{"number", `42`, "the arguments must be a JSON object, got a number"},
		{"boolean", `true`, "the arguments must be a JSON object, got a boolean"},
		{"cut off", `{"prompt":"x`, "the arguments are not valid JSON"},
		{"two objects", `{}{}`, "the arguments are not valid JSON"},
		{"nested beyond reason", strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000), "the arguments are not valid JSON"},
		{"the empty name", `{"":1}`, missing + "\n\"\": unknown argument; valid arguments: " + validNames},
		{"too many items", `{"prompt":"p","files":[` + strings.Repeat(`"",`, 10_000) + `""]}`, "files: too many items; must have 3 or fewer"},
		{"too many duplicates", `{"prompt":"p"` + strings.Repeat(`,"a":1`, 10_000) + `}`, "too many entries; a call takes 10000\na: unknown argument; valid arguments: " + validNames},
		{"too many entries", `{"prompt":"p","filter":{"state":"all","labels":{` + manyEntries(10_001) + `}}}`, "filter.labels: too many entries; a call takes 10000"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(strings.Split(tt.want, "\n"), faults(t, v, tt.args)); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
		})
	}
}

func manyEntries(n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(`"k` + string(rune('a'+i%26)) + strings.Repeat("x", i/26) + `":""`)
	}
	return b.String()
}

// TestDecodeAllFaults: every fault at once, in the struct's order whatever the
// order of the arguments.
func TestDecodeAllFaults(t *testing.T) {
	t.Parallel()
	v := compile[callInput](t)
	want := []string{
		"prompt: required, but missing",
		`reasoning_mode: "x" is not one of think, no_think`,
		"max_tokens: 0 is below the minimum 1",
		"temperature: 1e999 is out of range (allowed: 0 to 2)",
		"files[0]: must be a string, got 0",
		"files[2]: must be a string, got 2",
		"files[10]: must be a string, got 10",
		"files: must have 3 or fewer items, has 11",
		"filter.state: required, but missing",
		"filter.labels.a: must be a string, got 1",
		"filter.labels.b: must be a string, got 1",
		"zzz: unknown argument; valid arguments: " + validNames,
		"aaa: unknown argument; valid arguments: " + validNames,
	}
	// A fault of the list itself has the shorter path, so it stands first.
	want[4], want[5], want[6], want[7] = want[7], want[4], want[5], want[6]
	args := `{"zzz":1,"filter":{"labels":{"b":1,"a":1}},"files":[0,"a",2,"a","a","a","a","a","a","a",10],` +
		`"aaa":1,"zzz":2,"temperature":1e999,"max_tokens":0,"reasoning_mode":"x"}`
	for range 20 { // the engine walks maps in random order
		if diff := cmp.Diff(want, faults(t, v, args)); diff != "" {
			t.Fatalf("faults (-want +got):\n%s", diff)
		}
	}
}

func TestDecodeBoundsFaults(t *testing.T) {
	t.Parallel()
	v := compile[callInput](t)
	for _, tt := range []struct {
		name, args, last string
	}{
		{"items", `{"prompt":"p","filter":{"state":"all","limits":[` + strings.Repeat("0,", 9_000) + `0]}}`, "and 8981 more"},
		{"unknown names", `{"prompt":"p",` + manyEntries(1000) + `}`, "and 980 more"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := faults(t, v, tt.args)
			if len(got) != 21 || got[20] != tt.last {
				t.Errorf("%d faults, the last %q; want 20 and %q", len(got), got[len(got)-1], tt.last)
			}
		})
	}
}

func TestDecodeCoerces(t *testing.T) {
	t.Parallel()
	v := compile[callInput](t)
	for _, tt := range []struct {
		name, args string
		want       callInput
	}{
		{"integer from text", `"max_tokens":"42"`, callInput{MaxTokens: new(42)}},
		{"integer from a float", `"max_tokens":42.0`, callInput{MaxTokens: new(42)}},
		{"integer from an exponent", `"max_tokens":1e3`, callInput{MaxTokens: new(1000)}},
		{"integer from a float with exponent", `"max_tokens":4.2E+1`, callInput{MaxTokens: new(42)}},
		{"zero from a float", `"wait_seconds":0.0e99999`, callInput{Wait: new(0)}},
		{"minus zero", `"wait_seconds":-0`, callInput{Wait: new(0)}},
		{"largest integer", `"seed":9223372036854775807`, callInput{Seed: new(int64(9223372036854775807))}},
		{"largest integer as text", `"seed":"9223372036854775807"`, callInput{Seed: new(int64(9223372036854775807))}},
		{"largest integer as a float", `"seed":9223372036854775807.0`, callInput{Seed: new(int64(9223372036854775807))}},
		{"smallest integer", `"seed":-9223372036854775808`, callInput{Seed: new(int64(-9223372036854775808))}},
		{"beyond a float's precision", `"seed":"9007199254740993"`, callInput{Seed: new(int64(9007199254740993))}},
		{"number from text", `"temperature":"0.5"`, callInput{Temperature: new(0.5)}},
		{"number from text with exponent", `"temperature":"5e-1"`, callInput{Temperature: new(0.5)}},
		{"number from an integer", `"temperature":"1"`, callInput{Temperature: new(1.0)}},
		{"number too small to tell", `"temperature":1e-999999999`, callInput{Temperature: new(0.0)}},
		{"true from text", `"include_reasoning":"true"`, callInput{Trace: new(true)}},
		{"false from text", `"include_reasoning":"false"`, callInput{Trace: new(false)}},
		{"false", `"include_reasoning":false`, callInput{Trace: new(false)}},
		{"list from text", `"files":" [\"a\", \"\\u00fc\"]\n"`, callInput{Files: []string{"a", "ü"}}},
		{"empty list from text", `"files":"[]"`, callInput{Files: []string{}}},
		{"items of a list", `"filter":{"state":"all","limits":"[\"1\", 2.0]"}`, callInput{Filter: &filter{State: "all", Limits: []int{1, 2}}}},
		{"null is left out", `"max_tokens":null,"files":null,"filter":null,"system_prompt":null`, callInput{}},
		{"null inside", `"filter":{"state":"all","limits":null}`, callInput{Filter: &filter{State: "all"}}},
		{
			"map", `"filter":{"state":"all","labels":{"A":"1","a":"2","":"<"}}`,
			callInput{Filter: &filter{State: "all", Labels: map[string]string{"A": "1", "a": "2", "": "<"}}},
		},
		{"text stays text", `"system_prompt":"42"`, callInput{System: "42"}},
		{"last of duplicates", `"max_tokens":0,"system_prompt":"a","max_tokens":7,"system_prompt":"b"`, callInput{System: "b", MaxTokens: new(7)}},
		{"null as the last of duplicates", `"max_tokens":1,"max_tokens":null`, callInput{}},
		{"duplicates are not merged", `"filter":{"state":"all","limits":[1]},"filter":{"state":"running"}`, callInput{Filter: &filter{State: "running"}}},
		{"escaped name", `"max\u005ftokens":7`, callInput{MaxTokens: new(7)}},
		{"brackets in text", `"system_prompt":"]}\\\"{[","max_tokens":7`, callInput{System: `]}\"{[`, MaxTokens: new(7)}},
		{"white space", " \t\"max_tokens\" :\r\n 7 , \"files\" : [ \"a\" , \"b\" ] ", callInput{MaxTokens: new(7), Files: []string{"a", "b"}}},
		{"invalid UTF-8", "\"system_prompt\":\"a\xff\"", callInput{System: "a\uFFFD"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var got callInput
			if err := v.Decode(json.RawMessage(`{"prompt":"p",`+tt.args+`}`), &got); err != nil {
				t.Fatal(err)
			}
			tt.want.Prompt = "p"
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("decoded (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDecodeKeepsWhatIsLeftOut(t *testing.T) {
	t.Parallel()
	in := callInput{System: "preset", MaxTokens: new(5)}
	if err := compile[callInput](t).Decode(json.RawMessage(`{"prompt":"p","max_tokens":null}`), &in); err != nil {
		t.Fatal(err)
	}
	if in.System != "preset" || *in.MaxTokens != 5 {
		t.Errorf("fields left out were changed: %+v", in)
	}
}

func TestDecodeNoArguments(t *testing.T) {
	t.Parallel()
	v := compile[noInput](t)
	var in noInput
	if err := v.Decode(nil, &in); err != nil {
		t.Error(err)
	}
	err := v.Decode(json.RawMessage(`{"a":1}`), &in)
	if err == nil || err.Error() != "a: unknown argument; there are none" {
		t.Errorf("got %v", err)
	}
}

// TestDecodeTooNarrowStruct: what only the struct refuses is the caller's
// fault too.
func TestDecodeTooNarrowStruct(t *testing.T) {
	t.Parallel()
	type narrow struct {
		A int8 `json:"a" jsonschema_description:"A."`
	}
	err := compile[narrow](t).Decode(json.RawMessage(`{"a":300}`), new(narrow))
	var invalid *schema.InvalidError
	if !errors.As(err, &invalid) || invalid.Error() != "a: number 300 does not fit this field" {
		t.Errorf("got %v", err)
	}
}

// TestDecodeTellsBounds: limits are told as the struct declares them.
func TestDecodeTellsBounds(t *testing.T) {
	t.Parallel()
	type limits struct {
		A int64   `json:"a" jsonschema:"maximum=9007199254740993" jsonschema_description:"A."`
		B float64 `json:"b" jsonschema:"minimum=0.05" jsonschema_description:"B."`
		C int     `json:"c" jsonschema:"maximum=-1000000" jsonschema_description:"C."`
	}
	err := compile[limits](t).Decode(json.RawMessage(`{"a":9007199254740994,"b":0.01,"c":-999999}`), new(limits))
	want := "a: 9007199254740994 is above the maximum 9007199254740993\n" +
		"b: 0.01 is below the minimum 0.05\nc: -999999 is above the maximum -1000000"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestDecodeIntoNothing(t *testing.T) {
	t.Parallel()
	v := compile[callInput](t)
	for _, into := range []any{nil, callInput{}, (*callInput)(nil)} {
		err := v.Decode(json.RawMessage(`{"prompt":"p"}`), into)
		var invalid *schema.InvalidError
		if err == nil || errors.As(err, &invalid) {
			t.Errorf("into %T: got %v, want an error that is not the caller's", into, err)
		}
	}
}

// TestOutputFitsItsSchema: clients validate structuredContent.
func TestOutputFitsItsSchema(t *testing.T) {
	t.Parallel()
	v := compile[jobOutput](t)
	want := jobOutput{
		paging: paging{NextOffset: 3}, Status: "COMPLETED", Usage: &usage{InputTokens: 1},
		Logs: []logLine{{Message: "m"}}, Cost: 0.25, Prices: map[string]float64{"nano": 1},
		State: "not sent", hidden: 1,
	}
	doc, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got jobOutput
	if err := v.Decode(doc, &got); err != nil {
		t.Fatal(err)
	}
	want.State, want.hidden = "", 0
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(jobOutput{})); diff != "" {
		t.Errorf("decoded (-want +got):\n%s", diff)
	}
}

func TestDecodeConcurrently(t *testing.T) {
	t.Parallel()
	v := compile[callInput](t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				var in callInput
				if err := v.Decode(json.RawMessage(`{"prompt":"p","files":"[\"a\"]"}`), &in); err != nil || len(in.Files) != 1 {
					t.Errorf("%v: %+v", err, in)
				}
				if err := v.Decode(json.RawMessage(`{"seed":"x"}`), &in); err == nil {
					t.Error("no fault")
				}
			}
		})
	}
	wg.Wait()
}

func TestCompileRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, doc, want string }{
		{"no JSON", `{`, "unexpected end"},
		{"null", `null`, "the root's type must be object"},
		{"boolean", `true`, "cannot unmarshal bool"},
		{"other root", `{"type":"string"}`, "the root's type must be object"},
		{"open object", `{"type":"object","properties":{}}`, "additionalProperties must be false or a schema"},
		{"anything more", `{"type":"object","additionalProperties":true}`, "additionalProperties must be false or a schema"},
		{"no type", `{"type":"object","properties":{"a":{}},"additionalProperties":false}`, `a: unknown type ""`},
		{"several types", `{"type":"object","properties":{"a":{"type":["string","null"]}},"additionalProperties":false}`, "cannot unmarshal array"},
		{"array of anything", `{"type":"object","properties":{"a":{"type":"array"}},"additionalProperties":false}`, "a: an array without items"},
		{"properties in a list", `{"type":"object","properties":[],"additionalProperties":false}`, "properties must be an object"},
		{"bad keyword", `{"type":"object","properties":{"a":{"type":"string","minLength":-1}},"additionalProperties":false}`, "minLength"},
		{"a file", `{"type":"object","properties":{},"additionalProperties":false,"$ref":"file:///etc/passwd"}`, "must not refer to another document"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := schema.Compile(json.RawMessage(tt.doc))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func BenchmarkCompile(b *testing.B) {
	doc := generate[callInput](b)
	for b.Loop() {
		if _, err := schema.Compile(doc); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	v := compile[callInput](b)
	for _, bench := range []struct {
		name string
		args string
	}{
		{"Small", `{"prompt":"Say hello.","max_tokens":"64","files":["a.go"]}`},
		{"Prompt1MiB", `{"prompt":"` + strings.Repeat("0123456789abcde ", 1<<16) + `"}`},
		{"Items16MiB", `{"prompt":"p","files":[` + strings.Repeat("1,", 8<<20-20) + `1]}`},
		{"Names16MiB", `{"prompt":"p"` + strings.Repeat(`,"a":1`, 16<<20/6-20) + `}`},
		{"Deep16MiB", `{"filter":[` + strings.Repeat(strings.Repeat("[", 9000)+strings.Repeat("]", 9000)+",", 930) + `0]}`},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.SetBytes(int64(len(bench.args)))
			b.ReportAllocs()
			for b.Loop() {
				var in callInput
				_ = v.Decode(json.RawMessage(bench.args), &in)
			}
		})
	}
}
