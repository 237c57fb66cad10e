package transport

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/rs/zerolog"
)

// TestAccessLog: each request has a line with its path and its caller, and none
// with a token, a session or what stands in a query.
func TestAccessLog(t *testing.T) {
	t.Parallel()
	var log syncBuffer
	o := withTokens()
	o.Log, o.Page = zerolog.New(&log), pageOf
	w := serveWeb(t, o)
	v, stream := w.visit(aliceToken), w.watch(aliceToken)
	session := v.session
	stream.send(initialize)
	stream.next()
	v.post(t.Context(), call("1", "echo", `{}`))
	bearer := http.Header{"Authorization": {"Bearer " + aliceToken}}
	w.ask(sent{method: http.MethodGet, path: "/api/usage?days=s3cret", header: bearer})
	w.ask(sent{method: http.MethodGet, path: "/api/jobs/a-job-of-mine", header: bearer})
	w.ask(sent{method: http.MethodGet, path: "/s3cret?s3cret", header: bearer})
	w.ask(sent{method: http.MethodGet, path: "/healthz"})
	w.ask(sent{method: http.MethodPost, path: "/mcp", body: initialize, header: http.Header{"Authorization": {"Bearer s3cret-s3cret-s3cret"}}})
	res, _ := w.ask(sent{method: http.MethodDelete, path: "/mcp", header: v.header()})
	if res.StatusCode != http.StatusOK {
		t.Fatal(res.Status)
	}
	stream.leave()
	w.stop()
	if err := w.wait(); err != nil {
		t.Fatal(err)
	}

	type line struct {
		Message, Method, Path, Caller string
		Status                        int
	}
	count := map[line]int{}
	for text := range strings.Lines(log.String()) {
		var l line
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		if l.Message == "request" {
			count[l]++
		}
	}
	for l, want := range map[line]int{
		{"request", "POST", "/mcp", "alice", 200}:          2,
		{"request", "DELETE", "/mcp", "alice", 200}:        1,
		{"request", "GET", "/sse", "alice", 200}:           1,
		{"request", "POST", "/message", "alice", 202}:      1,
		{"request", "GET", "/api/usage", "alice", 200}:     1,
		{"request", "GET", "/api/jobs/{id}", "alice", 200}: 1,
		{"request", "GET", "", "alice", 404}:               1,
		{"request", "GET", "/healthz", "", 200}:            1,
		{"request", "POST", "/mcp", "", 401}:               1,
	} {
		if count[l] != want {
			t.Errorf("%+v: %d lines, want %d; all: %v", l, count[l], want, count)
		}
	}
	_, id, _ := strings.Cut(stream.endpoint, "sessionId=")
	for what, secret := range map[string]string{"a token": aliceToken, "a wrong token or a query": "s3cret", "a session": session, "an SSE session": id, "a job's id": "a-job-of-mine"} {
		if secret == "" || strings.Contains(log.String(), secret) {
			t.Errorf("%s is in the log, or empty: %s", what, log.String())
		}
	}
}
