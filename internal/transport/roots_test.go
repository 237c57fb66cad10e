package transport

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
	"pgregory.net/rapid"

	"nemotron-mcp/tools"
)

const (
	changed = `{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}`
	rooted  = `"capabilities":{"roots":{"listChanged":true}}`
)

// listed is what a call of the tool roots got.
type listed struct {
	uris []string
	err  error
}

// rootsHost is a host, in a bubble, whose server has a tool roots.
type rootsHost struct {
	*host
	got chan listed
}

// asking has the host declare capabilities at initialize.
func asking(t *testing.T, capabilities string, mute bool) *rootsHost {
	t.Helper()
	got := make(chan listed, 100)
	f := newFixture()
	f.server.AddTool(mcp.NewTool("roots"), func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		uris, err := server.ClientSessionFromContext(ctx).(tools.RootLister).Roots(ctx)
		got <- listed{slices.Clone(uris), err}
		clear(uris) // a copy, or others would see this
		return mcp.NewToolResultText("done"), nil
	})
	h := &rootsHost{host: start(t, f, serveOurs(Stdio{}), forever, mute), got: got}
	check(t, h.send(strings.Replace(initialize, `"capabilities":{}`, capabilities, 1)))
	if !mute {
		_, err := h.answerTo(`"init"`)
		check(t, err)
	}
	return h
}

// call begins calls of roots. They wait when it returns, or have got theirs.
func (h *rootsHost) call(t *testing.T, ids ...string) {
	t.Helper()
	for _, id := range ids {
		check(t, h.send(call(id, "roots", `{}`)))
	}
	synctest.Wait()
}

// wantAsked reads a roots/list with this id, passing over responses.
func (h *rootsHost) wantAsked(t *testing.T, id string) {
	t.Helper()
	m := h.request(t)
	if m.Method != "roots/list" || string(m.ID) != `"`+id+`"` {
		t.Fatalf("want roots/list %s, got %s", id, m.line)
	}
}

// wantTold reads a notifications/cancelled for this id, passing over responses.
func (h *rootsHost) wantTold(t *testing.T, id string) {
	t.Helper()
	m := h.request(t)
	if m.Method != "notifications/cancelled" || string(m.Params) != `{"requestId":"`+id+`"}` || m.ID != nil {
		t.Fatalf("want the cancel of %s, got %s", id, m.line)
	}
}

func (h *rootsHost) request(t *testing.T) message {
	t.Helper()
	for {
		m, err := h.next()
		check(t, err)
		if m.Method != "" {
			return m
		}
	}
}

// wantQuiet checks that the server has asked and told nothing more.
func (h *rootsHost) wantQuiet(t *testing.T) {
	t.Helper()
	synctest.Wait()
	for len(h.lines) > 0 {
		if m := <-h.lines; m.Method != "" {
			t.Errorf("the server sent %s", m.line)
		}
	}
}

func (h *rootsHost) wantURIs(t *testing.T, want ...string) {
	t.Helper()
	got, ok := within(h.host, h.got)
	if !ok || got.err != nil || !slices.Equal(got.uris, want) {
		t.Fatalf("got %q, %v; want %q", got.uris, got.err, want)
	}
}

func (h *rootsHost) wantErr(t *testing.T, text string) error {
	t.Helper()
	got, ok := within(h.host, h.got)
	if !ok || got.err == nil || got.uris != nil || !strings.Contains(got.err.Error(), text) {
		t.Fatalf("got %q, %v; want an error with %q", got.uris, got.err, text)
	}
	return got.err
}

func answerWith(id, rest string) string {
	return `{"jsonrpc":"2.0","id":"` + id + `",` + rest + `}`
}

func rootsAre(id string, uris ...string) string {
	roots := make([]string, 0, len(uris))
	for _, uri := range uris {
		roots = append(roots, fmt.Sprintf(`{"name":"n","uri":%q}`, uri))
	}
	return answerWith(id, `"result":{"roots":[`+strings.Join(roots, " , ")+`]}`)
}

const first, second = "nemotron-mcp-1", "nemotron-mcp-2"

// inBubble runs f in a synctest bubble, parallel to others.
func inBubble(t *testing.T, f func(t *testing.T)) {
	t.Parallel()
	synctest.Test(t, f)
}

func TestRootsAreNotAskedFor(t *testing.T) {
	t.Parallel()
	const modernRoots = `"io.modelcontextprotocol/clientCapabilities":{"roots":{}}`
	toolCall := modern("1", "tools/call", `"name":"roots","arguments":{}`)
	cases := []struct{ name, capabilities, line string }{
		{"not declared", `"capabilities":{"sampling":{}}`, call("1", "roots", `{}`)},
		{"declared, by a request without handshake", rooted, toolCall},
		{
			"declared by a request without handshake", `"capabilities":{}`,
			strings.Replace(toolCall, `"io.modelcontextprotocol/clientCapabilities":{}`, modernRoots, 1) + "\n" + call("2", "roots", `{}`),
		},
		{
			"declared, then no more", rooted,
			initialize + "\n" + call("2", "roots", `{}`),
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				h := asking(t, c.capabilities, false)
				for line := range strings.Lines(c.line) {
					check(t, h.sendRaw(line))
					synctest.Wait()
				}
				check(t, h.sendRaw("\n"))
				h.wantURIs(t)
				h.wantQuiet(t)
			})
		})
	}
}

// TestRootsOutliveACallWithoutHandshake has such a call declare nothing.
func TestRootsOutliveACallWithoutHandshake(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		h := asking(t, rooted, false)
		check(t, h.send(modern("1", "tools/call", `"name":"echo","arguments":{}`)))
		_, err := h.answerTo("1")
		check(t, err)
		h.call(t, "2")
		h.wantAsked(t, first)
		check(t, h.send(rootsAre(first, "file:///a")))
		h.wantURIs(t, "file:///a")
	})
}

func TestRootsAreAskedForOnce(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		h := asking(t, rooted, false)
		h.call(t, "1", "2", "3")
		h.wantAsked(t, first)
		check(t, h.send(answerWith(first, `"result":{"_meta":{},"roots":[{"uri":"file:///a"},{"name":"","uri":"file:\/\/\/\u0062"}]}`)))
		for range 3 {
			h.wantURIs(t, "file:///a", "file:///b")
		}
		time.Sleep(2 * rootsWait)
		h.call(t, "4", "5")
		for range 2 {
			h.wantURIs(t, "file:///a", "file:///b")
		}
		h.wantQuiet(t)
	})
}

func TestNoRoots(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		h := asking(t, rooted, false)
		h.call(t, "1")
		h.wantAsked(t, first)
		check(t, h.send(rootsAre(first)))
		h.wantURIs(t)
		h.call(t, "2")
		h.wantURIs(t)
		h.wantQuiet(t)
	})
}

func TestRootsThatChanged(t *testing.T) {
	t.Parallel()
	for name, line := range map[string]string{
		"list_changed":      changed,
		"initialized again": strings.Replace(initialize, `"capabilities":{}`, rooted, 1),
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				h := asking(t, rooted, false)
				h.call(t, "1")
				h.wantAsked(t, first)
				check(t, h.send(rootsAre(first, "old"), line))
				h.wantURIs(t, "old")
				h.wantQuiet(t)
				h.call(t, "2")
				h.wantAsked(t, second)
				check(t, h.send(rootsAre(second, "new")))
				h.wantURIs(t, "new")
			})
		})
	}
}

// TestListChangedIsPassedOn has handlers of the server see it too.
func TestListChangedIsPassedOn(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		h := asking(t, rooted, false)
		check(t, h.send(changed))
		if _, ok := within(h.host, h.host.roots); !ok {
			t.Error("it did not arrive")
		}
	})
}

// TestRootsChangeDuringTheAnswer gives the old list to who waited before the
// change, and to nobody else.
func TestRootsChangeDuringTheAnswer(t *testing.T) {
	t.Parallel()
	for _, oldFirst := range []bool{true, false} {
		t.Run(fmt.Sprintf("old first %v", oldFirst), func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				h := asking(t, rooted, false)
				h.call(t, "1")
				h.wantAsked(t, first)
				check(t, h.send(changed))
				h.call(t, "2")
				h.wantAsked(t, second)
				answers := []string{rootsAre(first, "old"), rootsAre(second, "new")}
				want := []string{"old", "new"}
				if !oldFirst {
					slices.Reverse(answers)
					slices.Reverse(want)
				}
				for i, answer := range answers {
					check(t, h.send(answer))
					h.wantURIs(t, want[i])
				}
				h.call(t, "3")
				h.wantURIs(t, "new")
				h.wantQuiet(t)
			})
		})
	}
}

func TestStaleAnswerIsNotRemembered(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		h := asking(t, rooted, false)
		h.call(t, "1")
		h.wantAsked(t, first)
		check(t, h.send(changed, rootsAre(first, "old")))
		h.wantURIs(t, "old")
		h.call(t, "2")
		h.wantAsked(t, second)
	})
}

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
		{"result empty", result(`{}`), noList},
		{"roots null", result(`{"roots":null}`), noList},
		{"roots an object", result(`{"roots":{"uri":"a"}}`), noList},
		{"roots twice", result(`{"roots":[],"roots":[` + root + `]}`), noList},
		{"Roots", result(`{"Roots":[]}`), noList},
		{"a root of text", roots(`"file:///a"`), "number 1 " + noURI},
		{"a root of null", roots(root + `,null`), "number 2 " + noURI},
		{"a root in an array", roots(`[` + root + `]`), noURI},
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

func TestRootsTimeout(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		h := asking(t, rooted, false)
		from := time.Now()
		h.call(t, "1")
		h.wantAsked(t, first)
		time.Sleep(rootsWait - time.Second)
		// It has what is left of the same question.
		h.call(t, "2")
		for range 2 {
			h.wantErr(t, "has not answered within 5s")
		}
		check(t, errorIf(time.Since(from) != rootsWait, "after %v", time.Since(from)))
		h.wantTold(t, first)
		check(t, h.send(rootsAre(first, "late")))
		h.call(t, "3")
		h.wantAsked(t, second)
		check(t, h.send(rootsAre(second, "a")))
		h.wantURIs(t, "a")
		h.wantQuiet(t)
	})
}

func TestOneOfTheWaitersLeaves(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		h := asking(t, rooted, false)
		h.call(t, "1", "2")
		h.wantAsked(t, first)
		check(t, h.send(cancelOf("1")))
		err := h.wantErr(t, "")
		check(t, errorIf(!errors.Is(err, ErrCancelledByHost), "%v", err))
		h.wantQuiet(t)
		check(t, h.send(rootsAre(first, "a")))
		h.wantURIs(t, "a")
		h.call(t, "3")
		h.wantURIs(t, "a")
		h.wantQuiet(t)
	})
}

// TestTheLastWaiterLeaves has the host told that nobody waits.
func TestTheLastWaiterLeaves(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		h := asking(t, rooted, false)
		h.call(t, "1", "2")
		h.wantAsked(t, first)
		check(t, h.send(cancelOf("1"), cancelOf("2")))
		h.wantErr(t, "")
		h.wantErr(t, "")
		h.wantTold(t, first)
		h.call(t, "3")
		h.wantAsked(t, second)
		check(t, h.send(rootsAre(first, "late"), rootsAre(second, "a")))
		h.wantURIs(t, "a")
		h.wantQuiet(t)
	})
}

// TestRootsOfAHostThatDoesNotRead are given up in time. Nothing piles up
// meanwhile, and what nobody waits for any more is not asked.
func TestRootsOfAHostThatDoesNotRead(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		h := asking(t, rooted, true)
		from := time.Now()
		h.call(t, "1")
		h.wantErr(t, "has not answered")
		h.call(t, "2")
		h.wantErr(t, "has not answered")
		check(t, errorIf(time.Since(from) != 2*rootsWait, "after %v", time.Since(from)))
		h.call(t, "3")
		go h.readAll()
		_, err := h.answerTo(`"init"`)
		check(t, err)
		h.wantAsked(t, "nemotron-mcp-3")
		check(t, h.send(rootsAre("nemotron-mcp-3", "a")))
		h.wantURIs(t, "a")
		h.wantQuiet(t)
		closeInput(h.host)
		h.span(t, time.Now(), 0, slack, nil)
	})
}

// TestAQuestionHalfRead is one whose Write has begun: the host is told.
func TestAQuestionHalfRead(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		h := asking(t, rooted, true)
		line := make([]byte, 1)
		for line[0] != '\n' { // the answer to initialize
			_, err := io.ReadFull(h.outR, line)
			check(t, err)
		}
		h.call(t, "1")
		h.wantErr(t, "has not answered")
		h.call(t, "2")
		go h.readAll()
		h.wantAsked(t, first)
		h.wantTold(t, first)
		h.wantAsked(t, second)
		check(t, h.send(rootsAre(first, "late"), rootsAre(second, "a")))
		h.wantURIs(t, "a")
		closeInput(h.host)
		h.span(t, time.Now(), 0, slack, nil)
	})
}

// TestEndsWhileRootsAreAskedFor has those who wait leave at once.
func TestEndsWhileRootsAreAskedFor(t *testing.T) {
	t.Parallel()
	errSignal := errors.New("SIGTERM")
	cases := []struct {
		name  string
		end   func(h *rootsHost) error
		cause error
		want  error
	}{
		{"input ends", func(h *rootsHost) error { return h.in.Close() }, ErrShutdown, nil},
		{"context ends", func(h *rootsHost) error { h.stop(errSignal); return nil }, ErrShutdown, errSignal},
		{"output closed", func(h *rootsHost) error {
			h.outR.Close()
			return h.send(ping("9"))
		}, ErrDisconnected, ErrDisconnected},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				h := asking(t, rooted, false)
				h.call(t, "1", "2")
				h.wantAsked(t, first)
				from := time.Now()
				check(t, c.end(h))
				for range 2 {
					err := h.wantErr(t, "")
					check(t, errorIf(!errors.Is(err, c.cause), "%v", err))
				}
				h.span(t, from, 0, 0, c.want)
			})
		})
	}
}

// TestRootsAfterTheEnd asks for them when no answer can come.
func TestRootsAfterTheEnd(t *testing.T) {
	t.Parallel()
	for _, known := range []bool{false, true} {
		t.Run(fmt.Sprintf("known %v", known), func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				var out lockedBuffer
				var all []func()
				s := newStdioSession(newLineWriter(&out), func(f func()) { all = append(all, f) })
				s.SetClientCapabilities(mcp.ClientCapabilities{Roots: &struct {
					ListChanged bool `json:"listChanged,omitempty"`
				}{}})
				s.SetProtocolVersion("2025-11-25")
				s.roots.known, s.roots.uris = known, []string{"a"}
				s.roots.end(ErrDisconnected)
				s.roots.end(ErrShutdown)
				uris, err := s.Roots(t.Context())
				if known && (err != nil || !slices.Equal(uris, []string{"a"})) || !known && !errors.Is(err, ErrDisconnected) {
					t.Errorf("%q, %v", uris, err)
				}
				if len(all) > 0 || out.String() != "" {
					t.Errorf("%d begun, written %q", len(all), out.String())
				}
			})
		})
	}
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
