package uploads

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nemotron-mcp/internal/falsim"
	"nemotron-mcp/internal/files"
	"nemotron-mcp/internal/jobs"
)

const address = "https://example.com/a.bin?token=secret"

func TestASmallDownload(t *testing.T) {
	t.Parallel()
	for _, size := range []int{100, heldFetch} {
		data := noise(1, size)
		for name, told := range map[string]int64{"of told size": int64(size), "of untold size": -1} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				f := &fetcher{give: func(context.Context, int) (*files.Download, error) {
					d := download(data, "application/x-thing")
					d.Size = told
					return d, nil
				}}
				r := newRig(t, rigOptions{fetcher: f})
				first, err := r.FromURL(t.Context(), address, Options{Caller: "ana"})
				must(t, err)
				if have := r.stored(first); have.SHA256 != sumOf(data) || have.Name != "a.bin" || have.ContentType != "application/x-thing" {
					t.Errorf("stored %+v", have)
				}
				if *f.lastSeen.Load() != address {
					t.Errorf("fetched %s", *f.lastSeen.Load())
				}
				again, err := r.FromURL(t.Context(), address, Options{Caller: "ana"})
				must(t, err)
				held, err := r.bytesSource(data, "", "application/x-thing", Options{})
				must(t, err)
				if same := r.sent(held, Options{Caller: "ana"}); again.URL != first.URL || same.URL != first.URL {
					t.Errorf("%s, %s and %s", first.URL, again.URL, same.URL)
				}
				r.wantSent(1)
				f.wantClosed(t, 2)
			})
		}
	}
}

func TestALargeDownload(t *testing.T) {
	t.Parallel()
	const size = heldFetch + 1
	data, other := noise(1, size), noise(2, size)
	var f *fetcher
	give := data
	f = &fetcher{give: func(context.Context, int) (*files.Download, error) { return download(give, ""), nil }}
	r := newRig(t, rigOptions{fetcher: f})
	var told []int64
	opts := Options{Progress: func(sent, total int64) {
		if total != size {
			t.Errorf("of %d", total)
		}
		told = append(told, sent)
	}}
	first, err := r.FromURL(t.Context(), address, opts)
	must(t, err)
	if have := r.stored(first); have.SHA256 != sumOf(data) || first.SHA256 != have.SHA256 || first.Size != size || first.FileName != "a.bin" {
		t.Errorf("got %+v, stored %+v", first, have)
	}
	if len(told) == 0 || told[len(told)-1] != size {
		t.Errorf("told %v", told)
	}
	f.wantClosed(t, 1)
	again, err := r.FromURL(t.Context(), address, Options{})
	must(t, err)
	if again.URL != first.URL {
		t.Errorf("%s, then %s", first.URL, again.URL)
	}
	f.wantClosed(t, 2)
	r.wantSent(1)

	give = other
	third, err := r.FromURL(t.Context(), address, Options{})
	must(t, err)
	if have := r.stored(third); have.SHA256 != sumOf(other) || third.URL == first.URL {
		t.Errorf("got %+v", third)
	}
	f.wantClosed(t, 4) // once for the hash, once to be sent
	r.wantSent(2)
	typed, err := r.FromURL(t.Context(), address, Options{ContentType: "application/x-thing"})
	must(t, err)
	if typed.URL == third.URL || r.stored(typed).ContentType != "application/x-thing" {
		t.Errorf("got %+v", typed)
	}
	r.wantSent(3)
}

// A file that is another when it is fetched to be sent is sent as that.
func TestALargeDownloadThatChanges(t *testing.T) {
	t.Parallel()
	known, hashed := noise(1, heldFetch+1), noise(2, heldFetch+1)
	for name, sent := range map[string][]byte{"large": noise(3, heldFetch+100), "small": noise(4, 100), "known": known} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := &fetcher{give: func(_ context.Context, n int) (*files.Download, error) {
				return download([][]byte{known, hashed, sent}[n-1], ""), nil
			}}
			r := newRig(t, rigOptions{fetcher: f})
			_, err := r.FromURL(t.Context(), address, Options{})
			must(t, err)
			up, err := r.FromURL(t.Context(), address, Options{})
			must(t, err)
			if have := r.stored(up); have.SHA256 != sumOf(sent) || up.SHA256 != have.SHA256 || up.Size != int64(len(sent)) {
				t.Errorf("got %+v, stored %+v", up, have)
			}
			f.wantClosed(t, 3)
		})
	}
}

func TestALargeDownloadOfUntoldSize(t *testing.T) {
	t.Parallel()
	data := noise(1, heldFetch+1)
	f := &fetcher{give: func(context.Context, int) (*files.Download, error) {
		d := download(data, "")
		d.Size = -1
		return d, nil
	}}
	r := newRig(t, rigOptions{fetcher: f})
	up, err := r.FromURL(t.Context(), address, Options{Progress: func(_, total int64) {
		if total != 0 {
			t.Errorf("of %d", total)
		}
	}})
	must(t, err)
	if have := r.stored(up); have.SHA256 != sumOf(data) {
		t.Errorf("stored %+v", have)
	}
	f.wantClosed(t, 1)
}

func TestDownloadsThatFail(t *testing.T) {
	t.Parallel()
	broken := &files.Error{Code: files.CodeInvalid, Message: `"example.com" ended the download before its end`, Action: "Try again."}
	cut := func(n int, size int64, end error) func(context.Context, int) (*files.Download, error) {
		return func(context.Context, int) (*files.Download, error) {
			return &files.Download{Body: io.NopCloser(io.MultiReader(bytes.NewReader(noise(1, n)), failing{end})), Size: size, Name: "a.bin"}, nil
		}
	}
	endless := func(context.Context, int) (*files.Download, error) {
		return &files.Download{Body: io.NopCloser(zeros{}), Size: -1, Name: "a.bin"}, nil
	}
	const some = "No file came of what was sent."
	for _, tc := range []struct {
		name    string
		give    func(context.Context, int) (*files.Download, error)
		opts    Options
		lawless bool
		code    jobs.Code
		part    string
		bodies  int64
	}{
		{"not fetched", func(context.Context, int) (*files.Download, error) { return nil, broken }, Options{}, false, jobs.FileInvalid, nothingSent, 0},
		{"small and cut", cut(100, 200, broken), Options{}, false, jobs.FileInvalid, "its end. Try again." + nothingSent, 1},
		{"large and cut", cut(heldFetch+1, 2*heldFetch, broken), Options{}, false, jobs.FileInvalid, "its end. Try again. " + some, 1},
		{"cut in its second part", cut(11<<20, -1, broken), Options{}, false, jobs.FileInvalid, some, 1},
		{"beyond the limit, told", cut(1, 100<<20, io.EOF), Options{}, false, jobs.FileInvalid, "larger than the limit. Name a smaller file." + nothingSent, 0},
		{"beyond the limit, untold", endless, Options{}, false, jobs.FileInvalid, "larger than the limit. Name a smaller file. " + some, 1},
		{"beyond the limit of the storage", endless, Options{}, true, jobs.FileInvalid, "larger than the limit", 1},
		{"empty", cut(0, -1, io.EOF), Options{}, false, jobs.FileInvalid, "is empty", 1},
		{"small, wrong claim", cut(100, -1, io.EOF), Options{ContentType: "image/png"}, false, jobs.FileInvalid, "claims to be image/png", 1},
		{"large, wrong claim", cut(heldFetch+1, -1, io.EOF), Options{ContentType: "image/png"}, false, jobs.FileInvalid, "claims to be image/png", 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			f := &fetcher{give: tc.give, lawless: tc.lawless}
			r := newRig(t, rigOptions{fetcher: f, maxSize: 12 << 20})
			_, err := r.FromURL(t.Context(), address, tc.opts)
			fault := wantFault(t, err, tc.code, tc.part)
			if strings.Contains(fault.Message+fault.Action, "secret") || fault.Retryable {
				t.Errorf("%+v", fault)
			}
			if st := r.sim.Stats(); st.Uploads != 0 || r.ledger.keeps() != 0 {
				t.Errorf("%d files, %d remembered", st.Uploads, r.ledger.keeps())
			}
			if f.open.Load() != 0 || f.fetched.Load() != 1 {
				t.Errorf("%d bodies are open, fetched %d times", f.open.Load(), f.fetched.Load())
			}
			if strings.HasSuffix(fault.Action, nothingSent) {
				r.wantSilence()
			}
		})
	}
}

// A download that breaks while it is read for its hash has sent nothing.
func TestADownloadThatBreaksWhileItIsHashed(t *testing.T) {
	t.Parallel()
	data := noise(1, heldFetch+100)
	f := &fetcher{give: func(_ context.Context, n int) (*files.Download, error) {
		d := download(data, "")
		if n > 1 {
			d.Body = io.NopCloser(io.MultiReader(bytes.NewReader(data[:heldFetch+50]), failing{tooLarge()}))
		}
		return d, nil
	}}
	r := newRig(t, rigOptions{fetcher: f})
	_, err := r.FromURL(t.Context(), address, Options{})
	must(t, err)
	_, err = r.FromURL(t.Context(), address, Options{})
	wantFault(t, err, jobs.FileInvalid, nothingSent)
	r.wantSent(1)
	f.wantClosed(t, 2)
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// hanging gives so many bytes, and then nothing until its context ends.
func hanging(n int) func(context.Context, int) (*files.Download, error) {
	return func(ctx context.Context, _ int) (*files.Download, error) {
		return &files.Download{Body: io.NopCloser(io.MultiReader(bytes.NewReader(noise(1, n)), waits{ctx})), Size: -1, Name: "a.bin"}, nil
	}
}

type waits struct{ ctx context.Context }

func (w waits) Read([]byte) (int, error) {
	<-w.ctx.Done()
	return 0, w.ctx.Err()
}

func TestADownloadEndsWithItsContext(t *testing.T) {
	t.Parallel()
	for name, n := range map[string]int{"small": 10, "large": heldFetch + 10, "in its second part": 11 << 20} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := &fetcher{give: hanging(n)}
				r := newRig(t, rigOptions{fetcher: f})
				gone := errors.New("the user went home")
				ctx, cancel := context.WithCancelCause(t.Context())
				time.AfterFunc(time.Minute, func() { cancel(gone) })
				began := time.Now()
				_, err := r.FromURL(ctx, address, Options{})
				if !errors.Is(err, gone) || time.Since(began) != time.Minute {
					t.Errorf("%v after %v", err, time.Since(began))
				}
				f.wantClosed(t, 1)

				began = time.Now()
				_, err = r.FromURL(t.Context(), address, Options{})
				wantFault(t, err, jobs.FileInvalid, "longer than an hour")
				if took := time.Since(began); took != time.Hour {
					t.Errorf("took %v", took)
				}
				f.wantClosed(t, 2)
				if st := r.sim.Stats(); st.Uploads != 0 {
					t.Errorf("%d files", st.Uploads)
				}
			})
		})
	}
}

// What is streamed is never read further ahead than one part of 10 MiB.
func TestALargeDownloadIsNotHeld(t *testing.T) {
	t.Parallel()
	const size = 64 << 20
	ahead := &leading{left: size}
	f := &fetcher{give: func(context.Context, int) (*files.Download, error) {
		return &files.Download{Body: io.NopCloser(ahead), Size: size, Name: "a.bin"}, nil
	}}
	r := newRig(t, rigOptions{fetcher: f, script: falsim.Script{DiscardUploads: true}})
	ahead.sim = r.sim
	up, err := r.FromURL(t.Context(), address, Options{})
	must(t, err)
	if have := r.stored(up); have.Size != size || up.Size != size || !have.Multipart {
		t.Errorf("stored %+v", have)
	}
	if ahead.most > 10<<20+1 || ahead.most < heldFetch {
		t.Errorf("read %d bytes ahead", ahead.most)
	}
	f.wantClosed(t, 1)
}

// leading gives zeros, and notes how many of them fal does not have yet.
type leading struct {
	sim               *falsim.Server
	given, left, most int64
}

func (l *leading) Read(p []byte) (int, error) {
	if l.left == 0 {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), l.left)]
	clear(p)
	l.given += int64(len(p))
	l.left -= int64(len(p))
	l.most = max(l.most, l.given-l.sim.Stats().UploadBytes)
	return len(p), nil
}

// The guard itself is tested where it is.
func TestTheRealFetcherRefusesThisMachine(t *testing.T) {
	t.Parallel()
	var config net.ListenConfig
	l, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	r := newRig(t, rigOptions{fetcher: files.NewFetcher("test")})
	for _, url := range []string{"http://127.0.0.1/a.png", "http://" + l.Addr().String() + "/a.png", "file:///etc/passwd", "http://localhost/upload/x"} {
		_, err := r.FromURL(t.Context(), url, Options{})
		wantFault(t, err, jobs.FileNotAllowed, nothingSent)
	}
	r.wantSilence()
}

func TestMalformedTypeIsRefusedBeforeFetching(t *testing.T) {
	t.Parallel()
	f := &fetcher{give: always([]byte("hello"), "")}
	r := newRig(t, rigOptions{fetcher: f})
	_, err := r.FromURL(t.Context(), address, Options{ContentType: "png"})
	wantFault(t, err, jobs.InvalidInput, "content_type")
	if f.fetched.Load() != 0 {
		t.Error("it was fetched")
	}
	r.wantSilence()
}
