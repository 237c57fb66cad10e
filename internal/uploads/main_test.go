package uploads

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"nemotron-mcp/falclient"
	"nemotron-mcp/internal/falsim"
	"nemotron-mcp/internal/files"
	"nemotron-mcp/internal/jobs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const key = "key-id:s3cret-half-of-the-key"

// rig is an Uploader before a simulated storage that is reached over pipes, so
// that all of it can live in a synctest bubble.
type rig struct {
	*Uploader
	t       *testing.T
	sim     *falsim.Server
	dir     string // the one allowed folder
	folders *files.Folders
	ledger  *ledger
	log     *logBuffer
}

type rigOptions struct {
	script    falsim.Script
	noKey     bool
	noStorage bool
	fetcher   Fetcher
	keeps     jobs.UploadLedger // instead of one in memory
	maxSize   int64
}

func newRig(t *testing.T, o rigOptions) *rig {
	t.Helper()
	r := &rig{t: t, sim: falsim.New(o.script), dir: t.TempDir(), folders: new(files.Folders), log: new(logBuffer)}
	if o.keeps == nil {
		o.keeps = jobs.NewMemory()
	}
	r.ledger = &ledger{UploadLedger: o.keeps}
	if refused := r.folders.Set([]string{r.dir}); len(refused) > 0 {
		t.Fatal(refused)
	}
	t.Cleanup(r.folders.Close)
	cfg := falclient.Config{Key: key, QueueURL: "http://localhost", RESTURL: "http://localhost"}
	if o.noKey {
		cfg.Key = ""
	}
	if o.noStorage {
		cfg.RESTURL = ""
	}
	r.Uploader = New(Config{
		Storage: connect(t, r.sim, cfg), Ledger: r.ledger, Fetcher: o.fetcher, KnowsKey: !o.noKey, MaxSize: o.maxSize,
		Log: zerolog.New(r.log),
	})
	return r
}

// connect makes a client of the simulator's.
func connect(t *testing.T, sim *falsim.Server, cfg falclient.Config) *falclient.Client {
	t.Helper()
	l := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
	srv := &http.Server{Handler: sim}
	var served sync.WaitGroup
	served.Go(func() { _ = srv.Serve(l) })
	cfg.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return l.dial(ctx) }}
	fal, err := falclient.New(cfg)
	must(t, err)
	t.Cleanup(func() {
		fal.Close()
		_ = sim.Close()
		close(l.done)
		_ = srv.Close()
		served.Wait()
	})
	return fal
}

// pipes is a listener without a network.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (p *pipes) dial(ctx context.Context) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case p.conns <- theirs:
		return ours, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// ledger fails where it is told to, and counts what it is given.
type ledger struct {
	jobs.UploadLedger
	unreadable, unwritable error

	mu   sync.Mutex
	kept []jobs.Upload
}

func (l *ledger) UploadsOfSize(ctx context.Context, caller, storage string, size int64, beyond time.Time) ([]jobs.Upload, error) {
	if l.unreadable != nil {
		return nil, l.unreadable
	}
	return l.UploadLedger.UploadsOfSize(ctx, caller, storage, size, beyond)
}

func (l *ledger) KeepUpload(ctx context.Context, u jobs.Upload) error {
	if l.unwritable != nil {
		return l.unwritable
	}
	l.mu.Lock()
	l.kept = append(l.kept, u)
	l.mu.Unlock()
	return l.UploadLedger.KeepUpload(ctx, u)
}

func (l *ledger) keeps() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.kept)
}

// logBuffer is a log that can be read while it is written.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// file writes a file into the allowed folder and returns its path.
// allowed gives the folders, as they are asked for.
func (r *rig) allowed() *files.Folders { return r.folders }

func (r *rig) file(name string, content []byte) string {
	r.t.Helper()
	path := filepath.Join(r.dir, name)
	must(r.t, os.WriteFile(path, content, 0o600))
	return path
}

func (r *rig) open(path string, opts Options) *Source {
	r.t.Helper()
	src, err := r.File(r.t.Context(), r.folders, path, opts)
	must(r.t, err)
	r.t.Cleanup(src.Close)
	return src
}

func (r *rig) decode(text string, opts Options) *Source {
	r.t.Helper()
	src, err := r.Base64(text, opts)
	must(r.t, err)
	return src
}

// sent uploads a source, which must work.
func (r *rig) sent(src *Source, opts Options) jobs.Upload {
	r.t.Helper()
	up, err := r.Upload(r.t.Context(), src, opts)
	must(r.t, err)
	return up
}

// stored is what the storage has of an upload.
func (r *rig) stored(up jobs.Upload) falsim.Upload {
	r.t.Helper()
	for _, have := range r.sim.Uploads() {
		if have.Ready && strings.HasSuffix(up.URL, have.Path) {
			return have
		}
	}
	r.t.Fatalf("no file %s", up.URL)
	return falsim.Upload{}
}

// wantSent checks how many files were sent, each in one PUT.
func (r *rig) wantSent(n int) {
	r.t.Helper()
	if st := r.sim.Stats(); st.Requests.Put != n || st.Uploads != n {
		r.t.Errorf("%d PUTs, %d files; want %d", st.Requests.Put, st.Uploads, n)
	}
}

// wantSilence checks that the storage saw no request at all.
func (r *rig) wantSilence() {
	r.t.Helper()
	if st := r.sim.Stats(); st.Requests != (falsim.Requests{}) {
		r.t.Errorf("something was sent: %+v", st.Requests)
	}
}

func sumOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// noise is bytes that look like no kind and differ by seed.
func noise(seed byte, n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(b) // never fails
	copy(b, "\xff\x00")
	return b
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantFault checks an error's code and a part of its words, and returns it.
func wantFault(t *testing.T, err error, code jobs.Code, part string) jobs.Error {
	t.Helper()
	var fault *jobs.Error
	if !errors.As(err, &fault) {
		t.Fatalf("got %v, want a *jobs.Error", err)
	}
	if words := fault.Message + " " + fault.Action; fault.Code != code || !strings.Contains(words, part) {
		t.Errorf("got %s: %s, want %s with %q", fault.Code, words, code, part)
	}
	if fault.Message == "" || fault.Action == "" {
		t.Errorf("%+v: no message or no action", fault)
	}
	if strings.Contains(fault.Message+fault.Action, "s3cret") {
		t.Errorf("%v holds the key", fault)
	}
	return *fault
}
