package tools

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/rs/zerolog"
)

// TestOwnFiles holds that what the server keeps for itself stays so, and that
// callers who are elsewhere learn no path.
func TestOwnFiles(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	own, outside := writeIn(t, dir, "state/ledger.db", []byte("own")), filepath.Join(t.TempDir(), "x")
	f := NewFolders([]string{dir, filepath.Join(dir, "missing")}, zerolog.Nop())
	defer f.Close()
	f.Forbid(filepath.Dir(own))
	f.Discreet(true)
	folders := f.of(t.Context())
	if _, err := folders.Open(t.Context(), own, 100); err == nil || !strings.Contains(err.Error(), "belongs to this server") {
		t.Errorf("the server's own file: %v", err)
	}
	_, err := folders.Open(t.Context(), outside, 100)
	if err == nil || strings.Contains(err.Error(), dir) {
		t.Errorf("outside: %v", err)
	}
}
