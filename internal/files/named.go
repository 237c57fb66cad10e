package files

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// A Named is a file, or a glob, that the operator of this process named to have
// it sent. It is found where no folder is allowed, and nothing that lies beside
// it is; what the name leads to is judged as any other file is when it is opened.
type Named struct {
	name   string // by which a caller finds it
	folder string // absolute, without links
	file   []string
	globs  []globStart // instead of file
}

// Name is what a caller has to write for it: relative with slashes where it lies
// below the working folder, absolute elsewhere.
func (n Named) Name() string { return n.name }

// Glob reports whether it may stand for several files.
func (n Named) Glob() bool { return n.file == nil }

// NameFile finds what the operator named: a file, or a glob where no file has
// that name, relative to the working folder. A symbolic link stands for what it
// leads to now. Nothing is opened. Every error is an *Error.
func NameFile(name string) (Named, error) {
	working, at, fault := workingFolder()
	if fault != nil {
		return Named{}, fault
	}
	if fault := usable(name); fault != nil {
		return Named{}, fault
	}
	absolute := absoluteIn(working, name)
	if _, err := os.Lstat(absolute); err != nil && isGlob(name) {
		return nameGlob(name, working, at)
	}
	real, path, fault := resolve(absolute, name)
	if fault != nil {
		return Named{}, fault
	}
	info, err := os.Stat(real)
	if err != nil {
		return Named{}, invalid(actCheck, `"%s" can't be examined`, Visible(name))
	}
	if fault := regular(info.Mode(), name); fault != nil {
		return Named{}, fault
	}
	// The link's own name; that of what it leads to is judged with the file.
	if reason := secretReason(secretRules(), []string{filepath.Base(absolute)}); reason != "" {
		return Named{}, notAllowed(actSecret, `"%s" is named like a secret (%s)`, Visible(name), reason)
	}
	if reason := hostRules().refuseNamed(splitPath{absolute: true, volume: path.volume, elems: path.elems[:len(path.elems)-1]}); reason != "" {
		return Named{}, notAllowed(actSecret, `the folder of "%s" %s`, Visible(name), reason)
	}
	if below, ok := hostRules().inside(at, path); ok {
		return Named{name: strings.Join(below, "/"), folder: working, file: below}, nil
	}
	return Named{name: real, folder: filepath.Dir(real), file: []string{filepath.Base(real)}}, nil
}

// nameGlob is NameFile for a glob. Its alternatives may begin in several folders
// where all of these lie below the working folder.
func nameGlob(name, working string, at splitPath) (Named, error) {
	slashed := filepath.ToSlash(name)
	alternatives := []string{slashed}
	if doublestar.ValidatePattern(slashed) {
		alternatives = expand(slashed)
	}
	n := Named{name: slashed, folder: working}
	for _, one := range alternatives {
		fixed, rest := doublestar.SplitPattern(one)
		p, ok := newPattern(rest)
		if !ok {
			break
		}
		real, path, fault := resolve(absoluteIn(working, filepath.FromSlash(fixed)), name)
		if fault != nil {
			continue // no file is there
		}
		if reason := hostRules().refuseNamed(path); reason != "" {
			return Named{}, notAllowed(actSecret, `"%s" leads to a folder that %s`, Visible(name), reason)
		}
		below, ok := hostRules().inside(at, path)
		switch {
		case ok && filepath.IsLocal(filepath.FromSlash(fixed)):
			n.globs = append(n.globs, globStart{base: splitPath{elems: below}, patterns: []pattern{p}})
		case len(alternatives) > 1 || isGlob(real) || strings.Contains(filepath.ToSlash(real), `\`):
			return Named{}, invalid("Go to that folder first, or name its files one by one.", `the glob "%s" leads out of the working folder in too unusual a way`, Visible(name))
		default:
			n = Named{name: strings.TrimSuffix(filepath.ToSlash(real), "/") + "/" + rest, folder: real, globs: []globStart{{patterns: []pattern{p}}}}
		}
	}
	if len(n.globs) == 0 {
		return Named{}, invalid(actCheck, `no file matches "%s"`, Visible(name))
	}
	return n, nil
}

// usable refuses what is no name of a file in this system.
func usable(name string) *Error {
	switch {
	case strings.TrimSpace(name) == "":
		return invalid("Name a file's path.", "the path is empty")
	case len(name) > maxPath || strings.ContainsRune(name, 0):
		return invalid(actCheck, `"%s" is too long, or holds a NUL byte`, Visible(name))
	}
	return noURI(name)
}

func absoluteIn(working, name string) string {
	if filepath.IsAbs(name) {
		return filepath.Clean(name)
	}
	return filepath.Join(working, name)
}

func workingFolder() (string, splitPath, *Error) {
	working, err := os.Getwd()
	if err == nil {
		working, err = filepath.EvalSymlinks(working)
	}
	if err != nil {
		return "", splitPath{}, invalid("Go to a folder that exists.", "the working folder can't be found")
	}
	at, fault := hostRules().asOperator().split(working)
	return working, at, fault
}

// resolve follows the links of an absolute path.
func resolve(absolute, name string) (string, splitPath, *Error) {
	real, err := filepath.EvalSymlinks(absolute)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", splitPath{}, invalid(actCheck, `"%s" is not found`, Visible(name))
	case err != nil:
		return "", splitPath{}, invalid(actCheck, `"%s" can't be reached`, Visible(name))
	}
	path, fault := hostRules().asOperator().split(real)
	return real, path, fault
}

// refuseNamed tells why a folder can't hold a file that the operator names, or
// returns "". The home folder and the root can, as nothing but the file is read.
func (p pathRules) refuseNamed(folder splitPath) string {
	if len(folder.elems) == 0 {
		return ""
	}
	return p.refuseFolder(folder, splitPath{}, secretRules())
}

// admitted is all that may be read in a folder in which the operator named files.
type admitted struct {
	names map[string]bool // as callers find them
	files map[string]bool // elements, joined
	globs []globStart
}

// admits tells whether the file of these elements may be read. Where the folder
// itself is allowed, any may.
func (fo *folder) admits(elems []string) bool {
	if fo.only == nil || fo.only.files[strings.Join(elems, "/")] {
		return true
	}
	return slices.ContainsFunc(fo.only.globs, func(g globStart) bool {
		base := g.base.elems
		if len(elems) <= len(base) || !slices.Equal(base, elems[:len(base)]) {
			return false
		}
		return slices.ContainsFunc(g.patterns, func(p pattern) bool { return p.match(elems[len(base):]) })
	})
}

// admitsGlob tells whether a glob may be looked for.
func (fo *folder) admitsGlob(name string) bool { return fo.only == nil || fo.only.names[name] }

// Admit has the operator's named files be found, before what is in the allowed
// folders. It takes effect with the next Set.
func (f *Folders) Admit(named ...Named) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.named = append(f.named, named...)
}

// openNamed opens the folders of the named files, each once.
func (f *Folders) openNamed() (places []place, refused []Refusal) {
	f.mu.Lock()
	named := slices.Clip(f.named)
	f.mu.Unlock()
	only := map[string]*admitted{}
	var folders []string
	for _, n := range named {
		a := only[n.folder]
		if a == nil {
			a = &admitted{names: map[string]bool{}, files: map[string]bool{}}
			only[n.folder] = a
			folders = append(folders, n.folder)
		}
		a.names[n.name] = true
		a.globs = append(a.globs, n.globs...)
		if n.file != nil {
			a.files[strings.Join(n.file, "/")] = true
		}
	}
	for i, name := range folders {
		reason := "is one too many to name files in"
		var opened *folder
		if i < maxFolders/2 {
			opened, reason = f.openFolder(name, only[name])
		}
		if reason != "" {
			refused = append(refused, Refusal{Visible(name), reason})
			continue
		}
		places = append(places, place{name: name, named: opened.named, real: opened.real, open: opened, only: opened.only})
	}
	return places, refused
}
