package tools

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/mark3labs/mcp-go/server"
	"github.com/rs/zerolog"

	"nemotron-mcp/internal/files"
)

// Folders are where calls may read files: the operator's folders, and for a
// session whose client offers roots, these too. Nothing is opened before the
// first call that names a file. It is safe for concurrent use.
type Folders struct {
	operator []string
	log      zerolog.Logger

	mu       sync.Mutex
	closed   bool
	discreet bool
	own      []string             // what is never read
	named    []files.Named        // by the operator, to be sent
	common   *allowed             // of sessions without roots
	sessions map[string]*allowed  // of those with roots, by session id
	silent   map[string]time.Time // when a session's client did not tell its roots
}

// allowed is what is open for one session, or for all that have no roots.
type allowed struct {
	folders files.Folders
	roots   []string // URIs, as the client gave them last
	settled bool     // all folders could be opened
	told    bool     // which ones could not
}

// NewFolders makes the Folders of an operator's paths.
func NewFolders(operator []string, log zerolog.Logger) *Folders {
	return &Folders{operator: operator, log: log, sessions: map[string]*allowed{}, silent: map[string]time.Time{}}
}

// Forbid adds files and folders that are never read, whatever is allowed: the
// server's own. It counts for sessions that begin to read after it.
func (f *Folders) Forbid(paths ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.own = append(f.own, paths...)
}

// Admit has files be found that the operator named on the command line of this
// process, without a folder being allowed. It counts for sessions that begin to
// read after it, so it is for a process that serves nobody else.
func (f *Folders) Admit(named ...files.Named) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.named = append(f.named, named...)
}

// Discreet sets whether errors keep silent about the operator's folders, as they
// must where callers are on other machines. It counts for sessions that begin to
// read after it.
func (f *Folders) Discreet(on bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.discreet = on
}

// Close lets go of what is open. Calls under way end with what they have.
func (f *Folders) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	if f.common != nil {
		f.common.folders.Close()
	}
	for id := range f.sessions {
		f.forget(id)
	}
}

// drop lets go of a session's folders.
func (f *Folders) drop(session string) {
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.forget(session)
}

// forget is drop. f.mu is held.
func (f *Folders) forget(session string) {
	delete(f.silent, session)
	if a := f.sessions[session]; a != nil {
		a.folders.Close()
		delete(f.sessions, session)
	}
}

// of gives the folders in which a call may read. Roots that can't be asked for
// are none.
func (f *Folders) of(ctx context.Context) *files.Folders {
	session := server.ClientSessionFromContext(ctx)
	roots := f.roots(ctx, session)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return new(files.Folders)
	}
	a := f.common
	if len(roots) > 0 {
		a = f.sessions[session.SessionID()]
	}
	if a == nil {
		a = new(allowed)
		a.folders.Forbid(f.own...)
		a.folders.Admit(f.named...)
		a.folders.Discreet(f.discreet)
		if len(roots) == 0 {
			f.common = a
		} else {
			f.sessions[session.SessionID()] = a
		}
	}
	if !a.settled || !slices.Equal(a.roots, roots) {
		f.open(a, roots)
	}
	return &a.folders
}

// silence is how long a client that did not tell its roots is not asked again: each
// question may take seconds of a call.
const silence = time.Minute

// roots asks the client, where it offers any.
func (f *Folders) roots(ctx context.Context, session server.ClientSession) []string {
	lister, ok := session.(RootLister)
	if !ok {
		return nil
	}
	f.mu.Lock()
	silent := time.Since(f.silent[session.SessionID()]) < silence
	f.mu.Unlock()
	if silent {
		return nil
	}
	roots, err := lister.Roots(ctx)
	if err == nil {
		return roots
	}
	f.log.Warn().Err(err).Msg("the client's roots are not known")
	if ctx.Err() == nil {
		f.mu.Lock()
		f.silent[session.SessionID()] = time.Now()
		f.mu.Unlock()
	}
	return nil
}

// heard ends the silence of a session's client: it speaks of its roots.
func (f *Folders) heard(session string) {
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.silent, session)
}

// open allows the operator's folders and the roots' ones, and tells of those that
// it refuses. One that is not there yet may come. f.mu is held.
func (f *Folders) open(a *allowed, roots []string) {
	if !slices.Equal(a.roots, roots) {
		a.told = false
	}
	log := f.log
	if a.told {
		log = zerolog.Nop()
	}
	var paths []string
	for _, root := range roots {
		path, err := files.PathOfURI(root)
		if err != nil {
			log.Warn().Err(err).Msg("a root of the client's is not allowed")
			continue
		}
		paths = append(paths, path)
	}
	refused := a.folders.Set(f.operator, paths)
	a.roots, a.settled, a.told = roots, len(refused) == 0, true
	for _, r := range refused {
		log.Warn().Str("folder", r.Folder).Msg("not allowed: it " + r.Reason)
	}
}
