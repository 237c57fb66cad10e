package files

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// Forbid adds files and folders that are never read, nor anything in them,
// whatever folders are allowed: the server's own. They are recognised by what
// they are and not by their names, so links, mounts and other spellings lead
// nowhere. What does not exist yet, and what was replaced, is looked at again
// whenever something is opened.
func (f *Folders) Forbid(paths ...string) {
	f.forbidden.mu.Lock()
	defer f.forbidden.mu.Unlock()
	for _, path := range paths {
		if path == "" {
			continue
		}
		// The working folder may change; where it is not known, the path stays.
		if absolute, err := filepath.Abs(path); err == nil {
			path = absolute
		}
		f.forbidden.paths = append(f.forbidden.paths, path)
	}
}

// forbidden are paths that Forbid named.
type forbidden struct {
	mu    sync.Mutex
	paths []string
}

// now tells what stands at the paths at this moment.
func (f *forbidden) now() []fs.FileInfo {
	if f == nil {
		return nil
	}
	f.mu.Lock()
	paths := slices.Clip(f.paths)
	f.mu.Unlock()
	var there []fs.FileInfo
	for _, path := range paths {
		if info, err := os.Stat(path); err == nil {
			there = append(there, info)
		}
	}
	return there
}

func among(infos []fs.FileInfo, info fs.FileInfo) bool {
	return slices.ContainsFunc(infos, func(one fs.FileInfo) bool { return os.SameFile(one, info) })
}

// holdsFolder tells whether a folder, given by its path without links, is one of
// these or lies in one.
func holdsFolder(infos []fs.FileInfo, real string) bool {
	if len(infos) == 0 {
		return false
	}
	for {
		if info, err := os.Stat(real); err == nil && among(infos, info) {
			return true
		}
		above := filepath.Dir(real)
		if above == real {
			return false
		}
		real = above
	}
}

func belongs(name string) *Error {
	return notAllowed(actOtherPath, `"%s" belongs to this server`, Visible(name))
}
