//go:build unix && !linux

package jobs

import (
	"errors"
	"os"
	"syscall"
)

func machine() string {
	host, _ := os.Hostname()
	return host
}

func alive(pid int) bool {
	err := syscall.Kill(pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}

// startOf is not told without a library; a pid that was used again is noticed
// when the lease runs out.
func startOf(int) string { return "" }
