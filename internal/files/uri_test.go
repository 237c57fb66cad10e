package files

import "testing"

func TestPathOfURI(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		uri          string
		unix, window string // "": refused
	}{
		"plain":                {"file:///home/me/project", "/home/me/project", ""},
		"with a localhost":     {"file://localhost/home/me", "/home/me", ""},
		"scheme in capitals":   {"FILE:///srv/a", "/srv/a", ""},
		"percent escapes":      {"file:///srv/a%20b/%C3%A9", "/srv/a b/é", ""},
		"escaped slash":        {"file:///srv/a%2Fb", "/srv/a/b", ""},
		"a drive":              {"file:///c%3A/Users/me", "/c:/Users/me", `c:\Users\me`},
		"a drive, unescaped":   {"file:///C:/Users/me", "/C:/Users/me", `C:\Users\me`},
		"a drive with a bar":   {"file:///C|/Users", "/C|/Users", `C:\Users`},
		"a drive alone":        {"file:///C:", "/C:", `C:`},
		"another machine":      {"file://server/share/x", "", `\\server\share\x`},
		"a web address":        {"https://example.com/x", "", ""},
		"no scheme":            {"/home/me", "", ""},
		"relative":             {"file:home/me", "", ""},
		"with a query":         {"file:///srv/a?b", "", ""},
		"with a fragment":      {"file:///srv/a#b", "", ""},
		"with a user":          {"file://me@localhost/srv", "", ""},
		"a broken escape":      {"file:///srv/%zz", "", ""},
		"empty":                {"", "", ""},
		"without a path":       {"file://", "", ""},
		"longer than any path": {"file:///" + string(make([]byte, 4*maxPath)), "", ""},
	} {
		for _, windows := range []bool{false, true} {
			want := tc.unix
			if windows {
				want = tc.window
			}
			got, fault := pathOfURI(tc.uri, windows)
			if got != want || (fault == nil) != (want != "") {
				t.Errorf("%s (windows %t): %q, %v; want %q", name, windows, got, fault, want)
			}
		}
	}
	if _, err := PathOfURI("mailto:me"); err == nil {
		t.Error("no file's URI is taken")
	}
	if err := func() error { _, err := PathOfURI("file:///C:/x"); return err }(); err != nil {
		t.Error(err) // a typed nil would show here
	}
}
