package files

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// allow returns Folders of the given folders, none of which may be refused.
func allow(t *testing.T, dirs ...string) *Folders {
	t.Helper()
	f := &Folders{home: func() (string, error) { return filepath.Join(t.TempDir(), "home"), nil }}
	if refused := f.Set(dirs); len(refused) > 0 {
		t.Fatalf("refused: %v", refused)
	}
	t.Cleanup(f.Close)
	return f
}

// tree writes files, named with slashes, and returns the folder without links.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		write(t, filepath.Join(dir, filepath.FromSlash(name)), content)
	}
	return dir
}

func write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// wantError checks the code and a part of the message of an *Error.
func wantError(t *testing.T, err error, code, part string) *Error {
	t.Helper()
	var fault *Error
	if !errors.As(err, &fault) {
		t.Fatalf("got %v, want an *Error", err)
	}
	if fault.Code != code || !strings.Contains(fault.Message, part) {
		t.Errorf("got %v, want %s with %q", fault, code, part)
	}
	if fault.Action == "" || !strings.HasSuffix(fault.Action, ".") {
		t.Errorf("%v: action %q is no sentence", fault, fault.Action)
	}
	if Visible(fault.Message) != fault.Message && len(fault.Message) < maxShown {
		t.Errorf("the message %q is not printable", fault.Message)
	}
	return fault
}
