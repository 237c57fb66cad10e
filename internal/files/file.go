package files

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"time"
)

// A File is an open file that was judged and allowed. It is read from the very
// descriptor that was judged. ReadAt is safe for concurrent use.
type File struct {
	f       *os.File
	shown   string
	folder  *folder
	elems   []string // as it was named, below folder
	rank    int      // of folder among the allowed ones
	key     string   // the same for the same file, however it was named
	size    int64
	modTime time.Time
}

// Size is the file's size in bytes when it was opened. Nothing is read beyond it.
func (f *File) Size() int64 { return f.size }

// ModTime is the file's time of change when it was opened.
func (f *File) ModTime() time.Time { return f.modTime }

// Path is the file's path to show: relative to its folder where a relative path
// would find it, absolute otherwise, with slashes, what is invisible made visible.
func (f *File) Path() string { return f.shown }

// Name is a plain name for fal; see PlainName.
func (f *File) Name() string { return PlainName(f.elems[len(f.elems)-1]) }

// ReadAt reads as io.ReaderAt asks, as far as the file reached when it was
// opened. A file that has become shorter is an *Error, not the end.
func (f *File) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("files: negative offset")
	}
	if off >= f.size {
		return 0, io.EOF
	}
	cut := int64(len(p)) > f.size-off
	if cut {
		p = p[:f.size-off]
	}
	n, err := f.f.ReadAt(p, off)
	switch {
	case errors.Is(err, io.EOF) && n < len(p):
		return n, f.changed()
	case err != nil && !errors.Is(err, io.EOF):
		return n, invalid(actAgain, `"%s" can't be read to its end`, f.shown)
	case cut || off+int64(n) == f.size:
		return n, io.EOF
	}
	return n, nil
}

// Changed returns an *Error when the file's size or time of change is no longer
// what it was when it was opened. Ask it after the last byte was read.
func (f *File) Changed() error {
	now, err := f.f.Stat()
	if err != nil || now.Size() != f.size || !now.ModTime().Equal(f.modTime) {
		return f.changed()
	}
	return nil
}

func (f *File) changed() *Error {
	return invalid(actAgain, `"%s" changed while it was read`, f.shown)
}

// Close closes the file.
func (f *File) Close() error { return f.f.Close() }

// Open opens the file that a caller named, for reading. A relative path is
// looked up in the allowed folders in their order, an absolute one must lie in
// one of them. A file larger than maxSize bytes is refused. Every error that is
// not the context's is an *Error. The caller closes the file.
func (f *Folders) Open(ctx context.Context, name string, maxSize int64) (*File, error) {
	now, release := f.hold()
	defer release()
	return now.open(ctx, name, maxSize)
}

func (v view) open(ctx context.Context, name string, maxSize int64) (*File, error) {
	file, err := v.lookUp(ctx, name, maxSize)
	switch {
	case errors.Is(err, errNotFound):
		return nil, missing(name)
	case errors.Is(err, errOutside):
		return nil, v.outside(name)
	}
	return file, err
}

// lookUp is open that says errNotFound where nothing has that name, and
// errOutside where no folder is allowed that could hold it.
func (v view) lookUp(ctx context.Context, name string, maxSize int64) (*File, error) {
	path, fault := hostRules().split(name)
	if fault != nil {
		return nil, fault
	}
	within := false
	for rank, folder := range v.folders {
		elems, ok := folder.below(path)
		if !ok || !folder.admits(elems) {
			continue
		}
		within = true
		file, err := folder.open(ctx, elems, name, maxSize)
		if errors.Is(err, errNotFound) && !path.absolute {
			continue
		}
		if err != nil {
			return nil, err
		}
		file.folder, file.elems, file.rank = folder, elems, rank
		file.shown = shownPath(folder, elems, rank == 0 || !path.absolute)
		return file, nil
	}
	if within {
		return nil, errNotFound
	}
	return nil, errOutside
}

// below returns the elements of a path below the folder: those of a relative
// one, and of an absolute one that lies in it.
func (fo *folder) below(path splitPath) ([]string, bool) {
	if !path.absolute {
		return path.elems, true
	}
	rules := hostRules()
	if elems, ok := rules.inside(fo.at, path); ok {
		return elems, true
	}
	return rules.inside(fo.named, path)
}

func missing(name string) *Error {
	return invalid(actCheck+" A relative path is looked up in the allowed folders.", `"%s" is not found in the allowed folders`, Visible(name))
}

// open opens the file of these elements, again where it was replaced meanwhile.
func (fo *folder) open(ctx context.Context, elems []string, name string, maxSize int64) (*File, error) {
	var file *File
	err := fo.walk(ctx, elems, name, func(f *os.File) error {
		if f == nil {
			return regular(fs.ModeDir, name)
		}
		var err error
		if file, err = judge(f, name, maxSize); err != nil {
			_ = f.Close()
		}
		return err
	})
	return file, err
}

// reach tells by its error whether the elements lead to a folder that may be
// looked into.
func (fo *folder) reach(ctx context.Context, elems []string, name string) error {
	return fo.walk(ctx, elems, name, func(f *os.File) error {
		if f == nil {
			return nil
		}
		_ = f.Close() // was not read
		return errNotFound
	})
}

// walk goes down the elements, again where something was replaced meanwhile, and
// gives what it finds at their end: an open file, or nil for a folder.
func (fo *folder) walk(ctx context.Context, elems []string, name string, found func(f *os.File) error) error {
	const attempts = 3
	for range attempts {
		w := walk{
			ctx: ctx, rules: hostRules(), secrets: secretRules(), folder: fo, name: name,
			dirs: []*os.Root{fo.root}, forbidden: fo.forbidden.now(),
		}
		if holdsFolder(w.forbidden, fo.real) {
			return belongs(name)
		}
		f, err := w.open(elems)
		w.close()
		if err == nil {
			err = found(f)
		}
		if !errors.Is(err, errSwapped) {
			return err
		}
	}
	return invalid(actAgain, `"%s" was replaced again and again while it was opened`, Visible(name))
}

// judge decides by the open descriptor. Its error is an *Error or errSwapped.
func judge(f *os.File, name string, maxSize int64) (*File, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, invalid(actCheck, `"%s" can't be examined`, Visible(name))
	}
	if fault := regular(info.Mode(), name); fault != nil {
		return nil, fault
	}
	id, links, err := identify(f, info)
	if err != nil {
		return nil, invalid(actCheck, `"%s" can't be examined`, Visible(name))
	}
	if links == 0 {
		return nil, errSwapped // another was renamed over it, or it was removed
	}
	if links != 1 {
		return nil, notAllowed("Copy the file, so that it stands for itself only.",
			`"%s" has %d hard links: it can be a file from outside the allowed folders`, Visible(name), links)
	}
	if info.Size() > maxSize {
		return nil, invalid("Send a smaller file.", `"%s" has %s; the limit is %d`, Visible(name), count(info.Size(), "byte"), maxSize)
	}
	return &File{f: f, key: id, size: info.Size(), modTime: info.ModTime()}, nil
}

func regular(mode fs.FileMode, name string) *Error {
	kind := "no regular file"
	switch {
	case mode.IsRegular():
		return nil
	case mode.IsDir():
		return invalid("Name the files in it, or use a glob where one is taken.", `"%s" is a folder`, Visible(name))
	case mode&fs.ModeNamedPipe != 0:
		kind = "a named pipe"
	case mode&fs.ModeSocket != 0:
		kind = "a socket"
	case mode&fs.ModeDevice != 0:
		kind = "a device"
	}
	return notAllowed("Name a regular file.", `"%s" is %s`, Visible(name), kind)
}
