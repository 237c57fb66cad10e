//go:build unix

package jobs

import (
	"io/fs"
	"os"
	"syscall"
)

func ownedByUser(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Geteuid()
}

func othersMayRead(info fs.FileInfo) bool  { return info.Mode()&0o077 != 0 }
func othersMayWrite(info fs.FileInfo) bool { return info.Mode()&0o022 != 0 }

// mayWrite is W_OK and X_OK of access(2).
const mayWrite = 0x2 | 0x1

// writable is why no file can be made in the folder, or nil.
func writable(dir string) error {
	if err := syscall.Access(dir, mayWrite); err != nil {
		return &fs.PathError{Op: "access", Path: dir, Err: err}
	}
	return nil
}
