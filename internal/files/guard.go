package files

import (
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"code.dny.dev/ssrf"
)

const (
	maxURL = 8192 // bytes

	actURL = "Give a public http or https URL, or name a local file."
)

// CheckURL judges a URL that fal is to fetch, as far as can be told without
// looking a name up: https, no user or password, which fal would be told, and a
// host that may be public. It returns the host to show. Every error is an
// *Error.
func CheckURL(raw string) (host string, err error) {
	u, fault := parseURL(raw)
	if fault != nil {
		return "", fault
	}
	if u.Scheme != "https" {
		return "", notAllowed("Give an https URL, have upload_file fetch it, or name a local file by its path.",
			`the URL's scheme is "%s"; fal is given https only`, Visible(u.Scheme))
	}
	if fault := checkTarget(u); fault != nil {
		return "", fault
	}
	return Visible(u.Hostname()), nil
}

// checkURL takes a URL apart and refuses what is wrong before any name is looked
// up. The address behind a name is judged by the dialer.
func checkURL(raw string) (*url.URL, *Error) {
	u, fault := parseURL(raw)
	if fault != nil {
		return nil, fault
	}
	return u, checkParsed(u)
}

func parseURL(raw string) (*url.URL, *Error) {
	if raw == "" || len(raw) > maxURL {
		return nil, invalid(actURL, "the URL is empty or longer than %d bytes", maxURL)
	}
	if strings.ContainsFunc(raw, func(r rune) bool { return r <= ' ' || r == '\\' || r == 0x7f || ignorable(r) }) {
		return nil, invalid(actURL, "the URL holds a space, a backslash or a character that can't be seen")
	}
	u, err := url.Parse(raw)
	if err != nil {
		return nil, invalid(actURL, "the URL is malformed")
	}
	return u, nil
}

// checkParsed judges a URL, also one that a redirect gave.
func checkParsed(u *url.URL) *Error {
	if u.Scheme != "http" && u.Scheme != "https" {
		return notAllowed(actURL, `the URL's scheme is "%s"; only http and https are fetched`, Visible(u.Scheme))
	}
	if port := u.Port(); port != "" && port != "80" && port != "443" {
		return notAllowed(actURL, "the URL's port is %s; only 80 and 443 are fetched", Visible(port))
	}
	return checkTarget(u)
}

// checkTarget judges what comes after the scheme.
func checkTarget(u *url.URL) *Error {
	if u.User != nil {
		return notAllowed(actURL, "the URL holds a user name or a password")
	}
	host := u.Hostname()
	if host == "" || u.Opaque != "" {
		return invalid(actURL, "the URL has no host")
	}
	return checkHost(host)
}

// checkHost refuses a host that is, in whatever spelling, no public address.
func checkHost(host string) *Error {
	if strings.ContainsAny(host, "%/@?#") || len(host) > 255 {
		return notAllowed(actURL, "the URL's host is malformed")
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		if !publicAddr(addr) {
			return privateHost(host)
		}
		return nil
	}
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	last := name[strings.LastIndexByte(name, '.')+1:]
	if name == "" || numeric(last) {
		// 2130706433, 0x7f.1, 0177.0.0.1: resolvers differ in what they make of it.
		return notAllowed(actURL, `the URL's host "%s" is an address in an unusual spelling`, Visible(host))
	}
	for _, local := range []string{"localhost", "local", "internal", "localdomain", "home.arpa"} {
		if name == local || strings.HasSuffix(name, "."+local) {
			return privateHost(host)
		}
	}
	return nil
}

func privateHost(host string) *Error {
	return notAllowed(actURL, `the URL's host "%s" is, or leads to, a private or reserved address`, Visible(host))
}

// numeric tells a label that some resolver takes for a number.
func numeric(label string) bool {
	if label == "" {
		return false
	}
	if hex, ok := strings.CutPrefix(label, "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return strings.Trim(label, "0123456789") == ""
}

// publicAddr tells an address that the dialer would take.
func publicAddr(addr netip.Addr) bool { return addr.Zone() == "" && dialable(addr, 443) }

// dialable judges what is about to be dialled. Addresses that carry one of IPv4
// are judged as that, and refused where they only translate it.
func dialable(addr netip.Addr, port uint16) bool {
	addr = addr.Unmap()
	network := "tcp6"
	if addr.Is4() {
		network = "tcp4"
	}
	target := net.JoinHostPort(addr.String(), strconv.Itoa(int(port)))
	return ssrf.New().Safe(network, target, nil) == nil
}
