package jobs

import (
	"errors"
	"io/fs"
	"os"
	"strconv"
	"syscall"
)

const (
	queryLimitedInformation = 0x1000 // PROCESS_QUERY_LIMITED_INFORMATION
	stillActive             = 259    // STILL_ACTIVE
)

func machine() string {
	host, _ := os.Hostname()
	return host
}

func alive(pid int) bool {
	h, err := syscall.OpenProcess(queryLimitedInformation, false, uint32(pid))
	if err != nil {
		return errors.Is(err, syscall.ERROR_ACCESS_DENIED)
	}
	defer syscall.CloseHandle(h)
	var code uint32
	return syscall.GetExitCodeProcess(h, &code) != nil || code == stillActive
}

// startOf is when a process started, in 100 ns since 1601.
func startOf(pid int) string {
	h, err := syscall.OpenProcess(queryLimitedInformation, false, uint32(pid))
	if err != nil {
		return ""
	}
	defer syscall.CloseHandle(h)
	var created, exited, kernel, user syscall.Filetime
	if syscall.GetProcessTimes(h, &created, &exited, &kernel, &user) != nil {
		return ""
	}
	return strconv.FormatInt(created.Nanoseconds(), 10)
}

// A user's state folder is closed to others by its access list, which modes do
// not show.
func ownedByUser(fs.FileInfo) bool    { return true }
func othersMayRead(fs.FileInfo) bool  { return false }
func othersMayWrite(fs.FileInfo) bool { return false }

// writable is told by the attempt only.
func writable(string) error { return nil }
