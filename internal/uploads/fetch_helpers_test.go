package uploads

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"sync/atomic"
	"testing"

	"nemotron-mcp/internal/files"
)

func base64Of(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// fetcher gives what a test wants instead of what a URL names, whose guard
// internal/files tests. It bounds what it gives as files.Fetcher does.
type fetcher struct {
	give     func(ctx context.Context, n int) (*files.Download, error) // n counts from 1
	fetched  atomic.Int64
	open     atomic.Int64 // bodies that are not closed
	lawless  bool         // knows no limit
	lastSeen atomic.Pointer[string]
}

func (f *fetcher) Fetch(ctx context.Context, rawURL string, limit int64) (*files.Download, error) {
	f.lastSeen.Store(&rawURL)
	d, err := f.give(ctx, int(f.fetched.Add(1)))
	if err != nil {
		return nil, err
	}
	if d.Size > limit && !f.lawless {
		return nil, tooLarge()
	}
	if f.lawless {
		limit = 1 << 60
	}
	f.open.Add(1)
	d.Body = &body{r: d.Body, open: &f.open, left: limit}
	return d, nil
}

func tooLarge() *files.Error {
	return &files.Error{Code: files.CodeInvalid, Message: "the file is larger than the limit", Action: "Name a smaller file."}
}

// body is a download's.
type body struct {
	r      io.Reader
	open   *atomic.Int64
	left   int64
	closed bool
}

func (b *body) Read(p []byte) (int, error) {
	if b.closed {
		return 0, errors.New("read after Close")
	}
	n, err := b.r.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, tooLarge()
	}
	return n, err
}

func (b *body) Close() error {
	if !b.closed {
		b.open.Add(-1)
	}
	b.closed = true
	return nil
}

// download is a file whose server tells its size.
func download(data []byte, contentType string) *files.Download {
	return &files.Download{Body: io.NopCloser(bytes.NewReader(data)), Size: int64(len(data)), ContentType: contentType, Name: "a.bin"}
}

// always gives the same file.
func always(data []byte, contentType string) func(context.Context, int) (*files.Download, error) {
	return func(context.Context, int) (*files.Download, error) { return download(data, contentType), nil }
}

// wantClosed checks how often was fetched, and that all bodies are closed.
func (f *fetcher) wantClosed(t *testing.T, fetched int64) {
	t.Helper()
	if n := f.fetched.Load(); n != fetched {
		t.Errorf("fetched %d times, want %d", n, fetched)
	}
	if n := f.open.Load(); n != 0 {
		t.Errorf("%d bodies are open", n)
	}
}
