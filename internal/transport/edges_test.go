package transport

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// edge is a sharp edge of stdio. Ours must pass each. Where mcp-go's own server
// is known to fail it in each run, the same function shows that; same says why
// not otherwise.
type edge struct {
	name string
	run  func(h *host) error
	same string // why the reference is not expected to fail
}

func TestEdges(t *testing.T) {
	t.Parallel()
	for _, e := range allEdges() {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			o := Stdio{DrainWindow: 5 * time.Second, Grace: time.Second}
			if err := e.run(start(t, newFixture(), serveOurs(o), 20*time.Second, false)); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestEdgesOfReference keeps the reasons for a loop of our own true: when it
// fails after an update of mcp-go, one of them is gone. Not parallel: mcp-go's
// stdio session is a global (S11).
func TestEdgesOfReference(t *testing.T) {
	for _, e := range allEdges() {
		if e.same != "" {
			continue
		}
		t.Run(e.name, func(t *testing.T) {
			if err := e.run(start(t, newFixture(), serveReference, 300*time.Millisecond, false)); err == nil {
				t.Error("mcp-go's stdio server passes this now")
			}
		})
	}
}

func allEdges() []edge {
	return append(append(callEdges(), messageEdges()...), eofEdges()...)
}

func callEdges() []edge {
	return []edge{
		{name: "S2 progress comes before its response, in order", run: func(h *host) error {
			if err := h.handshake(); err != nil {
				return err
			}
			const n = 3000
			if err := h.send(call("1", "chatter", `{"n":3000}`)); err != nil {
				return err
			}
			for i := 0; ; i++ {
				m, err := h.next()
				if err != nil {
					return err
				}
				if m.Method == "" {
					return errorIf(i != n, "%d of %d came before the response", i, n)
				}
				if want := fmt.Sprintf(`"progress":%d,`, i); !strings.Contains(m.line, want) {
					return fmt.Errorf("%s is not number %d", m.line, i)
				}
			}
		}},
		{name: "S6 many calls in work: a ping is answered at once", run: func(h *host) error {
			for i := range 150 {
				if err := h.send(call(fmt.Sprint(1000+i), "gate", `{}`)); err != nil {
					return err
				}
			}
			return h.roundTrip("1")
		}},
		{name: "S6 many calls in work: all begin", run: func(h *host) error {
			for i := range 150 {
				if err := h.send(call(fmt.Sprint(1000+i), "gate", `{}`)); err != nil {
					return err
				}
			}
			for range 150 {
				if err := h.wantStarted(); err != nil {
					return err
				}
			}
			return nil
		}},
		{name: "S7 a cancel directly after its call", run: func(h *host) error {
			// Lost in most runs, answered in the others.
			if err := h.send(call("1", "gate", `{}`), cancelOf("1"), ping("2")); err != nil {
				return err
			}
			if m, err := h.next(); err != nil || string(m.ID) != "2" {
				return fmt.Errorf("answered by %s: %w", m.line, err)
			}
			// It may never begin. If it has begun, it ends.
			select {
			case <-h.started:
				if _, ok := within(h, h.ended); !ok {
					return errors.New("the cancel is lost")
				}
			case <-time.After(100 * time.Millisecond):
			}
			return h.wantSilence("1")
		}},
		{name: "S8 a cancelled call is not answered", run: func(h *host) error {
			if err := h.send(call("1", "gate", `{}`)); err != nil {
				return err
			}
			if err := h.wantStarted(); err != nil {
				return err
			}
			if err := h.send(cancelOf("1")); err != nil {
				return err
			}
			if _, ok := within(h, h.ended); !ok {
				return errors.New("the call goes on")
			}
			return h.wantSilence("1")
		}},
		{name: "S8 the cause of a cancel", run: func(h *host) error {
			if err := h.send(call("1", "gate", `{}`)); err != nil {
				return err
			}
			if err := h.wantStarted(); err != nil {
				return err
			}
			if err := h.send(cancelOf("1")); err != nil {
				return err
			}
			return h.wantEnded(ErrCancelledByHost)
		}},
		{name: "cancel of the text id leaves the number alone", same: "mcp-go mostly fails, and now and then is too slow to", run: func(h *host) error {
			if err := h.send(call("1", "gate", `{}`)); err != nil {
				return err
			}
			if err := h.wantStarted(); err != nil {
				return err
			}
			if err := h.send(cancelOf(`"1"`)); err != nil {
				return err
			}
			if err := h.roundTrip("2"); err != nil {
				return err
			}
			h.free()
			return h.wantEnded(nil)
		}},
		{name: "an id in flight is refused a second time", run: func(h *host) error {
			if err := h.send(call("1", "gate", `{}`)); err != nil {
				return err
			}
			if err := h.wantStarted(); err != nil {
				return err
			}
			if err := h.send(call("1", "echo", `{}`)); err != nil {
				return err
			}
			if err := h.wantError("null", -32600); err != nil {
				return err
			}
			h.free()
			m, err := h.next()
			if err != nil {
				return err
			}
			return errorIf(!strings.Contains(m.line, "released"), "the first call was answered by %s", m.line)
		}},
		{name: "an id is free again with its answer", same: "mcp-go passes it too", run: func(h *host) error {
			for range 2000 {
				if err := h.roundTrip("1"); err != nil {
					return err
				}
			}
			return nil
		}},
		{name: "S12 a panic's text stays here", run: func(h *host) error {
			if err := h.send(call("1", "boom", `{}`)); err != nil {
				return err
			}
			m, err := h.answerTo("1")
			if err != nil {
				return err
			}
			if m.Error == nil || m.Error.Code != -32603 {
				return fmt.Errorf("answered by %s", m.line)
			}
			return errorIf(strings.Contains(m.line, secret), "it is in %s", m.line)
		}},
		{name: "what mcp-go sends comes before the response", run: func(h *host) error {
			if err := h.handshake(); err != nil {
				return err
			}
			for i := range 300 {
				if err := h.send(call("1", "channel", `{"n":3}`)); err != nil {
					return err
				}
				for n := range 4 {
					m, err := h.next()
					if err != nil {
						return err
					}
					if last := n == 3; last != (m.Method == "") {
						return fmt.Errorf("round %d, line %d: %s", i, n, m.line)
					}
				}
			}
			return nil
		}},
	}
}

func eofEdges() []edge {
	return []edge{
		{name: "S10 calls in flight at the end are answered", run: func(h *host) error {
			if err := h.send(call("1", "gate", `{}`)); err != nil {
				return err
			}
			if err := h.wantStarted(); err != nil {
				return err
			}
			h.in.Close()
			// mcp-go cancels them within microseconds; for ours nothing happens.
			select {
			case cause := <-h.ended:
				return fmt.Errorf("cancelled at the end of the input: %w", cause)
			case <-time.After(30 * time.Millisecond):
			}
			h.free()
			return h.wantRest(`"released"`)
		}},
		{name: "S10 everything read is answered", same: "mcp-go is sometimes fast enough", run: func(h *host) error {
			var lines []string
			for i := range 500 {
				lines = append(lines, call(fmt.Sprint(i), "echo", `{"text":"x"}`))
			}
			if err := h.send(lines...); err != nil {
				return err
			}
			all, err := h.rest()
			if err != nil {
				return err
			}
			return errorIf(len(all) != 500, "%d of 500 answered", len(all))
		}},
		{name: "S10 a last line without an end", run: func(h *host) error {
			if err := h.sendRaw(ping("1")); err != nil {
				return err
			}
			return h.wantRest(`"id":1`)
		}},
		{name: "refusals are answered before the end", same: "mcp-go writes them on its reader", run: func(h *host) error {
			if err := h.sendRaw("rubbish"); err != nil {
				return err
			}
			return h.wantRest(`-32700`)
		}},
	}
}

func (h *host) wantRest(text string) error {
	all, err := h.rest()
	if err != nil {
		return err
	}
	if len(all) != 1 || !strings.Contains(all[0].line, text) {
		return fmt.Errorf("the rest is %v", all)
	}
	return nil
}

// wantSilence ends the session and sees no answer to id.
func (h *host) wantSilence(id string) error {
	all, err := h.rest()
	if err != nil {
		return err
	}
	for _, m := range all {
		if string(m.ID) == id {
			return fmt.Errorf("answered by %s", m.line)
		}
	}
	return nil
}

func (h *host) wantError(id string, code int) error {
	m, err := h.next()
	if err != nil {
		return err
	}
	if string(m.ID) != id || m.Error == nil || m.Error.Code != code {
		return fmt.Errorf("want error %d for id %s, got %.300s", code, id, m.line)
	}
	return nil
}

func errorIf(bad bool, format string, args ...any) error {
	if bad {
		return fmt.Errorf(format, args...)
	}
	return nil
}

func text(m message) string {
	var result struct {
		Content []struct {
			Text string `json:"text"`
		} `json:"content"`
	}
	_ = json.Unmarshal(m.Result, &result)
	if len(result.Content) == 0 {
		return ""
	}
	return result.Content[0].Text
}
