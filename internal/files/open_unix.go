//go:build unix

package files

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// nonBlocking keeps the open of a pipe without a writer from waiting for one.
const nonBlocking = syscall.O_NONBLOCK

// identify names a file, whatever path led to it, and counts its names.
func identify(_ *os.File, info fs.FileInfo) (id string, links uint64, err error) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "", 0, syscall.ENOTSUP
	}
	// The types differ between systems.
	return fmt.Sprint(uint64(stat.Dev), "/", uint64(stat.Ino)), uint64(stat.Nlink), nil
}

// tooManyOpen tells that the process, or the system, can open no more files.
func tooManyOpen(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}
