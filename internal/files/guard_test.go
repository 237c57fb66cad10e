package files

import (
	"errors"
	"net/netip"
	"net/url"
	"strings"
	"testing"
)

func TestCheckURL(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, url, code, part string }{
		{"https", "https://example.com/a.png?x=1", "", ""},
		{"http", "http://example.com", "", ""},
		{"ports", "https://example.com:443/", "", ""},
		{"a public address", "http://8.8.8.8/", "", ""},
		{"a public IPv6 address", "http://[2606:4700::1111]/", "", ""},
		{"an international name", "https://bücher.example/", "", ""},
		{"digits in a name", "https://1.example.com/", "", ""},
		{"file", "file:///etc/passwd", CodeNotAllowed, "scheme"},
		{"gopher", "gopher://example.com/", CodeNotAllowed, "scheme"},
		{"ftp", "ftp://example.com/", CodeNotAllowed, "scheme"},
		{"no scheme", "example.com/x", CodeNotAllowed, "scheme"},
		{"opaque", "http:example.com", CodeInvalid, "no host"},
		{"no host", "http:///x", CodeInvalid, "no host"},
		{"userinfo", "http://user:pass@example.com/", CodeNotAllowed, "user name"},
		{"userinfo that looks like a host", "http://example.com@127.0.0.1/", CodeNotAllowed, "user name"},
		{"port 22", "http://example.com:22/", CodeNotAllowed, "port is 22"},
		{"port 0443", "http://example.com:0443/", CodeNotAllowed, "port"},
		{"empty", "", CodeInvalid, "empty"},
		{"long", "http://example.com/" + strings.Repeat("a", maxURL), CodeInvalid, "longer"},
		{"space", "http://example.com/a b", CodeInvalid, "space"},
		{"line break", "http://example.com/\r\nX: y", CodeInvalid, "space"},
		{"backslash", `http://example.com\@127.0.0.1/`, CodeInvalid, "backslash"},
		{"invisible", "http://exam\u200bple.com/", CodeInvalid, "can't be seen"},
		{"malformed", "http://[::1", CodeInvalid, "malformed"},

		{"loopback", "http://127.0.0.1/", CodeNotAllowed, "private"},
		{"loopback's other end", "http://127.255.255.254/", CodeNotAllowed, "private"},
		{"localhost", "http://localhost/", CodeNotAllowed, "private"},
		{"localhost with a dot", "http://LOCALHOST./", CodeNotAllowed, "private"},
		{"below localhost", "http://x.localhost/", CodeNotAllowed, "private"},
		{"metadata", "http://169.254.169.254/latest/meta-data/", CodeNotAllowed, "private"},
		{"metadata by name", "http://metadata.google.internal/", CodeNotAllowed, "private"},
		{"Alibaba's metadata", "http://100.100.100.200/", CodeNotAllowed, "private"},
		{"10/8", "http://10.0.0.1/", CodeNotAllowed, "private"},
		{"172.16/12", "http://172.31.0.1/", CodeNotAllowed, "private"},
		{"192.168/16", "http://192.168.1.1/", CodeNotAllowed, "private"},
		{"0.0.0.0", "http://0.0.0.0/", CodeNotAllowed, "private"},
		{"broadcast", "http://255.255.255.255/", CodeNotAllowed, "private"},
		{"multicast", "http://224.0.0.1/", CodeNotAllowed, "private"},
		{"percent-encoded", "http://127%2e0.0.1/", CodeInvalid, "malformed"},
		{"decimal", "http://2130706433/", CodeNotAllowed, "unusual spelling"},
		{"hexadecimal", "http://0x7f000001/", CodeNotAllowed, "unusual spelling"},
		{"dotted hexadecimal", "http://0x7f.0x0.0x0.0x1/", CodeNotAllowed, "unusual spelling"},
		{"octal", "http://0177.0.0.1/", CodeNotAllowed, "unusual spelling"},
		{"octal in one", "http://017700000001/", CodeNotAllowed, "unusual spelling"},
		{"two parts", "http://127.1/", CodeNotAllowed, "unusual spelling"},
		{"zero", "http://0/", CodeNotAllowed, "unusual spelling"},
		{"bare 0x", "http://0x/", CodeNotAllowed, "unusual spelling"},
		{"trailing dot", "http://127.0.0.1./", CodeNotAllowed, "unusual spelling"},
		{"overflow", "http://256.256.256.256/", CodeNotAllowed, "unusual spelling"},
		{"IPv6 loopback", "http://[::1]/", CodeNotAllowed, "private"},
		{"IPv6 unspecified", "http://[::]/", CodeNotAllowed, "private"},
		{"IPv6-mapped", "http://[::ffff:127.0.0.1]/", CodeNotAllowed, "private"},
		{"IPv6-mapped in hexadecimal", "http://[::ffff:7f00:1]/", CodeNotAllowed, "private"},
		{"IPv4-compatible", "http://[::127.0.0.1]/", CodeNotAllowed, "private"},
		{"NAT64", "http://[64:ff9b::a9fe:a9fe]/", CodeNotAllowed, "private"},
		{"local NAT64", "http://[64:ff9b:1::7f00:1]/", CodeNotAllowed, "private"},
		{"6to4", "http://[2002:7f00:1::]/", CodeNotAllowed, "private"},
		{"Teredo", "http://[2001::1]/", CodeNotAllowed, "private"},
		{"link-local", "http://[fe80::1]/", CodeNotAllowed, "private"},
		{"link-local with a zone", "http://[fe80::1%25eth0]/", CodeNotAllowed, "malformed"},
		{"unique local", "http://[fd00:ec2::254]/", CodeNotAllowed, "private"},
		{"IPv6 multicast", "http://[ff02::1]/", CodeNotAllowed, "private"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, fault := checkURL(tc.url)
			if tc.code == "" {
				if fault != nil {
					t.Error(fault)
				}
				return
			}
			if fault == nil {
				t.Fatal("allowed")
			}
			wantError(t, fault, tc.code, tc.part)
			if strings.Contains(fault.Message, "pass") && strings.Contains(tc.url, "user:pass") && !strings.Contains(fault.Message, "a password") {
				t.Errorf("tells the password: %v", fault)
			}
		})
	}
}

func FuzzCheckURL(f *testing.F) {
	for _, seed := range []string{
		"https://example.com/", "http://127.1/", "http://[::ffff:7f00:1]/", "http://user@h/", "http://a:22/", "http://0x7f.1", "HTTP://[64:ff9b::1]", "http://a%2eb/", "//h/", "http:/h",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		u, fault := checkURL(raw)
		if fault != nil {
			if Visible(fault.Message) != fault.Message && len(fault.Message) < maxShown {
				t.Errorf("message %q", fault.Message)
			}
			return
		}
		again, err := url.Parse(u.String())
		if err != nil || again.Hostname() != u.Hostname() {
			t.Errorf("%q becomes %q", raw, u)
		}
		if u.User != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" || u.Port() != "" && u.Port() != "80" && u.Port() != "443" {
			t.Errorf("%q is allowed", raw)
		}
		if addr, err := netip.ParseAddr(u.Hostname()); err == nil && (addr.Unmap().IsPrivate() || addr.Unmap().IsLoopback() || addr.IsLinkLocalUnicast() || addr.IsUnspecified()) {
			t.Errorf("%q is allowed", raw)
		}
		if name := strings.TrimSuffix(u.Hostname(), "."); name != u.Hostname() {
			if _, err := netip.ParseAddr(name); err == nil {
				t.Errorf("%q is allowed", raw)
			}
		}
	})
}

func TestCheckURLForFal(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ raw, host, code string }{
		"public":               {"https://example.com/a.png?sig=1", "example.com", ""},
		"another port":         {"https://example.com:8443/a.png", "example.com", ""},
		"a public address":     {"https://93.184.216.34/a.png", "93.184.216.34", ""},
		"http":                 {"http://example.com/a.png", "", CodeNotAllowed},
		"file":                 {"file:///etc/passwd", "", CodeNotAllowed},
		"gopher":               {"gopher://example.com/", "", CodeNotAllowed},
		"user and password":    {"https://me:pw@example.com/", "", CodeNotAllowed},
		"loopback":             {"https://127.0.0.1/a.png", "", CodeNotAllowed},
		"loopback, decimal":    {"https://2130706433/a.png", "", CodeNotAllowed},
		"loopback, hex":        {"https://0x7f000001/", "", CodeNotAllowed},
		"loopback, IPv6":       {"https://[::1]/", "", CodeNotAllowed},
		"loopback, mapped":     {"https://[::ffff:127.0.0.1]/", "", CodeNotAllowed},
		"metadata":             {"https://169.254.169.254/latest/", "", CodeNotAllowed},
		"metadata by name":     {"https://metadata.google.internal/", "", CodeNotAllowed},
		"private":              {"https://10.0.0.8/", "", CodeNotAllowed},
		"NAT64":                {"https://[64:ff9b::7f00:1]/", "", CodeNotAllowed},
		"localhost":            {"https://localhost/", "", CodeNotAllowed},
		"no host":              {"https:///a.png", "", CodeInvalid},
		"a space":              {"https://example.com/a b", "", CodeInvalid},
		"a character not seen": {"https://example.com/a\u202egnp", "", CodeInvalid},
		"empty":                {"", "", CodeInvalid},
	} {
		host, err := CheckURL(tc.raw)
		code := ""
		if fault := new(Error); errors.As(err, &fault) {
			code = fault.Code
		}
		if host != tc.host || code != tc.code || (err == nil) != (code == "") {
			t.Errorf("%s: %q, %v; want %q, %q", name, host, err, tc.host, tc.code)
		}
	}
}
