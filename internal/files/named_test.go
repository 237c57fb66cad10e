package files

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// named allows nothing but what the operator named, in a home folder that is the
// working folder.
func named(t *testing.T, home string, names ...string) *Folders {
	t.Helper()
	f := &Folders{home: func() (string, error) { return home, nil }}
	for _, name := range names {
		n, err := NameFile(name)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		f.Admit(n)
	}
	if refused := f.Set(); len(refused) > 0 {
		t.Fatalf("refused: %v", refused)
	}
	t.Cleanup(f.Close)
	return f
}

// homeWith makes files in a home folder and beside it, and goes home.
func homeWith(t *testing.T) (home, base string) {
	t.Helper()
	base = tree(t, map[string]string{
		"home/notes.txt": "notes", "home/diary.txt": "diary", "home/src/a.go": "a", "home/src/b.go": "b", "home/src/b.md": "md",
		"home/src/.env": "KEY=1", "home/app/[id]/page.tsx": "page", "home/.ssh/config": "Host x", "home/.config/gh/hosts.yml": "token",
		"other/x.txt": "x", "other/y.txt": "y", "other/[z]/z.txt": "z",
	})
	home = filepath.Join(base, "home")
	t.Chdir(home)
	return home, base
}

// TestNamedFiles holds that what the operator named is found, also in the home
// folder, and nothing beside it.
func TestNamedFiles(t *testing.T) {
	home, base := homeWith(t)
	other := filepath.Join(base, "other", "x.txt")
	cases := []struct {
		name  string
		named string
		found map[string]string // by the path that is shown
	}{
		{"in the home folder", "notes.txt", map[string]string{"notes.txt": "notes"}},
		{"with a dot", "./src/../notes.txt", map[string]string{"notes.txt": "notes"}},
		{"absolute, below the working folder", filepath.Join(home, "src", "a.go"), map[string]string{"src/a.go": "a"}},
		{"outside", other, map[string]string{"x.txt": "x"}},
		{"outside, relative", "../other/x.txt", map[string]string{"x.txt": "x"}},
		{"a glob", "src/*.go", map[string]string{"src/a.go": "a", "src/b.go": "b"}},
		{"a glob of all depths leaves secrets out", "src/**", map[string]string{"src/a.go": "a", "src/b.go": "b", "src/b.md": "md"}},
		{"alternatives in several folders", "{src/a.go,notes.tx?}", map[string]string{"src/a.go": "a", "notes.txt": "notes"}},
		{"alternatives without a star", "{notes,diary}.txt", map[string]string{"notes.txt": "notes", "diary.txt": "diary"}},
		{"a glob outside", "../other/*.txt", map[string]string{"x.txt": "x", "y.txt": "y"}},
		{"an absolute glob", filepath.Join(base, "other", "?.txt"), map[string]string{"x.txt": "x", "y.txt": "y"}},
		{"a file that looks like a glob", "app/[id]/page.tsx", map[string]string{"app/[id]/page.tsx": "page"}},
		{"such a file outside", "../other/[z]/z.txt", map[string]string{"z.txt": "z"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			n, err := NameFile(c.named)
			if err != nil {
				t.Fatal(err)
			}
			f := named(t, home, c.named)
			texts, err := f.Collect(t.Context(), []string{n.Name()}, DefaultLimits())
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]string{}
			for _, text := range texts {
				got[text.Path] = text.Content
			}
			if len(got) != len(c.found) {
				t.Errorf("found %v, want %v", got, c.found)
			}
			for path, content := range c.found {
				if got[path] != content {
					t.Errorf("found %v, want %v", got, c.found)
				}
			}
			for _, beside := range []string{"other.txt", "src/.env", filepath.Join(home, "src", ".env"), filepath.Join(base, "other")} {
				if _, err := open(t, f, beside); err == nil {
					t.Errorf("%s was opened", beside)
				}
			}
			if _, shown := c.found["diary.txt"]; !shown {
				if _, err := open(t, f, "diary.txt"); err == nil {
					t.Error("a file beside it was opened")
				}
				_, err = f.Collect(t.Context(), []string{"d*.txt"}, DefaultLimits())
				wantError(t, err, CodeNotAllowed, "no folder is allowed")
			}
			if list := f.List(); len(list) != 0 {
				t.Errorf("folders are allowed: %v", list)
			}
		})
	}
}

// TestNamedRefusals holds that the operator's own names are judged by the guard.
func TestNamedRefusals(t *testing.T) {
	home, base := homeWith(t)
	for name, target := range map[string]string{"link.txt": "src/.env", ".env.link": "notes.txt"} {
		if err := os.Symlink(filepath.FromSlash(target), filepath.Join(home, name)); err != nil {
			t.Skip("no symbolic links here:", err)
		}
	}
	if err := os.Link(filepath.Join(base, "other", "y.txt"), filepath.Join(home, "hard.txt")); err != nil {
		t.Fatal(err)
	}
	cases := []struct{ name, named, code, part string }{
		{"not there", "nope.txt", CodeInvalid, `"nope.txt" is not found`},
		{"no match", "nope*.txt", CodeInvalid, `no file matches`},
		{"no such folder", "nope/*.txt", CodeInvalid, `no file matches`},
		{"a folder", "src", CodeInvalid, `"src" is a folder`},
		{"the working folder", ".", CodeInvalid, `"." is a folder`},
		{"nothing", " ", CodeInvalid, "the path is empty"},
		{"a URI", "file:///etc/hosts", CodeInvalid, "is a URI"},
		{"a secret", "src/.env", CodeNotAllowed, "named like a secret"},
		{"a link to a secret", "link.txt", CodeNotAllowed, "named like a secret"},
		{"a link named like a secret", ".env.link", CodeNotAllowed, "named like a secret"},
		{"in a secret folder", ".ssh/config", CodeNotAllowed, "named like a secret"},
		{"in a secret folder, from beside it", "../home/.config/gh/hosts.yml", CodeNotAllowed, "named like a secret"},
		{"a glob in a secret folder", ".ssh/*", CodeNotAllowed, "leads to a folder that is named like a secret"},
		{"several hard links", "hard.txt", CodeNotAllowed, "2 hard links"},
	}
	if runtime.GOOS == "linux" {
		cases = append(cases, []struct{ name, named, code, part string }{
			{"a device", "/dev/null", CodeNotAllowed, "is a device"},
			{"a process's environment", "/proc/self/environ", CodeNotAllowed, "belongs to the system"},
		}...)
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			n, err := NameFile(c.named)
			if err == nil {
				f := named(t, home, c.named)
				_, err = f.Collect(t.Context(), []string{n.Name()}, DefaultLimits())
			}
			wantError(t, err, c.code, c.part)
		})
	}
}

// TestNamedInSecretFolderAsWorkingFolder holds that going to a folder does not
// make its files any less secret.
func TestNamedInSecretFolderAsWorkingFolder(t *testing.T) {
	home, _ := homeWith(t)
	for folder, name := range map[string]string{".ssh": "config", ".config/gh": "hosts.yml"} {
		t.Chdir(filepath.Join(home, filepath.FromSlash(folder)))
		_, err := NameFile(name)
		wantError(t, err, CodeNotAllowed, "named like a secret")
	}
}

// TestNamedReplaced holds that a link put in the place of a named file leads
// nowhere, not even beside it.
func TestNamedReplaced(t *testing.T) {
	home, _ := homeWith(t)
	f := named(t, home, "notes.txt")
	if err := os.Remove("notes.txt"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("diary.txt", "notes.txt"); err != nil {
		t.Skip("no symbolic links here:", err)
	}
	_, err := open(t, f, "notes.txt")
	wantError(t, err, CodeNotAllowed, "symbolic link")
}

// TestNamedBesideAllowed holds that a named file comes before one of the same
// name in an allowed folder, and hides nothing of the folder, be it its own.
func TestNamedBesideAllowed(t *testing.T) {
	home, base := homeWith(t)
	write(t, filepath.Join(base, "other", "notes.txt"), "other notes")
	n, err := NameFile("notes.txt")
	if err != nil {
		t.Fatal(err)
	}
	f := allow(t, filepath.Join(base, "other"), filepath.Join(home, "src"))
	f.Admit(n)
	if refused := f.Set(f.List()); len(refused) > 0 {
		t.Fatal(refused)
	}
	for name, want := range map[string]string{"notes.txt": "notes", "x.txt": "x", "a.go": "a"} {
		if got, err := open(t, f, name); got != want {
			t.Errorf("%s is %q: %v", name, got, err)
		}
	}
	_, err = open(t, f, "diary.txt")
	wantError(t, err, CodeInvalid, "is not found in the allowed folders")
	_, err = open(t, f, filepath.Join(home, "diary.txt"))
	if told := wantError(t, err, CodeNotAllowed, "not in an allowed folder").Message; strings.Contains(told, `"`+home+`"`) {
		t.Errorf("the folder of a named file is told as allowed: %s", told)
	}
	t.Chdir(filepath.Join(home, "src"))
	if n, err = NameFile("a.go"); err != nil {
		t.Fatal(err)
	}
	f.Admit(n)
	list := f.List()
	if refused := f.Set(list); len(refused) > 0 || !slices.Equal(f.List(), list) {
		t.Errorf("refused %v, allowed %v, want %v", refused, f.List(), list)
	}
	if got, err := open(t, f, "b.go"); got != "b" {
		t.Errorf("b.go is %q: %v", got, err)
	}
}
