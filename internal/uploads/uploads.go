package uploads

import (
	"context"
	"io"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"nemotron-mcp/falclient"
	"nemotron-mcp/internal/files"
	"nemotron-mcp/internal/jobs"
)

const (
	// DefaultMaxSize is the largest file that is sent, in bytes.
	DefaultMaxSize = 2 << 30
	// DefaultExpiry is how long fal keeps a file: fal's files are public to
	// whoever has the URL, and can't be deleted.
	DefaultExpiry = 24 * time.Hour
)

// Storage is what is asked of fal; *falclient.Client implements it.
type Storage interface {
	Upload(ctx context.Context, src falclient.UploadSource, opts falclient.UploadOptions) (falclient.Uploaded, error)
	UploadStream(ctx context.Context, r io.Reader, limit int64, opts falclient.UploadOptions) (falclient.Uploaded, error)
	OfStorage(raw string) bool
	StorageURL() string
}

// Fetcher gets files by their URLs; *files.Fetcher implements it.
type Fetcher interface {
	Fetch(ctx context.Context, rawURL string, limit int64) (*files.Download, error)
}

// Config is what an Uploader works with. All but MaxSize is required.
type Config struct {
	Storage Storage
	Ledger  jobs.UploadLedger
	Fetcher Fetcher
	// KnowsKey is false where no key is set: calls explain that, instead of
	// reading and fetching.
	KnowsKey bool
	MaxSize  int64 // bytes; 0 is DefaultMaxSize
	// Holds reports whether bytes hold a secret of this server's, and Mask hides
	// it in a name; nil for none. What holds one is not sent: whoever has its URL
	// could read it.
	Holds func([]byte) bool
	Mask  func(string) string
	Log   zerolog.Logger
	// Observe, unless nil, is told what became of each upload that was begun: sent,
	// reused or failed.
	Observe func(outcome string, bytes int64)
}

const (
	// atOnce is how many uploads are under way together; the others wait.
	atOnce = 16
	// hashFirst is up to which size a source is hashed before it is sent, so that
	// only calls that name the same bytes wait for each other.
	hashFirst = 16 << 20
)

// Uploader uploads. It is safe for concurrent use.
type Uploader struct {
	cfg    Config
	places chan struct{} // of the uploads under way

	mu      sync.Mutex
	flights map[flight]chan struct{} // closed when the one under way is over
}

// New makes an Uploader. It opens nothing.
func New(cfg Config) *Uploader {
	if cfg.MaxSize == 0 {
		cfg.MaxSize = DefaultMaxSize
	}
	if cfg.Observe == nil {
		cfg.Observe = func(string, int64) {}
	}
	if cfg.Mask == nil {
		cfg.Mask = func(name string) string { return name }
	}
	return &Uploader{cfg: cfg, places: make(chan struct{}, atOnce), flights: map[flight]chan struct{}{}}
}

// Options say what becomes of an upload.
type Options struct {
	Caller string
	// Name is what the file is called at fal, any text; empty means its own name.
	Name string
	// ContentType is what the caller says it is; empty means that the content
	// tells. Where the two contradict each other the upload is refused.
	ContentType string
	// Expiry is how long fal is to keep the file; 0 means DefaultExpiry.
	Expiry time.Duration
	// LeastLife is how long a file that was uploaded before must still live to do;
	// 0 means half of Expiry, or a minute where none is given.
	LeastLife time.Duration
	// Progress, unless nil, is told how many bytes are sent and how many there
	// are, 0 where that is not known. It must return soon.
	Progress func(sent, total int64)
}

func (o Options) expiry() time.Duration {
	if o.Expiry == 0 {
		return DefaultExpiry
	}
	return o.Expiry
}

// leastLife is how long a file that is there already must still live.
func (o Options) leastLife() time.Duration {
	switch {
	case o.LeastLife != 0:
		return o.LeastLife
	case o.Expiry == 0:
		return time.Minute
	}
	return o.Expiry / 2
}

// Upload sends a source, or finds it in the ledger.
func (u *Uploader) Upload(ctx context.Context, src *Source, opts Options) (jobs.Upload, error) {
	leave, err := u.takePlace(ctx)
	if err != nil {
		return jobs.Upload{}, err
	}
	defer leave()
	return u.upload(ctx, src, opts)
}

// upload is Upload for one that has its place.
func (u *Uploader) upload(ctx context.Context, src *Source, opts Options) (jobs.Upload, error) {
	if opts.Progress != nil {
		opts.Progress(0, src.Size)
	}
	// The same bytes are named by many calls at once: one of them sends.
	mark, err := src.mark(ctx)
	if err != nil {
		return jobs.Upload{}, failure(ctx, err)
	}
	done, err := u.enter(ctx, flight{opts.Caller, src.Size, mark})
	if err != nil {
		return jobs.Upload{}, err
	}
	defer done()
	known, err := u.Find(ctx, src, opts)
	if err != nil {
		return jobs.Upload{}, err
	}
	if known.URL != "" {
		u.cfg.Observe("reused", known.Size)
		return known, nil
	}
	began := time.Now()
	uploaded, err := u.cfg.Storage.Upload(ctx, falclient.UploadSource{Reader: src.reader, Size: src.Size, Changed: src.changed},
		u.sending(src.Name, src.ContentType, src.Size, opts))
	if err != nil {
		u.cfg.Observe("failed", 0)
		return jobs.Upload{}, failure(ctx, err)
	}
	src.SHA256 = uploaded.SHA256
	return u.keep(ctx, uploaded, src.Name, opts, began), nil
}

func (u *Uploader) sending(name, contentType string, size int64, opts Options) falclient.UploadOptions {
	sending := falclient.UploadOptions{FileName: name, ContentType: contentType, ExpiresIn: opts.expiry()}
	if opts.Progress != nil {
		sending.Progress = func(sent int64) { opts.Progress(sent, max(size, 0)) }
	}
	return sending
}

// Find looks for a source among what was uploaded before; the zero Upload says
// that it is not there. It reads the source only where one of its size is there.
func (u *Uploader) Find(ctx context.Context, src *Source, opts Options) (jobs.Upload, error) {
	before := u.ofSize(ctx, opts, src.Size)
	if len(before) == 0 {
		return jobs.Upload{}, nil
	}
	if err := src.sum(ctx); err != nil {
		return jobs.Upload{}, failure(ctx, err)
	}
	return among(before, src.SHA256, src.ContentType), nil
}

// ofSize lists what was uploaded before and lives long enough. A ledger that
// can't be read costs no more than another upload.
func (u *Uploader) ofSize(ctx context.Context, opts Options, size int64) []jobs.Upload {
	before, err := u.cfg.Ledger.UploadsOfSize(ctx, opts.Caller, u.cfg.Storage.StorageURL(), size, time.Now().Add(opts.leastLife()))
	if err != nil {
		u.cfg.Log.Warn().Err(err).Msg("the ledger can't tell what was uploaded before")
		return nil
	}
	return before
}

func among(before []jobs.Upload, sum, contentType string) jobs.Upload {
	for _, upload := range before {
		if upload.SHA256 == sum && upload.ContentType == contentType {
			return upload
		}
	}
	return jobs.Upload{}
}

// keep remembers what was sent. The log line holds no name and no URL, which
// anyone could read the file by.
func (u *Uploader) keep(ctx context.Context, sent falclient.Uploaded, name string, opts Options, began time.Time) jobs.Upload {
	upload := jobs.Upload{
		Caller: opts.Caller, Storage: u.cfg.Storage.StorageURL(), SHA256: sent.SHA256, Size: sent.Size,
		ContentType: sent.ContentType, FileName: name, URL: sent.URL, Created: began, ExpiresAt: sent.ExpiresAt,
	}
	u.cfg.Observe("sent", upload.Size)
	u.cfg.Log.Info().Str("caller", upload.Caller).Int64("bytes", upload.Size).Str("content_type", upload.ContentType).
		Float64("total_seconds", time.Since(began).Seconds()).Time("expires", upload.ExpiresAt).Msg("uploaded")
	if err := u.cfg.Ledger.KeepUpload(context.WithoutCancel(ctx), upload); err != nil {
		u.cfg.Log.Warn().Err(err).Msg("the ledger does not remember an upload; the same file will be sent again")
	}
	return upload
}

// flight is what uploads that may be of the same bytes have in common.
type flight struct {
	caller string
	size   int64
	mark   string // of the bytes
}

// takePlace waits until there are few enough uploads under way.
func (u *Uploader) takePlace(ctx context.Context) (leave func(), err error) {
	select {
	case u.places <- struct{}{}:
		return func() { <-u.places }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// enter waits until no other upload of the kind is under way.
func (u *Uploader) enter(ctx context.Context, key flight) (leave func(), err error) {
	for {
		u.mu.Lock()
		other, busy := u.flights[key]
		if !busy {
			mine := make(chan struct{})
			u.flights[key] = mine
			u.mu.Unlock()
			return func() {
				u.mu.Lock()
				defer u.mu.Unlock()
				delete(u.flights, key)
				close(mine)
			}, nil
		}
		u.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}
