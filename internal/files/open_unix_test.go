//go:build unix

package files

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

func TestSystemFolders(t *testing.T) {
	t.Parallel()
	f := &Folders{}
	t.Cleanup(f.Close)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink("/dev", link); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"/", "/proc", "/proc/self", "/sys", "/dev", "/dev/", "/dev/../dev", "//", link} {
		if refused := f.Set([]string{name}); len(refused) != 1 {
			t.Errorf("%s is allowed", name)
		}
	}
	_, err := open(t, allow(t, tree(t, nil)), "/proc/self/environ")
	wantError(t, err, CodeNotAllowed, "not in an allowed folder")
}

func TestSymlinks(t *testing.T) {
	t.Parallel()
	base := tree(t, map[string]string{
		"data/real/a.txt": "a", "data/.env": "secret", "data/.ssh/config": "secret", "outside/x": "outside", "data/top": "top",
	})
	data := filepath.Join(base, "data")
	for name, target := range map[string]string{
		"file": "real/a.txt", "dir": "real", "up": "../data/real/a.txt", "real/updown": "../top", "abs": filepath.Join(data, "real", "a.txt"),
		"chain1": "chain2", "chain2": "chain3", "chain3": "dir/a.txt", "loop": "loop2", "loop2": "loop", "self": "self/self",
		"out": "../outside/x", "outabs": filepath.Join(base, "outside", "x"), "outdir": "../outside", "outmissing": "../outside/nothing",
		"environ": "/proc/self/environ", "hidden": ".env", "keys": ".ssh", "dangling": "nothing", "slash": "/",
	} {
		if err := os.Symlink(target, filepath.Join(data, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(data, filepath.Join(base, "alias")); err != nil {
		t.Fatal(err)
	}
	f := allow(t, filepath.Join(base, "alias"))
	for _, tc := range []struct{ name, path, want, code, part string }{
		{"file", "file", "a", "", ""},
		{"folder in the middle", "dir/a.txt", "a", "", ""},
		{"chain", "chain1", "a", "", ""},
		{"up and down inside", "real/updown", "top", "", ""},
		{"absolute inside", "abs", "a", "", ""},
		{"the allowed folder is a link", filepath.Join(base, "alias", "top"), "top", "", ""},
		{"the allowed folder by its real name", filepath.Join(data, "top"), "top", "", ""},
		{"out and back in", "up", "", CodeNotAllowed, "symbolic link"},
		{"out", "out", "", CodeNotAllowed, "symbolic link"},
		{"out, absolute", "outabs", "", CodeNotAllowed, "symbolic link"},
		{"out through a folder", "outdir/x", "", CodeNotAllowed, "symbolic link"},
		{"out to nothing", "outmissing", "", CodeNotAllowed, "symbolic link"},
		{"the root", "slash/etc/passwd", "", CodeNotAllowed, "symbolic link"},
		{"environ", "environ", "", CodeNotAllowed, "symbolic link"},
		{"loop", "loop", "", CodeInvalid, "too many symbolic links"},
		{"loop that grows", "self", "", CodeInvalid, "too many symbolic links"},
		{"to a secret", "hidden", "", CodeNotAllowed, "secret"},
		{"through a secret folder", "keys/config", "", CodeNotAllowed, "secret"},
		{"dangling", "dangling", "", CodeInvalid, "not found"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := open(t, f, tc.path)
			if tc.code != "" {
				wantError(t, err, tc.code, tc.part)
				return
			}
			if err != nil || got != tc.want {
				t.Errorf("got %q, %v; want %q", got, err, tc.want)
			}
		})
	}
}

func TestSpecialFiles(t *testing.T) {
	t.Parallel()
	// A socket's path has 100 characters or so.
	dir, err := os.MkdirTemp("", "f")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	write(t, filepath.Join(dir, "a"), "a")
	if err := os.Link(filepath.Join(dir, "a"), filepath.Join(dir, "hard")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", filepath.Join(dir, "sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	f := allow(t, dir)
	for _, tc := range []struct{ name, path, part string }{
		{"hard link", "hard", "2 hard links"},
		{"what is hard linked", "a", "2 hard links"},
		{"FIFO", "fifo", "a named pipe"},
		{"socket", "sock", "a socket"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := open(t, f, tc.path)
			wantError(t, err, CodeNotAllowed, tc.part)
		})
	}
	t.Run("device", func(t *testing.T) {
		wantError(t, regular(os.ModeDevice|os.ModeCharDevice, "null"), CodeNotAllowed, "a device")
	})
}

// TestReplacedOnceOpen takes a file's name away after it was opened, as a rename
// over it does.
func TestReplacedOnceOpen(t *testing.T) {
	t.Parallel()
	dir := tree(t, map[string]string{"a": "old"})
	name := filepath.Join(dir, "a")
	f := allow(t, dir)
	now, release := f.hold()
	defer release()
	attempts := 0
	err := now.folders[0].walk(t.Context(), []string{"a"}, "a", func(f *os.File) error {
		defer f.Close()
		if attempts++; attempts == 1 {
			write(t, name+".new", "new")
			must(t, os.Rename(name+".new", name))
		}
		_, err := judge(f, "a", 100)
		return err
	})
	if err != nil || attempts != 2 {
		t.Errorf("%v after %d attempts", err, attempts)
	}
}

func TestUnreadable(t *testing.T) {
	t.Parallel()
	if os.Geteuid() == 0 {
		t.Skip("root reads everything")
	}
	dir := tree(t, map[string]string{"a": "a", "sub/b": "b"})
	f := allow(t, dir)
	for _, name := range []string{"a", "sub"} {
		if err := os.Chmod(filepath.Join(dir, name), 0); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _ = os.Chmod(filepath.Join(dir, "sub"), 0o700) })
	for _, name := range []string{"a", "sub/b"} {
		_, err := open(t, f, name)
		wantError(t, err, CodeInvalid, "may not read")
	}
}

// TestSwappedBetweenCheckAndRead exchanges what stands under three names while
// they are opened: a file and a folder for links to what is not allowed, and a
// file for a pipe. Whatever is opened must be what is allowed.
func TestSwappedBetweenCheckAndRead(t *testing.T) {
	t.Parallel()
	base := tree(t, map[string]string{
		"data/good": "good", "data/dir/a": "good", "data/.ssh/a": "secret", "data/.env": "secret", "outside/a": "outside", "data/fine": "good",
	})
	data := filepath.Join(base, "data")
	for name, target := range map[string]string{"l1": "good", "l2": ".env", "l3": "../outside/a", "d1": "dir", "d2": ".ssh", "d3": "../outside"} {
		if err := os.Symlink(target, filepath.Join(base, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(base, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := allow(t, data)
	const swaps, swapsInRound = 10_000, 8
	stop := make(chan struct{})
	var rounds atomic.Int64
	var wg sync.WaitGroup
	wg.Go(func() {
		// A link made anew under another name takes the place in one step.
		place := func(target, name string) {
			_ = os.Symlink(target, filepath.Join(base, "tmp"))
			_ = os.Rename(filepath.Join(base, "tmp"), filepath.Join(data, name))
		}
		for n := 0; ; n++ {
			place([]string{"good", ".env", "../outside/a"}[n%3], "link")
			place([]string{"dir", ".ssh", "../outside"}[n%3], "linkdir")
			// A real folder and a real file, swapped for links and back.
			_ = os.Rename(filepath.Join(data, "dir"), filepath.Join(base, "away"))
			_ = os.Symlink([]string{".ssh", "../outside"}[n%2], filepath.Join(data, "dir"))
			_ = os.Remove(filepath.Join(data, "dir"))
			_ = syscall.Mkfifo(filepath.Join(data, "dir"), 0o600)
			_ = os.Remove(filepath.Join(data, "dir"))
			_ = os.Rename(filepath.Join(base, "away"), filepath.Join(data, "dir"))
			_ = os.Rename(filepath.Join(data, "fine"), filepath.Join(base, "away"))
			_ = os.Symlink([]string{".env", "../outside/a"}[n%2], filepath.Join(data, "fine"))
			_ = os.Remove(filepath.Join(data, "fine"))
			_ = syscall.Mkfifo(filepath.Join(data, "fine"), 0o600)
			_ = os.Remove(filepath.Join(data, "fine"))
			_ = os.Rename(filepath.Join(base, "away"), filepath.Join(data, "fine"))
			rounds.Add(1)
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	opened, refused := 0, 0
	for i := 0; i < swaps || rounds.Load()*swapsInRound < swaps; i++ {
		name := []string{"link", "linkdir/a", "dir/a", "fine"}[i%4]
		file, err := f.Open(t.Context(), name, 100)
		if err != nil {
			var fault *Error
			if !errors.As(err, &fault) {
				t.Errorf("%s: %v", name, err)
			}
			refused++
			continue
		}
		content, err := io.ReadAll(io.NewSectionReader(file, 0, file.Size()))
		if err != nil || string(content) != "good" {
			t.Errorf("%s: read %q, %v", name, content, err)
		}
		_ = file.Close()
		opened++
	}
	close(stop)
	wg.Wait()
	if opened == 0 || refused == 0 {
		t.Errorf("the race was none: %d opened, %d refused", opened, refused)
	}
	t.Logf("%d opened, %d refused, %d swaps", opened, refused, rounds.Load()*swapsInRound)
}

func TestNamesOfFiles(t *testing.T) {
	t.Parallel()
	names := map[string]string{
		"a\r\nX: y.txt": "a_X_y.txt", `q"uote.png`: "q_uote.png", "\u202egnp.exe": "gnp.exe", "cafe\u0301.md": "cafe.md",
	}
	content := map[string]string{}
	for name := range names {
		content[name] = "x"
	}
	f := allow(t, tree(t, content))
	for name, plain := range names {
		file, err := f.Open(t.Context(), name, 10)
		if err != nil {
			t.Fatal(err)
		}
		if file.Name() != plain || strings.ContainsAny(file.Path(), "\r\n\u202e") {
			t.Errorf("%q: name %q, path %q", name, file.Name(), file.Path())
		}
		_ = file.Close()
	}
}

// TestPipeInPlaceOfFile puts a pipe where a file was when it was looked at: its
// open must not wait for a writer.
func TestPipeInPlaceOfFile(t *testing.T) {
	t.Parallel()
	dir := tree(t, map[string]string{"a": "a"})
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	seen, err := root.Lstat("a")
	if err != nil {
		t.Fatal(err)
	}
	w := walk{ctx: t.Context(), dirs: []*os.Root{root}}
	if _, err := w.openLast("pipe", seen); !errors.Is(err, errSwapped) {
		t.Errorf("got %v", err)
	}
	if err := w.enter("pipe", seen); !errors.Is(err, errSwapped) {
		t.Errorf("got %v", err)
	}
}
