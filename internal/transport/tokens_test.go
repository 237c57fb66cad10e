package transport

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

const (
	annsToken = "anns-token-0123456789"
	bobsToken = "bobs-token-0123456789"
)

func hashed(token string) string {
	sum := sha256.Sum256([]byte(token))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// tokensRig is a file of tokens and a clock.
type tokensRig struct {
	t     *testing.T
	path  string
	log   syncBuffer
	mu    sync.Mutex
	now   time.Time
	wrote time.Duration // after the first writing
	all   *Tokens
}

// syncBuffer is a log that can be read while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// begun is when the clock begins; files are written an hour before.
var begun = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func newTokensRig(t *testing.T, lines ...string) *tokensRig {
	t.Helper()
	r := &tokensRig{t: t, path: filepath.Join(t.TempDir(), "tokens"), now: begun}
	r.write(lines...)
	return r
}

func (r *tokensRig) clock() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now
}

func (r *tokensRig) pass(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now = r.now.Add(d)
}

func (r *tokensRig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// write makes the file anew, in place, an hour ago and each time a second later.
func (r *tokensRig) write(lines ...string) {
	r.t.Helper()
	r.must(os.WriteFile(r.path, []byte(strings.Join(lines, "\n")), 0o600))
	r.age(begun.Add(-time.Hour + r.wrote))
	r.wrote += time.Second
}

func (r *tokensRig) age(at time.Time) {
	r.t.Helper()
	r.must(os.Chtimes(r.path, at, at))
}

func (r *tokensRig) open() {
	r.t.Helper()
	var err error
	r.all, err = openTokens(r.path, zerolog.New(&r.log), r.clock)
	r.must(err)
}

// is checks who the tokens' owners are: "" is nobody.
func (r *tokensRig) is(owners map[string]string) {
	r.t.Helper()
	for token, want := range owners {
		if got, ok := r.all.Caller(token); got != want || ok != (want != "") {
			r.t.Errorf("%s is %q, %v; want %q", token, got, ok, want)
		}
	}
}

// told is how often the log says that.
func (r *tokensRig) told(what string, times int) {
	r.t.Helper()
	log := r.log.String()
	if n := strings.Count(log, what); n != times {
		r.t.Errorf("the log says %q %d times, want %d: %s", what, n, times, log)
	}
	for _, secret := range []string{annsToken, bobsToken, hashed(annsToken)[8:], hashed(bobsToken)[8:], `"ann"`, `"bob"`, "secret"} {
		if strings.Contains(log, secret) {
			r.t.Errorf("the log holds %q: %s", secret, log)
		}
	}
}

func (r *tokensRig) quiet() {
	r.t.Helper()
	if log := r.log.String(); log != "" {
		r.t.Errorf("the log says: %s", log)
	}
}

func TestTokensLines(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", maxToken)
	for _, tc := range []struct {
		name   string
		lines  []string
		owners map[string]string // where the file is right
		fault  string            // else
	}{
		{name: "one", lines: []string{"ann:" + annsToken}, owners: map[string]string{annsToken: "ann", bobsToken: "", "": "", "ann": "", "ann:" + annsToken: "", annsToken + "x": "", annsToken[1:]: ""}},
		{name: "several", lines: []string{"ann:" + annsToken, "bob:" + bobsToken}, owners: map[string]string{annsToken: "ann", bobsToken: "bob"}},
		{
			name: "a hash", lines: []string{"ann:" + hashed(annsToken)},
			owners: map[string]string{annsToken: "ann", hashed(annsToken): "", hashed(annsToken)[7:]: "", bobsToken: ""},
		},
		{name: "a hash in capitals", lines: []string{"ann:sha256:" + strings.ToUpper(hashed(annsToken)[7:])}, owners: map[string]string{annsToken: "ann"}},
		{name: "blank lines, comments, spaces, CR", lines: []string{"# callers", "", "  \t", " ann:" + annsToken + " \r", "  # bob:" + bobsToken, "\r"}, owners: map[string]string{annsToken: "ann", bobsToken: ""}},
		{name: "a byte order mark", lines: []string{"\ufeffann:" + annsToken}, owners: map[string]string{annsToken: "ann"}},
		{name: "each character of a name", lines: []string{"Az09._-:" + annsToken}, owners: map[string]string{annsToken: "Az09._-"}},
		{name: "each character of a token", lines: []string{"ann:AZaz09-._~+/0123=="}, owners: map[string]string{"AZaz09-._~+/0123==": "ann", "AZaz09-._~+/0123=": ""}},
		{name: "the shortest and the longest", lines: []string{"a:0123456789abcdef", strings.Repeat("n", 64) + ":" + long}, owners: map[string]string{"0123456789abcdef": "a", long: strings.Repeat("n", 64), long + "x": ""}},
		{name: "the hash of a token that is too short", lines: []string{"ann:" + hashed("secret")}, owners: map[string]string{"secret": ""}},
		{name: "the hash of no token", lines: []string{"ann:" + hashed("")}, owners: map[string]string{"": ""}},
		{name: "the hash of a token that is too long", lines: []string{"ann:" + hashed(long+"x")}, owners: map[string]string{long + "x": ""}},

		{name: "no colon", lines: []string{"# one", "secret-name-and-no-token"}, fault: "line 2: it has no colon"},
		{name: "no name", lines: []string{":" + annsToken}, fault: "line 1: the name must be"},
		{name: "a name too long", lines: []string{strings.Repeat("n", 65) + ":" + annsToken}, fault: "line 1: the name must be"},
		{name: "a name with a space", lines: []string{"secret ann:" + annsToken}, fault: "line 1: the name must be"},
		{name: "a name beyond ASCII", lines: []string{"secretä:" + annsToken}, fault: "line 1: the name must be"},
		{name: "a name with a control character", lines: []string{"secret\x00:" + annsToken}, fault: "line 1: the name must be"},
		{name: "no token", lines: []string{"", "ann:" + annsToken, "secret:"}, fault: "line 3: the token must be"},
		{name: "a token too short", lines: []string{"secret:0123456789abcde"}, fault: "line 1: the token must be"},
		{name: "a token too long", lines: []string{"secret:" + long + "x"}, fault: "line 1: the token must be"},
		{name: "a token with a space", lines: []string{"ann:secret-token 0123456789"}, fault: "line 1: the token must be"},
		{name: "a token with a colon", lines: []string{"ann:secret:token:0123456789"}, fault: "line 1: the token must be"},
		{name: "a token with = within", lines: []string{"ann:secret=token-0123456789"}, fault: "line 1: the token must be"},
		{name: "a token of = only", lines: []string{"ann:" + strings.Repeat("=", 20)}, fault: "line 1: the token must be"},
		{name: "a token beyond ASCII", lines: []string{"ann:secret-tokän-0123456789"}, fault: "line 1: the token must be"},
		{name: "a hash too short", lines: []string{"ann:" + hashed(annsToken)[:70]}, fault: "line 1: after sha256:"},
		{name: "a hash with other digits", lines: []string{"ann:sha256:" + strings.Repeat("z", 64)}, fault: "line 1: after sha256:"},
		{name: "a name twice", lines: []string{"#", "secret:" + annsToken, "secret:" + bobsToken}, fault: "line 3: the name is that of line 2"},
		{name: "a token twice", lines: []string{"ann:" + annsToken, "bob:" + annsToken}, fault: "line 2: the token is that of line 1"},
		{name: "a token and its hash", lines: []string{"ann:" + annsToken, "bob:" + hashed(annsToken)}, fault: "line 2: the token is that of line 1"},
		{name: "an empty file", lines: []string{""}, fault: "it names no caller"},
		{name: "comments only", lines: []string{"# secret", ""}, fault: "it names no caller"},
		{name: "too many lines", lines: append(make([]string, maxTokensLines), "ann:"+annsToken), fault: "it has more than 10000 lines"},
		{name: "as many lines as may be", lines: append(make([]string, maxTokensLines-1), "ann:"+annsToken), owners: map[string]string{annsToken: "ann"}},
		{name: "too large", lines: []string{"ann:" + annsToken, "#" + strings.Repeat("x", maxTokensFile)}, fault: "it is larger than 1 MiB"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := newTokensRig(t, tc.lines...)
			if tc.fault == "" {
				r.open()
				r.is(tc.owners)
				r.quiet()
				return
			}
			_, err := OpenTokens(r.path, zerolog.New(&r.log))
			if err == nil || !strings.Contains(err.Error(), tc.fault) {
				t.Fatalf("%v, want %q", err, tc.fault)
			}
			for _, content := range []string{"secret", annsToken, bobsToken, hashed(annsToken)[8:20], "zzz", "xxxx", "nnnn"} {
				if strings.Contains(err.Error(), content) {
					t.Errorf("the error holds %q: %v", content, err)
				}
			}
			r.quiet()
		})
	}
}

func TestTokensFileThatIsNone(t *testing.T) {
	t.Parallel()
	for name, path := range map[string]string{
		"missing": filepath.Join(t.TempDir(), "none"), "a folder": t.TempDir(), "a device": os.DevNull,
	} {
		if all, err := OpenTokens(path, zerolog.Nop()); err == nil || all != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTokensFileThatOthersRead(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("a mode says nothing there")
	}
	for mode, times := range map[os.FileMode]int{0o600: 0, 0o400: 0, 0o640: 1, 0o604: 1, 0o644: 1} {
		r := newTokensRig(t, "ann:"+annsToken)
		r.must(os.Chmod(r.path, mode))
		r.open()
		r.is(map[string]string{annsToken: "ann"})
		r.told("can be read by others", times)
	}
}

func TestTokensAreReadAgain(t *testing.T) {
	t.Parallel()
	ann, bob, both := map[string]string{annsToken: "ann", bobsToken: ""}, map[string]string{annsToken: "", bobsToken: "bob"}, map[string]string{annsToken: "ann", bobsToken: "bob"}
	const again, trouble = "was read again", "can't be read again"
	annsLine, bobsLine := "ann:"+annsToken, "bob:"+bobsToken
	for _, tc := range []struct {
		name    string
		change  func(r *tokensRig)
		want    map[string]string
		again   int
		trouble int
	}{
		{name: "nothing", change: func(*tokensRig) {}, want: ann},
		{name: "touched", change: func(r *tokensRig) { r.age(begun.Add(-time.Minute)) }, want: ann},
		{name: "one more", change: func(r *tokensRig) { r.write(annsLine, bobsLine) }, want: both, again: 1},
		{name: "another", change: func(r *tokensRig) { r.write(bobsLine) }, want: bob, again: 1},
		{name: "renamed", change: func(r *tokensRig) { r.write("amy:" + annsToken) }, want: map[string]string{annsToken: "amy"}, again: 1},
		{name: "another's token", change: func(r *tokensRig) { r.write("ann:" + bobsToken) }, want: map[string]string{annsToken: "", bobsToken: "ann"}, again: 1},
		{name: "as large, changed later", change: func(r *tokensRig) {
			r.write(bobsLine)
			r.age(begun.Add(-time.Hour + time.Nanosecond*100))
		}, want: bob, again: 1},
		{name: "as old, of another size", change: func(r *tokensRig) {
			r.write(bobsLine, "#")
			r.age(begun.Add(-time.Hour))
		}, want: bob, again: 1},
		{name: "another file, as large and as old", change: func(r *tokensRig) {
			r.must(os.Rename(r.path, r.path+".old"))
			r.write(bobsLine)
			r.age(begun.Add(-time.Hour))
		}, want: bob, again: 1},
		{name: "broken", change: func(r *tokensRig) { r.write(bobsLine, "secret") }, want: ann, trouble: 1},
		{name: "empty", change: func(r *tokensRig) { r.write("") }, want: ann, trouble: 1},
		{name: "missing", change: func(r *tokensRig) { r.must(os.Remove(r.path)) }, want: ann, trouble: 1},
		{name: "a folder", change: func(r *tokensRig) {
			r.must(os.Remove(r.path))
			r.must(os.Mkdir(r.path, 0o700))
		}, want: ann, trouble: 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := newTokensRig(t, annsLine)
			r.open()
			tc.change(r)
			r.pass(lookTime - 1)
			r.is(ann) // it is not looked at yet
			for range 5 {
				r.pass(lookTime)
				r.is(tc.want)
			}
			r.told(again, tc.again)
			if told := r.all.Trouble() != nil; told != (tc.trouble > 0) {
				t.Errorf("trouble is told: %v", told)
			}
			r.told(trouble, tc.trouble)
			if tc.trouble == 0 {
				return
			}
			_ = os.Remove(r.path)
			r.write(annsLine, bobsLine)
			r.pass(lookTime)
			r.is(both)
			r.told(again, 1)
			r.must(os.Remove(r.path))
			for range 3 {
				r.pass(lookTime)
				r.is(both)
			}
			r.told(trouble, 2)
			r.write(annsLine, bobsLine)
			r.pass(lookTime)
			r.is(both)
			r.told(again, 2)
		})
	}
}

// A file that changes within one step of its file system's clock is seen to
// change all the same.
func TestTokensThatChangeTwiceAtOnce(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		age  time.Duration // of the file as it was read
		seen bool
	}{{"just written", settleTime - 1, true}, {"from the future", -time.Hour, true}, {"settled", settleTime, false}} {
		r := newTokensRig(t, "ann:"+annsToken)
		at := begun.Add(-tc.age)
		r.age(at)
		r.open()
		r.write("ann:" + bobsToken) // as large, the same file
		r.age(at)
		r.pass(lookTime)
		if _, ok := r.all.Caller(bobsToken); ok != tc.seen {
			t.Errorf("%s: read again: %v, want %v", tc.name, ok, tc.seen)
		}
	}
}

// A clock that was set back does not keep the file from being looked at.
func TestTokensWhereTheClockGoesBack(t *testing.T) {
	t.Parallel()
	r := newTokensRig(t, "ann:"+annsToken)
	r.open()
	r.write("bob:" + bobsToken)
	r.age(begun.Add(-2 * time.Hour))
	r.pass(-time.Hour)
	r.is(map[string]string{annsToken: "", bobsToken: "bob"})
}

// Many ask while the file is replaced: each is told what one of its versions
// says, and who is in all of them is always known.
func TestTokensAtOnce(t *testing.T) {
	t.Parallel()
	r := newTokensRig(t, "ann:"+annsToken)
	r.open()
	var asking sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		asking.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if name, _ := r.all.Caller(annsToken); name != "ann" {
					t.Errorf("ann is %q", name)
					return
				}
				if name, ok := r.all.Caller(bobsToken); ok && name != "bob" && name != "bill" {
					t.Errorf("bob is %q", name)
					return
				}
			}
		})
	}
	for n := range 60 {
		next := r.path + ".next"
		lines := []string{"ann:" + annsToken, []string{"", "bob:" + bobsToken, "bill:" + bobsToken}[n%3], fmt.Sprint("#", n)}
		r.must(os.WriteFile(next, []byte(strings.Join(lines, "\n")), 0o600))
		r.must(os.Rename(next, r.path))
		r.pass(lookTime)
		r.all.Caller(annsToken)
	}
	close(stop)
	asking.Wait()
}

func BenchmarkTokens(b *testing.B) {
	var lines strings.Builder
	for n := range 100 {
		fmt.Fprintf(&lines, "caller-%d:token-0123456789-%d\n", n, n)
	}
	path := filepath.Join(b.TempDir(), "tokens")
	if err := os.WriteFile(path, []byte(lines.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	all, err := OpenTokens(path, zerolog.Nop())
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		all.Caller("token-0123456789-7")
	}
}
