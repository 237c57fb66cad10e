//go:build unix

package tools

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"nemotron-mcp/internal/jobs"
)

const outsideContent = "what lies outside"

// hostileProject is an allowed folder with what should not be opened, and a
// neighbour that is not allowed.
func hostileProject(t *testing.T) (project, evil string) {
	t.Helper()
	// A socket's path has 100 characters or so.
	base, err := os.MkdirTemp("", "h")
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(base) })
	base, err = filepath.EvalSymlinks(base)
	must(t, err)
	project, evil = filepath.Join(base, "data"), filepath.Join(base, "data-evil")
	writeIn(t, evil, "x.txt", []byte(outsideContent))
	writeIn(t, project, "in.txt", []byte(outsideContent))
	writeIn(t, project, ".env", []byte(outsideContent))
	must(t, os.Mkdir(filepath.Join(project, "dir"), 0o700))
	for name, target := range map[string]string{
		"out": "../data-evil/x.txt", "outabs": filepath.Join(evil, "x.txt"), "outdir": "../data-evil", "outside-and-back": "../data/in.txt",
		"chain": "chain2", "chain2": "chain3", "chain3": "out", "loop": "loop2", "loop2": "loop", "environ": "/proc/self/environ", "null": "/dev/null",
		"hidden": ".env", "dangling": "nothing",
	} {
		must(t, os.Symlink(target, filepath.Join(project, name)))
	}
	must(t, os.Link(filepath.Join(evil, "x.txt"), filepath.Join(project, "hard")))
	must(t, syscall.Mkfifo(filepath.Join(project, "fifo"), 0o600))
	unreadable := writeIn(t, project, "unreadable.txt", []byte(outsideContent))
	must(t, os.Chmod(unreadable, 0))
	return project, evil
}

// TestHostilePaths holds the list of hardening for every argument that takes a
// path: refused at once, nothing sent, nothing told of what lies outside.
func TestHostilePaths(t *testing.T) {
	t.Parallel()
	project, evil := hostileProject(t)
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", filepath.Join(project, "sock"))
	must(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	const notAllowed, invalid = jobs.FileNotAllowed, jobs.FileInvalid
	tests := []struct {
		name, path string
		code       jobs.Code
		in         string
	}{
		{"..", "../data-evil/x.txt", notAllowed, "leads out of the allowed folders"},
		{".. behind a folder", "dir/../../data-evil/x.txt", notAllowed, "leads out"},
		{"only ..", "..", notAllowed, "leads out"},
		{"absolute, outside", filepath.Join(evil, "x.txt"), notAllowed, "is not in an allowed folder"},
		{"absolute, with ..", project + "/../data-evil/x.txt", notAllowed, "is not in an allowed folder"},
		{"the sibling's own name", evil, notAllowed, "is not in an allowed folder"},
		{"a sibling that is not there", project + "-none/x.txt", notAllowed, "is not in an allowed folder"},
		{"passwd", "/etc/passwd", notAllowed, "is not in an allowed folder"},
		{"environ", "/proc/self/environ", notAllowed, "is not in an allowed folder"},
		{"a descriptor", "/dev/fd/0", notAllowed, "is not in an allowed folder"},
		{"a device", "/dev/zero", notAllowed, "is not in an allowed folder"},
		{"link outside", "out", notAllowed, "symbolic link"},
		{"link outside, absolute", "outabs", notAllowed, "symbolic link"},
		{"link to a folder outside", "outdir/x.txt", notAllowed, "symbolic link"},
		{"link out and back", "outside-and-back", notAllowed, "symbolic link"},
		{"chain of links", "chain", notAllowed, "symbolic link"},
		{"loop of links", "loop", invalid, "symbolic links"},
		{"link to environ", "environ", notAllowed, "symbolic link"},
		{"link to a device", "null", notAllowed, "symbolic link"},
		{"link to a secret", "hidden", notAllowed, "secret"},
		{"link to nothing", "dangling", invalid, "is not found"},
		{"hard link", "hard", notAllowed, "hard links"},
		{"FIFO", "fifo", notAllowed, "a named pipe"},
		{"socket", "sock", notAllowed, "a socket"},
		{"folder", "dir", invalid, "is a folder"},
		{"the project", ".", invalid, "is a folder"},
		{"unreadable", "unreadable.txt", invalid, "may not read"},
		{"empty", "", invalid, "The path is empty"},
		{"NUL", "in.txt\x00.png", invalid, "holds a NUL byte"},
		{"5,000 characters", strings.Repeat("a/", 2500), invalid, "5000 bytes long"},
		{"a long element", strings.Repeat("a", 256), notAllowed, "too long"},
		{"CR LF", "a\r\nX-Evil: 1", invalid, `a\r\nX-Evil: 1`},
		{"quotes", `a"b'c`, invalid, "is not found"},
		{"right to left", "a\u202egnp.exe", invalid, `a\u202egnp.exe`},
		{"invisible", "in\u200b.txt", invalid, `in\u200b.txt`},
		{"NFD of nothing", "cafe\u0301.txt", invalid, "is not found"},
		{"a file URI", "file:///etc/passwd", notAllowed, ""},
		{"home", "~/.ssh/id_rsa", invalid, "is not found"},
	}
	fields := []struct {
		tool string
		args func(path string) []any
	}{
		{"nemotron_generate", func(p string) []any { return []any{"prompt", "Hi", "files", []string{p}} }},
		{"nemotron_generate", func(p string) []any { return []any{"prompt", "Hi", "image_url", p} }},
		{"upload_file", func(p string) []any { return []any{"path", p} }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if tt.name == "unreadable" && os.Geteuid() == 0 {
				t.Skip("root reads everything")
			}
			for i, field := range fields {
				code := tt.code
				if tt.name == "a file URI" && i != 1 {
					code = invalid // of a path it is one that is not there
				}
				inBubble(t, rigOptions{folders: []string{project}}, func(t *testing.T, r *rig) {
					began := time.Now()
					a := r.call(field.tool, args(t, field.args(tt.path)...))
					if took := time.Since(began); took != 0 {
						t.Errorf("refused after %v", took)
					}
					wantRefused(t, a, code, tt.in, "Nothing was sent.")
					wantNotIn(t, a.text+r.log.String(), outsideContent, "root:")
					r.wantNothing()
				})
			}
		})
	}
}

// TestHostileNames holds that a file with a strange name can be sent, under a
// plain one.
func TestHostileNames(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, file, plain string }{
		{"CR LF", "a\r\nX-Evil: 1.txt", "a_X-Evil_1.txt"},
		{"quotes", `a"b';.txt`, "a_b_.txt"},
		{"right to left", "a\u202etxt.exe.txt", "atxt.exe.txt"},
		{"NFD", "cafe\u0301.txt", "cafe.txt"},
		{"NFC", "caf\u00e9.txt", "caf_.txt"},
		{"like an option", "-rf.txt", "rf.txt"},
		{"like a header", "a%0d%0aSet-Cookie: b.txt", "a_0d_0aSet-Cookie_b.txt"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, rigOptions{}, func(t *testing.T, r *rig) {
				r.write(tt.file, []byte("content"))
				up := r.upload(args(t, "path", tt.file))
				if at := r.sim.Uploads()[0]; up.FileName != tt.plain || at.Name != tt.plain || !strings.HasSuffix(up.URL, "/"+tt.plain) {
					t.Errorf("told as %q, at fal %q: %s", up.FileName, at.Name, up.URL)
				}
				named := r.upload(args(t, "content_base64", "YQ==", "file_name", "../"+tt.file))
				if named.FileName != tt.plain {
					t.Errorf("by its file_name: %q", named.FileName)
				}
				a := r.call("nemotron_generate", args(t, "prompt", "Hi", "files", []string{tt.file}))
				wantNotIn(t, a.text, "\r", "\u202e", "X-Evil: 1.txt\n")
				if got := r.sentPrompt(0); strings.Count(got, "\n===== BEGIN FILE ") != 1 || strings.ContainsAny(got, "\r\u202e") {
					t.Errorf("fal got %q", got)
				}
			})
		})
	}
}
