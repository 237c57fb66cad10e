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
