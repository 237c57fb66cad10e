package transport

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestBadAnswersToRootsList(t *testing.T) {
	t.Parallel()
	result := func(s string) string { return `"result":` + s }
	root := `{"uri":"file:///a"}`
	roots := func(s string) string { return result(`{"roots":[` + s + `]}`) }
	const noList, noURI = "no list of roots", "of its answer has no uri"
	cases := []struct{ name, rest, want string }{
		{"result null", result(`null`), noList},
		{"result text", result(`"roots"`), noList},
		{"result an array", result(`[` + root + `]`), noList},
		{"result as an array", result(`["roots",[]]`), noList},
		{"result a number", result(`7`), noList},
		{"result empty", result(`{}`), noList},
		{"roots null", result(`{"roots":null}`), noList},
		{"roots an object", result(`{"roots":{"uri":"a"}}`), noList},
		{"roots twice", result(`{"roots":[],"roots":[` + root + `]}`), noList},
		{"Roots", result(`{"Roots":[]}`), noList},
		{"a root of text", roots(`"file:///a"`), "number 1 " + noURI},
		{"a root of null", roots(root + `,null`), "number 2 " + noURI},
		{"a root in an array", roots(`[` + root + `]`), noURI},
		{"a root as an array", roots(`["uri","a"]`), noURI},
		{"a root of a number", roots(`7`), noURI},
		{"uri missing", roots(`{"name":"a"}`), noURI},
		{"uri a number", roots(`{"uri":7}`), noURI},
		{"uri null", roots(`{"uri":null}`), noURI},
		{"uri empty", roots(`{"uri":""}`), noURI},
		{"uri twice", roots(`{"uri":"a","uri":"b"}`), noURI},
		{"URI", roots(`{"URI":"a"}`), noURI},
		{"1001 roots", roots(strings.Repeat(root+",", maxRoots) + root), "more than 1000"},
		{"500,000 roots", roots(strings.Repeat(root+",", 500_000) + root), "more than 1000"},
		{"an error", `"error":{"code":-32601,"message":"no \"such\" \u001b[2J\u202e"}`, `it refused with -32601: "no \"such\" \x1b[2J\u202e"`},
		{"an error of 1 MB", `"error":{"code":1,"message":"` + strings.Repeat("x", 1<<20) + `"}`, `1: "` + strings.Repeat("x", 256) + `"`},
		{"an error without message", `"error":{"code":1}`, `with 1: ""`},
		{"an error with a message of another type", `"error":{"code":1,"message":{}}`, `with 1: ""`},
		{"an error without code", `"error":{"message":"x"}`, "no code"},
		{"an error with a code of text", `"error":{"code":"1","message":"x"}`, "no code"},
		{"an error of text", `"error":"x"`, "no code"},
		{"an error of null", `"error":null`, "no code"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				h := asking(t, rooted, false)
				h.call(t, "1", "2")
				h.wantAsked(t, first)
				check(t, h.send(answerWith(first, c.rest)))
				for range 2 {
					err := h.wantErr(t, c.want)
					check(t, errorIf(len(err.Error()) > 400, "an error of %d bytes", len(err.Error())))
				}
				// It is not remembered.
				h.call(t, "3")
				h.wantAsked(t, second)
				check(t, h.send(rootsAre(second, slices.Repeat([]string{"a"}, maxRoots)...)))
				h.wantURIs(t, slices.Repeat([]string{"a"}, maxRoots)...)
				h.wantQuiet(t)
			})
		})
	}
}

// TestNoAnswersToRootsList are messages that answer nothing, and are answered
// by nothing.
func TestNoAnswersToRootsList(t *testing.T) {
	t.Parallel()
	const good = `"result":{"roots":[{"uri":"wrong"}]}`
	withID := func(id string) string { return `{"jsonrpc":"2.0","id":` + id + `,` + good + `}` }
	cases := []struct{ name, line string }{
		{"an unknown id", withID(`"nemotron-mcp-9"`)},
		{"the next id", withID(`"` + second + `"`)},
		{"another case", withID(`"Nemotron-mcp-1"`)},
		{"a number", withID(`1`)},
		{"the number 0", withID(`0`)},
		{"null", withID(`null`)},
		{"an object", withID(`{"` + first + `":1}`)},
		{"an array", withID(`["` + first + `"]`)},
		{"no id", `{"jsonrpc":"2.0",` + good + `}`},
		{"id twice", answerWith(first, `"id":"`+first+`",`+good)},
		{"result twice", answerWith(first, good+`,`+good)},
		{"error twice", answerWith(first, `"error":{"code":1},"error":{"code":1}`)},
		{"a result and an error", answerWith(first, good+`,"error":{"code":1}`)},
		{"a result and a null error", answerWith(first, good+`,"error":null`)},
		{"jsonrpc twice", answerWith(first, `"jsonrpc":"2.0",`+good)},
		{"version 1.0", `{"jsonrpc":"1.0","id":"` + first + `",` + good + `}`},
		{"no version", `{"id":"` + first + `",` + good + `}`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				h := asking(t, rooted, false)
				h.call(t, "1")
				h.wantAsked(t, first)
				check(t, h.send(c.line, ping("9")))
				m, err := h.next()
				check(t, err, errorIf(string(m.ID) != "9", "answered by %s", m.line))
				check(t, h.send(rootsAre(first, "right")))
				h.wantURIs(t, "right")
				h.wantQuiet(t)
			})
		})
	}
}

func TestAnswerBeforeTheQuestion(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		h := asking(t, rooted, false)
		check(t, h.send(rootsAre(first, "early")))
		h.call(t, "1")
		h.wantAsked(t, first)
		// An escaped id is the same id.
		check(t, h.send(strings.Replace(rootsAre(first, "a"), first, `\u006eemotron-mcp-1`, 1)))
		h.wantURIs(t, "a")
		check(t, h.send(rootsAre(first, "again")))
		h.call(t, "2")
		h.wantURIs(t, "a")
	})
}

// TestItems compares our walk over an array with encoding/json's.
func TestItems(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		array := anyJSON().Draw(t, "value")
		if array[0] != '[' {
			array = "[" + array + " ,\n" + anyJSON().Draw(t, "other") + "]"
		}
		var want []json.RawMessage
		if err := json.Unmarshal([]byte(array), &want); err != nil {
			t.Fatal(err)
		}
		var got []json.RawMessage
		for item := range items([]byte(array)) {
			got = append(got, item)
		}
		if !slices.EqualFunc(got, want, func(a, b json.RawMessage) bool { return bytes.Equal(a, b) }) {
			t.Fatalf("%s: got %s, want %s", array, got, want)
		}
	})
}
