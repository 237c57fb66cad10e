package tools

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/mark3labs/mcp-go/mcp"

	"nemotron-mcp/internal/jobs"
)

// guard runs what answers a request other than a tool's call. A failure is left
// for the transport in words and with its code, without a secret; one that nobody
// has put into words, and a panic, stay in the log.
func guard[T any](ctx context.Context, f frame, method string, handle func() (T, error)) (out T, err error) {
	defer func() {
		if r := recover(); r != nil {
			f.log.Error().Str("method", method).Str("panic", fmt.Sprint(r)).Str("stack", string(debug.Stack())).Msg("a handler panicked")
			var none T
			out, err = none, f.refusal(ctx, internalFault())
		}
	}()
	out, err = handle()
	if err == nil {
		return out, nil
	}
	var told *refusedError
	var failed *jobs.Error
	switch {
	case errors.As(err, &told):
	case errors.As(err, &failed):
		told = &refusedError{code: mcp.INTERNAL_ERROR, message: fmt.Sprintf("%s: %s %s", failed.Code, failed.Message, failed.Action)}
	default:
		f.log.Error().Err(err).Str("method", method).Msg("a request failed")
		told = internalFault()
	}
	var none T
	return none, f.refusal(ctx, told)
}

func internalFault() *refusedError {
	return &refusedError{
		code:    mcp.INTERNAL_ERROR,
		message: "INTERNAL: The server could not do this. The operator finds the details in the server's log.",
	}
}

// refusal masks e and leaves it for the transport.
func (f frame) refusal(ctx context.Context, e *refusedError) error {
	masked := &refusedError{code: e.code, message: f.secrets.String(e.message)}
	masked.leave(ctx)
	return masked
}

// invalidParams refuses what a request says.
func invalidParams(format string, args ...any) error {
	return &refusedError{code: mcp.INVALID_PARAMS, message: fmt.Sprintf(format, args...)}
}
