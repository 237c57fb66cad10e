package hosts_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"nemotron-mcp/internal/hosts"
)

func read(t *testing.T, path string) *hosts.File {
	t.Helper()
	f, err := hosts.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func put(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func wantFile(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil || string(got) != text {
		t.Errorf("%s holds %q (%v), want %q", path, got, err, text)
	}
	if info, err := os.Stat(path); runtime.GOOS != "windows" && err == nil && info.Mode().Perm() != mode {
		t.Errorf("%s has mode %v, want %v", path, info.Mode(), mode)
	}
}

func TestWriteNew(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a", "b", "mcp.json")
	f := read(t, path)
	if backup, err := f.Write([]byte("new"), 0o600); err != nil || backup != "" || f.Exists {
		t.Fatal(backup, err)
	}
	wantFile(t, path, "new", 0o600)
}

func TestWriteBehindLinks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	target, link := filepath.Join(dir, "dotfiles.json"), filepath.Join(dir, "mcp.json")
	put(t, target, "old", 0o640)
	if err := os.Symlink("dotfiles.json", link); err != nil {
		t.Skip("no symbolic links here")
	}
	backup, err := read(t, link).Write([]byte("new"), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	wantFile(t, target, "new", 0o640)
	wantFile(t, backup, "old", 0o640)
	if to, err := os.Readlink(link); err != nil || to != "dotfiles.json" {
		t.Errorf("the link is gone: %q, %v", to, err)
	}
	second, err := read(t, link).Write([]byte("newer"), 0o600)
	if err != nil || second == backup {
		t.Errorf("the second backup is %s, %v", second, err)
	}
	wantFile(t, backup, "old", 0o640)
	if left, _ := filepath.Glob(filepath.Join(dir, ".nemotron*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestWriteNewIsNotOverwritten: a file that was made since there was none stays.
func TestWriteNewIsNotOverwritten(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "mcp.json")
	f := read(t, path)
	put(t, path, "theirs", 0o600)
	if _, err := f.Write([]byte("new"), 0o600); !errors.Is(err, hosts.ErrChanged) {
		t.Errorf("error %v", err)
	}
	wantFile(t, path, "theirs", 0o600)
	wantAlone(t, path)
}

// wantAlone wants nothing else in the file's folder.
func wantAlone(t *testing.T, path string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

// TestWriteAtOnce has many writers add a line each, beginning again where another
// was faster: no line is lost.
func TestWriteAtOnce(t *testing.T) {
	t.Parallel()
	const writers, lines = 8, 5
	path := filepath.Join(t.TempDir(), "mcp.json")
	var all sync.WaitGroup
	for range writers {
		all.Go(func() {
			for done := 0; done < lines; {
				f, err := hosts.Read(path)
				if err == nil {
					_, err = f.Write(append(bytes.Clone(f.Text), "line\n"...), 0o600)
				}
				switch {
				case err == nil:
					done++
				case !errors.Is(err, hosts.ErrChanged):
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	wantFile(t, path, strings.Repeat("line\n", writers*lines), 0o600)
}

// TestWriteAfterACrash: a lock that was left behind holds nobody up for ever.
func TestWriteAfterACrash(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "mcp.json")
	left := filepath.Join(filepath.Dir(path), ".nemotron-mcp-mcp.json.lock")
	put(t, left, "", 0o600)
	long := time.Now().Add(-2 * time.Minute)
	if err := os.Chtimes(left, long, long); err != nil {
		t.Fatal(err)
	}
	if _, err := read(t, path).Write([]byte("new"), 0o600); err != nil {
		t.Fatal(err)
	}
	wantFile(t, path, "new", 0o600)
	wantAlone(t, path)
}

// TestWriteBehindLinkedFolders: a relative link is followed from where its folder
// really is.
func TestWriteBehindLinkedFolders(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, target string // of df/cursor/mcp.json
		exists       bool
		want         string
	}{
		{"a file", "../shared/mcp.json", true, "df/shared/mcp.json"},
		{"no file yet", "../shared/mcp.json", false, "df/shared/mcp.json"},
		{"no folder yet", "../new/mcp.json", false, "df/new/mcp.json"},
		{"a link in the middle of the target", "away/../shared/mcp.json", true, "far/shared/mcp.json"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			home := t.TempDir()
			at := func(path string) string { return filepath.Join(home, filepath.FromSlash(path)) }
			for _, dir := range []string{"df/cursor", "df/shared", "far/away", "far/shared", "shared"} {
				if err := os.MkdirAll(at(dir), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			for link, target := range map[string]string{".cursor": "df/cursor", "df/cursor/away": at("far/away"), "df/cursor/mcp.json": filepath.FromSlash(tc.target)} {
				if err := os.Symlink(target, at(link)); err != nil {
					t.Skip("no symbolic links here")
				}
			}
			if tc.exists {
				put(t, at(tc.want), "old", 0o600)
			}
			f := read(t, at(".cursor/mcp.json"))
			if _, err := f.Write([]byte("new"), 0o600); err != nil || f.Exists != tc.exists {
				t.Fatalf("exists %v: %v", f.Exists, err)
			}
			wantFile(t, at(tc.want), "new", 0o600)
			if _, err := os.Lstat(at("shared/mcp.json")); err == nil {
				t.Error("it was written beside the link to the folder")
			}
		})
	}
}

func TestWriteRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "mcp.json")
	put(t, path, "old", 0o444)
	if _, err := read(t, path).Write([]byte("new"), 0o600); err == nil || !strings.Contains(err.Error(), "read-only") {
		t.Errorf("a read-only file: %v", err)
	}
	put2 := filepath.Join(dir, "other.json")
	put(t, put2, "old", 0o600)
	f := read(t, put2)
	put(t, put2, "theirs", 0o600)
	if _, err := f.Write([]byte("new"), 0o600); err == nil || !strings.Contains(err.Error(), "meanwhile") {
		t.Errorf("a file that changed: %v", err)
	}
	wantFile(t, put2, "theirs", 0o600)
	if left, _ := filepath.Glob(put2 + ".*"); len(left) > 0 {
		t.Errorf("a backup of nothing: %v", left)
	}
	if _, err := hosts.Read(dir); err == nil {
		t.Error("a folder was read")
	}
	put(t, put2, strings.Repeat("x", 10<<20), 0o600)
	if _, err := hosts.Read(put2); err == nil || !strings.Contains(err.Error(), "larger") {
		t.Errorf("10 MiB: %v", err)
	}
	loop := filepath.Join(dir, "loop")
	if os.Symlink("loop", loop) == nil {
		if _, err := hosts.Read(loop); err == nil {
			t.Error("a loop of links was read")
		}
	}
}
