package files

import (
	"errors"
	"fmt"
)

// The codes of an Error.
const (
	// CodeNotAllowed says that the operator's rules forbid the file or the URL.
	CodeNotAllowed = "FILE_NOT_ALLOWED"
	// CodeInvalid says that it is allowed, or could be, but can't be used.
	CodeInvalid = "FILE_INVALID"
)

// An Error says why a file can't be used and what to do about it. Its texts are
// printable, bounded, and tell nothing about what lies outside the allowed
// folders, but which folders were refused (see Folders.Discreet).
type Error struct {
	Code    string // CodeNotAllowed or CodeInvalid
	Message string // what happened, a sentence without its full stop
	Action  string // what to do, a sentence with its full stop
}

// Error returns the code and the message.
func (e *Error) Error() string { return e.Code + ": " + e.Message }

func notAllowed(action, format string, args ...any) *Error {
	return &Error{Code: CodeNotAllowed, Message: fmt.Sprintf(format, args...), Action: action}
}

func invalid(action, format string, args ...any) *Error {
	return &Error{Code: CodeInvalid, Message: fmt.Sprintf(format, args...), Action: action}
}

// count writes a number with its noun, whose plural ends in s.
func count[N int | int64](n N, noun string) string {
	return fmt.Sprintf("%d %s", n, pick(n, noun, noun+"s"))
}

// pick chooses by a number's grammar: the first for one, else the second.
func pick[N int | int64](n N, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

const (
	actOtherPath = "Name a file inside an allowed folder."
	actAllow     = "Ask the operator to start the server with --allow-dir FOLDER (or NEMOTRON_MCP_ALLOW_DIR), or pass the content itself."
	actSecret    = "Do not send it. If it holds no secret, copy it under another name."
	actAgain     = "Try again when nothing writes to it."
	actCheck     = "Check the path's spelling."
)

var (
	// errNotFound marks what lies in no allowed folder; a relative path is then
	// looked up in the next one.
	errNotFound = errors.New("no such file")
	// errOutside marks what no folder may hold.
	errOutside = errors.New("in no allowed folder")
	// errSwapped marks a file that was replaced between check and open.
	errSwapped = errors.New("replaced while it was opened")
)
