package transport

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// messageEdges are single lines and their answers. Each is followed by a ping,
// which shows that the loop goes on; without an id nothing else is answered.
func messageEdges() []edge {
	const (
		passes = "mcp-go passes it too"
		races  = "mcp-go answers, but maybe after the marker"
	)
	deep := strings.Repeat(`{"a":`, 20000) + "1" + strings.Repeat("}", 20000)
	cases := []struct {
		name, line string
		id         string // of the answer; empty: no answer
		code       int    // 0: a result
		same       string
	}{
		{"garbage", `garbage`, "null", -32700, passes},
		{"half a message", `{"jsonrpc":"2.0","id":1,"method":"pi`, "null", -32700, passes},
		{"two messages on a line", ping("1") + ping("2"), "null", -32700, passes},
		{"invalid UTF-8", "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"params\":{\"a\":\"\xff\"}}", "null", -32700, ""},
		{"20,000 levels", `{"jsonrpc":"2.0","id":1,"method":"ping","params":` + deep + `}`, "null", -32700, passes},
		{"20,000 levels of arrays", strings.Repeat("[", 20000) + strings.Repeat("]", 20000), "null", -32700, passes},
		{"a batch", "[" + ping("1") + "]", "null", -32600, ""},
		{"an empty batch", "[]", "null", -32600, ""},
		{"a string", `"ping"`, "null", -32600, ""},
		{"null", `null`, "null", -32600, passes},
		{"an empty object", `{}`, "null", -32600, passes},
		{"an empty line", ``, "", 0, ""},
		{"a blank line", " \t\r", "", 0, ""},
		{"CRLF", ping("1") + "\r", "1", 0, passes},
		{"spaces around everything", " { \"jsonrpc\" : \"2.0\" , \"id\" : 1 , \"params\" : { \"a\" : [ 1 , \"}\\\"\" ] } , \"method\" : \"ping\" } ", "1", 0, passes},
		{"version missing", `{"id":1,"method":"ping"}`, "1", -32600, passes},
		{"version 1.0", `{"jsonrpc":"1.0","id":1,"method":"ping"}`, "1", -32600, passes},
		{"version as a number", `{"jsonrpc":2.0,"id":1,"method":"ping"}`, "1", -32600, ""},
		{"METHOD", `{"jsonrpc":"2.0","id":1,"METHOD":"ping"}`, "1", -32600, ""},
		{"ID", `{"jsonrpc":"2.0","ID":1,"method":"ping"}`, "", 0, races},
		{"PARAMS", `{"jsonrpc":"2.0","id":1,"method":"tools/call","PARAMS":{"name":"echo"}}`, "1", -32602, ""},
		{"method twice", `{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/list"}`, "1", -32600, ""},
		{"id twice", `{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}`, "null", -32600, ""},
		{"method and METHOD", `{"jsonrpc":"2.0","id":1,"method":"ping","METHOD":"no/such"}`, "1", 0, ""},
		{"an escaped key", `{"jsonrpc":"2.0","id":1,"m\u0065thod":"ping"}`, "1", 0, passes},
		{"method missing", `{"jsonrpc":"2.0","id":1}`, "1", -32600, ""},
		{"method a number", `{"jsonrpc":"2.0","id":1,"method":7}`, "1", -32600, ""},
		{"method empty", `{"jsonrpc":"2.0","id":1,"method":""}`, "1", -32600, ""},
		{"method of 1 MB", `{"jsonrpc":"2.0","id":1,"method":"` + strings.Repeat("x", 1<<20) + `"}`, "1", -32600, ""},
		{"method unknown", `{"jsonrpc":"2.0","id":1,"method":"no/such"}`, "1", -32601, passes},
		{"params an array", `{"jsonrpc":"2.0","id":1,"method":"ping","params":[1]}`, "1", -32602, ""},
		{"params a string", `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":"x"}`, "1", -32602, ""},
		{"params null", `{"jsonrpc":"2.0","id":1,"method":"ping","params":null}`, "1", 0, passes},
		{"a notification with params an array", `{"jsonrpc":"2.0","method":"notifications/x","params":[1]}`, "", 0, passes},
		{"a notification nobody knows", `{"jsonrpc":"2.0","method":"notifications/x"}`, "", 0, passes},
		{"a result and a method", `{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}`, "1", -32600, ""},
		{"a result nobody asked for", `{"jsonrpc":"2.0","id":1,"result":{}}`, "", 0, passes},
		{"an error nobody asked for", `{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"x"}}`, "", 0, races},
		{"an error with a null id", `{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":"x"}}`, "", 0, passes},
		{"id beyond 2^53", ping("9007199254740993"), "9007199254740993", 0, ""},
		{"id of 63 bits", ping("-9223372036854775808"), "-9223372036854775808", 0, passes},
		{"id 0", ping("0"), "0", 0, passes},
		{"id negative", ping("-7"), "-7", 0, passes},
		{"id text", ping(`"abc"`), `"abc"`, 0, passes},
		{"id empty text", ping(`""`), `""`, 0, passes},
		{"id text with escapes", ping(`"\u0061<\u2028\/"`), `"\u0061<\u2028\/"`, 0, ""},
		{"id null", ping("null"), "null", -32600, ""},
		{"id true", ping("true"), "null", -32600, ""},
		{"id a fraction", ping("1.5"), "null", -32600, ""},
		{"id 1.0", ping("1.0"), "null", -32600, ""},
		{"id 1e3", ping("1e3"), "null", -32600, ""},
		{"id of 65 bits", ping("36893488147419103232"), "null", -32600, ""},
		{"id an object", ping(`{"a":1}`), "null", -32600, ""},
		{"id an array", ping(`[1]`), "null", -32600, ""},
		{"id of 1,022 letters", ping(`"` + strings.Repeat("a", 1022) + `"`), `"` + strings.Repeat("a", 1022) + `"`, 0, passes},
		{"id of 1 MB", ping(`"` + strings.Repeat("a", 1<<20) + `"`), "null", -32600, ""},
		{"a line of 20 MB", `{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":"` + strings.Repeat("x", 20<<20) + `"}}`, "null", -32600, ""},
		{"cancel of an unknown id", cancelOf("1"), "", 0, passes},
		{"cancel without params", `{"jsonrpc":"2.0","method":"notifications/cancelled"}`, "", 0, passes},
		{"cancel with params a string", `{"jsonrpc":"2.0","method":"notifications/cancelled","params":"x"}`, "", 0, passes},
		{"cancel of null", cancelOf("null"), "", 0, passes},
		{"cancel of an object", cancelOf("{}"), "", 0, passes},
		{"cancel with an id is no cancel", `{"jsonrpc":"2.0","id":1,"method":"notifications/cancelled","params":{"requestId":1}}`, "1", -32601, passes},
	}
	edges := make([]edge, 0, len(cases))
	for _, c := range cases {
		edges = append(edges, edge{name: c.name, same: c.same, run: func(h *host) error {
			if err := h.send(c.line); err != nil {
				return err
			}
			if c.id != "" && c.code != 0 {
				if err := h.wantError(c.id, c.code); err != nil {
					return err
				}
			}
			if c.id != "" && c.code == 0 {
				m, err := h.next()
				if err != nil {
					return err
				}
				if string(m.ID) != c.id || m.Result == nil {
					return fmt.Errorf("want a result for id %s, got %.300s", c.id, m.line)
				}
			}
			// Refusals keep their order, so one before this one would be seen.
			if err := h.send(`{"jsonrpc":"1.0","id":"marker","method":"ping"}`); err != nil {
				return err
			}
			if err := h.wantError(`"marker"`, -32600); err != nil {
				return fmt.Errorf("then: %w", err)
			}
			return h.roundTrip(`"last"`)
		}})
	}
	return edges
}

func TestCancelIsIgnoredWhereItMeansNothing(t *testing.T) {
	t.Parallel()
	cases := []struct{ name, line string }{
		{"given twice", `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1,"requestId":1}}`},
		{"another case", `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"REQUESTID":1}}`},
		{"as text", cancelOf(`"1"`)},
		{"as a fraction", cancelOf("1.0")},
		{"as an array", cancelOf("[1]")},
		{"another id", cancelOf("2")},
		{"as a request", `{"jsonrpc":"2.0","id":9,"method":"notifications/cancelled","params":{"requestId":1}}`},
		{"as a response", `{"jsonrpc":"2.0","id":1,"result":{"requestId":1}}`},
		{"an old version", `{"jsonrpc":"1.0","method":"notifications/cancelled","params":{"requestId":1}}`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := start(t, newFixture(), serveOurs(Stdio{}), 20*time.Second, false)
			err := errors.Join(h.send(call("1", "gate", `{}`)), h.wantStarted(), h.send(c.line), h.roundTrip(`"p"`))
			if err != nil {
				t.Fatal(err)
			}
			h.free()
			m, err := h.answerTo("1")
			if err != nil || text(m) != "released" {
				t.Errorf("answered by %s: %v", m.line, err)
			}
		})
	}
}
