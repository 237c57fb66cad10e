package uploads

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"nemotron-mcp/internal/jobs"
)

// hook does something before the first read beyond the file's beginning.
type hook struct {
	io.ReaderAt
	do func()
}

func (h *hook) ReadAt(p []byte, off int64) (int, error) {
	h.do()
	return h.ReaderAt.ReadAt(p, off)
}

func TestAFileThatChanges(t *testing.T) {
	t.Parallel()
	const size = 2 << 20
	changes := map[string]func(path string) error{
		"grows": func(path string) error {
			f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
			if err != nil {
				return err
			}
			_, err = f.WriteString("x")
			return errors.Join(err, f.Close())
		},
		"shrinks":  func(path string) error { return os.Truncate(path, size/2) },
		"is empty": func(path string) error { return os.Truncate(path, 0) },
		"has other bytes": func(path string) error {
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			_, err = f.WriteAt([]byte("other"), size-5)
			// A clock that ticks slowly could hide it.
			return errors.Join(err, f.Close(), os.Chtimes(path, time.Time{}, time.Now().Add(time.Minute)))
		},
	}
	for name, change := range changes {
		for _, stage := range []string{"before it is sent", "while it is sent", "before it is hashed", "while it is hashed"} {
			t.Run(name+" "+stage, func(t *testing.T) {
				t.Parallel()
				r := newRig(t, rigOptions{})
				data := noise(1, size)
				path := r.file("a.bin", data)
				hashed := strings.HasSuffix(stage, "hashed")
				if hashed {
					src, err := r.bytesSource(noise(2, size), "", "", Options{})
					must(t, err)
					r.sent(src, Options{}) // so that there is one of the size
				}
				before := r.sim.Stats()
				src := r.open(path, Options{})
				once := new(sync.Once)
				do := func() {
					once.Do(func() {
						if err := change(path); err != nil {
							t.Error(err)
						}
					})
				}
				var opts Options
				switch stage {
				case "while it is sent":
					opts.Progress = func(int64, int64) { do() }
				case "while it is hashed":
					reads := 0
					file := src.reader
					src.reader = &hook{file, func() {
						if reads++; reads == 10 {
							do()
						}
					}}
				default:
					do()
				}
				_, err := r.Upload(t.Context(), src, opts)
				fault := wantFault(t, err, jobs.FileInvalid, `"a.bin" changed while it was read`)
				if fault.Retryable {
					t.Errorf("%+v", fault)
				}
				now := r.sim.Stats()
				if now.Uploads != before.Uploads || r.ledger.keeps() != before.Uploads {
					t.Errorf("%d files, %d remembered; want %d", now.Uploads, r.ledger.keeps(), before.Uploads)
				}
				end := "No file came of what was sent."
				if hashed {
					end = "Nothing was sent."
					if now.Requests != before.Requests {
						t.Errorf("sent %+v", now.Requests)
					}
				}
				if now.Requests == before.Requests {
					end = "Nothing was sent." // it is read once before
				}
				if !strings.HasSuffix(fault.Action, end) || strings.Count(fault.Action, "sent.") != 1 {
					t.Errorf("action %q", fault.Action)
				}
				must(t, os.WriteFile(path, data, 0o600))
				if up := r.sent(r.open(path, Options{}), Options{}); r.stored(up).SHA256 != sumOf(data) {
					t.Error("later it is sent wrong")
				}
			})
		}
	}
}

// What is sent is the file that was judged, whatever has its name now.
func TestAFileThatIsReplaced(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("an open file can't be replaced there")
	}
	r := newRig(t, rigOptions{})
	data := noise(1, 1000)
	path := r.file("a.bin", data)
	src := r.open(path, Options{})
	must(t, os.Rename(r.file("b.bin", noise(2, 1000)), path))
	if up := r.sent(src, Options{}); up.SHA256 != sumOf(data) || r.stored(up).SHA256 != up.SHA256 {
		t.Errorf("sent %s", up.SHA256)
	}
}

func TestSizes(t *testing.T) {
	t.Parallel()
	const most = 6 << 20
	for _, tc := range []struct {
		name string
		size int
		part string // of the refusal
	}{
		{"nothing", 0, "is empty"},
		{"one byte", 1, ""},
		{"the limit", most, ""},
		{"one more", most + 1, "limit"},
	} {
		data := noise(1, tc.size)
		for _, way := range []string{"file", "base64", "URL"} {
			t.Run(way+" of "+tc.name, func(t *testing.T) {
				t.Parallel()
				r := newRig(t, rigOptions{maxSize: most, fetcher: &fetcher{give: always(data, "")}})
				var up jobs.Upload
				var src *Source
				var err error
				switch way {
				case "file":
					src, err = r.File(t.Context(), r.folders, r.file("a.bin", data), Options{})
				case "base64":
					src, err = r.Base64(base64Of(data), Options{})
				default:
					up, err = r.FromURL(t.Context(), "https://example.com/a.bin", Options{})
				}
				if err == nil && src != nil {
					defer src.Close()
					up, err = r.Upload(t.Context(), src, Options{})
				}
				if tc.part != "" {
					if fault := wantFault(t, err, jobs.FileInvalid, tc.part); !strings.HasSuffix(fault.Action, "Nothing was sent.") {
						t.Errorf("action %q", fault.Action)
					}
					r.wantSilence()
					return
				}
				must(t, err)
				if have := r.stored(up); have.SHA256 != sumOf(data) || up.Size != int64(tc.size) || up.SHA256 != have.SHA256 {
					t.Errorf("got %+v, stored %+v", up, have)
				}
			})
		}
	}
}

func TestASparseFileOverTheLimit(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("files are not sparse there unless asked for")
	}
	r := newRig(t, rigOptions{})
	path := r.file("a.bin", nil)
	must(t, os.Truncate(path, DefaultMaxSize+1))
	_, err := r.File(t.Context(), r.folders, path, Options{})
	wantFault(t, err, jobs.FileInvalid, "the limit is 2147483648")
	r.wantSilence()
	must(t, os.Truncate(path, DefaultMaxSize))
	r.open(path, Options{})
}

func TestFilesThatMustNotBeRead(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	outside := filepath.Join(t.TempDir(), "a.txt")
	must(t, os.WriteFile(outside, []byte("hello"), 0o600))
	r.file(".env", []byte("A=b"))
	for path, code := range map[string]jobs.Code{
		outside: jobs.FileNotAllowed, ".env": jobs.FileNotAllowed, "../a.txt": jobs.FileNotAllowed,
		"": jobs.FileInvalid, "missing.txt": jobs.FileInvalid, ".": jobs.FileInvalid,
	} {
		_, err := r.File(t.Context(), r.folders, path, Options{})
		if fault := wantFault(t, err, code, "Nothing was sent."); !strings.HasSuffix(fault.Message, ".") {
			t.Errorf("message %q", fault.Message)
		}
	}
	r.wantSilence()
}
