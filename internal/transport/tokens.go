package transport

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
)

const (
	maxTokensFile  = 1 << 20
	maxTokensLines = 10_000
	minToken       = 16
	maxToken       = 4 << 10
	maxCallerName  = 64
	// lookTime is how often a change of the file is looked for at most.
	lookTime = time.Second
	// settleTime is how old a file must be for its time of change to tell the next
	// change: file systems count in steps of up to 2 seconds.
	settleTime = 3 * time.Second
)

// Tokens are the callers that a file names, one a line: name:token, or
// name:sha256:HEX, where HEX is the SHA-256 of the token. Blank lines and lines
// that begin with # are skipped. A name has 1 to 64 letters, digits, dots,
// underscores and hyphens; a token 16 to 4096 characters of those that a bearer
// token may have (RFC 6750). Neither may stand in two lines.
//
// Only the hashes of the tokens are kept. Make it with [OpenTokens]. It is safe
// for concurrent use.
type Tokens struct {
	path string
	log  zerolog.Logger
	now  func() time.Time

	callers atomic.Pointer[[]caller]

	mu      sync.Mutex // of a look at the file, and of what follows
	looked  time.Time
	seen    os.FileInfo // of the file that was read last; nil where it must be read again
	settled bool        // seen will tell the next change
	trouble string      // what the log was told last, while it lasts
}

// caller is a line of the file.
type caller struct {
	name string
	hash [sha256.Size]byte // of the token
}

// OpenTokens reads the file. An error names the number of the line that is
// wrong and nothing of what it holds. A file that others than its owner may read
// is told in the log.
func OpenTokens(path string, log zerolog.Logger) (*Tokens, error) {
	return openTokens(path, log, time.Now)
}

func openTokens(path string, log zerolog.Logger, now func() time.Time) (*Tokens, error) {
	t := &Tokens{path: path, log: log, now: now}
	t.looked = now()
	if err := t.read(); err != nil {
		return nil, fmt.Errorf("tokens file %s: %w", path, err)
	}
	if mode := t.seen.Mode().Perm(); runtime.GOOS != "windows" && mode&0o077 != 0 {
		log.Warn().Str("file", path).Str("mode", mode.String()).Msg("the tokens file can be read by others than its owner")
	}
	return t, nil
}

// Caller tells whose token that is. The file is looked at first, once a second
// at most, and read again where it has changed. Where it can't be read, or is
// wrong, the callers stay who they were, and the log is told once.
func (t *Tokens) Caller(token string) (name string, ok bool) {
	t.look()
	if len(token) > maxToken || !plausible([]byte(token)) {
		return "", false
	}
	given := sha256.Sum256([]byte(token))
	callers := *t.callers.Load()
	found := 0
	for i := range callers { // all of them, whichever it is
		same := subtle.ConstantTimeCompare(given[:], callers[i].hash[:])
		found = subtle.ConstantTimeSelect(same, i+1, found)
	}
	if found == 0 {
		return "", false
	}
	return callers[found-1].name, true
}

// Knows tells whether a caller has that name. The file is looked at first, as by
// Caller.
func (t *Tokens) Knows(name string) bool {
	t.look()
	return slices.ContainsFunc(*t.callers.Load(), func(c caller) bool { return c.name == name })
}

// Trouble is why the file is not what the callers are judged by, in words that
// tell nothing of it; nil where it is, or where there are no tokens.
func (t *Tokens) Trouble() error {
	if t == nil {
		return nil
	}
	t.look()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.trouble != "" {
		return errors.New("the tokens file can't be used, and the callers are those that it named before")
	}
	return nil
}

// look reads the file again where it has changed. Callers that come meanwhile
// are judged by what was read before.
func (t *Tokens) look() {
	if !t.mu.TryLock() {
		return
	}
	defer t.mu.Unlock()
	now := t.now()
	if since := now.Sub(t.looked); since >= 0 && since < lookTime {
		return
	}
	t.looked = now
	info, err := os.Stat(t.path)
	if err == nil && t.seen != nil && t.settled && unchanged(t.seen, info) {
		return
	}
	was := t.callers.Load()
	if err == nil {
		err = t.read()
	} else {
		t.seen = nil
	}
	if err != nil {
		if err.Error() != t.trouble {
			t.log.Error().Str("file", t.path).Str("reason", err.Error()).
				Msg("the tokens file can't be read again; the callers stay who they were")
		}
		t.trouble = err.Error()
		return
	}
	if t.trouble != "" || !sameCallers(*was, *t.callers.Load()) {
		t.log.Info().Str("file", t.path).Int("callers", len(*t.callers.Load())).Msg("the tokens file was read again")
	}
	t.trouble = ""
}

func unchanged(a, b os.FileInfo) bool {
	return a.Size() == b.Size() && a.ModTime().Equal(b.ModTime()) && os.SameFile(a, b)
}

func sameCallers(a, b []caller) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].name != b[i].name || a[i].hash != b[i].hash {
			return false
		}
	}
	return true
}

// read takes over what the file holds, if it is right. t.mu is held, or t is not
// in use yet.
func (t *Tokens) read() error {
	t.seen = nil
	content, info, err := readTokensFile(t.path)
	defer clear(content)
	if err != nil {
		return err
	}
	// A file that is wrong is not read again until it changes.
	t.seen = info
	t.settled = t.now().Sub(info.ModTime()) >= settleTime
	callers, err := parseTokens(content)
	if err != nil {
		return err
	}
	t.callers.Store(&callers)
	return nil
}

var errNotRegular = errors.New("it is not a regular file")

func readTokensFile(path string) ([]byte, os.FileInfo, error) {
	// Before it is opened, which for a pipe would wait for a writer.
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, nil, errNotRegular
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, errNotRegular
	}
	content, err := io.ReadAll(io.LimitReader(f, maxTokensFile+1))
	if err == nil && len(content) > maxTokensFile {
		err = errors.New("it is larger than 1 MiB")
	}
	return content, info, err
}

// parseTokens reads lines. An error holds nothing of them.
func parseTokens(content []byte) ([]caller, error) {
	content = bytes.TrimPrefix(content, []byte("\ufeff")) // as Windows' editors begin a file
	var all []caller
	names, hashes := map[string]int{}, map[[sha256.Size]byte]int{} // → line
	number := 0
	for line := range bytes.Lines(content) {
		if number++; number > maxTokensLines {
			return nil, fmt.Errorf("it has more than %d lines", maxTokensLines)
		}
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		c, err := parseToken(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		if first := names[c.name]; first > 0 {
			return nil, fmt.Errorf("line %d: the name is that of line %d", number, first)
		}
		if first := hashes[c.hash]; first > 0 {
			return nil, fmt.Errorf("line %d: the token is that of line %d", number, first)
		}
		names[c.name], hashes[c.hash] = number, number
		all = append(all, c)
	}
	if len(all) == 0 {
		return nil, errors.New("it names no caller")
	}
	return all, nil
}

func parseToken(line []byte) (caller, error) {
	name, token, found := bytes.Cut(line, []byte(":"))
	if !found {
		return caller{}, errors.New("it has no colon between a name and a token")
	}
	if !usableName(name) {
		return caller{}, fmt.Errorf("the name must be 1 to %d letters, digits, dots, underscores or hyphens", maxCallerName)
	}
	c := caller{name: string(name)}
	if digest, hashed := bytes.CutPrefix(token, []byte("sha256:")); hashed {
		if len(digest) != hex.EncodedLen(len(c.hash)) {
			return caller{}, errors.New("after sha256: there must be 64 hexadecimal digits")
		}
		if _, err := hex.Decode(c.hash[:], digest); err != nil { // the error holds a digit
			return caller{}, errors.New("after sha256: there must be 64 hexadecimal digits")
		}
		return c, nil
	}
	if !plausible(token) {
		return caller{}, fmt.Errorf("the token must be %d to %d letters, digits or characters of -._~+/, with = at its end only", minToken, maxToken)
	}
	c.hash = sha256.Sum256(token)
	return c, nil
}

func usableName(name []byte) bool {
	if len(name) < 1 || len(name) > maxCallerName {
		return false
	}
	for _, c := range name {
		if !alphanumeric(c) && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

// plausible reports whether that may be a token: RFC 6750's b64token, neither
// too short nor too long.
func plausible(token []byte) bool {
	if len(token) < minToken || len(token) > maxToken {
		return false
	}
	token = bytes.TrimRight(token, "=")
	for _, c := range token {
		if !alphanumeric(c) && bytes.IndexByte([]byte("-._~+/"), c) < 0 {
			return false
		}
	}
	return len(token) > 0
}

func alphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
}
