package falclient

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"strings"
	"time"
)

const (
	// DefaultRESTURL is fal's upload API, which has no backup host.
	DefaultRESTURL = "https://rest.fal.ai"

	// Sizes are those of fal's own clients: one PUT up to 90 MiB, parts of
	// 10 MiB above.
	putLimit    = 90 << 20
	partSize    = 10 << 20
	partsAtOnce = 4
	// maxParts is what S3 allows; fal documents no limit.
	maxParts = 10_000

	maxFileName    = 200
	maxContentType = 200
	maxExpiry      = 100 * 365 * 24 * time.Hour
)

// Conditions of uploads that callers tell apart with errors.Is.
var (
	ErrNoStorage     = errors.New("no REST URL is configured")
	ErrInvalidUpload = errors.New("not a valid upload")
	// ErrSourceChanged comes in a *SourceError.
	ErrSourceChanged = errors.New("the source changed while it was read")
	// ErrUploadTooLarge means that a stream went on beyond its limit.
	ErrUploadTooLarge = errors.New("the upload is larger than its limit")
	// ErrForeignURL comes in a *ResponseError. Nothing was sent to that URL.
	ErrForeignURL = errors.New("fal named a URL that is not of its storage")
)

// SourceError means that what was to be uploaded could not be read as it was
// announced. No file came of it.
type SourceError struct{ Err error }

func (e *SourceError) Error() string { return "fal upload: " + e.Err.Error() }
func (e *SourceError) Unwrap() error { return e.Err }

// UploadSource is what is to be uploaded.
type UploadSource struct {
	// Reader is read by several goroutines at once, some ranges more than once,
	// and never after Upload has returned. A read must not block for long.
	Reader io.ReaderAt
	// Size is in bytes, 1 or more.
	Size int64
	// Changed, unless nil, is asked when all has been read and before fal makes a
	// file of it; with an error there will be none. It may be asked again after a
	// retry.
	Changed func() error
}

// UploadOptions say what becomes of the bytes.
type UploadOptions struct {
	// FileName ends the file's URL; see ValidFileName.
	FileName string
	// ContentType is what the file is served as. Empty means
	// application/octet-stream.
	ContentType string
	// ExpiresIn is how long fal keeps the file, in whole seconds (a rest is cut
	// off), at most 100 years. 0 leaves it to the account, whose default may be
	// for ever.
	ExpiresIn time.Duration
	// Progress, unless nil, is told how many bytes have been handed to the
	// network, never less than before, though a retry sends some again, and in the
	// end all. Calls come one at a time, from several goroutines, and hold the
	// upload up while they last.
	Progress func(sent int64)
}

// Uploaded is a file in fal's storage. Whoever has its URL can read it.
type Uploaded struct {
	URL         string
	Size        int64  // in bytes
	SHA256      string // of the bytes that were sent, in hex
	ContentType string
	// ExpiresAt is not later than fal forgets the file; zero where ExpiresIn was.
	ExpiresAt time.Time
}

// ValidFileName reports whether a name is plain enough to become part of a URL:
// 1 to 200 ASCII letters, digits, dots, hyphens and underscores, the first of
// them no dot.
func ValidFileName(name string) bool {
	return name != "" && len(name) <= maxFileName && name[0] != '.' && !strings.ContainsFunc(name, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-", r))
	})
}

// Upload sends a file to fal's storage: in one PUT up to 90 MiB, above that in
// parts of 10 MiB, four at once, each repeated by itself where it fails. It
// holds no part in memory. fal documents no way to take anything back: what an
// upload in parts that failed or was cancelled has sent stays without a file, and
// one PUT that was cut off after its last byte may have made one, of which nobody
// has the URL.
//
// Each of the requests is repeated as the package says. One that stands still
// for a minute, or is slower than 16 KiB a second, counts as failed. Errors are
// *SourceError, *APIError, *ConnectError, *ResponseError, ErrInvalidUpload,
// ErrNoStorage, ErrNoKey, ctx's, or a broken connection's. It is safe for
// concurrent use.
func (c *Client) Upload(ctx context.Context, src UploadSource, opts UploadOptions) (Uploaded, error) {
	u, err := c.newUpload(opts)
	if err != nil {
		return Uploaded{}, err
	}
	switch {
	case src.Reader == nil || src.Size <= 0:
		return Uploaded{}, fmt.Errorf("%w: it is empty", ErrInvalidUpload)
	case src.Size > maxParts*c.partSize:
		return Uploaded{}, fmt.Errorf("%w: it has more than %d parts", ErrInvalidUpload, maxParts)
	}
	var sum string
	if src.Size <= c.putLimit {
		sum, err = u.whole(ctx, src)
	} else {
		sum, err = u.inParts(ctx, src)
	}
	if err != nil {
		return Uploaded{}, ended(ctx, err)
	}
	return u.result(src.Size, sum), nil
}

// UploadStream sends what r gives, of unknown length, at most limit bytes of
// it: in one PUT where it fits into one part of 10 MiB, else in parts, one after
// the other. It holds one part in memory, so that the part can be repeated. A
// stream that goes on beyond the limit is ErrUploadTooLarge, and no file comes of
// what was sent. r must end a Read when ctx ends, as the body of an HTTP
// answer does. Otherwise it is as Upload.
func (c *Client) UploadStream(ctx context.Context, r io.Reader, limit int64, opts UploadOptions) (Uploaded, error) {
	u, err := c.newUpload(opts)
	if err != nil {
		return Uploaded{}, err
	}
	in := &chunks{r: r, size: c.partSize, left: limit}
	first, err := in.next(ctx)
	if err != nil {
		return Uploaded{}, ended(ctx, err)
	}
	if len(first) == 0 {
		return Uploaded{}, fmt.Errorf("%w: it is empty", ErrInvalidUpload)
	}
	var sum string
	size := int64(len(first))
	if in.ended {
		sum, err = u.whole(ctx, sourceOf(first))
	} else {
		sum, size, err = u.asItComes(ctx, first, in)
	}
	if err != nil {
		return Uploaded{}, ended(ctx, err)
	}
	return u.result(size, sum), nil
}

func (c *Client) newUpload(opts UploadOptions) (*upload, error) {
	if c.key == "" {
		return nil, ErrNoKey
	}
	if c.rest == nil {
		return nil, ErrNoStorage
	}
	if !ValidFileName(opts.FileName) {
		return nil, fmt.Errorf("%w: its name is not 1 to %d plain characters", ErrInvalidUpload, maxFileName)
	}
	if opts.ContentType == "" {
		opts.ContentType = "application/octet-stream"
	}
	// Such a type can hold nothing that a header's line could not.
	if _, _, err := mime.ParseMediaType(opts.ContentType); err != nil || len(opts.ContentType) > maxContentType ||
		!strings.Contains(opts.ContentType, "/") || strings.ContainsFunc(opts.ContentType, func(r rune) bool { return r < ' ' || r > '~' }) {
		return nil, fmt.Errorf("%w: its content type is none", ErrInvalidUpload)
	}
	if opts.ExpiresIn < 0 || opts.ExpiresIn > maxExpiry || (opts.ExpiresIn > 0 && opts.ExpiresIn < time.Second) {
		return nil, fmt.Errorf("%w: it must expire in 1 second to 100 years", ErrInvalidUpload)
	}
	opts.ExpiresIn = opts.ExpiresIn.Truncate(time.Second)
	return &upload{c: c, opts: opts, clean: c.clean, progress: progress{report: opts.Progress}}, nil
}

func (u *upload) result(size int64, sum string) Uploaded {
	u.progress.finish(size)
	return Uploaded{URL: u.fileURL, Size: size, SHA256: sum, ContentType: u.opts.ContentType, ExpiresAt: u.expires}
}

// asItComes sends a stream part by part; first is the first one.
func (u *upload) asItComes(ctx context.Context, first []byte, in *chunks) (sum string, size int64, err error) {
	if err := u.initiate(ctx, "/storage/upload/initiate-multipart"); err != nil {
		return "", 0, err
	}
	whole := sha256.New()
	var parts []part
	for chunk := first; len(chunk) > 0; {
		if len(parts) == maxParts {
			return "", 0, fmt.Errorf("%w: it has more than %d parts", ErrUploadTooLarge, maxParts)
		}
		whole.Write(chunk)
		size += int64(len(chunk))
		p := part{Number: len(parts) + 1}
		if err := u.sendPart(ctx, sourceOf(chunk), 0, int64(len(chunk)), nil, &p); err != nil {
			return "", 0, err
		}
		parts = append(parts, p)
		if chunk, err = in.next(ctx); err != nil {
			return "", 0, err
		}
	}
	return hex.EncodeToString(whole.Sum(nil)), size, u.complete(ctx, parts)
}

// chunks cuts a stream into parts. They share their memory.
type chunks struct {
	r     io.Reader
	size  int64 // of a part
	left  int64 // bytes that may still come
	buf   []byte
	ahead [1]byte // read to learn whether there is more
	more  bool    // ahead holds a byte
	ended bool
}

// next gives the next part; an empty one is the end.
func (c *chunks) next(ctx context.Context) ([]byte, error) {
	c.buf = c.buf[:0]
	if c.more {
		c.buf, c.more = append(c.buf, c.ahead[0]), false
	}
	for !c.ended && int64(len(c.buf)) < c.size {
		if len(c.buf) == cap(c.buf) {
			grown := make([]byte, len(c.buf), min(max(2*int64(cap(c.buf)), 64<<10), c.size))
			copy(grown, c.buf)
			c.buf = grown
		}
		n, err := c.read(ctx, c.buf[len(c.buf):min(int64(cap(c.buf)), c.size)])
		if err != nil {
			return nil, err
		}
		c.buf = c.buf[:len(c.buf)+n]
	}
	if !c.ended {
		n, err := c.read(ctx, c.ahead[:])
		if err != nil {
			return nil, err
		}
		c.more = n > 0
	}
	return c.buf, nil
}

// read gives 0 bytes only at the end.
func (c *chunks) read(ctx context.Context, b []byte) (int, error) {
	for range 100 {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		n, err := c.r.Read(b)
		if c.left -= int64(n); c.left < 0 {
			return 0, ErrUploadTooLarge
		}
		if errors.Is(err, io.EOF) {
			c.ended = true
			return n, nil
		}
		if err != nil {
			return 0, &SourceError{Err: err}
		}
		if n > 0 {
			return n, nil
		}
	}
	return 0, &SourceError{Err: io.ErrNoProgress}
}

// waitFor is how long a request with so many bytes may take.
func waitFor(size int64) time.Duration {
	const slowest = 16 << 10 // bytes a second
	return answerTimeout + time.Duration(min(size/slowest, math.MaxInt32))*time.Second
}
