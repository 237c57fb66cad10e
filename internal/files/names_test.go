package files

import (
	"strings"
	"testing"
)

func TestVisible(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, in, want string }{
		{"plain", "It's fine: é 漢字 😀", "It's fine: é 漢字 😀"},
		{"backslash", `C:\new`, `C:\new`},
		{"controls", "a\r\n\x00\x1b[31m\u009b", `a\r\n\x00\x1b[31m\u009b`},
		{"direction", "\u202eexe.png\u2066", `\u202eexe.png\u2066`},
		{"joiners and selectors", "a\u200b\u200d\ufeff\ufe0f", `a\u200b\u200d\ufeff\ufe0f`},
		{"tags", "a\U000e0041", `a\U000e0041`},
		{"fillers", "\u3164\u2800\u115f", `\u3164\u2800\u115f`},
		{"line separator", "a\u2028b", `a\u2028b`},
		{"not UTF-8", "a\xffb", `a\xffb`},
		{"replacement character", "a\ufffdb", "a\ufffdb"},
		{"long", strings.Repeat("x", 400), strings.Repeat("x", 300) + "…"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if got := Visible(tc.in); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestPlainName(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, in, want string }{
		{"plain", "report-1.tar.gz", "report-1.tar.gz"},
		{"path", "/a/b/c.png", "c.png"},
		{"Windows path", `C:\a\c.png`, "c.png"},
		{"CR and LF", "a\r\nX-Evil: 1.png", "a_X-Evil_1.png"},
		{"quotes", `a"b'c.png`, "a_b_c.png"},
		{"right to left", "\u202egnp.exe", "gnp.exe"},
		{"NFD", "cafe\u0301.png", "cafe.png"},
		{"NFC", "café.png", "caf_.png"},
		{"hidden", "..bashrc", "bashrc"},
		{"option", "-rf.txt", "rf.txt"},
		{"no ASCII at all", "漢字", "file"},
		{"only an extension left", "漢字.png", "file.png"},
		{"empty", "", "file"},
		{"dots", "...", "file"},
		{"a folder", "a/", "file"},
		{"long", strings.Repeat("x", 500) + ".jpeg", strings.Repeat("x", 95) + ".jpeg"},
		{"long extension", "a." + strings.Repeat("x", 300), "a." + strings.Repeat("x", 98)},
		{"not UTF-8", "a\xff\xfe.png", "a_.png"},
		{"trailing dot", "a.", "a"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if got := PlainName(tc.in); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func FuzzPlainName(f *testing.F) {
	for _, seed := range []string{"a.png", "a\r\n.b", "\u202e.x", strings.Repeat("é.", 90), "._.", "_.-"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		got := PlainName(name)
		if got == "" || len(got) > maxPlainName || got[0] == '.' || got[0] == '-' {
			t.Errorf("%q gives %q", name, got)
		}
		for _, c := range []byte(got) {
			if !isLetter(c) && !strings.ContainsRune("0123456789._-", rune(c)) {
				t.Errorf("%q gives %q", name, got)
			}
		}
		if shown := Visible(name); Visible(shown) != shown && len(shown) < maxShown {
			t.Errorf("%q is shown as %q", name, shown)
		}
	})
}
