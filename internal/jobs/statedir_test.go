//go:build unix

package jobs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/rs/zerolog"
)

// mode is a file's permissions.
func mode(t *testing.T, path string) fs.FileMode {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode().Perm()
}

// must fails the test where making its scene has failed.
// giveAway gives a path to another user.
func giveAway(t *testing.T, path string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can give a file to another user")
	}
	must(t, os.Chown(path, 65534, -1))
}

func TestStateFolder(t *testing.T) {
	t.Parallel()
	with := func(mode fs.FileMode) func(*testing.T, string) {
		return func(t *testing.T, dir string) { must(t, os.Mkdir(dir, 0o700), os.Chmod(dir, mode)) }
	}
	for _, tc := range []struct {
		name    string
		scene   func(t *testing.T, dir string)
		refused bool
	}{
		{"is made", func(*testing.T, string) {}, false},
		{"is there", with(0o700), false},
		{"others may read it", with(0o755), false},
		{"others may enter it", with(0o711), false},
		{"the group may write", with(0o770), true},
		{"others may write", with(0o707), true},
		{"like /tmp", with(0o777 | fs.ModeSticky), true},
		{"a symbolic link to a good folder", func(t *testing.T, dir string) {
			must(t, os.Mkdir(dir+"-real", 0o700), os.Symlink(dir+"-real", dir))
		}, true},
		{"a symbolic link to nothing", func(t *testing.T, dir string) { must(t, os.Symlink(dir+"-none", dir)) }, true},
		{"a file", func(t *testing.T, dir string) { must(t, os.WriteFile(dir, nil, 0o600)) }, true},
		{"another user's", func(t *testing.T, dir string) {
			must(t, os.Mkdir(dir, 0o700))
			giveAway(t, dir)
		}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "state")
			tc.scene(t, dir)
			s, err := OpenSQLite(dir, false, zerolog.Nop())
			if tc.refused {
				if !errors.Is(err, ErrStateFolder) {
					t.Errorf("OpenSQLite: %v", err)
				}
				if _, err := os.Stat(filepath.Join(dir, LedgerFile)); err == nil {
					t.Error("a ledger was made in it")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if got := mode(t, dir); got != 0o700 {
				t.Errorf("the folder has mode %o", got)
			}
		})
	}
}

func TestStateFolderIsMadeWithItsParents(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	openLedger(t, filepath.Join(base, "a", "b"))
	for _, dir := range []string{"a", "a/b"} {
		if got := mode(t, filepath.Join(base, dir)); got != 0o700 {
			t.Errorf("%s has mode %o", dir, got)
		}
	}
}

func TestStateFolderThatCannotBeMade(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	must(t, os.WriteFile(filepath.Join(base, "file"), nil, 0o600))
	if _, err := OpenSQLite(filepath.Join(base, "file", "state"), false, zerolog.Nop()); err == nil {
		t.Error("no error")
	}
}

func TestLedgerFile(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		scene   func(t *testing.T, path string)
		refused bool
	}{
		{"is made", func(*testing.T, string) {}, false},
		{"empty, and others may read it", func(t *testing.T, path string) {
			must(t, os.WriteFile(path, nil, 0o600), os.Chmod(path, 0o666))
		}, false},
		{"a symbolic link to a file", func(t *testing.T, path string) {
			must(t, os.WriteFile(path+"-real", nil, 0o600), os.Symlink(path+"-real", path))
		}, true},
		{"a symbolic link to nothing", func(t *testing.T, path string) { must(t, os.Symlink(path+"-none", path)) }, true},
		{"a folder", func(t *testing.T, path string) { must(t, os.Mkdir(path, 0o700)) }, true},
		{"a FIFO", func(t *testing.T, path string) { must(t, syscall.Mkfifo(path, 0o600)) }, true},
		{"another user's", func(t *testing.T, path string) {
			must(t, os.WriteFile(path, nil, 0o600))
			giveAway(t, path)
		}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			must(t, os.Chmod(dir, 0o700))
			path := filepath.Join(dir, LedgerFile)
			tc.scene(t, path)
			before, _ := os.ReadDir(dir)
			s, err := OpenSQLite(dir, false, zerolog.Nop())
			if tc.refused {
				if after, _ := os.ReadDir(dir); !errors.Is(err, ErrStateFolder) || len(after) != len(before) {
					t.Errorf("OpenSQLite: %v; %d files, before %d", err, len(after), len(before))
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			insert(t, s, row(1))
			for _, suffix := range []string{"", "-wal", "-shm"} {
				if got := mode(t, path+suffix); got != 0o600 {
					t.Errorf("%s has mode %o", LedgerFile+suffix, got)
				}
			}
		})
	}
}

func TestLedgerPathMayHoldAnyCharacter(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"with spaces", "what?mode=memory", "hash#tag", "100%", "%41%2f", "naïve 日本語 \U0001F600", `quote"'back\slash`, "a&b=c;d+e", "new\nline", "file:x", ":memory:", "[::1]",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), name)
			first := openLedger(t, dir)
			insert(t, first, row(1))
			must(t, first.Close())
			if info, err := os.Stat(filepath.Join(dir, LedgerFile)); err != nil || info.Size() == 0 {
				t.Fatalf("the ledger is not where it should be: %v", err)
			}
			if !has(t, openLedger(t, dir), 1) {
				t.Error("the row is gone")
			}
		})
	}
}
