package transport

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"nemotron-mcp/tools"
)

// The paths that are served.
const (
	pathMCP     = "/mcp"
	pathSSE     = "/sse"
	pathMessage = "/message"
	pathHealth  = "/healthz"
	pathMetrics = "/metrics"
	// pathResource is that of RFC 9728's metadata, also with the resource's own
	// path after it.
	pathResource = "/.well-known/oauth-protected-resource"
)

// route is what is served at a path.
type route struct {
	methods []string
	open    bool // needs no token
	page    bool // is the page's, see checkSite
	serve   func(*httpServer, http.ResponseWriter, *http.Request)
}

var (
	readOnly  = []string{http.MethodGet, http.MethodHead}
	pageRoute = route{methods: readOnly, page: true, serve: (*httpServer).servePage}
)

// routes are by the names that routeName gives.
var routes = map[string]route{
	pathMCP:                {methods: []string{http.MethodPost, http.MethodGet, http.MethodDelete}, serve: (*httpServer).serveMCP},
	pathSSE:                {methods: []string{http.MethodGet}, serve: (*httpServer).serveSSE},
	pathMessage:            {methods: []string{http.MethodPost}, serve: (*httpServer).serveMessage},
	pathHealth:             {methods: readOnly, open: true, serve: (*httpServer).serveHealth},
	pathMetrics:            {methods: readOnly, serve: (*httpServer).serveMetrics},
	pathResource:           {methods: readOnly, open: true, serve: (*httpServer).serveResource},
	pathResource + pathMCP: {methods: readOnly, open: true, serve: (*httpServer).serveResource},
	pathPage:               pageRoute,
	pathStyle:              pageRoute,
	pathProgram:            pageRoute,
	pathJobs:               pageRoute,
	pathJobs + oneJob:      pageRoute,
	pathJobs + oneOutput:   pageRoute,
	pathUsage:              pageRoute,
}

// find is what is served at a path, and its name, which is empty where nothing
// is.
func (s *httpServer) find(path string) (name string, to route) {
	name = routeName(path)
	to, found := routes[name]
	if !found || to.page && s.Page == nil || name == pathMetrics && s.Metrics == nil {
		return "", route{}
	}
	return name, to
}

// refusal is an answer of the guard's.
type refusal struct {
	status  int
	message string
	header  http.Header
}

// ServeHTTP is the guard: what it lets through is served.
func (s *httpServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	headerRead(r)
	seen := &statusWriter{ResponseWriter: w, body: s.watchBody(w, r)}
	defer seen.body.giveUp()
	name, to := s.find(r.URL.Path)
	caller := ""
	defer func() { s.account(seen, r, name, caller, time.Since(began)) }()
	seen.Header().Set("X-Content-Type-Options", "nosniff")
	seen.Header().Set("Cache-Control", "no-store")
	no := s.checkOrigin(seen, r, to)
	if to.page {
		pageHeaders(seen.Header())
		if no == nil {
			no = checkSite(r, name)
		}
	}
	if no != nil {
		no.write(seen)
		return
	}
	if r.Method == http.MethodOptions && !to.page {
		preflight(seen, r)
		return
	}
	if caller, no = s.checkToken(r, to); no != nil {
		no.write(seen)
		return
	}
	// It is the client's and this server's: nothing further in needs it.
	r.Header.Del("Authorization")
	r.Header.Del("Cookie")
	switch {
	case name == "":
		(&refusal{http.StatusNotFound, "There is nothing here. MCP is served at /mcp.", nil}).write(seen)
	case !slices.Contains(to.methods, r.Method):
		(&refusal{http.StatusMethodNotAllowed, "This method is not served here.", http.Header{"Allow": {strings.Join(to.methods, ", ")}}}).write(seen)
	case r.ContentLength != 0 && r.Method != http.MethodPost:
		(&refusal{http.StatusBadRequest, "This request has no body here.", nil}).write(seen)
	default:
		to.serve(s, seen, r.WithContext(tools.WithCaller(r.Context(), caller)))
	}
}

func (no *refusal) write(w http.ResponseWriter) {
	maps.Copy(w.Header(), no.header)
	writeJSON(w, no.status, map[string]string{"error": no.message})
}

func writeJSON(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value) // the client may be gone
}

// checkOrigin keeps out web pages that the operator did not name, and names that
// stand for this server without being its own (DNS rebinding). The page is for no
// origin but its own.
func (s *httpServer) checkOrigin(w http.ResponseWriter, r *http.Request, to route) *refusal {
	if !s.ownHost(r) {
		return &refusal{http.StatusForbidden, "This server is not addressed by that Host. The operator can add it with --allow-host.", nil}
	}
	given := r.Header["Origin"]
	if len(given) == 0 {
		return nil
	}
	origin := strings.ToLower(given[0])
	if len(given) == 1 && s.origins[origin] && !to.page {
		w.Header().Set("Access-Control-Allow-Origin", given[0])
		w.Header().Set("Access-Control-Expose-Headers", "Mcp-Session-Id, Mcp-Protocol-Version, WWW-Authenticate, Retry-After")
		w.Header().Add("Vary", "Origin")
		return nil
	}
	u, err := url.Parse(origin)
	if len(given) != 1 || err != nil || u.Scheme != "http" && u.Scheme != "https" || !strings.EqualFold(u.Host, r.Host) || !s.knownHost(r) {
		return &refusal{http.StatusForbidden, "This web origin may not use the server. The operator can add it with --allow-origin.", nil}
	}
	return nil
}

// ownHost reports whether a request is addressed to this server: by the address
// that its connection was made to, by localhost on loopback, or by a name that
// the operator gave. On a Unix socket any name will do.
func (s *httpServer) ownHost(r *http.Request) bool {
	if s.hosts[hostName(r)] {
		return true
	}
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return false
	}
	if local.Network() == "unix" {
		return true
	}
	own, err := netip.ParseAddrPort(local.String())
	if err != nil {
		return false
	}
	at := own.Addr().Unmap().WithZone("")
	name := hostName(r)
	if name == "localhost" {
		return at.IsLoopback()
	}
	addr, err := netip.ParseAddr(name)
	return err == nil && (addr.Unmap() == at || addr.Unmap().IsLoopback() && at.IsLoopback())
}

// knownHost reports whether the name by which a request is addressed is more than
// what the client says: on a Unix socket, with a proxy before it, a page of
// anybody's can make its browser say its own.
func (s *httpServer) knownHost(r *http.Request) bool {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	return ok && local.Network() != "unix" || s.hosts[hostName(r)]
}

// hostName is a request's Host without port.
func hostName(r *http.Request) string {
	name := r.Host
	if host, port, err := net.SplitHostPort(name); err == nil {
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return ""
		}
		name = host
	}
	return strings.TrimSuffix(strings.ToLower(strings.Trim(name, "[]")), ".")
}

// preflight answers a browser's question whether a page may ask; checkOrigin has
// judged it.
func preflight(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Origin") != "" {
		w.Header().Set("Access-Control-Allow-Methods", "GET, POST, DELETE")
		w.Header().Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Accept, Last-Event-ID, Mcp-Session-Id, Mcp-Protocol-Version, Mcp-Method, Mcp-Name")
		w.Header().Set("Access-Control-Max-Age", "600")
	}
	w.WriteHeader(http.StatusNoContent)
}

// checkToken tells whose request it is.
func (s *httpServer) checkToken(r *http.Request, to route) (caller string, no *refusal) {
	if s.Caller == nil || to.open {
		return "", nil
	}
	given := r.Header["Authorization"]
	problem := ""
	if len(given) > 0 {
		problem = `, error="invalid_token"`
	}
	if len(given) == 1 {
		scheme, token, _ := strings.Cut(given[0], " ")
		if strings.EqualFold(scheme, "bearer") {
			if name, ok := s.Caller(token); ok {
				return name, nil
			}
		}
		if name, ok := s.basicCaller(r); ok && to.page {
			return name, nil
		}
	}
	bearer := `Bearer realm="nemotron-mcp", resource_metadata="` + resourceURL(r) + pathResource + pathMCP + `"` + problem
	if to.page {
		return "", &refusal{
			http.StatusUnauthorized, "A token is needed: Authorization: Bearer …, or, as a browser asks, the caller's name and the token as the password.",
			http.Header{"Www-Authenticate": {bearer, basicChallenge}},
		}
	}
	return "", &refusal{http.StatusUnauthorized, "A token is needed: Authorization: Bearer …", http.Header{"Www-Authenticate": {bearer}}}
}

// resourceURL is the server's address as the client sees it. Host was judged.
func resourceURL(r *http.Request) string {
	scheme := "http"
	if r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https" {
		scheme = "https"
	}
	return scheme + "://" + r.Host
}

// serveResource serves RFC 9728's metadata. Tokens come from the operator: there
// is no authorization server to name.
func (s *httpServer) serveResource(w http.ResponseWriter, r *http.Request) {
	writeJSON(w, http.StatusOK, map[string]any{
		"resource": resourceURL(r) + pathMCP, "resource_name": "nemotron-mcp",
		"bearer_methods_supported": []string{"header"},
	})
}

func (s *httpServer) serveHealth(w http.ResponseWriter, r *http.Request) {
	if s.draining.Load() {
		writeJSON(w, http.StatusServiceUnavailable, map[string]string{"status": "unavailable", "reason": "the server is shutting down"})
		return
	}
	if s.Health != nil {
		if err := s.health.ask(r.Context(), s.Health); err != nil {
			writeJSON(w, http.StatusServiceUnavailable, map[string]string{"status": "unavailable", "reason": err.Error()})
			return
		}
	}
	writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
}

func (s *httpServer) serveMetrics(w http.ResponseWriter, r *http.Request) { s.Metrics.ServeHTTP(w, r) }

// readMessage reads the body of a POST: JSON, within its bounds. What it holds of
// the bytes in flight is given back by free.
func (s *httpServer) readMessage(w http.ResponseWriter, r *http.Request) (body []byte, free func(), no *refusal) {
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" || params["charset"] != "" && !strings.EqualFold(params["charset"], "utf-8") || r.Header.Get("Content-Encoding") != "" {
		return nil, nil, &refusal{http.StatusUnsupportedMediaType, "Content-Type must be application/json, and not compressed.", nil}
	}
	if r.ContentLength > int64(s.MaxBody) {
		return nil, nil, s.tooLarge()
	}
	caller, held := callerOf(r.Context()), 0
	free = func() { s.flight.leave(caller, load{bytes: held}) }
	from := io.LimitReader(r.Body, int64(s.MaxBody)+1)
	first := int64(4 << 10)
	if r.ContentLength >= 0 {
		first = min(r.ContentLength+1, 1<<20) // one more finds the end
	}
	body = make([]byte, 0, first)
	for {
		if len(body) == cap(body) {
			body = append(body, 0)[:len(body)]
		}
		if grown := cap(body) - held; grown > 0 {
			if !s.flight.enter(caller, load{bytes: grown}) {
				free()
				return nil, nil, busy()
			}
			held += grown
		}
		n, err := from.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case len(body) > s.MaxBody:
			free()
			return nil, nil, s.tooLarge()
		case errors.Is(err, io.EOF):
			return body, free, nil
		case err != nil:
			free()
			return nil, nil, &refusal{http.StatusRequestTimeout, "The body did not come in time, or not whole.", nil}
		}
	}
}

func (s *httpServer) tooLarge() *refusal {
	return &refusal{http.StatusRequestEntityTooLarge, fmt.Sprintf("The body is larger than %d bytes.", s.MaxBody), nil}
}

func busy() *refusal {
	return &refusal{http.StatusServiceUnavailable, "Too many requests are in flight; try again in a few seconds.", http.Header{"Retry-After": {"5"}}}
}

func set(list []string) map[string]bool {
	all := make(map[string]bool, len(list))
	for _, item := range list {
		all[strings.TrimSuffix(strings.ToLower(strings.TrimSpace(item)), "/")] = true
	}
	return all
}

// disconnected is a request's context: its end has a cause of ours.
func disconnected(r *http.Request) (context.Context, context.CancelCauseFunc) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(r.Context()))
	stop := context.AfterFunc(r.Context(), func() {
		cause := context.Cause(r.Context())
		if errors.Is(cause, context.Canceled) {
			cause = ErrDisconnected
		}
		cancel(cause)
	})
	return ctx, func(cause error) { stop(); cancel(cause) }
}
