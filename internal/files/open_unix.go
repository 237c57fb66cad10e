//go:build unix

package files

import (
	"io/fs"
	"os"
	"syscall"
)

// nonBlocking keeps the open of a pipe without a writer from waiting for one.
const nonBlocking = syscall.O_NONBLOCK

func linkCount(_ *os.File, info fs.FileInfo) (uint64, error) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, syscall.ENOTSUP
	}
	return uint64(stat.Nlink), nil // its type differs between systems
}
