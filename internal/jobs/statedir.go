package jobs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// ErrStateFolder is matched by the refusal of a folder in which another could
// read or change the ledger.
var ErrStateFolder = errors.New("the state folder can't be trusted")

// prepareFolder makes the folder, or checks that it is the user's own.
func prepareFolder(dir string) error {
	info, err := os.Lstat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		info, err = os.Lstat(dir)
	}
	if err != nil {
		return err
	}
	if err := judgeFolder(dir, info); err != nil {
		return err
	}
	if othersMayRead(info) {
		return os.Chmod(dir, 0o700)
	}
	return nil
}

// judgeFolder refuses what is not the user's own folder.
func judgeFolder(dir string, info fs.FileInfo) error {
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		return fmt.Errorf("%w: %s is a symbolic link; name the folder that it leads to", ErrStateFolder, dir)
	case !info.IsDir():
		return fmt.Errorf("%w: %s is not a folder", ErrStateFolder, dir)
	case !ownedByUser(info):
		return fmt.Errorf("%w: %s belongs to another user", ErrStateFolder, dir)
	case othersMayWrite(info):
		return fmt.Errorf("%w: others may write in %s; give it mode 0700", ErrStateFolder, dir)
	}
	return nil
}

// prepareFile makes the file with mode 0600, which SQLite gives to the files
// beside it, or checks that it is the user's own.
func prepareFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		return f.Close()
	}
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if err := judgeFile(path, info); err != nil {
		return err
	}
	if othersMayRead(info) {
		return os.Chmod(path, 0o600)
	}
	return nil
}

// judgeFile refuses what is not the user's own file.
func judgeFile(path string, info fs.FileInfo) error {
	switch {
	case !info.Mode().IsRegular():
		return fmt.Errorf("%w: %s is not a regular file", ErrStateFolder, path)
	case !ownedByUser(info):
		return fmt.Errorf("%w: %s belongs to another user", ErrStateFolder, path)
	}
	return nil
}
