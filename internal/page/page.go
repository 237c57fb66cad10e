package page

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"nemotron-mcp/internal/jobs"
	"nemotron-mcp/internal/redact"
	"nemotron-mcp/tools"
)

var (
	//go:embed static/index.html
	document string
	//go:embed static/page.css
	style string
	//go:embed static/page.js
	program string
)

// Jobs is what the page reads; *jobs.Manager implements it.
type Jobs interface {
	List(ctx context.Context, q jobs.Query) (page []jobs.Job, next string, spent float64, err error)
	Look(ctx context.Context, caller, id string) (jobs.Job, error)
	Usage(ctx context.Context, since time.Time) ([]jobs.UsageRow, error)
	DayCap(caller string) float64
}

// Config is what a [Handler] needs.
type Config struct {
	Jobs    Jobs
	Secrets *redact.Redactor // masked in all that is sent
	Version string           // of the program
	Log     zerolog.Logger
}

const (
	// maxReading is how many requests may read the ledger at once: an answer can
	// have 32 MiB. One more waits.
	maxReading = 8
	// maxSending is how many whole answers may be on their way at once, sendingEach
	// how many of them to one caller, and sendTime how long one may be. One more is
	// refused.
	maxSending  = 8
	sendingEach = 2
	sendTime    = 10 * time.Minute
)

// Handler serves the page at / and what it asks for below /api/. It is safe for
// concurrent use.
type Handler struct {
	Config
	reading chan struct{} // a place for each
	sending downloads
}

// New makes a handler. It reads nothing.
func New(c Config) *Handler {
	return &Handler{Config: c, reading: make(chan struct{}, maxReading)}
}

// ServeHTTP implements http.Handler, for GET and HEAD.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/":
		serveFile(w, "text/html", document)
	case "/page.css":
		serveFile(w, "text/css", style)
	case "/page.js":
		serveFile(w, "text/javascript", program)
	case "/api/jobs":
		h.serveJSON(w, r, h.list)
	case "/api/usage":
		h.serveJSON(w, r, h.usage)
	default:
		h.serveOneJob(w, r)
	}
}

func (h *Handler) serveOneJob(w http.ResponseWriter, r *http.Request) {
	rest, below := strings.CutPrefix(r.URL.Path, "/api/jobs/")
	id, of, _ := strings.Cut(rest, "/")
	switch {
	case !below || id == "":
		h.fail(w, errNothing)
	case rest == id:
		h.serveJSON(w, r, func(r *http.Request) (any, error) { return h.job(r, id) })
	case of == "output":
		h.serveOutput(w, r, id)
	default:
		h.fail(w, errNothing)
	}
}

func serveFile(w http.ResponseWriter, kind, text string) {
	w.Header().Set("Content-Type", kind+"; charset=utf-8")
	_, _ = io.WriteString(w, text) // the client may be gone
}

// refusal is an error that the page's reader is told.
type refusal struct {
	status  int
	message string
}

func (e *refusal) Error() string { return e.message }

func invalid(message string) error { return &refusal{http.StatusBadRequest, message} }

var (
	errNothing = &refusal{http.StatusNotFound, "There is nothing here."}
	errBusy    = &refusal{http.StatusServiceUnavailable, "Many answers are being downloaded; try again in a minute."}
	errTooMany = &refusal{http.StatusTooManyRequests, fmt.Sprintf("You are downloading %d answers; try again when one has ended.", sendingEach)}
	errNoJob   = &refusal{http.StatusNotFound, "No job of yours has this id. Jobs are kept for 30 days."}
)

// read waits for a place among those that read the ledger.
func (h *Handler) read(ctx context.Context) (leave func(), err error) {
	select {
	case h.reading <- struct{}{}:
		return func() { <-h.reading }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (h *Handler) serveJSON(w http.ResponseWriter, r *http.Request, ask func(*http.Request) (any, error)) {
	leave, err := h.read(r.Context())
	if err != nil {
		return // the client is gone
	}
	value, err := ask(r)
	leave() // a client that reads slowly keeps nobody waiting
	if err != nil {
		h.fail(w, err)
		return
	}
	h.write(w, http.StatusOK, value)
}

func (h *Handler) write(w http.ResponseWriter, status int, value any) {
	text, err := json.Marshal(value)
	if err != nil {
		h.fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(h.Secrets.Bytes(text)) // the client may be gone
}

// fail tells what the reader can do something about. The rest is for the
// operator, in the log.
func (h *Handler) fail(w http.ResponseWriter, err error) {
	var told *refusal
	if f := (*jobs.Error)(nil); errors.As(err, &f) && f.Code == jobs.JobNotFound {
		told = errNoJob
	} else if !errors.As(err, &told) {
		h.Log.Warn().Err(err).Msg("the page could not be served")
		told = &refusal{http.StatusServiceUnavailable, "The ledger of jobs can't be read now; the server's log says why."}
	}
	h.write(w, told.status, map[string]string{"error": told.message})
}

func callerOf(r *http.Request) string { return tools.CallerFrom(r.Context()) }
