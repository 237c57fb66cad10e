package transport

import (
	"bytes"
	"context"
	"log"
	"log/slog"
	"net/http"
	"time"

	"github.com/rs/zerolog"
)

// quietLog takes what net/http says: of clients that go away in the middle, as a
// rule.
func quietLog(to zerolog.Logger) *log.Logger { return log.New(&debugWriter{to}, "", 0) }

type debugWriter struct{ log zerolog.Logger }

func (d *debugWriter) Write(line []byte) (int, error) {
	d.log.Debug().Str("from", "net/http").Msg(string(bytes.TrimSpace(line)))
	return len(line), nil
}

// quietSlog takes what mcp-go says of its HTTP handler, without its attributes:
// session ids are among them.
func quietSlog(to zerolog.Logger) *slog.Logger { return slog.New(slogHandler{to}) }

type slogHandler struct{ log zerolog.Logger }

func (slogHandler) Enabled(context.Context, slog.Level) bool { return true }
func (h slogHandler) WithAttrs([]slog.Attr) slog.Handler     { return h }
func (h slogHandler) WithGroup(string) slog.Handler          { return h }

func (h slogHandler) Handle(_ context.Context, r slog.Record) error {
	h.log.Debug().Str("from", "mcp-go").Msg(r.Message)
	return nil
}

// account writes the line in the log, without session, token or query. What the
// page asks for every few seconds is below the level that is logged.
func (s *httpServer) account(w *statusWriter, r *http.Request, path, caller string, took time.Duration) {
	line := s.Log.Info()
	if (path == pathJobs || path == pathUsage) && w.status() == http.StatusOK {
		line = s.Log.Debug()
	}
	line.Str("method", r.Method).Str("path", path).Int("status", w.status()).Int64("bytes", w.bytes).
		Str("caller", caller).Float64("total_seconds", took.Seconds()).Msg("request")
	if s.Observe != nil {
		if w.Header().Get("Content-Type") == "text/event-stream" && r.Method == http.MethodGet {
			took = -1
		}
		s.Observe(path, r.Method, w.status(), took)
	}
}

// statusWriter notes what is answered.
type statusWriter struct {
	http.ResponseWriter
	body  *watchedBody
	code  int
	bytes int64
}

func (w *statusWriter) status() int {
	if w.code == 0 {
		return http.StatusOK
	}
	return w.code
}

func (w *statusWriter) WriteHeader(code int) {
	if w.code == 0 {
		w.code = code
		if !w.body.ended.Load() {
			// net/http would wait for the rest of the body before it answers.
			w.Header().Set("Connection", "close")
		}
	}
	w.ResponseWriter.WriteHeader(code)
}

func (w *statusWriter) Write(p []byte) (int, error) {
	if w.code == 0 {
		w.WriteHeader(http.StatusOK)
	}
	n, err := w.ResponseWriter.Write(p)
	w.bytes += int64(n)
	return n, err
}

// Unwrap is for http.ResponseController.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
