package hosts

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// File is a configuration on disk as it was read.
type File struct {
	Path   string // of the file itself, behind symbolic links
	Text   []byte // nil where there is none
	Exists bool
	info   fs.FileInfo
}

// maxLinks is how many symbolic links may follow on each other.
const maxLinks = 40

// Read reads a configuration of at most MaxSize. There being none is no error.
func Read(path string) (*File, error) {
	f := &File{Path: path}
	for range maxLinks {
		info, err := os.Lstat(f.Path)
		if errors.Is(err, fs.ErrNotExist) {
			return f, nil
		}
		if err != nil {
			return nil, err
		}
		if info.Mode()&fs.ModeSymlink != 0 {
			target, err := os.Readlink(f.Path)
			if err != nil {
				return nil, err
			}
			if f.Path, err = follow(f.Path, target); err != nil {
				return nil, err
			}
			continue
		}
		if !info.Mode().IsRegular() {
			return nil, fmt.Errorf("%s is not a regular file", f.Path)
		}
		f.Exists, f.info = true, info
		f.Text, err = readAll(f.Path)
		return f, err
	}
	return nil, fmt.Errorf("%s: too many symbolic links", path)
}

// follow is the path of what a link refers to. A .. in the target is meant from
// where folders really are, which may be behind links, too.
func follow(link, target string) (string, error) {
	if !filepath.IsAbs(target) {
		dir, err := filepath.EvalSymlinks(filepath.Dir(link))
		if err != nil {
			return "", err
		}
		target = dir + string(filepath.Separator) + target
	}
	dir, base := filepath.Split(target) // not Dir, which would leave out a folder before ..
	dir, err := filepath.EvalSymlinks(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return filepath.Clean(target), nil
	}
	return filepath.Join(dir, base), err
}

func readAll(path string) ([]byte, error) {
	r, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	text, err := io.ReadAll(io.LimitReader(r, MaxSize+1))
	if err == nil && len(text) > MaxSize {
		err = fmt.Errorf("%s is larger than %d MiB", path, MaxSize>>20)
	}
	return text, err
}

// ErrChanged is a file that another program has changed, or made, since it was
// read.
var ErrChanged = errors.New("it was changed meanwhile by another program")

// Write puts a text in the place of the file, whole or not at all, with the
// owner and the permissions that it had, mode where it is new; folders are made.
// What was there is kept beside it, at the path that is returned. Where another
// program has changed the file since it was read, that is ErrChanged, and it is
// left alone, as is one that may not be written. Writers of this kind wait for
// each other.
func (f *File) Write(text []byte, mode fs.FileMode) (backup string, err error) {
	if f.Exists {
		mode = f.info.Mode().Perm()
		if mode&0o200 == 0 {
			return "", fmt.Errorf("%s is read-only", f.Path)
		}
	} else if err := os.MkdirAll(filepath.Dir(f.Path), 0o755); err != nil {
		return "", err
	}
	unlock, err := lock(f.Path)
	if err != nil {
		return "", err
	}
	defer unlock()
	fresh, err := f.beside(text, mode)
	if err != nil {
		return "", err
	}
	defer os.Remove(fresh) // gone by then, where it has become the file
	if f.Exists {
		if backup, err = f.backup(mode); err != nil {
			return "", err
		}
	}
	if err := f.replace(fresh); err != nil {
		if backup != "" {
			_ = os.Remove(backup)
		}
		return "", err
	}
	return backup, nil
}

// backup keeps what was read, under a name that no file has.
func (f *File) backup(mode fs.FileMode) (string, error) {
	stem := f.Path + "." + time.Now().UTC().Format("20060102-150405")
	for i := range 100 {
		name := fmt.Sprintf("%s-%d.bak", stem, i)
		if i == 0 {
			name = stem + ".bak"
		}
		w, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		_, err = w.Write(f.Text)
		if err = errors.Join(err, f.like(w, mode), w.Close()); err != nil {
			_ = os.Remove(name)
			return "", err
		}
		return name, nil
	}
	return "", fmt.Errorf("too many backups of %s", f.Path)
}

// beside writes a new file in the same folder.
func (f *File) beside(text []byte, mode fs.FileMode) (string, error) {
	w, err := os.CreateTemp(filepath.Dir(f.Path), ".nemotron-mcp-*")
	if err != nil {
		return "", err
	}
	_, err = w.Write(text)
	if err = errors.Join(err, f.like(w, mode), w.Sync(), w.Close()); err != nil {
		_ = os.Remove(w.Name())
		return "", err
	}
	return w.Name(), nil
}

// like gives a new file the mode, and the owner of the old file where there is one.
func (f *File) like(w *os.File, mode fs.FileMode) error {
	if f.Exists {
		if err := sameOwner(w, f.info); err != nil {
			return err
		}
	}
	return w.Chmod(mode)
}

// replace gives the fresh file the name of the old one, unless that is another by
// now.
func (f *File) replace(fresh string) error {
	if !f.Exists {
		err := os.Link(fresh, f.Path) // which replaces nothing
		if err == nil || errors.Is(err, fs.ErrExist) {
			return changed(err)
		}
		// A file system without hard links.
		if _, err := os.Lstat(f.Path); !errors.Is(err, fs.ErrNotExist) {
			return ErrChanged
		}
		return os.Rename(fresh, f.Path)
	}
	now, err := readAll(f.Path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !bytes.Equal(now, f.Text) {
		return ErrChanged
	}
	if err != nil {
		return err
	}
	return os.Rename(fresh, f.Path)
}

func changed(err error) error {
	if err != nil {
		return ErrChanged
	}
	return nil
}
