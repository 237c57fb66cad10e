package uploads

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"nemotron-mcp/falclient"
	"nemotron-mcp/internal/falsim"
	"nemotron-mcp/internal/jobs"
)

// inLines breaks base64 as mail does.
func inLines(text string) string {
	var b strings.Builder
	for len(text) > 76 {
		b.WriteString(text[:76] + "\r\n")
		text = text[76:]
	}
	return b.String() + text + "\n"
}

func TestSameBytesAreSentOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	data := pngOf(t, 30, 20)
	text := base64.StdEncoding.EncodeToString(data)
	path := r.file("a.png", data)
	opts := Options{Caller: "ana"}
	first := r.sent(r.open(path, opts), opts)
	if first.SHA256 != sumOf(data) || first.Size != int64(len(data)) || first.ContentType != "image/png" || first.FileName != "a.png" ||
		first.Caller != "ana" || first.Storage != "http://localhost" {
		t.Errorf("got %+v", first)
	}
	if life := time.Until(first.ExpiresAt); life > DefaultExpiry || life < DefaultExpiry-time.Minute {
		t.Errorf("lives %v", life)
	}
	if have := r.stored(first); have.SHA256 != first.SHA256 || have.ExpiresAt.IsZero() {
		t.Errorf("stored %+v", have)
	}
	for _, tc := range []struct {
		name string
		src  *Source
	}{
		{"path", r.open(path, opts)},
		{"relative path", r.open("a.png", opts)},
		{"another name", r.open(r.file("b.png", data), opts)},
		{"base64", r.decode(text, opts)},
		{"base64 in lines", r.decode(inLines(text), opts)},
		{"URL alphabet", r.decode(base64.RawURLEncoding.EncodeToString(data), opts)},
		{"data URI", r.decode("data:image/png;base64,"+text, opts)},
		{"data URI in lines", r.decode("data:image/png;base64,"+inLines(text), opts)},
	} {
		if got := r.sent(tc.src, opts); got.URL != first.URL {
			t.Errorf("%s: %s, want %s", tc.name, got.URL, first.URL)
		}
	}
	r.wantSent(1)
	if n := r.ledger.keeps(); n != 1 {
		t.Errorf("kept %d times", n)
	}
}

func TestWhatTellsUploadsApart(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	elsewhere := New(Config{
		Storage: connect(t, r.sim, falclient.Config{Key: key, QueueURL: "http://localhost", RESTURL: "http://127.0.0.1"}),
		Ledger:  r.ledger, KnowsKey: true, Log: zerolog.New(r.log),
	})
	text := base64.StdEncoding.EncodeToString([]byte("hello"))
	seen := map[string]string{}
	for i, tc := range []struct {
		name string
		by   *Uploader
		opts Options
		text string
	}{
		{"the first", r.Uploader, Options{Caller: "ana"}, text},
		{"another caller", r.Uploader, Options{Caller: "bob"}, text},
		{"no caller", r.Uploader, Options{}, text},
		{"another storage", elsewhere, Options{Caller: "ana"}, text},
		{"another type", r.Uploader, Options{Caller: "ana", ContentType: "text/markdown"}, text},
		{"other bytes of the size", r.Uploader, Options{Caller: "ana"}, base64.StdEncoding.EncodeToString([]byte("hallo"))},
	} {
		for range 2 {
			src, err := tc.by.Base64(tc.text, tc.opts)
			must(t, err)
			up, err := tc.by.Upload(t.Context(), src, tc.opts)
			must(t, err)
			if former := seen[up.URL]; former != "" && former != tc.name {
				t.Errorf("%s has the file of %s", tc.name, former)
			}
			seen[up.URL] = tc.name
		}
		r.wantSent(i + 1)
	}
}

func TestLife(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name          string
		first, second time.Duration
		wait          time.Duration
		same          bool
	}{
		{"more than half is left", time.Hour, time.Hour, 29 * time.Minute, true},
		{"less than half is left", time.Hour, time.Hour, 31 * time.Minute, false},
		{"half of a shorter wish is left", time.Hour, 20 * time.Minute, 45 * time.Minute, true},
		{"a longer wish", time.Hour, 3 * time.Hour, 0, false},
		{"the default is less demanding", time.Hour, 0, 31 * time.Minute, true},
		{"about to expire", time.Hour, 0, time.Hour - 30*time.Second, false},
		{"expired", time.Hour, 0, time.Hour + time.Second, false},
		{"the default twice", 0, 0, DefaultExpiry - 2*time.Minute, true},
		{"the default named is a wish", 0, DefaultExpiry, 13 * time.Hour, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, rigOptions{})
				a := r.sent(r.decode("data:,hello", Options{}), Options{Expiry: tc.first})
				time.Sleep(tc.wait)
				b := r.sent(r.decode("data:,hello", Options{}), Options{Expiry: tc.second})
				if (a.URL == b.URL) != tc.same {
					t.Errorf("%s, then %s", a.URL, b.URL)
				}
				wish := Options{Expiry: tc.second}.expiry()
				if life := time.Until(b.ExpiresAt); !tc.same && (life > wish || life < wish-time.Second) {
					t.Errorf("the new one lives %v", life)
				}
				r.stored(b)
			})
		})
	}
}

func TestUploadsAreRememberedAfterARestart(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "state")
	var first jobs.Upload
	r := newRig(t, rigOptions{})
	src := r.decode("data:,hello", Options{})
	for n := range 2 {
		db, err := jobs.OpenSQLite(dir, false, zerolog.Nop())
		must(t, err)
		r.ledger.UploadLedger = db
		got := r.sent(src, Options{Caller: "ana"})
		must(t, db.Close())
		if n == 0 {
			first = got
		}
		if got.URL != first.URL || got.SHA256 != first.SHA256 || !got.ExpiresAt.Equal(first.ExpiresAt) || got.FileName != first.FileName {
			t.Errorf("first %+v, then %+v", first, got)
		}
	}
	r.wantSent(1)
}

// slowPut lets every PUT take some time.
func slowPut() falsim.Script {
	return falsim.Script{Faults: []falsim.Fault{{Step: falsim.StepPut, Kind: falsim.Delay, Delay: 10 * time.Second}}}
}

func TestSameFileAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, rigOptions{script: slowPut()})
		path := r.file("a.bin", noise(1, 10_000))
		var work sync.WaitGroup
		urls := make([]string, 20)
		for i := range urls {
			work.Go(func() {
				src, err := r.File(t.Context(), r.folders, path, Options{})
				if err != nil {
					t.Error(err)
					return
				}
				defer src.Close()
				up, err := r.Upload(t.Context(), src, Options{})
				if err != nil {
					t.Error(err)
				}
				urls[i] = up.URL
			})
		}
		work.Wait()
		for _, url := range urls {
			if url == "" || url != urls[0] {
				t.Errorf("%q beside %q", url, urls[0])
			}
		}
		r.wantSent(1)
		if len(r.flights) != 0 {
			t.Errorf("%d flights are left", len(r.flights))
		}
	})
}

func TestFilesOfOneSizeAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, rigOptions{script: slowPut()})
		var work sync.WaitGroup
		for i := range 20 {
			work.Go(func() {
				data := noise(byte(i), 10_000)
				src, err := r.bytesSource(data, "a.bin", "", Options{})
				if err != nil {
					t.Error(err)
					return
				}
				up, err := r.Upload(t.Context(), src, Options{})
				if err != nil {
					t.Error(err)
					return
				}
				if have := r.stored(up); have.SHA256 != sumOf(data) || up.SHA256 != have.SHA256 || src.SHA256 != have.SHA256 {
					t.Errorf("file %d is another at fal", i)
				}
			})
		}
		work.Wait()
		r.wantSent(20)
	})
}

// Callers and sizes do not wait for each other.
func TestOthersDoNotWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, rigOptions{script: slowPut()})
		began := time.Now()
		var work sync.WaitGroup
		for _, up := range []struct {
			caller string
			size   int
		}{{"ana", 1}, {"ana", 2}, {"bob", 1}, {"bob", 2}} {
			work.Go(func() {
				src, err := r.bytesSource(noise(1, up.size), "a.bin", "", Options{})
				if err == nil {
					_, err = r.Upload(t.Context(), src, Options{Caller: up.caller})
				}
				if err != nil {
					t.Error(err)
				}
			})
		}
		work.Wait()
		if took := time.Since(began); took != 10*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func TestAWaiterGivesUp(t *testing.T) {
	t.Parallel()
	gone := errors.New("the user went home")
	for _, tc := range []struct {
		name  string
		quits int // which of three
		puts  int
	}{{"the first one", 0, 2}, {"one that waits", 1, 1}} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, rigOptions{script: slowPut()})
				var work sync.WaitGroup
				urls, errs := make([]string, 3), make([]error, 3)
				quit := func(error) {}
				for i := range 3 {
					ctx, cancel := context.WithCancelCause(t.Context())
					defer cancel(nil)
					if i == tc.quits {
						quit = cancel
					}
					work.Go(func() {
						up, err := r.Upload(ctx, r.decode("data:,hello", Options{}), Options{})
						urls[i], errs[i] = up.URL, err
					})
					synctest.Wait()
				}
				quit(gone)
				work.Wait()
				for i := range 3 {
					if i == tc.quits {
						if !errors.Is(errs[i], gone) || urls[i] != "" {
							t.Errorf("who gave up got %q, %v", urls[i], errs[i])
						}
						continue
					}
					if errs[i] != nil || urls[i] != urls[2] || urls[i] == "" {
						t.Errorf("got %q, %v", urls[i], errs[i])
					}
				}
				if st := r.sim.Stats(); st.Requests.Put != tc.puts || r.ledger.keeps() != 1 {
					t.Errorf("%d PUTs, kept %d", st.Requests.Put, r.ledger.keeps())
				}
			})
		})
	}
}

func TestTheFirstOneFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, rigOptions{script: falsim.Script{Faults: []falsim.Fault{
			{Step: falsim.StepPut, Kind: falsim.Respond, Delay: time.Second, Status: http.StatusForbidden, Times: 1},
		}}})
		var work sync.WaitGroup
		var mu sync.Mutex
		var failed int
		for range 3 {
			work.Go(func() {
				_, err := r.Upload(t.Context(), r.decode("data:,hello", Options{}), Options{})
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					failed++
				}
			})
		}
		work.Wait()
		if st := r.sim.Stats(); failed != 1 || st.Requests.Put != 2 || st.Uploads != 1 {
			t.Errorf("%d failed; %+v", failed, st)
		}
	})
}

func TestFindReadsOnlyWhereItCanHelp(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	data := noise(1, 1000)
	src, err := r.bytesSource(data, "a.bin", "", Options{})
	must(t, err)
	counted := &countingReader{r: bytes.NewReader(data)}
	src.reader = counted
	for _, step := range []struct {
		name  string
		do    func()
		reads bool
		finds bool
	}{
		{"an empty ledger", func() {}, false, false},
		{"another size", func() { r.sent(r.decode("data:,hello", Options{}), Options{}) }, false, false},
		{"another caller's", func() { r.sent(src, Options{Caller: "bob"}); src.SHA256 = "" }, false, false},
		{"the same size", func() {
			other, err := r.bytesSource(noise(2, 1000), "a.bin", "", Options{})
			must(t, err)
			r.sent(other, Options{})
		}, true, false},
		{"the same", func() { r.sent(src, Options{}) }, false, true}, // its hash is known
	} {
		step.do()
		before := counted.reads()
		got, err := r.Find(t.Context(), src, Options{})
		must(t, err)
		if read := counted.reads() > before; read != step.reads || (got.URL != "") != step.finds || (src.SHA256 != "") != (step.reads || step.finds) {
			t.Errorf("%s: read %v, found %q, hash %q", step.name, read, got.URL, src.SHA256)
		}
	}
}

type countingReader struct {
	r  *bytes.Reader
	mu sync.Mutex
	n  int
}

func (c *countingReader) ReadAt(p []byte, off int64) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	return c.r.ReadAt(p, off)
}

func (c *countingReader) reads() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}
