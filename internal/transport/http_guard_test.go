package transport

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"nemotron-mcp/tools"
)

// guarded are the paths behind the guard, with a request that each takes.
func guarded() []sent {
	json := http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"}}
	return []sent{
		{method: http.MethodPost, path: "/mcp", body: initialize, header: json},
		{method: http.MethodGet, path: "/mcp", header: http.Header{"Accept": {"text/event-stream"}}},
		{method: http.MethodDelete, path: "/mcp", header: http.Header{}},
		{method: http.MethodGet, path: "/sse", header: http.Header{}},
		{method: http.MethodPost, path: "/message?sessionId=x", body: initialize, header: json},
		{method: http.MethodGet, path: "/metrics", header: http.Header{}},
		{method: http.MethodGet, path: "/healthz", header: http.Header{}},
		{method: http.MethodGet, path: "/.well-known/oauth-protected-resource/mcp", header: http.Header{}},
		{method: http.MethodGet, path: "/nothing", header: http.Header{}},
	}
}

// guardedPage are the paths of the page, which take the Basic scheme too.
func guardedPage() (all []sent) {
	for _, path := range []string{"/", "/page.css", "/page.js", "/api/jobs", "/api/jobs?limit=5", "/api/usage", "/api/jobs/0190-a_Z", "/api/jobs/0190/output"} {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			all = append(all, sent{method: method, path: path, header: http.Header{}})
		}
	}
	return all
}

func basic(user, token string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+token))
}

// pageOf serves whose page it is.
var pageOf = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	_, _ = io.WriteString(w, "the page of "+tools.CallerFrom(r.Context())+" with "+r.Header.Get("Authorization"))
})

// TestGuard holds every path against the same rules.
func TestGuard(t *testing.T) {
	t.Parallel()
	o := withTokens()
	o.AllowHosts, o.AllowOrigins = []string{"Team.Example.com"}, []string{"https://app.example.com/"}
	o.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "metrics") })
	o.Page = pageOf
	w := serveWeb(t, o)
	own := strings.TrimPrefix(w.url, "http://")
	_, port, _ := strings.Cut(own, ":")
	right := []string{"Bearer " + aliceToken}
	const through = 0
	for _, tc := range []struct {
		name, host, origin string
		origins, tokens    []string
		want               int
		onPage             int // where it is not the same on the page's paths
	}{
		{name: "its own address", tokens: right, want: through},
		{name: "localhost", host: "localhost:" + port, tokens: right, want: through},
		{name: "localhost with a dot", host: "LOCALHOST.:" + port, tokens: right, want: through},
		{name: "another loopback address", host: "[::1]:" + port, tokens: right, want: through},
		{name: "another port", host: "127.0.0.1:1", tokens: right, want: through},
		{name: "a name that is allowed", host: "team.example.com", tokens: right, want: through},
		{name: "the same with a port", host: "team.example.com:443", tokens: right, want: through},
		{name: "a foreign name", host: "evil.example", tokens: right, want: http.StatusForbidden},
		{name: "a foreign name that leads here", host: "127.0.0.1.evil.example", tokens: right, want: http.StatusForbidden},
		{name: "a foreign address", host: "192.0.2.1", tokens: right, want: http.StatusForbidden},
		{name: "all addresses", host: "0.0.0.0", tokens: right, want: http.StatusForbidden},
		{name: "a name that begins as an allowed one", host: "team.example.com.evil.example", tokens: right, want: http.StatusForbidden},
		{name: "its own origin", origin: "http://" + own, tokens: right, want: through},
		{name: "an origin that is allowed", origin: "https://app.example.com", tokens: right, want: through, onPage: http.StatusForbidden},
		{name: "a foreign origin", origin: "https://evil.example", tokens: right, want: http.StatusForbidden},
		{name: "an allowed origin on another port", origin: "https://app.example.com:444", tokens: right, want: http.StatusForbidden},
		{name: "an allowed origin in plain http", origin: "http://app.example.com", tokens: right, want: http.StatusForbidden},
		{name: "the null origin", origin: "null", tokens: right, want: http.StatusForbidden},
		{name: "its own origin on another port", origin: "http://127.0.0.1:1", tokens: right, want: http.StatusForbidden},
		{name: "a file's origin", origin: "file://" + own, tokens: right, want: http.StatusForbidden},
		{name: "an empty origin", origins: []string{""}, tokens: right, want: http.StatusForbidden},
		{name: "two origins", origins: []string{"http://" + own, "https://evil.example"}, tokens: right, want: http.StatusForbidden},
		{name: "no token", want: http.StatusUnauthorized},
		{name: "a wrong token", tokens: []string{"Bearer " + aliceToken + "x"}, want: http.StatusUnauthorized},
		{name: "an empty token", tokens: []string{"Bearer "}, want: http.StatusUnauthorized},
		{name: "an empty header", tokens: []string{""}, want: http.StatusUnauthorized},
		{name: "a right token twice", tokens: []string{right[0], right[0]}, want: http.StatusUnauthorized},
		{name: "a right and a wrong one", tokens: []string{right[0], "Bearer x"}, want: http.StatusUnauthorized},
		{name: "another scheme", tokens: []string{"Basic " + aliceToken}, want: http.StatusUnauthorized},
		{name: "a name and a token", tokens: []string{basic("alice", aliceToken)}, want: http.StatusUnauthorized, onPage: http.StatusOK},
		{name: "a token without a name", tokens: []string{basic("", aliceToken)}, want: http.StatusUnauthorized, onPage: http.StatusOK},
		{name: "a token with another's name", tokens: []string{basic("bob", aliceToken)}, want: http.StatusUnauthorized},
		{name: "a name and a wrong token", tokens: []string{basic("alice", aliceToken+"x")}, want: http.StatusUnauthorized},
		{name: "a name without a token", tokens: []string{basic("alice", "")}, want: http.StatusUnauthorized},
		{name: "a token as the name", tokens: []string{basic(aliceToken, "")}, want: http.StatusUnauthorized},
		{name: "a name and a token twice", tokens: []string{basic("alice", aliceToken), basic("alice", aliceToken)}, want: http.StatusUnauthorized},
		{name: "both schemes", tokens: []string{right[0], basic("alice", aliceToken)}, want: http.StatusUnauthorized},
		{name: "a name and a token from a foreign origin", origin: "https://evil.example", tokens: []string{basic("alice", aliceToken)}, want: http.StatusForbidden},
		{name: "a name and a token of 1 MB", tokens: []string{basic("alice", strings.Repeat("x", 700_000))}, want: http.StatusUnauthorized},
		{name: "the scheme in capitals", tokens: []string{"BEARER " + aliceToken}, want: through},
		{name: "a token of 1 MB", tokens: []string{"Bearer " + strings.Repeat("x", 1<<20)}, want: http.StatusUnauthorized},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ofPage := len(guarded())
			for i, s := range append(guarded(), guardedPage()...) {
				want, allowOrigin := tc.want, ""
				onPage := i >= ofPage
				if onPage && tc.onPage > 0 {
					want = tc.onPage
				}
				if tc.origin == "https://app.example.com" && !onPage {
					allowOrigin = tc.origin
				}
				ctx, done := context.WithTimeout(t.Context(), patience)
				s.ctx, s.host = ctx, tc.host
				s.header = s.header.Clone()
				if tc.origin != "" {
					tc.origins = []string{tc.origin}
				}
				if tc.origins != nil {
					s.header["Origin"] = tc.origins
				}
				if tc.tokens != nil {
					s.header["Authorization"] = tc.tokens
				}
				res, err := w.do(s)
				if err != nil {
					t.Fatalf("%s %s: %v", s.method, s.path, err)
				}
				open := s.path == "/healthz" || strings.HasPrefix(s.path, "/.well-known")
				switch {
				case want == http.StatusUnauthorized && open, want == through && !onPage:
					if res.StatusCode == http.StatusForbidden || res.StatusCode == http.StatusUnauthorized {
						t.Errorf("%s %s: %s", s.method, s.path, res.Status)
					}
				case res.StatusCode != want && (want != through || res.StatusCode != http.StatusOK):
					t.Errorf("%s %s: %s", s.method, s.path, res.Status)
				}
				if offered := res.Header.Values("WWW-Authenticate"); len(offered) > 0 && (len(offered) == 2 && offered[1] == `Basic realm="nemotron-mcp", charset="UTF-8"`) != onPage || len(offered) > 2 {
					t.Errorf("%s %s: offers %q", s.method, s.path, offered)
				}
				if challenge := res.Header.Get("WWW-Authenticate"); (challenge != "") != (res.StatusCode == http.StatusUnauthorized) ||
					challenge != "" && !strings.Contains(challenge, `resource_metadata="http://`+own+`/.well-known/oauth-protected-resource/mcp"`) {
					t.Errorf("%s %s: %s with WWW-Authenticate %q", s.method, s.path, res.Status, challenge)
				}
				allowed := res.Header.Get("Access-Control-Allow-Origin")
				if allowed != allowOrigin {
					t.Errorf("%s %s: Access-Control-Allow-Origin is %q, want %q", s.method, s.path, allowed, allowOrigin)
				}
				done()
				_ = res.Body.Close()
			}
		})
	}
}

func TestRoutes(t *testing.T) {
	t.Parallel()
	w := serveWeb(t, HTTP{AllowOrigins: []string{"https://app.example.com"}})
	json := http.Header{"Content-Type": {"application/json"}}
	for _, tc := range []struct {
		name   string
		sent   sent
		status int
		part   string
	}{
		{"health", sent{method: "GET", path: "/healthz"}, 200, `{"status":"ok"}`},
		{"its metadata", sent{method: "GET", path: "/.well-known/oauth-protected-resource"}, 200, `"bearer_methods_supported":["header"]`},
		{"no metrics", sent{method: "GET", path: "/metrics"}, 404, ""},
		{"another path", sent{method: "GET", path: "/mcp/x"}, 404, "/mcp"},
		{"another method", sent{method: "PUT", path: "/mcp", body: "{}", header: json}, 405, ""},
		{"HEAD", sent{method: "HEAD", path: "/mcp"}, 405, ""},
		{"POST to the stream", sent{method: "POST", path: "/sse", body: "{}", header: json}, 405, ""},
		{"text", sent{method: "POST", path: "/mcp", body: initialize, header: http.Header{"Content-Type": {"text/plain"}}}, 415, "application/json"},
		{"a form", sent{method: "POST", path: "/mcp", body: initialize, header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}}, 415, ""},
		{"no type", sent{method: "POST", path: "/mcp", body: initialize, header: http.Header{"Content-Type": nil}}, 415, ""},
		{"compressed", sent{method: "POST", path: "/mcp", body: initialize, header: http.Header{"Content-Type": {"application/json"}, "Content-Encoding": {"gzip"}}}, 415, ""},
		{"another charset", sent{method: "POST", path: "/mcp", body: initialize, header: http.Header{"Content-Type": {"application/json; charset=utf-16"}}}, 415, ""},
		{"its charset", sent{method: "POST", path: "/mcp", body: initialize, header: http.Header{"Content-Type": {"application/json; charset=UTF-8"}}}, 200, `"serverInfo"`},
		{"not JSON", sent{method: "POST", path: "/mcp", body: "{", header: json}, 400, "-32700"},
		{"a batch", sent{method: "POST", path: "/mcp", body: "[" + initialize + "]", header: json}, 400, "-32600"},
		{"METHOD", sent{method: "POST", path: "/mcp", body: strings.Replace(initialize, `"method"`, `"METHOD"`, 1), header: json}, 400, "-32600"},
		{"an id that would be changed", sent{method: "POST", path: "/mcp", body: strings.Replace(initialize, `"init"`, "9007199254740993", 1), header: json}, 400, "2^53"},
		{"20,000 levels", sent{method: "POST", path: "/mcp", body: strings.Repeat("[", 20000) + strings.Repeat("]", 20000), header: json}, 400, "-32700"},
		{"text to a session", sent{method: "POST", path: "/message?sessionId=x", body: initialize, header: http.Header{"Content-Type": {"text/plain"}}}, 404, ""},
		{"no session", sent{method: "POST", path: "/mcp", body: ping("1"), header: json}, 400, "initialize"},
		{"a stream without a session", sent{method: "GET", path: "/mcp"}, 400, "initialize"},
		{"a message without a session", sent{method: "POST", path: "/message", body: ping("1"), header: json}, 400, "initialize"},
		{"a preflight", sent{method: "OPTIONS", path: "/mcp", header: http.Header{"Origin": {"https://app.example.com"}}}, 204, ""},
		{"a foreign preflight", sent{method: "OPTIONS", path: "/mcp", header: http.Header{"Origin": {"https://evil.example"}}}, 403, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			res, body := w.ask(tc.sent)
			if res.StatusCode != tc.status || !strings.Contains(body, tc.part) {
				t.Errorf("%s %s", res.Status, body)
			}
			if (res.StatusCode == 405) != (res.Header.Get("Allow") != "") {
				t.Errorf("Allow is %q", res.Header.Get("Allow"))
			}
			if (tc.name == "a preflight") != (res.Header.Get("Access-Control-Allow-Methods") != "") {
				t.Errorf("headers %v", res.Header)
			}
		})
	}
}

// slow gives its bytes, and then nothing until the request is over.
type slow struct {
	bytes io.Reader
	ctx   context.Context
}

func (s *slow) Read(p []byte) (int, error) {
	if n, err := s.bytes.Read(p); err == nil {
		return n, nil
	}
	<-s.ctx.Done()
	return 0, s.ctx.Err()
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// TestBodies: what is too large or too slow is refused on both paths, and the
// server goes on.
func TestBodies(t *testing.T) {
	t.Parallel()
	limits := defaultTimes()
	limits.body, limits.header = 300*time.Millisecond, 300*time.Millisecond
	w := serveWeb(t, HTTP{MaxBody: 1 << 20, times: limits})
	v, s := w.visit(""), w.watch("")
	for _, path := range []string{"/mcp", s.endpoint} {
		for name, tc := range map[string]struct {
			body   func(ctx context.Context) io.Reader
			length int64
			want   int
		}{
			"200 MB, announced": {func(context.Context) io.Reader { return io.LimitReader(zeros{}, 200<<20) }, 200 << 20, 413},
			"endless chunks":    {func(context.Context) io.Reader { return zeros{} }, -1, 413},
			"a byte too long":   {func(context.Context) io.Reader { return io.LimitReader(zeros{}, 1<<20+1) }, -1, 413},
			"cut off":           {func(ctx context.Context) io.Reader { return &slow{strings.NewReader(`{"jsonrpc"`), ctx} }, 100, 408},
		} {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url+path, tc.body(ctx))
			if err != nil {
				t.Fatal(err)
			}
			req.ContentLength, req.Header = tc.length, v.header()
			res, err := w.client.Do(req)
			switch {
			case err == nil:
				if res.StatusCode != tc.want {
					t.Errorf("%s to %s: %s", name, path, res.Status)
				}
				_ = res.Body.Close()
			case tc.want == 408 || ctx.Err() != nil: // a connection that was closed while it was written to may lose the answer
				t.Errorf("%s to %s: %v", name, path, err)
			}
			cancel()
		}
	}
	exact := `{"jsonrpc":"2.0","id":2,"method":"ping"` + strings.Repeat(" ", 1<<20-len(ping("2"))) + "}"
	if res, body := v.post(t.Context(), exact); res.StatusCode != 200 {
		t.Errorf("exactly the limit: %s %s", res.Status, body)
	}
}

// TestSlowHeaders: who does not finish a request's header is let go.
func TestSlowHeaders(t *testing.T) {
	t.Parallel()
	limits := defaultTimes()
	limits.header, limits.idle = 100*time.Millisecond, 100*time.Millisecond
	w := serveWeb(t, HTTP{times: limits})
	for name, begun := range map[string]string{"nothing": "", "half a header": "POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nX: "} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, begun); err != nil {
			t.Fatal(err)
		}
		_ = conn.SetReadDeadline(time.Now().Add(patience))
		if _, err := io.Copy(io.Discard, conn); errors.Is(err, context.DeadlineExceeded) || err != nil && strings.Contains(err.Error(), "timeout") {
			t.Errorf("%s: still connected: %v", name, err)
		}
		_ = conn.Close()
	}
}

// TestConnections: no more than so many at once; the next one waits.
func TestConnections(t *testing.T) {
	t.Parallel()
	w := serveWeb(t, HTTP{MaxConnections: 2})
	var idle []net.Conn
	for range 2 {
		conn, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		idle = append(idle, conn)
		if _, err := io.WriteString(conn, "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	answered := make(chan int, 1)
	go func() {
		res, err := w.client.Get(w.url + "/healthz")
		if err != nil {
			answered <- 0
			return
		}
		_ = res.Body.Close()
		answered <- res.StatusCode
	}()
	select {
	case got := <-answered:
		t.Errorf("a third connection is served: %d", got)
	case <-time.After(50 * time.Millisecond): // it can only be shown not to happen for a while
	}
	_ = idle[0].Close()
	if got := receive(t, answered); got != 200 {
		t.Errorf("after one has left: %d", got)
	}
	_ = idle[1].Close()
}
