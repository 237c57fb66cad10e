package transport

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

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
	f.server.AddTool(mcp.NewTool("roots"), func(ctx context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		if r.GetBool("detached", false) {
			ctx = context.WithoutCancel(ctx)
		}
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

func TestRootsTimeout(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		h := asking(t, rooted, false)
		from := time.Now()
		h.call(t, "1")
		h.wantAsked(t, first)
		time.Sleep(rootsWait - time.Second)
		// They have what is left of the same question, also without the first.
		h.call(t, "2", "3")
		check(t, h.send(cancelOf("1")))
		h.wantErr(t, ErrCancelledByHost.Error())
		for range 2 {
			h.wantErr(t, "has not answered within 5s")
		}
		check(t, errorIf(time.Since(from) != rootsWait, "after %v", time.Since(from)))
		h.wantTold(t, first)
		check(t, h.send(rootsAre(first, "late")))
		h.call(t, "4")
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
