package transport

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"nemotron-mcp/tools"
)

// TestPageRoutes: which paths are the page's, and what they are called.
func TestPageRoutes(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var seen []string
	w := serveWeb(t, HTTP{Page: pageOf, Observe: func(path, _ string, _ int, _ time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, path)
	}})
	const nothing = ""
	for _, tc := range []struct {
		name, method, path string
		label              string
		status             int
	}{
		{"the page", "GET", "/", "/", 200},
		{"the page, with a query", "GET", "/?x=1", "/", 200},
		{"its head", "HEAD", "/", "/", 200},
		{"its style", "GET", "/page.css", "/page.css", 200},
		{"its program", "GET", "/page.js", "/page.js", 200},
		{"the jobs", "GET", "/api/jobs", "/api/jobs", 200},
		{"the usage", "GET", "/api/usage", "/api/usage", 200},
		{"a job", "GET", "/api/jobs/0190aaaa-bbbb-7ccc-8ddd-eeeeffff0000", "/api/jobs/{id}", 200},
		{"another job", "GET", "/api/jobs/A_z-9", "/api/jobs/{id}", 200},
		{"its output", "GET", "/api/jobs/A_z-9/output", "/api/jobs/{id}/output", 200},
		{"the longest id", "GET", "/api/jobs/" + strings.Repeat("x", 128), "/api/jobs/{id}", 200},
		{"an id that is too long", "GET", "/api/jobs/" + strings.Repeat("x", 129), nothing, 404},
		{"no id", "GET", "/api/jobs/", nothing, 404},
		{"the name of the route", "GET", "/api/jobs/%7Bid%7D", nothing, 404},
		{"a way up", "GET", "/api/jobs/..", nothing, 404},
		{"a way up and down", "GET", "/api/jobs/../usage", nothing, 404},
		{"a slash in the id", "GET", "/api/jobs/a%2Fb", nothing, 404},
		{"a slash in the id that leads to the output", "GET", "/api/jobs/a%2Foutput", "/api/jobs/{id}/output", 200},
		{"a slash behind the id", "GET", "/api/jobs/a/", nothing, 404},
		{"a NUL", "GET", "/api/jobs/a%00", nothing, 404},
		{"more below", "GET", "/api/jobs/a/output/x", nothing, 404},
		{"something else of a job", "GET", "/api/jobs/a/prompt", nothing, 404},
		{"the root of the interface", "GET", "/api/", nothing, 404},
		{"two slashes", "GET", "//", nothing, 404},
		{"a file that is not served", "GET", "/index.html", nothing, 404},
		{"POST to the page", "POST", "/", "/", 405},
		{"POST to the jobs", "POST", "/api/jobs", "/api/jobs", 405},
		{"DELETE of a job", "DELETE", "/api/jobs/a", "/api/jobs/{id}", 405},
		{"PUT", "PUT", "/api/usage", "/api/usage", 405},
		{"a preflight", "OPTIONS", "/api/jobs", "/api/jobs", 405},
	} {
		res, body := w.ask(sent{method: tc.method, path: tc.path})
		if res.StatusCode != tc.status || (tc.status == 200) != strings.HasPrefix(body, "the page of ") && tc.method != "HEAD" {
			t.Errorf("%s: %s %s", tc.name, res.Status, body)
		}
		if want := map[bool]string{true: "GET, HEAD"}[tc.status == 405]; res.Header.Get("Allow") != want {
			t.Errorf("%s: Allow is %q", tc.name, res.Header.Get("Allow"))
		}
		if policy := res.Header.Get("Content-Security-Policy"); (policy != "") != (tc.label != nothing) {
			t.Errorf("%s: the policy is %q", tc.name, policy)
		}
		if res.Header.Get("Access-Control-Allow-Methods") != "" {
			t.Errorf("%s: %v", tc.name, res.Header)
		}
		w.client.CloseIdleConnections()
	}
	w.stop()
	if err := w.wait(); err != nil { // then all has been observed
		t.Fatal(err)
	}
	for _, label := range seen {
		if label != nothing && routes[label].serve == nil {
			t.Errorf("%q is observed, which is no route", label)
		}
	}
	if n := len(slices.Compact(slices.Sorted(slices.Values(seen)))); n != 8 {
		t.Errorf("%d paths are observed: %q", n, seen)
	}
}

// TestNoPage: without a page its paths are nothing, for a browser too.
func TestNoPage(t *testing.T) {
	t.Parallel()
	w := serveWeb(t, HTTP{})
	for _, s := range guardedPage() {
		s.header = http.Header{"Accept": {"text/html"}}
		res, _ := w.ask(s)
		if res.StatusCode != 404 || res.Header.Get("Content-Security-Policy") != "" {
			t.Errorf("%s %s: %s %v", s.method, s.path, res.Status, res.Header)
		}
	}
	w = serveWeb(t, withTokens())
	res, _ := w.ask(sent{method: "GET", path: "/", header: http.Header{"Authorization": {basic("alice", aliceToken)}}})
	if res.StatusCode != 401 || len(res.Header.Values("WWW-Authenticate")) != 1 {
		t.Errorf("the Basic scheme without a page: %s %v", res.Status, res.Header)
	}
}

// TestPageHeaders: the page may load what is this server's and nothing else, and
// nobody may embed it; whatever the answer is.
func TestPageHeaders(t *testing.T) {
	t.Parallel()
	o := withTokens()
	o.Page = pageOf
	w := serveWeb(t, o)
	want := map[string]string{
		"Cache-Control": "no-store",
		"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
			"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
		"Cross-Origin-Opener-Policy":   "same-origin",
		"Cross-Origin-Resource-Policy": "same-origin",
		"Permissions-Policy":           "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
		"Referrer-Policy":              "no-referrer",
		"X-Content-Type-Options":       "nosniff",
		"Access-Control-Allow-Origin":  "",
	}
	for name, change := range map[string]func(*sent){
		"served":           func(s *sent) { s.header.Set("Authorization", "Bearer "+aliceToken) },
		"no token":         func(*sent) {},
		"a foreign origin": func(s *sent) { s.header.Set("Origin", "https://evil.example") },
		"a foreign host":   func(s *sent) { s.host = "evil.example" },
		"another method":   func(s *sent) { s.method = "PUT"; s.header.Set("Authorization", "Bearer "+aliceToken) },
	} {
		for _, s := range guardedPage() {
			change(&s)
			res, _ := w.ask(s)
			for header, value := range want {
				if got := res.Header.Values(header); strings.Join(got, "|") != value {
					t.Errorf("%s: %s %s: %s is %q", name, s.method, s.path, header, got)
				}
			}
		}
	}
}

// TestPageSite: what a browser sends because another site wants it to is refused.
func TestPageSite(t *testing.T) {
	t.Parallel()
	w := serveWeb(t, HTTP{Page: pageOf})
	const all, document, none = "all", "the document only", "none"
	for _, tc := range []struct {
		name  string
		sites []string
		mode  string
		dest  string
		let   string
	}{
		{"not a browser", nil, "", "", all},
		{"typed into the address bar", []string{"none"}, "navigate", "document", all},
		{"the page itself", []string{"same-origin"}, "cors", "empty", all},
		{"a link on another site", []string{"cross-site"}, "navigate", "document", document},
		{"a link on another port", []string{"same-site"}, "navigate", "document", document},
		{"another site's picture", []string{"cross-site"}, "no-cors", "image", none},
		{"another site's script", []string{"cross-site"}, "no-cors", "script", none},
		{"another site's fetch", []string{"cross-site"}, "cors", "empty", none},
		{"another port's fetch", []string{"same-site"}, "cors", "empty", none},
		{"a frame on another site", []string{"cross-site"}, "navigate", "iframe", none},
		{"an object on another site", []string{"cross-site"}, "navigate", "object", none},
		{"a word that nobody knows", []string{"friendly"}, "cors", "empty", none},
		{"an empty word", []string{""}, "cors", "empty", none},
		{"two words", []string{"same-origin", "cross-site"}, "cors", "empty", none},
	} {
		for _, s := range guardedPage() {
			if tc.sites != nil {
				s.header["Sec-Fetch-Site"] = tc.sites
				s.header.Set("Sec-Fetch-Mode", tc.mode)
				s.header.Set("Sec-Fetch-Dest", tc.dest)
			}
			want := http.StatusForbidden
			if tc.let == all || tc.let == document && s.path == "/" {
				want = http.StatusOK
			}
			if res, _ := w.ask(s); res.StatusCode != want {
				t.Errorf("%s: %s %s: %s", tc.name, s.method, s.path, res.Status)
			}
		}
	}
}

// TestPageCaller: the page is told who asks, and not with what token.
func TestPageCaller(t *testing.T) {
	t.Parallel()
	o := withTokens()
	o.Page = pageOf
	w := serveWeb(t, o)
	for given, caller := range map[string]string{
		"Bearer " + aliceToken: "alice", "Bearer " + bobToken: "bob", basic("alice", aliceToken): "alice", basic("", bobToken): "bob",
	} {
		_, body := w.ask(sent{method: "GET", path: "/", header: http.Header{"Authorization": {given}}})
		if want := "the page of " + caller + " with "; body != want {
			t.Errorf("%q, not %q", body, want)
		}
	}
}

// TestPageIsBounded: the page's requests count among those in flight.
func TestPageIsBounded(t *testing.T) {
	t.Parallel()
	began, end := make(chan string), make(chan struct{})
	w := serveWeb(t, HTTP{MaxInFlight: 1, Page: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		began <- tools.CallerFrom(r.Context())
		<-end
	})})
	first := make(chan int, 1)
	go func() {
		res, err := w.do(sent{method: "GET", path: "/api/usage"})
		if err != nil {
			first <- 0
			return
		}
		_ = res.Body.Close()
		first <- res.StatusCode
	}()
	receive(t, began)
	if res, _ := w.ask(sent{method: "GET", path: "/"}); res.StatusCode != 503 || res.Header.Get("Retry-After") == "" {
		t.Errorf("one too many: %s", res.Status)
	}
	close(end)
	if got := receive(t, first); got != 200 {
		t.Errorf("the first: %d", got)
	}
}
