package files

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// nonBlocking is nothing here: named pipes live outside the file system.
const nonBlocking = 0

// identify names a file, whatever path led to it, and counts its names.
func identify(f *os.File, _ fs.FileInfo) (id string, links uint64, err error) {
	var info syscall.ByHandleFileInformation
	if err := syscall.GetFileInformationByHandle(syscall.Handle(f.Fd()), &info); err != nil {
		return "", 0, err
	}
	index := uint64(info.FileIndexHigh)<<32 | uint64(info.FileIndexLow)
	return fmt.Sprint(info.VolumeSerialNumber, "/", index), uint64(info.NumberOfLinks), nil
}

// tooManyOpen tells that the process, or the system, can open no more files.
func tooManyOpen(err error) bool {
	const tooManyOpenFiles, noSystemResources = syscall.Errno(4), syscall.Errno(1450)
	return errors.Is(err, tooManyOpenFiles) || errors.Is(err, noSystemResources)
}
