package falclient

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Conditions that callers tell apart with errors.Is.
var (
	ErrNoKey        = errors.New("no fal key is configured")
	ErrUnauthorized = errors.New("fal refused the key")
	ErrLocked       = errors.New("the fal account is locked or out of balance")
	ErrNotFound     = errors.New("fal does not know this request")
	ErrRateLimited  = errors.New("fal limits the rate of requests")
	ErrUnfinished   = errors.New("the request is still in progress")
	ErrRedirected   = errors.New("fal answered with a redirect, which is refused")
	ErrTooLarge     = errors.New("fal's answer is larger than the limit")
	ErrInvalidID    = errors.New("not a request id of fal's")
)

// APIError is a readable refusal or failure told by fal, or by the model
// through fal.
type APIError struct {
	Op         string        // submit, status, stream, result, cancel, requests, prices, probe, account or a step of an upload
	StatusCode int           // HTTP status
	Type       string        // error_type, or the type of the first detail; may be empty
	Message    string        // fal's words, bounded, control characters escaped, the key masked
	RequestID  string        // fal's x-fal-request-id, or the id that was asked for
	RetryAfter time.Duration // what Retry-After asked for; 0 where it was absent or unreadable
	Structured bool          // the body was fal's JSON error shape, not a page of some proxy
}

func (e *APIError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "fal %s: HTTP %d", e.Op, e.StatusCode)
	if e.Type != "" {
		b.WriteString(" " + e.Type)
	}
	if e.Message != "" {
		b.WriteString(": " + e.Message)
	}
	if e.RequestID != "" {
		b.WriteString(" (request " + e.RequestID + ")")
	}
	return b.String()
}

// Is matches the condition that the status code stands for.
func (e *APIError) Is(target error) bool {
	switch target {
	case ErrUnauthorized:
		// A presigned URL knows no key: what it refuses is its own signature.
		return !presigned(e.Op) && (e.StatusCode == 401 || (e.StatusCode == 403 && !e.locked()))
	case ErrLocked:
		return !presigned(e.Op) && (e.StatusCode == 403 || e.StatusCode == 402) && e.locked()
	case ErrNotFound:
		return e.StatusCode == 404 && e.Op != opInitiate && !presigned(e.Op)
	case ErrRateLimited:
		return e.StatusCode == 429
	case ErrUnfinished:
		return e.Op == "result" && e.StatusCode == 400 && strings.Contains(strings.ToLower(e.Message), "in progress")
	case ErrRedirected:
		return e.StatusCode >= 300 && e.StatusCode < 400
	}
	return false
}

// locked tells a locked account from a key without access: both are 403, and
// only the text differs ("User is locked. Reason: …", observed; there is no
// error type for it).
func (e *APIError) locked() bool {
	m := strings.ToLower(e.Message)
	return strings.Contains(m, "locked") || strings.Contains(m, "balance") || strings.Contains(m, "budget exceeded") ||
		strings.Contains(m, "payment")
}

// ConnectError means that a request provably never reached fal: the name did
// not resolve, or the connection or the TLS handshake failed.
type ConnectError struct {
	Op   string
	Host string
	Err  error
}

func (e *ConnectError) Error() string {
	return fmt.Sprintf("fal %s: no connection to %s: %v", e.Op, e.Host, e.Err)
}
func (e *ConnectError) Unwrap() error { return e.Err }

// SubmitUnknownError means that a submission was sent and that nobody here can
// know whether fal took it. It must not be submitted again without a person's
// or a model's decision: fal may be running, and billing, the first one.
type SubmitUnknownError struct {
	Endpoint string
	// RequestID is fal's x-fal-request-id where the answer's header arrived and
	// its body did not; it may name the job. Usually empty.
	RequestID string
	Err       error
}

func (e *SubmitUnknownError) Error() string {
	return fmt.Sprintf("fal submit to %s: sent, but without a readable answer: %v", e.Endpoint, e.Err)
}
func (e *SubmitUnknownError) Unwrap() error { return e.Err }

// ResponseError means that fal, or something in front of it, answered in a way
// that can't be read: cut short, not JSON, or without a field that it needs.
type ResponseError struct {
	Op         string
	StatusCode int
	Err        error
}

func (e *ResponseError) Error() string {
	return fmt.Sprintf("fal %s: unreadable answer (HTTP %d): %v", e.Op, e.StatusCode, e.Err)
}
func (e *ResponseError) Unwrap() error { return e.Err }
