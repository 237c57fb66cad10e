package app_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"nemotron-mcp/internal/falsim"
)

// look asks for a page path as a browser does.
func (p *overHTTP) look(path, name, token string) (status int, body string) {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, p.url+path, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	if token != "" {
		req.SetBasicAuth(name, token)
	}
	res, err := p.client.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	if strings.Contains(string(b), testKey) {
		p.t.Errorf("the key is at %s: %s", path, b)
	}
	return res.StatusCode, string(b)
}

// TestPageIsNoDelivery: who looks at an answer does not take it from the host that
// waits for it, asks fal nothing, and pays nothing. Once the host has it, it is
// not kept.
func TestPageIsNoDelivery(t *testing.T) {
	t.Parallel()
	sim := startSimulator(t, falsim.Script{Output: "the answer, with " + testKey + " in it"})
	p := startHTTP(t, sim, []string{"--auth-tokens=" + tokens(t), "--store=metadata"})
	alice := p.connect(aliceToken)
	job, _ := alice.tool(t.Context(), "nemotron_generate", `{"prompt":"alice's own words","wait_seconds":0}`)
	id := fmt.Sprint(job["request_id"])
	var seen struct {
		ID, Status string
		NotKept    bool `json:"not_kept"`
		Delivered  bool
		Output     struct{ Text string }
	}
	look := func() {
		t.Helper()
		seen.NotKept, seen.Output.Text = false, ""
		if status, body := p.look("/api/jobs/"+id, "alice", aliceToken); status != 200 || json.Unmarshal([]byte(body), &seen) != nil {
			t.Fatalf("%d %s", status, body)
		}
	}
	until := func(what string, good func() bool) {
		t.Helper()
		deadline := time.Now().Add(20 * time.Second) // against a hang only
		for look(); !good(); look() {
			if time.Now().After(deadline) {
				t.Fatalf("%s: %+v", what, seen)
			}
		}
	}
	until("the job does not end", func() bool { return seen.Status == "COMPLETED" })
	before := sim.Stats()
	for range 3 {
		look()
		for _, path := range []string{"/", "/page.js", "/page.css", "/api/jobs", "/api/usage", "/api/jobs/" + seen.ID + "/output"} {
			if status, body := p.look(path, "alice", aliceToken); status != 200 {
				t.Errorf("%s: %d %s", path, status, body)
			}
			if status, body := p.look(path, "", bobToken); (status != 200) != strings.HasSuffix(path, "/output") || strings.Contains(body, "own words") {
				t.Errorf("bob at %s: %d %s", path, status, body)
			}
		}
	}
	if seen.Output.Text != "the answer, with [redacted] in it" || seen.Delivered || seen.NotKept {
		t.Errorf("before the host has it: %+v", seen)
	}
	if after := sim.Stats(); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("looking asked fal: %+v became %+v", before, after)
	}
	if _, text := alice.tool(t.Context(), "queue_status", `{"request_id":"`+id+`"}`); !strings.HasPrefix(text, "the answer, with") {
		t.Errorf("the host is told %s", text)
	}
	until("the answer is kept", func() bool { return seen.NotKept }) // the row is written behind the answer
	if !seen.Delivered || seen.Output.Text != "" {
		t.Errorf("after the host has it: %+v", seen)
	}
}

// TestPageOff: the operator can have none.
func TestPageOff(t *testing.T) {
	t.Parallel()
	sim := startSimulator(t, falsim.Script{})
	for value, want := range map[string]int{"on": 200, "off": 404} {
		p := startHTTP(t, sim, []string{"--page=" + value})
		for _, path := range []string{"/", "/api/jobs"} {
			if status, body := p.look(path, "", ""); status != want {
				t.Errorf("--page=%s: %s: %d %s", value, path, status, body)
			}
		}
	}
}
