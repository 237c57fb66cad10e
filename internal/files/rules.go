package files

import (
	"runtime"
	"strings"
	"unicode/utf8"
)

const (
	maxPath    = 4096 // bytes
	maxElement = 255  // bytes
)

// pathRules are a system's rules for paths. They are pure, so that each system's
// are tested on every other.
type pathRules struct {
	windows bool // drives, backslashes, reserved names
	fold    bool // names are the same whatever their case
	short   bool // short (8.3) names are taken, as they are resolved first
}

func hostRules() pathRules {
	return pathRules{
		windows: runtime.GOOS == "windows",
		fold:    runtime.GOOS == "windows" || runtime.GOOS == "darwin",
	}
}

// asOperator are the rules for a folder before its links are resolved, with
// which Windows gives the long names. USERPROFILE and TEMP often hold short ones.
func (p pathRules) asOperator() pathRules {
	p.short = true
	return p
}

// A splitPath is a path in its elements, cleaned of "." and "..".
type splitPath struct {
	absolute bool
	volume   string // `C:` or `\\server\share` of an absolute Windows path
	elems    []string
}

// split takes a caller's path apart. It refuses what no rule could judge: paths
// that are empty, too long, hold a NUL or are not UTF-8, that climb above their
// start, and on Windows devices, streams, and names that stand for others.
func (p pathRules) split(name string) (splitPath, *Error) {
	var s splitPath
	switch {
	case name == "":
		return s, invalid("Name a file's path.", "the path is empty")
	case len(name) > maxPath:
		return s, invalid(actCheck, "the path is %d bytes long; the limit is %d", len(name), maxPath)
	case strings.ContainsRune(name, 0):
		return s, invalid(actCheck, `the path "%s" holds a NUL byte`, Visible(name))
	case !utf8.ValidString(name):
		return s, invalid("Rename the file.", `the path "%s" is not UTF-8`, Visible(name))
	}
	if fault := noURI(name); fault != nil {
		return s, fault
	}
	rest := name
	if p.windows {
		var fault string
		if s, rest, fault = windowsVolume(name); fault != "" {
			return s, notAllowed(actOtherPath, `the path "%s" %s`, Visible(name), fault)
		}
	} else if strings.HasPrefix(name, "/") {
		s.absolute = true
	}
	for _, elem := range p.elements(rest) {
		if fault := p.checkElement(elem); fault != "" {
			return s, notAllowed(actOtherPath, `the path "%s" %s`, Visible(name), fault)
		}
		switch {
		case elem == "" || elem == ".":
		case elem != "..":
			s.elems = append(s.elems, elem)
		case len(s.elems) > 0:
			s.elems = s.elems[:len(s.elems)-1]
		case !s.absolute:
			return s, notAllowed(actOtherPath, `the path "%s" leads out of the allowed folders`, Visible(name))
		}
	}
	return s, nil
}

// noURI refuses a file URI where a path belongs.
func noURI(name string) *Error {
	const scheme = "file://"
	if len(name) < len(scheme) || !strings.EqualFold(name[:len(scheme)], scheme) {
		return nil
	}
	return invalid("Give the path itself, without file://.", `"%s" is a URI, not a path`, Visible(name))
}

// elements cuts a path at its separators, without cleaning it.
func (p pathRules) elements(name string) []string {
	if p.windows {
		name = strings.ReplaceAll(name, `\`, "/")
	}
	return strings.Split(name, "/")
}

// windowsVolume cuts the volume off a Windows path.
func windowsVolume(name string) (s splitPath, rest, fault string) {
	slashed := strings.ReplaceAll(name, "/", `\`)
	switch {
	case strings.HasPrefix(slashed, `\\?\`), strings.HasPrefix(slashed, `\\.\`), strings.HasPrefix(slashed, `\??\`):
		return s, "", "names a device"
	case strings.HasPrefix(slashed, `\\`):
		parts := strings.SplitN(slashed[2:], `\`, 3)
		if len(parts) < 2 || parts[0] == "" || parts[1] == "" {
			return s, "", "is no complete network path"
		}
		if len(parts) == 3 {
			rest = parts[2]
		}
		return splitPath{absolute: true, volume: `\\` + parts[0] + `\` + parts[1]}, rest, ""
	case len(slashed) >= 2 && slashed[1] == ':' && isLetter(slashed[0]):
		if len(slashed) == 2 || slashed[2] != '\\' {
			return s, "", "is relative to a drive's current folder"
		}
		return splitPath{absolute: true, volume: slashed[:2]}, slashed[3:], ""
	case strings.HasPrefix(slashed, `\`):
		return s, "", "has no drive"
	}
	return s, slashed, ""
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

// checkElement tells what is wrong with one element, or returns "".
func (p pathRules) checkElement(elem string) string {
	if len(elem) > maxElement {
		return "has a part that is too long"
	}
	if !p.windows || elem == "" || elem == "." || elem == ".." {
		return ""
	}
	switch {
	case strings.Contains(elem, ":"):
		return "names a stream or a drive"
	case strings.ContainsAny(elem, `<>"|?*`) || strings.ContainsFunc(elem, func(r rune) bool { return r < ' ' }):
		return "holds a character that Windows forbids"
	case strings.HasSuffix(elem, ".") || strings.HasSuffix(elem, " "):
		return "has a part that ends in a dot or a space"
	case reservedOnWindows(elem):
		return "names a device"
	case !p.short && shortName(elem):
		return "looks like a short (8.3) name, which could stand for another"
	}
	return ""
}

// reservedOnWindows tells the names of devices, which Windows finds in every
// folder and with every extension.
func reservedOnWindows(elem string) bool {
	stem, _, _ := strings.Cut(elem, ".")
	stem = strings.ToUpper(strings.TrimRight(stem, " "))
	switch stem {
	case "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "CLOCK$":
		return true
	}
	digit, port := strings.CutPrefix(stem, "COM")
	if !port {
		digit, port = strings.CutPrefix(stem, "LPT")
	}
	return port && utf8.RuneCountInString(digit) == 1 && strings.Contains("0123456789¹²³", digit)
}

// shortName tells names such as ENV~1, which NTFS keeps beside .env.
func shortName(elem string) bool {
	stem, ext, _ := strings.Cut(elem, ".")
	head, number, tilde := strings.Cut(stem, "~")
	return tilde && len(stem) <= 8 && len(ext) <= 3 && head != "" && number != "" && strings.Trim(number, "0123456789") == ""
}

// inside returns the elements of an absolute path below a folder.
func (p pathRules) inside(folder, name splitPath) ([]string, bool) {
	if !name.absolute || !p.same(folder.volume, name.volume) || len(name.elems) < len(folder.elems) {
		return nil, false
	}
	for i, elem := range folder.elems {
		if !p.same(elem, name.elems[i]) {
			return nil, false
		}
	}
	return name.elems[len(folder.elems):], true
}

func (p pathRules) same(a, b string) bool {
	return a == b || p.fold && strings.EqualFold(a, b)
}

// refuseFolder tells why a folder, an absolute path without links, can't be
// allowed, or returns "". home may be empty.
func (p pathRules) refuseFolder(folder, home splitPath, secrets []secretRule) string {
	if len(folder.elems) == 0 {
		return "is the root of a file system: everything would be allowed"
	}
	if !p.windows {
		for _, system := range []string{"proc", "sys", "dev"} {
			if p.same(folder.elems[0], system) {
				return "belongs to the system and can hold secrets of processes and devices"
			}
		}
	}
	if p.windows && p.same(folder.elems[0], "Windows") && (len(folder.volume) == 2 || strings.HasSuffix(folder.volume, "$")) {
		return "belongs to the system and can hold its secrets"
	}
	if _, above := p.inside(folder, home); home.absolute && above {
		return "is the home folder or holds it: keys and private files would be allowed"
	}
	for i, elem := range folder.elems {
		// Hidden ones only: /srv/credentials-service is a project.
		if strings.HasPrefix(fold(elem), ".") {
			if reason := secretReason(secrets, []string{elem}); reason != "" {
				return "is named like a secret (" + reason + ")"
			}
			if reason := pairReason(secrets, folder.elems[i:min(i+2, len(folder.elems))]); reason != "" {
				return "is named like a secret (" + reason + ")"
			}
		}
	}
	return ""
}
