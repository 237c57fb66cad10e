package jobs

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
)

// machine names the boot and the pid namespace: a container may share both the
// ledger and its host's name with others.
func machine() string {
	host, _ := os.Hostname()
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	namespace, _ := os.Readlink("/proc/self/ns/pid")
	return strings.Join([]string{host, strings.TrimSpace(string(boot)), namespace}, " ")
}

// alive reports whether a process is there and has not ended: one that its
// parent has not waited for yet has.
func alive(pid int) bool {
	if err := syscall.Kill(pid, 0); err != nil && !errors.Is(err, syscall.EPERM) {
		return false
	}
	fields := stat(pid)
	return len(fields) == 0 || !bytes.Equal(fields[0], []byte("Z")) && !bytes.Equal(fields[0], []byte("X"))
}

// startOf is when a process started, in clock ticks since the boot.
func startOf(pid int) string {
	const startTime = 22 - 3 // proc(5); stat begins with the third field
	if fields := stat(pid); len(fields) > startTime {
		return string(fields[startTime])
	}
	return ""
}

// stat is /proc/PID/stat from the state on: what is before may hold spaces.
func stat(pid int) [][]byte {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	end := bytes.LastIndexByte(b, ')')
	if end < 0 {
		return nil
	}
	return bytes.Fields(b[end+1:])
}
