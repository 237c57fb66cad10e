//go:build unix

package files

import (
	"os"
	"strings"
	"syscall"
	"testing"
)

// TestTooManyOpen leaves the process a few descriptors only, one more in each
// round, so that each open on the way fails once. It is not parallel: the limit
// is the process's.
func TestTooManyOpen(t *testing.T) {
	dir := tree(t, map[string]string{"a/b/c.txt": "c", "a/b/d/e.txt": "e", ".gitignore": "x", "a/.gitignore": "x", "a/b/.gitignore": "x"})
	must(t, os.Symlink("a/b", dir+"/link"))
	f := allow(t, dir)
	var before syscall.Rlimit
	must(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before))
	limit := before
	limit.Cur = 128
	must(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit))
	defer func() { must(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &before)) }()

	var taken []*os.File
	defer func() {
		for _, one := range taken {
			_ = one.Close()
		}
	}()
	for {
		one, err := os.Open(os.DevNull)
		if err != nil {
			break
		}
		taken = append(taken, one)
	}
	// What was done must be whole, and what was not must say why.
	try := map[string]func() (string, error){
		"file": func() (string, error) { return open(t, f, "link/c.txt") },
		"glob": func() (string, error) {
			texts, err := f.Collect(t.Context(), []string{"**/*.txt"}, DefaultLimits())
			return strings.Join(shown(texts), " "), err
		},
	}
	want := map[string]string{"file": "c", "glob": "a/b/c.txt a/b/d/e.txt"}
	failed := 0
	for len(taken) > 0 && len(try) > 0 {
		for name, do := range try {
			got, err := do()
			if err != nil {
				wantError(t, err, CodeInvalid, "too many files open")
				failed++
				continue
			}
			if got != want[name] {
				t.Errorf("%s: got %q with %d left out", name, got, len(taken))
			}
			delete(try, name)
		}
		_ = taken[0].Close()
		taken = taken[1:]
	}
	if len(try) > 0 || failed < 6 {
		t.Errorf("%d refused; not done: %v", failed, try)
	}
}
