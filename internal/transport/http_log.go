package transport

import (
	"bytes"
	"context"
	"log"
	"log/slog"

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
