package files

import (
	"io/fs"
	"os"
	"syscall"
)

// nonBlocking is nothing here: named pipes live outside the file system.
const nonBlocking = 0

func linkCount(f *os.File, _ fs.FileInfo) (uint64, error) {
	var info syscall.ByHandleFileInformation
	if err := syscall.GetFileInformationByHandle(syscall.Handle(f.Fd()), &info); err != nil {
		return 0, err
	}
	return uint64(info.NumberOfLinks), nil
}
