package falclient

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"hash/maphash"
	"io"
	"sync"
)

// readSize is how much is read at once to be hashed.
const readSize = 128 << 10

var errLate = errors.New("the request is over")

func sourceOf(b []byte) UploadSource {
	return UploadSource{Reader: bytes.NewReader(b), Size: int64(len(b))}
}

// unchanged returns an error where the source has grown, or says itself that it
// changed.
func (s UploadSource) unchanged() error {
	var beyond [1]byte
	if n, _ := s.Reader.ReadAt(beyond[:], s.Size); n > 0 {
		return fmt.Errorf("%w: it has grown", ErrSourceChanged)
	}
	if s.Changed == nil {
		return nil
	}
	if err := s.Changed(); err != nil {
		return fmt.Errorf("%w: %w", ErrSourceChanged, err)
	}
	return nil
}

// readRange fills b from the offset on, or fails.
func readRange(src io.ReaderAt, b []byte, offset int64) error {
	n, err := src.ReadAt(b, offset)
	if n == len(b) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: it has shrunk", ErrSourceChanged)
	}
	return err
}

// sumOf reads the source from beginning to end for its SHA-256, and for a mark
// of each part.
func sumOf(ctx context.Context, src UploadSource, part int64, seed maphash.Seed) (sum string, marks []uint64, err error) {
	whole := sha256.New()
	b := make([]byte, readSize)
	for start := int64(0); start < src.Size; start += part {
		var mark maphash.Hash
		mark.SetSeed(seed)
		end := min(start+part, src.Size)
		for at := start; at < end; at += readSize {
			if err := ctx.Err(); err != nil {
				return "", nil, err
			}
			b := b[:min(readSize, end-at)]
			if err := readRange(src.Reader, b, at); err != nil {
				return "", nil, &SourceError{Err: err}
			}
			whole.Write(b)
			_, _ = mark.Write(b)
		}
		marks = append(marks, mark.Sum64())
	}
	return hex.EncodeToString(whole.Sum(nil)), marks, nil
}

// span is the body of one request: a range of a source. net/http may read it
// still when the request has failed or was answered, until finish is called.
type span struct {
	src        io.ReaderAt
	start, end int64
	hash       hash.Hash    // of what was read; nil for none
	last       func() error // asked before the last bytes are given out; nil for none
	alive      func()       // told of each read
	progress   *progress    // nil for none

	mu      sync.Mutex
	next    int64
	counted int64 // bytes that progress was told of
	over    bool
	fault   error // of the source
}

func (p *span) Read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.fault != nil:
		return 0, p.fault
	case p.over:
		return 0, errLate
	case p.next == p.end:
		return 0, io.EOF
	case len(b) == 0:
		return 0, nil
	}
	p.alive()
	b = b[:min(int64(len(b)), p.end-p.next)]
	p.fault = readRange(p.src, b, p.next)
	if p.fault == nil && p.last != nil && p.next+int64(len(b)) == p.end {
		p.fault = p.last()
	}
	if p.fault != nil {
		return 0, p.fault
	}
	p.next += int64(len(b))
	if p.hash != nil {
		p.hash.Write(b)
	}
	if p.progress != nil {
		p.counted += int64(len(b))
		p.progress.add(int64(len(b)))
	}
	return len(b), nil
}

// Close is net/http's word that it is done; the last bytes may then be on
// their way.
func (p *span) Close() error { return nil }

// finish ends all reading. It reports whether all was read, and what was wrong
// with the source.
func (p *span) finish() (all bool, fault error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	return p.next == p.end, p.fault
}

// progress adds up what several requests have sent, and never tells less than
// it told.
type progress struct {
	report func(int64) // nil for none

	mu   sync.Mutex
	sent int64
	told int64
}

// step keeps reports rare beside the bytes they tell of.
const step = 256 << 10

// add counts bytes; fewer where a request failed, since they are sent again.
func (p *progress) add(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sent += n
	if p.report != nil && p.sent >= p.told+step {
		p.told = p.sent
		p.report(p.told)
	}
}

// finish tells that all was sent.
func (p *progress) finish(size int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.report != nil && p.told < size {
		p.told = size
		p.report(size)
	}
}
