package falclient

import (
	"errors"
	"fmt"
	"strings"
)

// Endpoint is a parsed endpoint id, such as nvidia/nemotron-3-nano-omni/vision.
type Endpoint struct {
	Namespace string // "workflows", "comfy" or empty
	Owner     string
	Alias     string
	Path      string // what follows the alias; only a submission uses it
}

const maxEndpoint = 256

var errEndpoint = errors.New("not an endpoint id of fal's; use ParseEndpoint")

// ParseEndpoint splits an endpoint id the way fal's own clients do (fal-js
// utils.ts parseEndpointId, fal_client AppId). Segments that could change the
// path of a request are refused.
func ParseEndpoint(id string) (Endpoint, error) {
	if len(id) > maxEndpoint {
		return Endpoint{}, fmt.Errorf("endpoint id: longer than %d characters", maxEndpoint)
	}
	if owner, alias, found := strings.Cut(id, "-"); found && only(owner, digits) && !strings.HasPrefix(alias, "-") && only(alias, digits+letters+"-") {
		return Endpoint{Owner: owner, Alias: alias}, nil // the legacy form, 12345-app
	}
	parts := strings.Split(id, "/")
	for _, p := range parts {
		if !validSegment(p) {
			return Endpoint{}, fmt.Errorf("endpoint id %q: must be owner/app or owner/app/path", id)
		}
	}
	var e Endpoint
	if parts[0] == "workflows" || parts[0] == "comfy" {
		e.Namespace, parts = parts[0], parts[1:]
	}
	if len(parts) < 2 {
		return Endpoint{}, fmt.Errorf("endpoint id %q: must be owner/app or owner/app/path", id)
	}
	e.Owner, e.Alias, e.Path = parts[0], parts[1], strings.Join(parts[2:], "/")
	return e, nil
}

// AppRoot is the id without its sub-path: the address of a job's status,
// stream, result and cancel, whichever sub-path it was submitted to.
func (e Endpoint) AppRoot() string {
	root := e.Owner + "/" + e.Alias
	if e.Namespace != "" {
		root = e.Namespace + "/" + root
	}
	return root
}

// String is the full id, the address of a submission.
func (e Endpoint) String() string {
	if e.Path == "" {
		return e.AppRoot()
	}
	return e.AppRoot() + "/" + e.Path
}

// check guards against an Endpoint that ParseEndpoint did not make.
func (e Endpoint) check() error {
	good := len(e.Namespace)+len(e.Owner)+len(e.Alias)+len(e.Path) <= maxEndpoint &&
		(e.Namespace == "" || validSegment(e.Namespace)) && validSegment(e.Owner) && validSegment(e.Alias)
	for rest := e.Path; good && rest != ""; {
		segment, more, found := strings.Cut(rest, "/")
		good = validSegment(segment) && (more != "") == found
		rest = more
	}
	if !good {
		return errEndpoint
	}
	return nil
}

// validSegment leaves no way to change a request's path: no "..", no "%".
func validSegment(s string) bool {
	return only(s, digits+letters+"._-") && !strings.ContainsAny(s[:1], ".-") &&
		!strings.HasSuffix(s, ".") && !strings.Contains(s, "..")
}

// ValidRequestID reports whether id can be a request id of fal's: 1 to 128
// letters, digits, dashes and underscores. fal issues UUIDs but documents no
// format; what matters here is that an id can't change a request's path.
func ValidRequestID(id string) bool {
	return len(id) <= 128 && only(id, digits+letters+"_-")
}

const (
	digits  = "0123456789"
	letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
)

// only reports whether s is made of these characters, and of one at least. Not
// a regular expression: compiling one costs each start of the program.
func only(s, allowed string) bool {
	for i := range len(s) {
		if strings.IndexByte(allowed, s[i]) < 0 {
			return false
		}
	}
	return s != ""
}
