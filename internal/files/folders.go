package files

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// Folders are the folders in which a caller may name files. The zero value
// allows none. It is safe for concurrent use.
type Folders struct {
	mu        sync.Mutex
	current   []place // replaced as a whole, never changed
	refused   []Refusal
	discreet  bool
	forbidden forbidden
	named     []Named
	// home replaces the user's home folder in tests.
	home func() (string, error)
}

// A place is a folder that was allowed, and what is open of it now.
type place struct {
	name   string    // as it was given
	named  splitPath // name
	real   string    // its path without links
	open   *folder   // nil where it is gone
	reason string    // why it is
	only   *admitted // what may be read in it; nil for all
}

// A folder is held by the Folders and by each call that reads in it; the last
// one closes it.
type folder struct {
	root      *os.Root
	real      string    // its path without links
	at        splitPath // real
	named     splitPath // as the operator wrote it
	forbidden *forbidden
	only      *admitted // what may be read in it; nil for all

	mu   sync.Mutex
	held int
}

// A Refusal tells the operator why a folder is not allowed.
type Refusal struct {
	Folder string // as it was given, made visible
	Reason string // goes after the folder in a sentence
}

// String returns one line for a log or a terminal.
func (r Refusal) String() string { return `folder "` + r.Folder + `" ` + r.Reason }

// Set replaces the allowed folders by the given lists, in their order, and
// returns those that it refused, among them those beyond the first 64; a folder
// given twice counts once. Calls under
// way end with the folders that they began with. A folder that is a symbolic
// link is resolved now, once.
func (f *Folders) Set(lists ...[]string) []Refusal {
	next, refused := f.openNamed()
	for _, list := range lists {
		for _, name := range list {
			opened, reason := f.openFolder(name, nil)
			if reason != "" {
				refused = append(refused, Refusal{Visible(name), reason})
				continue
			}
			if holds(next, opened.real) {
				opened.release()
				continue
			}
			if len(next) == maxFolders {
				opened.release()
				refused = append(refused, Refusal{Visible(name), fmt.Sprintf("is one too many: at most %d are allowed", maxFolders)})
				continue
			}
			next = append(next, place{name: name, named: opened.named, real: opened.real, open: opened})
		}
	}
	f.mu.Lock()
	former := f.current
	f.current, f.refused = next, slices.Clone(refused)
	f.mu.Unlock()
	for _, place := range former {
		place.close()
	}
	return refused
}

func (p place) close() {
	if p.open != nil {
		p.open.release()
	}
}

// Close lets go of the folders; none is allowed from then on.
func (f *Folders) Close() {
	f.mu.Lock()
	f.named = nil
	f.mu.Unlock()
	f.Set()
}

// List returns the allowed folders' paths, without links, in their order.
func (f *Folders) List() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := make([]string, 0, len(f.current))
	for _, place := range f.current {
		if place.only == nil {
			list = append(list, place.real)
		}
	}
	return list
}

func holds(places []place, real string) bool {
	return slices.ContainsFunc(places, func(p place) bool { return p.real == real && p.only == nil })
}

// openFolder judges one folder and opens it, or tells why not. Of one that holds
// named files, only says which.
func (f *Folders) openFolder(name string, only *admitted) (*folder, string) {
	rules := hostRules()
	if strings.TrimSpace(name) == "" {
		return nil, "is empty"
	}
	if !filepath.IsAbs(name) {
		return nil, "is not an absolute path"
	}
	named, fault := rules.asOperator().split(name)
	if fault != nil {
		return nil, "can't be used: " + fault.Message
	}
	refuse := rules.refuseNamed
	if only == nil {
		home := f.homeFolder(rules)
		refuse = func(folder splitPath) string { return rules.refuseFolder(folder, home, secretRules()) }
	}
	// Judged before the file system is asked, so that nothing below /proc or
	// /dev is touched, and again without its links.
	if reason := refuse(named); reason != "" {
		return nil, reason
	}
	resolved, err := filepath.EvalSymlinks(name)
	if err != nil {
		return nil, "does not exist or can't be reached"
	}
	at, fault := rules.split(resolved)
	if fault != nil {
		return nil, "can't be used: " + fault.Message
	}
	if reason := refuse(at); reason != "" {
		return nil, reason
	}
	if only != nil && !rules.same(resolved, name) {
		return nil, "was replaced by a symbolic link"
	}
	if holdsFolder(f.forbidden.now(), resolved) {
		return nil, "belongs to this server"
	}
	before, err := os.Lstat(resolved)
	if err != nil || !before.IsDir() {
		return nil, "is not a folder"
	}
	root, err := os.OpenRoot(resolved)
	if tooManyOpen(err) {
		return nil, "can't be opened: the server has too many files open"
	}
	if err != nil {
		return nil, "can't be opened by the server"
	}
	if after, err := root.Stat("."); err != nil || !os.SameFile(before, after) {
		_ = root.Close()
		return nil, "was replaced while it was opened"
	}
	return &folder{root: root, real: resolved, at: at, named: named, forbidden: &f.forbidden, only: only, held: 1}, ""
}

// homeFolder returns the user's home folder without links, or nothing where
// there is none.
func (f *Folders) homeFolder(rules pathRules) splitPath {
	find := f.home
	if find == nil {
		find = os.UserHomeDir
	}
	home, err := find()
	if err != nil || !filepath.IsAbs(home) {
		return splitPath{}
	}
	if resolved, err := filepath.EvalSymlinks(home); err == nil {
		home = resolved
	}
	// Where it could not be resolved, a short name is better than none.
	split, fault := rules.asOperator().split(home)
	if fault != nil {
		return splitPath{}
	}
	return split
}

// refresh opens anew what was replaced since it was opened. It asks the system
// without the lock, as a file system that hangs would hold up all calls.
func (f *Folders) refresh() {
	f.mu.Lock()
	before := f.current
	for _, place := range before {
		if place.open != nil {
			place.open.hold()
		}
	}
	f.mu.Unlock()
	next, changed := slices.Clone(before), false
	for i, place := range before {
		if place.open != nil && place.open.stands() {
			continue
		}
		next[i].open, next[i].reason = f.reopen(place)
		changed = changed || next[i].open != nil || next[i].reason != place.reason
	}
	f.mu.Lock()
	// Another call may have been faster, or the folders be others by now.
	stale := !changed || len(before) != len(f.current) || len(before) > 0 && &before[0] != &f.current[0]
	if !stale {
		f.current = next
	}
	f.mu.Unlock()
	for i, place := range before {
		place.close() // what was held above
		if next[i].open == place.open {
			continue
		}
		if stale {
			next[i].close()
			continue
		}
		place.close()
	}
}

// reopen opens what now stands where a folder was, by the same rules. A link in
// its place is refused: the operator allowed what stood there, not what somebody
// has it lead to since.
func (f *Folders) reopen(p place) (opened *folder, reason string) {
	opened, reason = f.openFolder(p.real, p.only)
	if reason != "" {
		return nil, reason
	}
	if !hostRules().same(opened.real, p.real) {
		opened.release()
		return nil, "was replaced by a symbolic link"
	}
	opened.named = p.named
	return opened, ""
}

// stands tells whether the folder is still what is found at its path.
func (fo *folder) stands() bool {
	there, err := os.Lstat(fo.real)
	if err != nil {
		return false
	}
	open, err := fo.root.Stat(".")
	return err == nil && os.SameFile(there, open)
}

func (fo *folder) hold() {
	fo.mu.Lock()
	defer fo.mu.Unlock()
	fo.held++
}

func (fo *folder) release() {
	fo.mu.Lock()
	defer fo.mu.Unlock()
	if fo.held--; fo.held == 0 {
		_ = fo.root.Close() // a descriptor that was only read through
	}
}
