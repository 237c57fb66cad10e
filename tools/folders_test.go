package tools

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/mcp"

	"nemotron-mcp/internal/jobs"
)

// rooted is a session whose client has roots.
type rooted struct {
	recorder
	id string

	mu    sync.Mutex
	uris  []string
	err   error
	asked int
}

func (s *rooted) SessionID() string { return s.id }

func (s *rooted) Roots(context.Context) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	return s.uris, s.err
}

func (s *rooted) asks() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

func (s *rooted) change(err error, uris ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.uris, s.err = uris, err
}

func uriOf(dir string) string {
	dir = filepath.ToSlash(dir)
	if !strings.HasPrefix(dir, "/") {
		dir = "/" + dir
	}
	return "file://" + dir
}

// callAs runs a tool for a session of our own and returns its answer.
func (r *rig) callAs(s *rooted, tool, args string) answer {
	r.t.Helper()
	message := fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":%q,"arguments":%s}}`, tool, args)
	reply, ok := r.server.HandleMessage(r.server.WithContext(r.t.Context(), s), json.RawMessage(message)).(mcp.JSONRPCResponse)
	if !ok {
		r.t.Fatalf("answered by %#v", reply)
	}
	wire, err := json.Marshal(reply.Result)
	must(r.t, err)
	var res mcp.CallToolResult
	must(r.t, json.Unmarshal(wire, &res))
	a := answer{isError: res.IsError, text: mcp.GetTextFromContent(res.Content[0])}
	if a.isError {
		a.meta = checkFailure(r.t, tool, &res)
	}
	return a
}

// reads tells which of the files a session can have uploaded.
func (r *rig) reads(s *rooted, paths ...string) string {
	r.t.Helper()
	var readable []string
	for _, path := range paths {
		a := r.callAs(s, "upload_file", args(r.t, "path", path))
		switch {
		case !a.isError:
			readable = append(readable, filepath.Base(path))
		case a.code() != string(jobs.FileNotAllowed) && a.code() != string(jobs.FileInvalid):
			r.t.Errorf("%s: told as %s", path, a.text)
		}
	}
	return strings.Join(readable, " ")
}

func TestNoFolders(t *testing.T) {
	t.Parallel()
	inBubble(t, rigOptions{noFolders: true}, func(t *testing.T, r *rig) {
		path := r.write("a.txt", []byte("hello"))
		for _, c := range [][]any{
			{"upload_file", "path", path},
			{"upload_file", "path", "a.txt"},
			{"nemotron_generate", "prompt", "Hi", "files", []string{path}},
			{"nemotron_generate", "prompt", "Hi", "files", []string{"*.txt"}},
			{"nemotron_generate", "prompt", "Hi", "image_url", path},
		} {
			wantRefused(t, r.call(c[0].(string), args(t, c[1:]...)), jobs.FileNotAllowed, "--allow-dir", "o folder is allowed", "Nothing was sent.")
		}
		r.wantNothing()
		if up := r.upload(`{"content_base64":"aGVsbG8="}`); up.SizeBytes != 5 {
			t.Errorf("what is no file: %+v", up)
		}
	})
}

// TestRoots holds that a client's roots are readable as long as they are its.
func TestRoots(t *testing.T) {
	t.Parallel()
	inBubble(t, rigOptions{}, func(t *testing.T, r *rig) {
		one, two := tempDir(t), tempDir(t)
		paths := []string{r.write("ours.txt", []byte("0")), writeIn(t, one, "one.txt", []byte("1")), writeIn(t, two, "two.txt", []byte("2"))}
		s, plain := &rooted{id: "a"}, &rooted{id: "b"}
		steps := []struct {
			name string
			err  error
			uris []string
			want string
		}{
			{"none offered", nil, nil, "ours.txt"},
			{"one", nil, []string{uriOf(one)}, "ours.txt one.txt"},
			{"another instead", nil, []string{uriOf(two)}, "ours.txt two.txt"},
			{"both", nil, []string{uriOf(two), uriOf(one)}, "ours.txt one.txt two.txt"},
			{"no answer", errors.New("no answer"), nil, "ours.txt"},
			{"one again", nil, []string{uriOf(one)}, "ours.txt one.txt"},
			{"none any more", nil, []string{}, "ours.txt"},
		}
		for _, step := range steps {
			s.change(step.err, step.uris...)
			before := s.asks()
			if got := r.reads(s, paths...); got != step.want {
				t.Errorf("%s: reads %q, not %q", step.name, got, step.want)
			}
			if got := r.reads(plain, paths...); got != "ours.txt" {
				t.Errorf("%s: another session reads %q", step.name, got)
			}
			if step.err == nil {
				continue
			}
			// A question may take seconds: it is not asked by each call.
			if got := s.asks() - before; got != 1 {
				t.Errorf("%s: asked %d times", step.name, got)
			}
			r.server.HandleMessage(r.server.WithContext(t.Context(), s), json.RawMessage(`{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}`))
		}
		wantIn(t, r.log.String(), "the client's roots are not known", "no answer")
		s.change(nil, uriOf(one))
		// A call that has begun keeps its folders, whoever else calls.
		begun := r.folders.of(r.server.WithContext(t.Context(), s))
		if got, list := r.reads(plain, paths...), begun.List(); got != "ours.txt" || len(list) != 2 {
			t.Errorf("reads %q; the other's folders are %q", got, list)
		}
		// The operator's folders come first.
		writeIn(t, one, "ours.txt", []byte("not the one"))
		a := r.callAs(s, "nemotron_generate", `{"prompt":"Hi","files":["ours.txt","one.txt"]}`)
		wantIn(t, a.text, "2 files: one.txt, ours.txt (2 bytes")
	})
}

// TestRootsOnlyWhereNeeded holds that a client is asked for its roots by a call
// that names a file, and by no other.
func TestRootsOnlyWhereNeeded(t *testing.T) {
	t.Parallel()
	inBubble(t, rigOptions{}, func(t *testing.T, r *rig) {
		r.write("it.png", pngOf(t, 9, 9, ""))
		s := &rooted{id: "a"}
		tests := []struct {
			tool, args string
			asks       int
		}{
			{"nemotron_generate", `{"prompt":"Hi"}`, 0},
			{"queue_list", `{}`, 0},
			{"upload_file", `{"content_base64":"aGVsbG8="}`, 0},
			{"nemotron_generate", `{"prompt":"Hi","files":["it.png"],"image_url":"a","video_url":"b"}`, 0},
			{"upload_file", `{"path":"it.png"}`, 1},
			{"nemotron_generate", `{"prompt":"Hi","files":[".gitignore"],"image_url":"it.png"}`, 1},
		}
		for _, tt := range tests {
			before := s.asked
			r.callAs(s, tt.tool, tt.args)
			if n := s.asked - before; n != tt.asks {
				t.Errorf("%s %s: asked %d times, not %d", tt.tool, tt.args, n, tt.asks)
			}
		}
	})
}

func TestRootsRefused(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("these are other systems' folders")
	}
	home, err := os.UserHomeDir()
	must(t, err)
	tests := []struct{ name, uri, reason string }{
		{"the home folder", uriOf(home), "home folder"},
		{"the root", "file:///", "the root of a file system"},
		{"the root by ..", "file:///usr/../..", "the root of a file system"},
		{"/proc", "file:///proc", "belongs to the system"},
		{"a process", "file:///proc/self/cwd", "belongs to the system"},
		{"/dev", "file:///dev", "belongs to the system"},
		{"a folder of keys", uriOf(filepath.Join(home, ".ssh")), "named like a secret"},
		{"https", "https://example.com/project", "no URI of a file"},
		{"no URI", "project", "no URI of a file"},
		{"a path", "/etc", "no URI of a file"},
		{"another machine", "file://server/share", "on another machine"},
		{"a query", "file:///etc?x", "no URI of a file"},
		{"NUL", "file:///etc%00", "NUL"},
		{"not there", "file:///nothing/here", "does not exist"},
		{"a file", uriOf("/etc/hosts"), "is not a folder"},
		{"characters that can't be seen", "ftp:\u202e\u200b", `\u202e`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, rigOptions{}, func(t *testing.T, r *rig) {
				fine := tempDir(t)
				paths := []string{r.write("ours.txt", []byte("0")), writeIn(t, fine, "fine.txt", []byte("1")), "/etc/hosts"}
				s := &rooted{id: "a"}
				s.change(nil, tt.uri, uriOf(fine))
				for range 3 {
					if got := r.reads(s, paths...); got != "ours.txt fine.txt" {
						t.Errorf("reads %q", got)
					}
				}
				log := r.log.String()
				wantIn(t, log, tt.reason)
				wantNotIn(t, log, "\u202e", "\u200b")
				if n := strings.Count(log, "not allowed"); n != 1 {
					t.Errorf("refused %d times in the log: %s", n, log)
				}
			})
		})
	}
}

// TestFoldersThatComeLater holds that a folder which was not there is allowed
// once it is.
func TestFoldersThatComeLater(t *testing.T) {
	t.Parallel()
	later := filepath.Join(tempDir(t), "later")
	inBubble(t, rigOptions{folders: []string{later}}, func(t *testing.T, r *rig) {
		s := &rooted{id: "a"}
		path := filepath.Join(later, "a.txt")
		if got := r.reads(s, path, path); got != "" {
			t.Errorf("reads %q", got)
		}
		writeIn(t, later, "a.txt", []byte("1"))
		if got := r.reads(s, path); got != "a.txt" {
			t.Errorf("reads %q", got)
		}
		if n := strings.Count(r.log.String(), "does not exist"); n != 1 {
			t.Errorf("told %d times", n)
		}
	})
}

// TestSessionEnds holds that what was open for a session is closed with it, and
// all at the end.
func TestSessionEnds(t *testing.T) {
	t.Parallel()
	inBubble(t, rigOptions{}, func(t *testing.T, r *rig) {
		one := tempDir(t)
		paths := []string{r.write("ours.txt", []byte("0")), writeIn(t, one, "one.txt", []byte("1"))}
		s, other := &rooted{id: "a"}, &rooted{id: "b"}
		for _, session := range []*rooted{s, other} {
			session.change(nil, uriOf(one))
			must(t, r.server.RegisterSession(t.Context(), session))
			if got := r.reads(session, paths...); got != "ours.txt one.txt" {
				t.Errorf("reads %q", got)
			}
		}
		of := func(session *rooted) []string { return r.folders.of(r.server.WithContext(t.Context(), session)).List() }
		ended := r.folders.of(r.server.WithContext(t.Context(), s))
		r.server.UnregisterSession(t.Context(), s.SessionID())
		if list := ended.List(); len(list) != 0 || len(r.folders.sessions) != 1 {
			t.Errorf("%q is open after its session's end", list)
		}
		if got := r.reads(other, paths...); got != "ours.txt one.txt" {
			t.Errorf("the other session reads %q", got)
		}
		lasting := r.folders.of(r.server.WithContext(t.Context(), other))
		common := r.folders.of(t.Context())
		r.folders.Close()
		if a, b, c := lasting.List(), common.List(), of(other); len(a)+len(b)+len(c) != 0 {
			t.Errorf("open after Close: %q %q %q", a, b, c)
		}
		if got := r.reads(other, paths...); got != "" {
			t.Errorf("after Close reads %q", got)
		}
	})
}

// TestRootsAtOnce holds that calls of several sessions do not disturb each other.
func TestRootsAtOnce(t *testing.T) {
	t.Parallel()
	inBubble(t, rigOptions{}, func(t *testing.T, r *rig) {
		dirs, paths := make([]string, 4), make([]string, 4)
		for i := range dirs {
			dirs[i] = tempDir(t)
			paths[i] = writeIn(t, dirs[i], fmt.Sprintf("%d.txt", i), fmt.Append(nil, i))
		}
		var all sync.WaitGroup
		for i := range dirs {
			s := &rooted{id: fmt.Sprint(i)}
			s.change(nil, uriOf(dirs[i]))
			for range 3 {
				all.Go(func() {
					if got := r.reads(s, paths...); got != filepath.Base(paths[i]) {
						t.Errorf("session %d reads %q", i, got)
					}
				})
			}
		}
		all.Wait()
	})
}

// remoteRoots is a client of mcp-go's that offers roots.
type remoteRoots struct {
	root  string
	asked int
}

func (h *remoteRoots) ListRoots(context.Context, mcp.ListRootsRequest) (*mcp.ListRootsResult, error) {
	h.asked++
	return &mcp.ListRootsResult{Roots: []mcp.Root{{URI: h.root}}}, nil
}

// TestRootsOfOtherTransports holds that a session of mcp-go's is not asked: its
// client may be on another machine.
func TestRootsOfOtherTransports(t *testing.T) {
	t.Parallel()
	inBubble(t, rigOptions{}, func(t *testing.T, r *rig) {
		root := tempDir(t)
		path := writeIn(t, root, "a.txt", []byte("hello"))
		h := &remoteRoots{root: uriOf(root)}
		time.Sleep(time.Second) // mcp-go names sessions by the clock
		c, err := client.NewInProcessClientWithOptions(r.server, client.WithRootsHandler(h))
		must(t, err)
		must(t, c.Start(t.Context()))
		t.Cleanup(func() { _ = c.Close() })
		init := mcp.InitializeRequest{}
		init.Params.ProtocolVersion = mcp.LATEST_LEGACY_PROTOCOL_VERSION
		init.Params.Capabilities.Roots = &struct {
			ListChanged bool `json:"listChanged,omitempty"`
		}{}
		_, err = c.Initialize(t.Context(), init)
		must(t, err)
		a := callTool(t.Context(), t, c, r.schemas["upload_file"], "upload_file", args(t, "path", path))
		if a.code() != string(jobs.FileNotAllowed) || h.asked != 0 {
			t.Errorf("asked %d times: %s", h.asked, a.text)
		}
	})
}

var _ RootLister = (*rooted)(nil)
