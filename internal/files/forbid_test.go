package files

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestForbid(t *testing.T) {
	t.Parallel()
	base := tree(t, map[string]string{
		"p/state/ledger.db": "own", "p/state/deep/x.txt": "own", "p/token.txt": "own", "p/sub/a.txt": "a", "p/a.txt": "a",
	})
	at := func(name string) string { return filepath.Join(base, filepath.FromSlash(name)) }
	if err := os.Symlink(at("p/state"), at("alias")); err != nil {
		t.Skipf("no links here: %v", err)
	}
	for name, target := range map[string]string{"p/link": "state", "p/deep": "state/deep", "p/key": "token.txt"} {
		if err := os.Symlink(target, at(name)); err != nil {
			t.Fatal(err)
		}
	}
	f := allow(t, at("p"))
	// By another way than callers come, and one that is not there yet.
	f.Forbid(at("alias"), at("p/sub/../token.txt"), at("p/later"), at("p/laterdir"), "")
	own := []string{"state/ledger.db", "state/deep/x.txt", "token.txt", "link/ledger.db", "deep/x.txt", "key", at("p/state/ledger.db"), "./sub/../state/./ledger.db"}
	if runtime.GOOS != "linux" {
		own = append(own, "STATE/Ledger.db")
	}
	for _, name := range own {
		_, err := open(t, f, name)
		wantError(t, err, CodeNotAllowed, "belongs to this server")
	}
	for _, glob := range []string{"state/*", "link/*", "deep/*", "state/deep/*.txt"} {
		_, err := f.Collect(t.Context(), []string{glob}, DefaultLimits())
		wantError(t, err, CodeNotAllowed, "belongs to this server")
	}
	texts, err := f.Collect(t.Context(), []string{"**/*"}, DefaultLimits())
	if got := strings.Join(shown(texts), " "); err != nil || got != "a.txt sub/a.txt" {
		t.Errorf("got %q, %v", got, err)
	}

	write(t, at("p/later"), "own")
	write(t, at("p/laterdir/x"), "own")
	for _, name := range []string{"later", "laterdir/x"} {
		_, err := open(t, f, name)
		wantError(t, err, CodeNotAllowed, "belongs to this server")
	}
	// What was replaced is the server's too, and what it was no longer.
	if err := os.Rename(at("p/later"), at("p/was")); err != nil {
		t.Fatal(err)
	}
	write(t, at("p/later"), "new")
	_, err = open(t, f, "later")
	wantError(t, err, CodeNotAllowed, "belongs to this server")
	if got, err := open(t, f, "was"); err != nil || got != "own" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestForbidAllowedFolder(t *testing.T) {
	t.Parallel()
	base := tree(t, map[string]string{"state/deep/a": "own", "state/b": "own"})
	f := allow(t, filepath.Join(base, "state", "deep"))
	if got, err := open(t, f, "a"); err != nil || got != "own" {
		t.Fatalf("got %q, %v", got, err)
	}
	f.Forbid(filepath.Join(base, "state"))
	_, err := open(t, f, "a")
	wantError(t, err, CodeNotAllowed, "belongs to this server")
	for _, name := range []string{"state", "state/deep"} {
		refused := f.Set([]string{filepath.Join(base, filepath.FromSlash(name))})
		if len(refused) != 1 || refused[0].Reason != "belongs to this server" {
			t.Errorf("%s: refused %v", name, refused)
		}
	}
}

// TestForbidMadeMeanwhile makes the server's file after the walk began.
func TestForbidMadeMeanwhile(t *testing.T) {
	t.Parallel()
	dir := tree(t, map[string]string{"a": "a"})
	f := allow(t, dir)
	f.Forbid(filepath.Join(dir, "key"))
	now, release := f.hold()
	defer release()
	w := walk{ctx: t.Context(), folder: now.folders[0], name: "key", dirs: []*os.Root{now.folders[0].root}, forbidden: now.folders[0].forbidden.now()}
	write(t, filepath.Join(dir, "key"), "own")
	_, err := w.open([]string{"key"})
	wantError(t, err, CodeNotAllowed, "belongs to this server")
}
