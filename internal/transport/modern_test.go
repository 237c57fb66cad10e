package transport

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mark3labs/mcp-go/server"
)

// modern is a request of protocol version 2026-07-28, which has no handshake.
func modern(id, method, params string) string {
	const meta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"host","version":"2"},"io.modelcontextprotocol/clientCapabilities":{}}`
	if params != "" {
		params = "," + params
	}
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"method":%q,"params":{%s%s}}`, id, method, meta, params)
}

const listenAll = `"notifications":{"toolsListChanged":true}`

func TestModernEra(t *testing.T) {
	t.Parallel()
	h := ours(t, Stdio{})
	check(t, h.send(modern("1", "server/discover", "")))
	m, err := h.answerTo("1")
	check(t, err)
	if !strings.Contains(string(m.Result), `"2026-07-28"`) || !strings.Contains(string(m.Result), `"resultType":"complete"`) {
		t.Errorf("discovered %s", m.line)
	}
	check(t, h.send(modern("2", "tools/call", `"name":"echo","arguments":{"text":"hi"}`)))
	m, err = h.answerTo("2")
	check(t, err, errorIf(text(m) != "hi", "%s", m.line))
	// A modern request may send notifications without initialize.
	check(t, h.send(modern("3", "tools/call", `"name":"channel","arguments":{"n":1}`)))
	m, err = h.next()
	check(t, err, errorIf(m.Method != "notifications/progress", "%s", m.line))
	check(t, h.send(modern("4", "tools/call", `"name":"gate","arguments":{}`)), h.wantStarted())
	check(t, h.send(cancelOf("4")), h.wantEnded(ErrCancelledByHost))
	// Both eras may share the streams.
	check(t, h.handshake(), h.roundTrip("5"))
	check(t, h.send(modern("6", "ping", "")), h.wantError("6", -32601))
	check(t, h.wantRest0())
}

// listening has a subscription acknowledged; change tells whether the server
// has anything to subscribe to.
func listening(t *testing.T, id string, change bool) *host {
	t.Helper()
	h := start(t, newFixture(server.WithToolCapabilities(change)), serveOurs(Stdio{}), forever, false)
	check(t, h.send(modern(id, "subscriptions/listen", listenAll)))
	m, err := h.next()
	check(t, err)
	if m.Method != "notifications/subscriptions/acknowledged" || !strings.Contains(m.line, `subscriptionId":`+id) {
		t.Fatalf("acknowledged by %s", m.line)
	}
	return h
}

func TestSubscription(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name string
		run  func(t *testing.T)
	}{
		{"to nothing: acknowledged, then answered", func(t *testing.T) {
			for range 50 {
				check(t, listening(t, "1", false).wantRest(`subscriptionId":1`))
			}
		}},
		{"does not hold up reading", func(t *testing.T) {
			check(t, listening(t, "1", true).roundTrip("2"))
		}},
		{"cancelled: not answered", func(t *testing.T) {
			h := listening(t, "1", true)
			check(t, h.send(cancelOf("1")), h.roundTrip("2"), h.wantRest0())
		}},
		{"input ends: closed by its result, at once", func(t *testing.T) {
			h := listening(t, `"a"`, true)
			from := time.Now()
			check(t, h.wantRest(`subscriptionId":"a"`))
			check(t, errorIf(time.Since(from) > 0, "took %v", time.Since(from)))
		}},
		{"input ends with the request", func(t *testing.T) {
			h := start(t, newFixture(server.WithToolCapabilities(true)), serveOurs(Stdio{}), forever, false)
			from := time.Now()
			check(t, h.send(modern("1", "subscriptions/listen", listenAll)))
			all, err := h.rest()
			check(t, err, errorIf(len(all) != 2 || time.Since(from) > 0, "%v after %v", all, time.Since(from)))
		}},
		{"context ends: closed by its result", func(t *testing.T) {
			h := listening(t, "1", true)
			h.stop(nil)
			m, err := h.next()
			check(t, err, errorIf(string(m.ID) != "1" || m.Result == nil, "%s", m.line))
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, c.run)
		})
	}
}

func TestSubscriptionID(t *testing.T) {
	t.Parallel()
	h := ours(t, Stdio{})
	for _, id := range []string{"9007199254740993", "-9007199254740993"} {
		check(t, h.send(modern(id, "subscriptions/listen", listenAll)), h.wantError("null", -32600))
	}
	check(t, h.send(modern("9007199254740992", "subscriptions/listen", listenAll)))
	m, err := h.next()
	check(t, err, errorIf(!strings.Contains(m.line, `subscriptionId":9007199254740992}`), "%s", m.line))
}
