package files

import (
	"context"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// open opens, reads and closes.
func open(t *testing.T, f *Folders, name string) (string, error) {
	t.Helper()
	file, err := f.Open(t.Context(), name, math.MaxInt64)
	if err != nil {
		return "", err
	}
	defer file.Close()
	content, err := io.ReadAll(io.NewSectionReader(file, 0, file.Size()))
	if err != nil {
		return "", err
	}
	return string(content), file.Changed()
}

func TestOpen(t *testing.T) {
	t.Parallel()
	base := tree(t, map[string]string{
		"data/a.txt": "a", "data/sub/b.txt": "b", "data/empty": "", "data/.env": "secret", "data/.ssh/config": "secret",
		"data/.github/ci.yml": "ci", "data-evil/x": "outside", "outside.txt": "outside", "data/[id]/page": "p",
		"two/a.txt": "two's", "two/only.txt": "only",
	})
	data, two := filepath.Join(base, "data"), filepath.Join(base, "two")
	f := allow(t, data, two)
	for _, tc := range []struct{ name, path, want, code, part string }{
		{"relative", "a.txt", "a", "", ""},
		{"relative below", "sub/b.txt", "b", "", ""},
		{"up and down", "sub/../a.txt", "a", "", ""},
		{"absolute", filepath.Join(data, "a.txt"), "a", "", ""},
		{"the second folder", "only.txt", "only", "", ""},
		{"the first folder wins", "a.txt", "a", "", ""},
		{"absolute in the second", filepath.Join(two, "a.txt"), "two's", "", ""},
		{"0 bytes", "empty", "", "", ""},
		{"hidden but no secret", ".github/ci.yml", "ci", "", ""},
		{"brackets are letters", "[id]/page", "p", "", ""},
		{"..", "../outside.txt", "", CodeNotAllowed, "leads out"},
		{"absolute outside", filepath.Join(base, "outside.txt"), "", CodeNotAllowed, "not in an allowed folder"},
		{"absolute outside and missing", filepath.Join(base, "missing.txt"), "", CodeNotAllowed, "not in an allowed folder"},
		{"the sibling data-evil", filepath.Join(base, "data-evil", "x"), "", CodeNotAllowed, "not in an allowed folder"},
		{"folder", "sub", "", CodeInvalid, "is a folder"},
		{"the allowed folder itself", data, "", CodeInvalid, "is a folder"},
		{"dot", ".", "", CodeInvalid, "is a folder"},
		{"missing", "nope.txt", "", CodeInvalid, "not found"},
		{"missing, absolute", filepath.Join(data, "nope.txt"), "", CodeInvalid, "not found"},
		{"through a file", "a.txt/x", "", CodeInvalid, "not found"},
		{"empty path", "", "", CodeInvalid, "the path is empty"},
		{"URI", "file://" + filepath.ToSlash(data) + "/a.txt", "", CodeInvalid, "is a URI, not a path"},
		{"NUL", "a.txt\x00.png", "", "", "a.txt"},
		{"5,000 characters", strings.Repeat("a/", 2500), "", CodeInvalid, "5000 bytes"},
		{"secret", ".env", "", CodeNotAllowed, "named like a secret"},
		{"secret folder", ".ssh/config", "", CodeNotAllowed, "named like a secret"},
		{"secret and missing", "sub/id_rsa", "", CodeNotAllowed, "named like a secret"},
		{"invisible", "a\u202etxt.png", "", CodeInvalid, `a\u202etxt.png`},
		{"new line", "a\r\nb", "", "", `a\r\nb`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := open(t, f, tc.path)
			if tc.part != "" {
				code := tc.code
				if code == "" {
					var fault *Error
					if errors.As(err, &fault) {
						code = fault.Code
					}
				}
				wantError(t, err, code, tc.part)
				return
			}
			if err != nil || got != tc.want {
				t.Errorf("got %q, %v; want %q", got, err, tc.want)
			}
		})
	}
}

// TestHiddenFolderAllowed allows a folder whose name makes a secret of a file.
func TestHiddenFolderAllowed(t *testing.T) {
	t.Parallel()
	base := tree(t, map[string]string{".docker/config.json": "s", ".docker/Dockerfile": "d", ".claude/settings.local.json": "s"})
	f := allow(t, filepath.Join(base, ".docker"), filepath.Join(base, ".claude"))
	for _, name := range []string{"config.json", "settings.local.json", filepath.Join(base, ".claude", "settings.local.json")} {
		_, err := open(t, f, name)
		wantError(t, err, CodeNotAllowed, "named like a secret")
	}
	if got, err := open(t, f, "Dockerfile"); err != nil || got != "d" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestOutsideTellsNothing(t *testing.T) {
	t.Parallel()
	base := tree(t, map[string]string{"data/a": "a", "there": "x"})
	f := allow(t, filepath.Join(base, "data"))
	_, there := open(t, f, filepath.Join(base, "there"))
	_, gone := open(t, f, filepath.Join(base, "gone!"))
	if strings.ReplaceAll(there.Error(), "there", "") != strings.ReplaceAll(gone.Error(), "gone!", "") {
		t.Errorf("%v\n%v", there, gone)
	}
}

func TestOpenWithoutFolders(t *testing.T) {
	t.Parallel()
	_, err := open(t, new(Folders), "a.txt")
	fault := wantError(t, err, CodeNotAllowed, "no folder is allowed")
	if !strings.Contains(fault.Action, "--allow-dir") || !strings.Contains(fault.Action, "NEMOTRON_MCP_ALLOW_DIR") {
		t.Errorf("the action does not say how: %s", fault.Action)
	}
}

func TestOpenFacts(t *testing.T) {
	t.Parallel()
	dir := tree(t, map[string]string{"sub/ä b.txt": "12345"})
	two := tree(t, map[string]string{"x.txt": "x"})
	f := allow(t, dir, two)
	for _, tc := range []struct{ path, shown string }{
		{"sub/ä b.txt", "sub/ä b.txt"},
		{filepath.Join(dir, "sub", "ä b.txt"), "sub/ä b.txt"},
		{"x.txt", "x.txt"},
		{filepath.Join(two, "x.txt"), filepath.ToSlash(two) + "/x.txt"},
	} {
		file, err := f.Open(t.Context(), tc.path, 5)
		if err != nil {
			t.Fatal(err)
		}
		if file.Path() != tc.shown {
			t.Errorf("shown as %q, want %q", file.Path(), tc.shown)
		}
		if strings.Contains(file.Name(), " ") || file.ModTime().IsZero() {
			t.Errorf("name %q, time %v", file.Name(), file.ModTime())
		}
		if err := file.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestSizeLimit(t *testing.T) {
	t.Parallel()
	dir := tree(t, map[string]string{"exact": "12345", "over": "123456"})
	sparse, err := os.Create(filepath.Join(dir, "sparse"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(sparse.Truncate(1<<40), sparse.Close()); err != nil {
		t.Skipf("no sparse files here: %v", err)
	}
	f := allow(t, dir)
	file, err := f.Open(t.Context(), "exact", 5)
	if err != nil {
		t.Fatal(err)
	}
	_ = file.Close()
	_, err = f.Open(t.Context(), "over", 5)
	wantError(t, err, CodeInvalid, "6 bytes; the limit is 5")
	_, err = f.Open(t.Context(), "sparse", 2<<30)
	wantError(t, err, CodeInvalid, "limit")
}

func TestChangedWhileRead(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		change func(name string) error
		read   string // "" where reading itself fails
		intact bool
	}{
		{"grows", func(name string) error { return os.WriteFile(name, []byte("12345678"), 0o644) }, "12345", false},
		{"shrinks", func(name string) error { return os.Truncate(name, 2) }, "", false},
		{"same size, other time", func(name string) error { return os.Chtimes(name, time.Time{}, time.Unix(1, 0)) }, "12345", false},
		{"replaced", func(name string) error {
			if runtime.GOOS == "windows" {
				return nil // an open file can't be replaced there
			}
			if err := os.WriteFile(name+".new", []byte("67890"), 0o644); err != nil {
				return err
			}
			return os.Rename(name+".new", name)
		}, "12345", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			dir := tree(t, map[string]string{"a": "12345"})
			file, err := allow(t, dir).Open(t.Context(), "a", 100)
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			if err := file.Changed(); err != nil {
				t.Fatal(err)
			}
			if err := tc.change(filepath.Join(dir, "a")); err != nil {
				t.Fatal(err)
			}
			content, err := io.ReadAll(io.NewSectionReader(file, 0, math.MaxInt64))
			if tc.read == "" {
				wantError(t, err, CodeInvalid, "changed while it was read")
			} else if err != nil || string(content) != tc.read {
				t.Errorf("read %q, %v; want %q", content, err, tc.read)
			}
			if err := file.Changed(); (err == nil) != tc.intact {
				t.Errorf("Changed: %v", err)
			}
		})
	}
}

func TestOpenCancelled(t *testing.T) {
	t.Parallel()
	f := allow(t, tree(t, map[string]string{"a": "a"}))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.Open(ctx, "a", 10); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestSet(t *testing.T) {
	t.Parallel()
	base := tree(t, map[string]string{"home/p/a": "a", "data/b": "b", "file": "x", "home/.ssh/k": "k"})
	at := func(name string) string { return filepath.Join(base, name) }
	f := &Folders{home: func() (string, error) { return at("home"), nil }}
	t.Cleanup(f.Close)
	refused := f.Set([]string{at("data"), "relative", "", at("missing"), at("file")}, []string{at("home/p"), at("home"), base, at("home/.ssh"), at("data")})
	want := []string{"not an absolute path", "empty", "does not exist", "not a folder", "home folder", "home folder", "secret"}
	if len(refused) != len(want) {
		t.Fatalf("refused %v", refused)
	}
	for i, part := range want {
		if !strings.Contains(refused[i].String(), part) {
			t.Errorf("%v, want %q", refused[i], part)
		}
	}
	if got := f.List(); len(got) != 2 || got[0] != at("data") || got[1] != at("home/p") {
		t.Errorf("allowed %v", got)
	}
	f.Set([]string{at("home/p")})
	if _, err := open(t, f, "b"); err == nil {
		t.Error("a folder that was taken away is still read")
	}
	if got, err := open(t, f, "a"); err != nil || got != "a" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestSetWhileOpening(t *testing.T) {
	t.Parallel()
	dir := tree(t, map[string]string{"a": "a"})
	f := allow(t, dir)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 200 {
				if got, err := open(t, f, "a"); err != nil || got != "a" {
					t.Errorf("got %q, %v", got, err)
					return
				}
			}
		})
	}
	for range 200 {
		f.Set([]string{dir})
		f.List()
	}
	wg.Wait()
}
