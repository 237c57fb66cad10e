package transport

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
	"github.com/rs/zerolog"
)

// answersRig serves s, with the token alice or bob for each caller.
func answersRig(t *testing.T, h HTTP) (url string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	h.Log, h.DrainWindow = zerolog.Nop(), -1
	h.Caller = func(token string) (string, bool) { return token, token == "alice" || token == "bob" }
	go func() { done <- h.Serve(ctx, listener) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return "http://" + listener.Addr().String() + "/mcp"
}

// answersPost sends one message for a caller's session.
func answersPost(t *testing.T, url, caller, session, message string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(message))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+caller)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json, text/event-stream")
	if session != "" {
		r.Header.Set(server.HeaderKeySessionID, session)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	return response
}

func answersSession(t *testing.T, url, caller string) string {
	t.Helper()
	response := answersPost(t, url, caller, "",
		`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{"elicitation":{}},"clientInfo":{"name":"host","version":"1"}}}`)
	if response.StatusCode != http.StatusOK {
		t.Fatalf("initialize: %s", response.Status)
	}
	return response.Header.Get(server.HeaderKeySessionID)
}

// TestAnswersReachTheirOwnSession has a tool ask its client over HTTP: only what
// that client says, in that session, is an answer.
func TestAnswersReachTheirOwnSession(t *testing.T) {
	t.Parallel()
	s := server.NewMCPServer("s", "1", server.WithElicitation())
	s.AddTool(mcp.NewTool("ask"), func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		got, err := s.RequestElicitation(ctx, mcp.ElicitationRequest{Params: mcp.ElicitationParams{
			Message: "Which?", RequestedSchema: map[string]any{"type": "object", "properties": map[string]any{}},
		}})
		if err != nil {
			return mcp.NewToolResultError(err.Error()), nil
		}
		return mcp.NewToolResultText(fmt.Sprint(got.Action)), nil
	})
	url := answersRig(t, HTTP{Server: s})
	alice, bob := answersSession(t, url, "alice"), answersSession(t, url, "bob")

	call := answersPost(t, url, "alice", alice, `{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"ask"}}`)
	events := bufio.NewScanner(call.Body)
	asked := nextData(t, events)
	var id int64
	if _, after, ok := strings.Cut(asked, `"id":`); !ok || !strings.Contains(asked, "elicitation/create") {
		t.Fatalf("the client was asked %s", asked)
	} else if _, err := fmt.Sscanf(after, "%d", &id); err != nil {
		t.Fatal(err)
	}
	answer := func(action string) string {
		return fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"result":{"action":%q}}`, id, action)
	}
	for _, foreign := range []struct{ caller, session, message string }{
		{"bob", bob, answer("decline")},
		{"bob", alice, answer("decline")},
		{"alice", "", answer("decline")},
		{"alice", "unknown", answer("decline")},
		{"alice", alice, fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"result":{"action":"decline"},"error":{"code":1,"message":"both"}}`, id)},
		{"alice", alice, fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"RESULT":{"action":"decline"},"result":{"action":"decline"},"result":{}}`, id)},
		{"alice", alice, answer("accept")}, // the one that counts
	} {
		response := answersPost(t, url, foreign.caller, foreign.session, foreign.message)
		if body, _ := io.ReadAll(response.Body); response.StatusCode != http.StatusAccepted || len(body) > 0 {
			t.Errorf("%+v: %s %s", foreign, response.Status, body)
		}
	}
	if told := nextData(t, events); !strings.Contains(told, `"text":"accept"`) {
		t.Errorf("the tool was told %s", told)
	}
}

// nextData is the next event's.
func nextData(t *testing.T, events *bufio.Scanner) string {
	t.Helper()
	for events.Scan() {
		if data, ok := strings.CutPrefix(events.Text(), "data: "); ok {
			return data
		}
	}
	t.Fatalf("the stream ended: %v", events.Err())
	return ""
}

// TestEvictedSessionIsForgotten sees mcp-go drop what it keeps of a session that
// made room for another.
func TestEvictedSessionIsForgotten(t *testing.T) {
	t.Parallel()
	ended := make(chan string, 1)
	hooks := new(server.Hooks)
	hooks.AddOnUnregisterSession(func(_ context.Context, session server.ClientSession) { ended <- session.SessionID() })
	url := answersRig(t, HTTP{Server: server.NewMCPServer("s", "1", server.WithHooks(hooks)), MaxSessions: 1})
	first := answersSession(t, url, "alice")
	answersSession(t, url, "alice")
	limit, done := context.WithTimeout(t.Context(), 10*time.Second)
	defer done()
	select {
	case id := <-ended:
		if id != first {
			t.Errorf("%s was forgotten, not %s", id, first)
		}
	case <-limit.Done():
		t.Fatal("the session was not forgotten")
	}
}
