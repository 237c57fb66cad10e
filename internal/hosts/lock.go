package hosts

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

const (
	// lockStale is when a lock belongs to a process that is gone: a write takes
	// milliseconds.
	lockStale = time.Minute
	// lockWait is how long another writer is waited for, lockPoll how often it is
	// looked after.
	lockWait = 10 * time.Second
	lockPoll = 5 * time.Millisecond
)

// lock keeps other writers of this kind from a file, by a file beside it, until
// unlock is called.
func lock(path string) (unlock func(), err error) {
	name := filepath.Join(filepath.Dir(path), ".nemotron-mcp-"+filepath.Base(path)+".lock")
	for end := time.Now().Add(lockWait); ; time.Sleep(lockPoll) {
		w, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err == nil {
			return func() { _ = os.Remove(name) }, w.Close()
		}
		info, statErr := os.Lstat(name)
		switch {
		case statErr == nil && time.Since(info.ModTime()) > lockStale:
			if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, err
			}
		case statErr != nil && !errors.Is(statErr, fs.ErrNotExist),
			!errors.Is(err, fs.ErrExist) && !errors.Is(err, fs.ErrPermission): // on Windows of one that is being removed
			return nil, err
		case time.Now().After(end):
			if !errors.Is(err, fs.ErrExist) {
				return nil, err
			}
			return nil, fmt.Errorf("another process is writing it: %s; remove that file where none is", name)
		}
	}
}
