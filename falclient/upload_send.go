package falclient

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"mime"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// The steps of an upload, as errors name them.
const (
	opInitiate = "upload initiate"
	opPut      = "upload"
	opPart     = "upload part"
	opComplete = "upload complete"
)

const (
	// stallTimeout is how long the network may take nothing, or fal, once it has
	// all bytes, may say nothing.
	stallTimeout = time.Minute

	maxStorageURL = 8 << 10
	maxETag       = 512
)

var (
	errStalled = errors.New("the transfer stood still for too long")
	errSlow    = errors.New("the transfer was too slow")
	errEarly   = errors.New("the answer came before all bytes were sent")
)

func presigned(op string) bool { return op == opPut || op == opPart || op == opComplete }

// uploadVerdict is the policy for each step of an upload. Nothing is billed, so
// each may be repeated.
func uploadVerdict(err error) verdict {
	switch {
	case errors.As(err, new(*SourceError)):
		return verdict{reason: "the source is at fault"}
	case errors.Is(err, ErrForeignURL):
		return verdict{reason: "such an answer is no accident"}
	}
	return repeatVerdict(err)
}

// upload is one upload on its way.
type upload struct {
	c        *Client
	opts     UploadOptions
	clean    cleaner // knows the presigned URL too, once there is one
	target   *url.URL
	fileURL  string
	expires  time.Time
	progress progress
}

// initiate asks fal for a place to upload to.
func (u *upload) initiate(ctx context.Context, path string) error {
	body, err := json.Marshal(map[string]string{"content_type": u.opts.ContentType, "file_name": u.opts.FileName})
	if err != nil {
		return err
	}
	header := u.c.posting
	if u.opts.ExpiresIn > 0 {
		header = header.Clone()
		// fal's JS client sends this name alone.
		header.Set("X-Fal-Object-Lifecycle", fmt.Sprintf(`{"expiration_duration_seconds":%d}`, int64(u.opts.ExpiresIn/time.Second)))
	}
	r := call{
		op: opInitiate, method: http.MethodPost, path: path + "?storage_type=fal-cdn-v3",
		header: header, body: body, clean: u.clean,
	}
	return u.c.repeat(ctx, opInitiate, -1, uploadVerdict, func() error { return u.initiateOnce(ctx, r) })
}

func (u *upload) initiateOnce(ctx context.Context, r call) error {
	ctx, done := context.WithTimeout(ctx, answerTimeout)
	defer done()
	now := time.Now()
	resp, err := u.c.send(ctx, u.c.rest, r, new(transit))
	if err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		return apiError(u.clean, r.op, "", resp)
	}
	b, err := readBody(u.clean, resp, maxErrorBody)
	if err != nil {
		return &ResponseError{Op: r.op, StatusCode: resp.StatusCode, Err: err}
	}
	var wire struct {
		UploadURL string `json:"upload_url"`
		FileURL   string `json:"file_url"`
	}
	if json.Unmarshal(b, &wire) != nil || wire.UploadURL == "" || wire.FileURL == "" {
		return &ResponseError{Op: r.op, StatusCode: resp.StatusCode, Err: errors.New("no upload URL in it")}
	}
	target, ok := u.c.ofStorage(wire.UploadURL)
	file, okFile := u.c.ofStorage(wire.FileURL)
	if !ok || !okFile {
		return &ResponseError{Op: r.op, StatusCode: resp.StatusCode, Err: ErrForeignURL}
	}
	u.target, u.fileURL, u.clean = target, file.String(), newCleaner(u.c.key, wire.UploadURL)
	if u.opts.ExpiresIn > 0 {
		u.expires = now.Add(u.opts.ExpiresIn)
	}
	return nil
}

// OfStorage reports whether a URL is one of the storage that Upload sends to.
func (c *Client) OfStorage(raw string) bool {
	if c.rest == nil {
		return false
	}
	_, ok := c.ofStorage(raw)
	return ok
}

// StorageURL is the base URL of the upload API, empty where none is configured.
func (c *Client) StorageURL() string {
	if c.rest == nil {
		return ""
	}
	return c.rest.String()
}

// ofStorage reads a URL out of an answer. It is fal's where it is https on a
// host of fal.media or fal.ai; a REST host on loopback stores files itself.
func (c *Client) ofStorage(raw string) (*url.URL, bool) {
	u, err := url.Parse(raw)
	if err != nil || len(raw) > maxStorageURL || u.Opaque != "" || u.User != nil || u.Fragment != "" ||
		c.clean.mask.Replace(raw) != raw {
		return nil, false
	}
	if loopback(c.rest.Hostname()) && u.Scheme == c.rest.Scheme && u.Host == c.rest.Host {
		return u, true
	}
	host := "." + strings.ToLower(u.Hostname())
	fals := strings.HasSuffix(host, ".fal.media") || strings.HasSuffix(host, ".fal.ai")
	return u, fals && u.Scheme == "https" && (u.Port() == "" || u.Port() == "443")
}

// whole sends the source in one PUT and returns its sum.
func (u *upload) whole(ctx context.Context, src UploadSource) (string, error) {
	if err := u.initiate(ctx, "/storage/upload/initiate"); err != nil {
		return "", err
	}
	var sum string
	err := u.c.repeat(ctx, opPut, -1, uploadVerdict, func() error {
		hash := sha256.New()
		body := &span{src: src.Reader, end: src.Size, hash: hash, last: src.unchanged, progress: &u.progress}
		_, _, err := u.transfer(ctx, opPut, http.MethodPut, "", http.Header{"Content-Type": {u.opts.ContentType}}, body)
		sum = hex.EncodeToString(hash.Sum(nil))
		return err
	})
	return sum, err
}

// part is one part of a multipart upload, as its completion names it.
type part struct {
	Number int    `json:"partNumber"`
	ETag   string `json:"etag"`
	mark   uint64 // of the bytes that were sent
}

// inParts sends parts at once, each straight from the source. The sum needs the
// bytes in order, so they are read once more for it; marks of each part tell
// that both readings were of the same bytes.
func (u *upload) inParts(ctx context.Context, src UploadSource) (sum string, err error) {
	if err := u.initiate(ctx, "/storage/upload/initiate-multipart"); err != nil {
		return "", err
	}
	size := u.c.partSize
	parts := make([]part, (src.Size+size-1)/size)
	seed := maphash.MakeSeed()
	var marks []uint64
	var next atomic.Int64
	group, inGroup := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		sum, marks, err = sumOf(inGroup, src, size, seed)
		return err
	})
	for range min(partsAtOnce, len(parts)) {
		group.Go(func() error {
			for {
				i := next.Add(1) - 1
				if i >= int64(len(parts)) {
					return nil
				}
				parts[i].Number = int(i) + 1
				if err := u.sendPart(inGroup, src, i*size, min((i+1)*size, src.Size), &seed, &parts[i]); err != nil {
					return err
				}
			}
		})
	}
	if err := group.Wait(); err != nil {
		return "", err
	}
	for i := range parts {
		if parts[i].mark != marks[i] {
			return "", &SourceError{Err: ErrSourceChanged}
		}
	}
	if err := src.unchanged(); err != nil {
		return "", &SourceError{Err: err}
	}
	return sum, u.complete(ctx, parts)
}

// sendPart sends the bytes from start to end. Without a seed it makes no mark.
func (u *upload) sendPart(ctx context.Context, src UploadSource, start, end int64, seed *maphash.Seed, p *part) error {
	return u.c.repeat(ctx, opPart, -1, uploadVerdict, func() error {
		body := &span{src: src.Reader, start: start, next: start, end: end, progress: &u.progress}
		mark := new(maphash.Hash)
		if seed != nil {
			mark.SetSeed(*seed)
			body.hash = mark
		}
		b, header, err := u.transfer(ctx, opPart, http.MethodPut, "/"+strconv.Itoa(p.Number), http.Header{}, body)
		if err != nil {
			return err
		}
		// fal's JS client reads the body; its Python toolkit the header.
		var wire struct {
			Number looseInt  `json:"partNumber"`
			ETag   plainText `json:"etag"`
		}
		_ = json.Unmarshal(b, &wire)
		if wire.ETag == "" {
			wire.ETag = plainText(header.Get("ETag"))
		}
		if n := wire.Number.value; wire.ETag == "" || len(wire.ETag) > maxETag || (n != nil && *n != p.Number) {
			u.progress.add(start - end)
			return &ResponseError{Op: opPart, StatusCode: http.StatusOK, Err: errors.New("no etag of the part in it")}
		}
		p.ETag, p.mark = string(wire.ETag), mark.Sum64()
		return nil
	})
}

// complete makes a file of the parts.
func (u *upload) complete(ctx context.Context, parts []part) error {
	b, err := json.Marshal(map[string][]part{"parts": parts})
	if err != nil {
		return err
	}
	return u.c.repeat(ctx, opComplete, -1, uploadVerdict, func() error {
		body := &span{src: bytes.NewReader(b), end: int64(len(b))}
		_, _, err := u.transfer(ctx, opComplete, http.MethodPost, "/complete", http.Header{"Content-Type": {"application/json"}}, body)
		return err
	})
}

// transfer makes one request to the presigned URL, without the key. When it
// returns, nobody reads the source for it any longer. A body that was cut short
// does not spoil a 2xx: for a PUT and a completion it means nothing.
func (u *upload) transfer(ctx context.Context, op, method, suffix string, header http.Header, body *span) ([]byte, http.Header, error) {
	size := body.end - body.start
	bounded, done := context.WithTimeoutCause(ctx, waitFor(size), errSlow)
	defer done()
	bounded, stop := context.WithCancelCause(bounded)
	defer stop(nil)
	stall := time.AfterFunc(stallTimeout, func() { stop(errStalled) })
	defer stall.Stop()
	body.alive = func() { stall.Reset(stallTimeout) }
	header.Set("User-Agent", u.c.userAgent)

	b, answer, err := u.exchange(bounded, op, method, suffix, header, body)
	sent, fault := body.finish()
	if err == nil && !sent {
		err = &ResponseError{Op: op, StatusCode: http.StatusOK, Err: errEarly}
	}
	if err == nil {
		return b, answer, nil
	}
	u.progress.add(-body.counted)
	if fault != nil {
		return nil, nil, &SourceError{Err: fault}
	}
	if cause := context.Cause(bounded); errors.Is(cause, errStalled) || errors.Is(cause, errSlow) {
		return nil, nil, fmt.Errorf("fal %s: %w", op, cause)
	}
	return nil, nil, err
}

func (u *upload) exchange(ctx context.Context, op, method, suffix string, header http.Header, body *span) ([]byte, http.Header, error) {
	address := u.target.Scheme + "://" + u.target.Host + u.target.EscapedPath() + suffix
	if u.target.RawQuery != "" {
		address += "?" + u.target.RawQuery
	}
	t := new(transit)
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: t.gotConn})
	req, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return nil, nil, fmt.Errorf("fal %s: %w", op, u.clean.error(err))
	}
	req.Header, req.ContentLength = header, body.end-body.start
	resp, err := u.c.uploads.RoundTrip(req)
	if err != nil && !t.hasConnected() {
		return nil, nil, &ConnectError{Op: op, Host: u.target.Host, Err: u.clean.error(err)}
	}
	if err != nil {
		return nil, nil, fmt.Errorf("fal %s: %w", op, u.clean.error(err))
	}
	if resp.StatusCode/100 != 2 {
		return nil, nil, apiError(u.clean, op, "", resp)
	}
	defer resp.Body.Close()
	// Some proxies answer everything with a page of theirs and 200.
	if kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); kind == "text/html" {
		return nil, nil, &ResponseError{Op: op, StatusCode: resp.StatusCode, Err: errors.New("a page")}
	}
	b, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	return b, resp.Header, nil
}
