package jobs

import "syscall"

// mountLocal is MNT_LOCAL of sys/mount.h.
const mountLocal = 0x1000

// remote reports whether a folder is on a network file system.
func remote(dir string) bool {
	var stat syscall.Statfs_t
	return syscall.Statfs(dir, &stat) == nil && stat.Flags&mountLocal == 0
}
