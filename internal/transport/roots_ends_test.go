package transport

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
)

// TestRootsOfAHostThatDoesNotRead are given up in time. Nothing piles up
// meanwhile, and what nobody waits for any more is not asked.
func TestRootsOfAHostThatDoesNotRead(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		h := asking(t, rooted, true)
		synctest.Wait() // the answer to initialize is being written, and all else behind it
		from := time.Now()
		h.call(t, "1")
		// The host can't know this id yet.
		check(t, h.send(rootsAre(first, "early")))
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
				// One of them does not see the end of its call.
				check(t, h.send(call("1", "roots", `{"detached":true}`)))
				h.call(t, "2")
				h.wantAsked(t, first)
				from := time.Now()
				check(t, c.end(h))
				for range 2 {
					err := h.wantErr(t, "")
					check(t, errorIf(!errors.Is(err, c.cause), "%v", err))
				}
				h.span(t, from, 0, 0, c.want)
				h.wantQuiet(t)
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
