//go:build unix

package hosts_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestWriteKeepsOwner: what root writes for somebody stays theirs, with its copy.
func TestWriteKeepsOwner(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	const uid, gid = 12345, 23456
	path := filepath.Join(t.TempDir(), "mcp.json")
	put(t, path, "old", 0o640)
	if err := os.Chown(path, uid, gid); err != nil {
		t.Fatal(err)
	}
	backup, err := read(t, path).Write([]byte("new"), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, backup} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if stat := info.Sys().(*syscall.Stat_t); stat.Uid != uid || stat.Gid != gid || info.Mode().Perm() != 0o640 {
			t.Errorf("%s is of %d:%d, mode %v", name, stat.Uid, stat.Gid, info.Mode())
		}
	}
}
