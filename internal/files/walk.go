package files

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
)

const (
	maxLinks = 40   // as Linux follows
	maxSteps = 1000 // elements of one path, those of its links included
)

// A walk goes down one path, element by element, each from the open folder
// above it. Links are resolved here and not by the system, so that the name of
// everything on the way is seen and judged; an element that is something else
// when it is opened than when it was looked at ends the walk with errSwapped.
type walk struct {
	ctx     context.Context
	rules   pathRules
	secrets []secretRule
	folder  *folder
	name    string // as the caller wrote it

	forbidden []fs.FileInfo

	dirs  []*os.Root // the open folders, the allowed one first
	at    []string   // the elements that led to the last of them
	links int
}

// close closes all folders but the allowed one.
func (w *walk) close() { w.climb(1) }

func (w *walk) climb(to int) {
	for len(w.dirs) > to {
		_ = w.dirs[len(w.dirs)-1].Close() // was only read through
		w.dirs = w.dirs[:len(w.dirs)-1]
	}
	w.at = w.at[:min(len(w.at), to-1)]
}

// open walks the elements and opens the file at their end; of a folder it
// returns nil. at then holds the path without links.
func (w *walk) open(todo []string) (*os.File, error) {
	for steps := 0; len(todo) > 0; steps++ {
		if err := w.ctx.Err(); err != nil {
			return nil, err
		}
		if steps > maxSteps || len(todo) > maxSteps {
			return nil, w.loop()
		}
		elem := todo[0]
		todo = todo[1:]
		if elem == "" || elem == "." {
			continue
		}
		if elem == ".." {
			if len(w.at) == 0 {
				return nil, w.escapes()
			}
			w.climb(len(w.dirs) - 1)
			continue
		}
		info, err := w.look(elem)
		if err != nil {
			return nil, err
		}
		switch {
		case info.Mode()&fs.ModeSymlink != 0:
			if todo, err = w.follow(elem, todo); err != nil {
				return nil, err
			}
		case info.IsDir():
			if err := w.enter(elem, info); err != nil {
				return nil, err
			}
		case len(todo) > 0:
			return nil, errNotFound // a path through a file
		default:
			return w.openLast(elem, info)
		}
	}
	return nil, nil
}

// look judges an element by its name and says what stands there.
func (w *walk) look(elem string) (fs.FileInfo, error) {
	if fault := w.rules.checkElement(elem); fault != "" {
		return nil, notAllowed(actOtherPath, `the path "%s" %s`, Visible(w.name), fault)
	}
	if reason := secretReason(w.secrets, slices.Concat(w.folder.hidden(), w.at, []string{elem})); reason != "" {
		return nil, notAllowed(actSecret, `"%s" is, or leads to, a file named like a secret (%s)`, Visible(w.name), reason)
	}
	info, err := w.top().Lstat(elem)
	if err != nil {
		return nil, w.explain(err)
	}
	return info, nil
}

// hidden is the folder's own name where it has a dot, so that config.json is seen
// for what it is where .docker itself is allowed.
func (fo *folder) hidden() []string {
	last := fo.at.elems[max(0, len(fo.at.elems)-1):]
	if len(last) == 1 && strings.HasPrefix(last[0], ".") {
		return last
	}
	return nil
}

func (w *walk) top() *os.Root { return w.dirs[len(w.dirs)-1] }

// follow replaces a link by the elements of its target.
func (w *walk) follow(elem string, todo []string) ([]string, error) {
	if w.links++; w.links > maxLinks {
		return nil, w.loop()
	}
	target, err := w.top().Readlink(elem)
	if tooManyOpen(err) {
		return nil, exhausted()
	}
	if err != nil {
		return nil, errSwapped
	}
	if target == "" || len(target) > maxPath || strings.ContainsRune(target, 0) {
		return nil, w.escapes()
	}
	rest := w.rules.elements(target)
	if w.rooted(target) {
		split, fault := w.rules.split(target)
		if fault != nil {
			return nil, w.escapes()
		}
		below, ok := w.folder.below(split)
		if !ok {
			return nil, w.escapes()
		}
		w.climb(1)
		rest = below
	}
	return append(rest[:len(rest):len(rest)], todo...), nil
}

// rooted tells a link's target that does not start from the link's own folder.
func (w *walk) rooted(target string) bool {
	if !w.rules.windows {
		return strings.HasPrefix(target, "/")
	}
	return strings.ContainsAny(target[:1], `\/`) || strings.Contains(target, ":")
}

// enter opens a folder and steps into it.
func (w *walk) enter(elem string, seen fs.FileInfo) error {
	// With "/." the system is told that it must be a folder: a pipe put in its
	// place would block the open for ever.
	dir, err := w.top().OpenRoot(elem + "/.")
	if errors.Is(err, fs.ErrPermission) || tooManyOpen(err) {
		return w.explain(err)
	}
	if err != nil {
		return errSwapped
	}
	if now, err := dir.Stat("."); err != nil || !os.SameFile(seen, now) {
		_ = dir.Close()
		return errSwapped
	}
	if among(w.forbidden, seen) {
		_ = dir.Close()
		return belongs(w.name)
	}
	w.dirs = append(w.dirs, dir)
	w.at = append(w.at, elem)
	return nil
}

// openLast opens the file itself, if it is still what was looked at.
func (w *walk) openLast(elem string, seen fs.FileInfo) (*os.File, error) {
	if w.folder != nil && !w.folder.admits(append(w.at[:len(w.at):len(w.at)], elem)) {
		return nil, w.escapes() // a link stands where a named file was
	}
	if fault := regular(seen.Mode(), w.name); fault != nil {
		return nil, fault
	}
	f, err := w.top().OpenFile(elem, os.O_RDONLY|nonBlocking, 0)
	if errors.Is(err, fs.ErrPermission) || tooManyOpen(err) {
		return nil, w.explain(err)
	}
	if err != nil {
		return nil, errSwapped
	}
	if now, err := f.Stat(); err != nil || !os.SameFile(seen, now) {
		_ = f.Close()
		return nil, errSwapped
	}
	// Looked at again: it may have been made since the walk began.
	if among(w.forbidden, seen) || w.folder != nil && among(w.folder.forbidden.now(), seen) {
		_ = f.Close()
		return nil, belongs(w.name)
	}
	w.at = append(w.at, elem)
	return f, nil
}

func (w *walk) explain(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errNotFound
	case tooManyOpen(err):
		return exhausted()
	case errors.Is(err, fs.ErrPermission):
		return invalid("Ask the operator to let the server read it.", `the server may not read "%s"`, Visible(w.name))
	}
	return invalid(actCheck, `"%s" can't be opened`, Visible(w.name))
}

func exhausted() *Error {
	return invalid("Try again in a moment.", "the server has too many files open")
}

func (w *walk) escapes() *Error {
	return notAllowed(actOtherPath, `"%s" leads out of its allowed folder through a symbolic link`, Visible(w.name))
}

func (w *walk) loop() *Error {
	return invalid(actCheck, `"%s" leads through too many symbolic links`, Visible(w.name))
}

// shownPath writes a path for people and models.
func shownPath(fo *folder, elems []string, relative bool) string {
	shown := strings.Join(elems, "/")
	if !relative {
		shown = strings.TrimSuffix(strings.ReplaceAll(fo.real, string(os.PathSeparator), "/"), "/") + "/" + shown
	}
	return visible(shown, 3*maxPath)
}
