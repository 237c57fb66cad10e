package files

import (
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
)

// replaced tells of a folder that is moved away while it is open, which Windows
// does not allow.
func replaced(t *testing.T) (dir, old string, f *Folders) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("an open folder can't be moved")
	}
	base := tree(t, map[string]string{"p/a": "old", "second/b": "b"})
	dir, old = filepath.Join(base, "p"), filepath.Join(base, "old")
	f = allow(t, dir, filepath.Join(base, "second"))
	return dir, old, f
}

func TestFolderReplaced(t *testing.T) {
	t.Parallel()
	dir, old, f := replaced(t)
	held, release := f.hold()
	must(t, os.Rename(dir, old))

	// Gone: not even what is open of it is read, and the others stay.
	_, err := open(t, f, filepath.Join(dir, "a"))
	wantError(t, err, CodeNotAllowed, "not in an allowed folder")
	_, err = open(t, f, "a")
	wantError(t, err, CodeInvalid, "not found")
	if got, err := open(t, f, "b"); err != nil || got != "b" {
		t.Errorf("got %q, %v", got, err)
	}
	write(t, filepath.Join(dir, "a"), "new")
	for range 2 {
		if got, err := open(t, f, "a"); err != nil || got != "new" {
			t.Errorf("got %q, %v", got, err)
		}
	}
	// A call under way keeps what it has, and its folder is closed after it.
	file, err := held.open(t.Context(), "a", 100)
	must(t, err)
	content := make([]byte, 3)
	if _, err := file.ReadAt(content, 0); string(content) != "old" {
		t.Errorf("the call was given another folder: %q, %v", content, err)
	}
	must(t, file.Close())
	release()
	if _, err := held.folders[0].root.Stat("."); err == nil {
		t.Error("the former folder is still open")
	}
	// And back.
	must(t, os.RemoveAll(dir))
	must(t, os.Rename(old, dir))
	if got, err := open(t, f, "a"); err != nil || got != "old" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestFolderReplacedByWhatIsRefused(t *testing.T) {
	t.Parallel()
	dir, old, f := replaced(t)
	must(t, os.Rename(dir, old))
	must(t, os.Symlink(old, dir))
	_, err := open(t, f, "a")
	wantError(t, err, CodeInvalid, "not found")
	must(t, os.Remove(dir))
	write(t, dir, "a file")
	_, err = open(t, f, "a")
	wantError(t, err, CodeInvalid, "not found")
	must(t, os.Remove(dir))
	write(t, filepath.Join(dir, "a"), "own")
	f.Forbid(dir)
	_, err = open(t, f, "a")
	wantError(t, err, CodeInvalid, "not found")
}

func TestRefreshWhileOpening(t *testing.T) {
	t.Parallel()
	dir, old, f := replaced(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 200 {
				if got, err := open(t, f, "b"); err != nil || got != "b" {
					t.Errorf("got %q, %v", got, err)
					return
				}
			}
		})
	}
	for range 100 {
		must(t, os.Rename(dir, old))
		f.Set([]string{filepath.Join(filepath.Dir(dir), "second"), dir})
		must(t, os.Rename(old, dir))
		f.refresh()
	}
	wg.Wait()
	held, release := f.hold()
	release()
	for _, folder := range held.folders {
		if folder.held != 1 {
			t.Errorf("%s is held %d times", folder.real, folder.held)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
