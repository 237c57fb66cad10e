package jobs

import (
	"path/filepath"
	"strings"
	"syscall"
	"unsafe"
)

// driveRemote is DRIVE_REMOTE of GetDriveType.
const driveRemote = 4

// remote reports whether a folder is on a network drive.
func remote(dir string) bool {
	volume := filepath.VolumeName(dir)
	if strings.HasPrefix(volume, `\\`) {
		return true
	}
	root, err := syscall.UTF16PtrFromString(volume + `\`)
	if err != nil || volume == "" {
		return false
	}
	kind, _, _ := syscall.NewLazyDLL("kernel32.dll").NewProc("GetDriveTypeW").Call(uintptr(unsafe.Pointer(root)))
	return kind == driveRemote
}
