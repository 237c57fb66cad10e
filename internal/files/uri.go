package files

import (
	"net/url"
	"runtime"
	"strings"
)

// PathOfURI returns the path that a file URI names, as a client's root is
// given. Anything else is an *Error.
func PathOfURI(uri string) (string, error) {
	path, fault := pathOfURI(uri, runtime.GOOS == "windows")
	if fault != nil {
		return "", fault
	}
	return path, nil
}

func pathOfURI(uri string, windows bool) (string, *Error) {
	const act = "Give a file URI, such as file:///home/me/project."
	if len(uri) > 3*maxPath {
		return "", invalid(act, "the URI is longer than %d bytes", 3*maxPath)
	}
	u, err := url.Parse(uri)
	if err != nil || !strings.EqualFold(u.Scheme, "file") || u.User != nil || u.RawQuery != "" || u.Fragment != "" || !strings.HasPrefix(u.Path, "/") {
		return "", invalid(act, `"%s" is no URI of a file`, Visible(uri))
	}
	local := u.Host == "" || strings.EqualFold(u.Host, "localhost")
	switch {
	case !windows && !local:
		return "", invalid(act, `"%s" is on another machine`, Visible(uri))
	case !windows:
		return u.Path, nil
	case !local:
		return `\\` + u.Host + strings.ReplaceAll(u.Path, "/", `\`), nil
	}
	// /c:/Users/me, and with the older /c|/ too.
	path := strings.TrimPrefix(u.Path, "/")
	if len(path) < 2 || !isLetter(path[0]) || path[1] != ':' && path[1] != '|' {
		return "", invalid(act, `"%s" has no drive`, Visible(uri))
	}
	return strings.ReplaceAll(path[:1]+":"+path[2:], "/", `\`), nil
}
