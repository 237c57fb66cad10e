package uploads

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"time"

	"nemotron-mcp/internal/files"
	"nemotron-mcp/internal/jobs"
)

const (
	// heldFetch is up to which size a download is held in memory, so that its hash
	// is known before it is sent.
	heldFetch = 4 << 20
	// fetchTime is what fetching and sending may take together.
	fetchTime = time.Hour
)

// FromURL uploads what a URL gives. A small file is held in memory; a larger one
// is streamed through, and where the ledger knows an upload of its size it is
// read once before, for its hash.
func (u *Uploader) FromURL(ctx context.Context, rawURL string, opts Options) (jobs.Upload, error) {
	if err := u.ready(opts); err != nil {
		return jobs.Upload{}, err
	}
	leave, err := u.takePlace(ctx)
	if err != nil {
		return jobs.Upload{}, err
	}
	defer leave()
	bounded, done := context.WithTimeout(ctx, fetchTime)
	defer done()
	upload, err := u.fromURL(bounded, rawURL, opts)
	if err != nil && bounded.Err() != nil && ctx.Err() == nil {
		return jobs.Upload{}, tooSlow()
	}
	return upload, err
}

func (u *Uploader) fromURL(ctx context.Context, rawURL string, opts Options) (jobs.Upload, error) {
	known := false
	for {
		download, head, err := u.fetch(ctx, rawURL)
		if err != nil {
			return jobs.Upload{}, failure(ctx, err)
		}
		if len(head) <= heldFetch {
			src, err := u.bytesSource(head, download.Name, download.ContentType, opts)
			_ = download.Body.Close() // is at its end
			if err != nil {
				return jobs.Upload{}, err
			}
			return u.upload(ctx, src, opts)
		}
		// The judgement is that of a source of which the beginning is there.
		src := &Source{Name: download.Name, Size: int64(len(head)), reader: bytes.NewReader(head)}
		if err := u.judge(ctx, src, opts, download.ContentType); err != nil {
			_ = download.Body.Close()
			return jobs.Upload{}, failure(ctx, err)
		}
		body := io.MultiReader(bytes.NewReader(head), download.Body)
		if before := u.ofSize(ctx, opts, download.Size); len(before) > 0 && !known {
			known = true
			sum, err := hashOf(body)
			_ = download.Body.Close()
			if err != nil {
				return jobs.Upload{}, failure(ctx, err)
			}
			if same := among(before, sum, src.ContentType); same.URL != "" {
				u.cfg.Observe("reused", same.Size)
				return same, nil
			}
			continue // another file of that size: fetched again, to be sent
		}
		upload, err := u.stream(ctx, src, body, download.Size, opts)
		_ = download.Body.Close()
		return upload, err
	}
}

// fetch begins a download and reads its first bytes: one more than are held,
// where there are more.
func (u *Uploader) fetch(ctx context.Context, rawURL string) (*files.Download, []byte, error) {
	download, err := u.cfg.Fetcher.Fetch(ctx, rawURL, u.cfg.MaxSize)
	if err != nil {
		return nil, nil, err
	}
	head, err := io.ReadAll(io.LimitReader(download.Body, heldFetch+1))
	if err != nil {
		_ = download.Body.Close()
		return nil, nil, err
	}
	return download, head, nil
}

func hashOf(r io.Reader) (string, error) {
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func (u *Uploader) stream(ctx context.Context, src *Source, body io.Reader, size int64, opts Options) (jobs.Upload, error) {
	began := time.Now()
	sent, err := u.cfg.Storage.UploadStream(ctx, body, u.cfg.MaxSize, u.sending(src.Name, src.ContentType, size, opts))
	if err != nil {
		u.cfg.Observe("failed", 0)
		return jobs.Upload{}, failure(ctx, err)
	}
	return u.keep(ctx, sent, src.Name, opts, began), nil
}
