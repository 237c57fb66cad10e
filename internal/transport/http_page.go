package transport

import (
	"net/http"
	"strings"
	"time"
)

// The page's paths. A job's are below pathJobs, with its id in the middle.
const (
	pathPage    = "/"
	pathStyle   = "/page.css"
	pathProgram = "/page.js"
	pathJobs    = "/api/jobs"
	pathUsage   = "/api/usage"

	oneJob    = "/{id}"
	oneOutput = "/{id}/output"

	maxJobID = 128
)

// routeName is a path with {id} for a job's id, so that there are few of them.
func routeName(path string) string {
	rest, below := strings.CutPrefix(path, pathJobs+"/")
	if !below {
		return path
	}
	id, of, _ := strings.Cut(rest, "/")
	switch {
	case !plausibleJobID(id):
		return ""
	case rest == id:
		return pathJobs + oneJob
	case of == "output":
		return pathJobs + oneOutput
	}
	return ""
}

func plausibleJobID(id string) bool {
	for i := range len(id) {
		if c := id[i]; !alphanumeric(c) && c != '-' && c != '_' {
			return false
		}
	}
	return 0 < len(id) && len(id) <= maxJobID
}

// pagePolicy lets the page load what this server serves and nothing else, and
// nobody embed it. Its program can make no HTML of a text.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

func pageHeaders(h http.Header) {
	h.Set("Content-Security-Policy", pagePolicy)
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
	h.Set("Referrer-Policy", "no-referrer")
}

// checkSite keeps other sites from using what a browser sends by itself, such as
// the credentials of basicCaller: the page's paths are for the page and for who
// types them. A link from elsewhere may lead to the page itself.
func checkSite(r *http.Request, name string) *refusal {
	given := r.Header["Sec-Fetch-Site"]
	switch {
	case len(given) == 0: // not a browser, or one that does not trust the way to this server
		return nil
	case len(given) == 1 && (given[0] == "same-origin" || given[0] == "none"):
		return nil
	case len(given) == 1 && name == pathPage && r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document":
		return nil
	}
	return &refusal{http.StatusForbidden, "Another site may link to this page, but not use it.", nil}
}

// basicChallenge makes a browser ask for a name and a password.
const basicChallenge = `Basic realm="nemotron-mcp", charset="UTF-8"`

// basicCaller tells whose token the password of HTTP's Basic scheme is, which is
// what a browser can ask for. The user is that caller, or left empty. A browser
// goes on to send it with every request, whichever site has caused it: it is good
// where nothing can be changed, and nowhere else.
func (s *httpServer) basicCaller(r *http.Request) (name string, ok bool) {
	user, token, ok := r.BasicAuth()
	if !ok {
		return "", false
	}
	name, ok = s.Caller(token)
	return name, ok && (user == "" || user == name)
}

func (s *httpServer) servePage(w http.ResponseWriter, r *http.Request) {
	caller := callerOf(r.Context())
	if !s.flight.enter(caller, load{requests: 1}) {
		busy().write(w)
		return
	}
	defer s.flight.leave(caller, load{requests: 1})
	s.Page.ServeHTTP(&patientWriter{w, http.NewResponseController(w), s.times.write}, r)
}

// patientWriter gives the client that long to take each piece that is written.
type patientWriter struct {
	http.ResponseWriter
	rc       *http.ResponseController
	patience time.Duration
}

func (p *patientWriter) Write(b []byte) (int, error) {
	_ = p.rc.SetWriteDeadline(time.Now().Add(p.patience))
	return p.ResponseWriter.Write(b)
}
