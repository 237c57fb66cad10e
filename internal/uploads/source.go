package uploads

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"mime"
	"strings"

	"nemotron-mcp/internal/files"
	"nemotron-mcp/internal/jobs"
)

// Source is what is to be uploaded: opened and judged, and nothing of it sent.
// It is for one goroutine. The caller closes it.
type Source struct {
	Name        string // plain
	Path        string // to show; empty where it is no file
	Size        int64  // bytes, 1 or more
	Kind        files.Kind
	ContentType string
	SHA256      string // hex; empty until the bytes were read

	reader  io.ReaderAt
	changed func() error // nil for bytes in memory
	close   func() error
}

// Close lets go of the file.
func (s *Source) Close() {
	if s.close != nil {
		_ = s.close() // was only read
	}
}

// File opens a file in the allowed folders.
func (u *Uploader) File(ctx context.Context, folders *files.Folders, path string, opts Options) (*Source, error) {
	if err := u.ready(opts); err != nil {
		return nil, err
	}
	file, err := folders.Open(ctx, path, u.cfg.MaxSize)
	if err != nil {
		return nil, failure(ctx, err)
	}
	src := &Source{Name: file.Name(), Path: file.Path(), Size: file.Size(), reader: file, changed: file.Changed, close: file.Close}
	if err := u.judge(ctx, src, opts, ""); err != nil {
		src.Close()
		return nil, failure(ctx, err)
	}
	return src, nil
}

// Base64 decodes base64 or a data URI.
func (u *Uploader) Base64(text string, opts Options) (*Source, error) {
	if err := u.ready(opts); err != nil {
		return nil, err
	}
	return u.decode(text, opts)
}

// decode is Base64 of what may need no storage.
func (u *Uploader) decode(text string, opts Options) (*Source, error) {
	if !u.cfg.KnowsKey {
		return nil, jobs.NoKey()
	}
	data, claimed, err := files.DecodeBase64(text, u.cfg.MaxSize)
	if err != nil {
		return nil, failure(context.Background(), err)
	}
	if strings.HasPrefix(claimed, ";") {
		claimed = "text/plain" + claimed // RFC 2397
	}
	if claimed != "" && plainType(claimed) == "" {
		return nil, failure(context.Background(), &files.Error{
			Code: files.CodeInvalid, Message: "the data URI's content type is none",
			Action: "Correct it, or send the base64 alone: the content tells.",
		})
	}
	if opts.ContentType == "" {
		opts.ContentType = claimed // the caller's own words too
	}
	return u.bytesSource(data, "", "", opts)
}

func (u *Uploader) bytesSource(data []byte, name, hint string, opts Options) (*Source, error) {
	src := &Source{Name: name, Size: int64(len(data)), reader: bytes.NewReader(data)}
	if err := u.judge(context.Background(), src, opts, hint); err != nil {
		return nil, failure(context.Background(), err)
	}
	return src, nil
}

// ready says whether an upload can be begun.
func (u *Uploader) ready(opts Options) error {
	switch {
	case opts.ContentType != "" && plainType(opts.ContentType) == "":
		return badType()
	case !u.cfg.KnowsKey:
		return jobs.NoKey()
	case u.cfg.Storage.StorageURL() == "":
		return noStorage()
	}
	return nil
}

// judge names the source and says whether it may be sent. hint is what a server
// says that it is, which counts for less than what the caller says.
func (u *Uploader) judge(ctx context.Context, s *Source, opts Options, hint string) error {
	opts.Name, s.Name = u.plain(opts.Name), u.plain(s.Name)
	if err := s.examine(opts, hint); err != nil {
		return err
	}
	return u.clean(ctx, s)
}

// plain leaves out a name that holds a secret.
func (u *Uploader) plain(name string) string {
	if u.cfg.Mask(name) != name {
		return ""
	}
	return name
}

// scanned is up to which size anything is looked through for secrets; text is
// whatever its size.
const scanned = 16 << 20

// clean refuses a source that holds a secret of this server's: whoever has its
// URL could read it.
func (u *Uploader) clean(ctx context.Context, s *Source) error {
	if u.cfg.Holds == nil || s.Kind != files.KindText && s.Size > scanned {
		return nil
	}
	const overlap = 16 << 10 // more than a secret takes in any form
	buf := make([]byte, min(s.Size, hashStep+overlap))
	for at := int64(0); ; at += hashStep {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		part := buf[:min(int64(len(buf)), s.Size-at)]
		if n, err := s.reader.ReadAt(part, at); n < len(part) {
			return cmp.Or(err, io.ErrUnexpectedEOF)
		}
		if u.cfg.Holds(part) {
			return &files.Error{
				Code: files.CodeNotAllowed, Message: s.shown() + " holds a secret of this server",
				Action: "Do not send it. Take the secret out of it first.",
			}
		}
		if at+int64(len(part)) >= s.Size {
			return nil
		}
	}
}

// examine reads the first bytes.
func (s *Source) examine(opts Options, hint string) error {
	if s.Size == 0 {
		return empty(s.shown())
	}
	head := make([]byte, min(s.Size, files.HeadSize))
	if n, err := s.reader.ReadAt(head, 0); err != nil && !(errors.Is(err, io.EOF) && n == len(head)) {
		return err
	}
	s.Kind = files.Sniff(head)
	var err error
	s.ContentType, err = contentType(head, s.Kind, opts.ContentType, hint, s.shown())
	s.Name = nameFor(opts.Name, s.Name, head)
	return err
}

func (s *Source) shown() string {
	if s.Path != "" {
		return `"` + s.Path + `"`
	}
	return "the content"
}

// nameFor is the file's name at fal: the caller's, its own, or one by its kind.
func nameFor(given, own string, head []byte) string {
	switch {
	case given != "":
		return files.PlainName(given)
	case own != "":
		return own
	}
	return "upload" + files.Extension(head)
}

// contentType decides what fal is to serve a file as.
func contentType(head []byte, kind files.Kind, claimed, hint, shown string) (string, error) {
	found := files.ContentType(head)
	if claimed == "" {
		hinted := plainType(hint)
		media, _, _ := strings.Cut(hinted, ";")
		generic := kind == files.KindOther || kind == files.KindText
		// Servers say octet-stream of whatever they do not know.
		if !generic || hinted == "" || strings.HasSuffix(media, "/octet-stream") || !kind.Matches(hinted) {
			return found, nil
		}
		return hinted, nil
	}
	plain := plainType(claimed) // was checked before
	if !kind.Matches(plain) {
		return "", &files.Error{
			Code: files.CodeInvalid, Message: fmt.Sprintf("%s claims to be %s, and is %s", shown, plain, found),
			Action: "Send the right file, or leave its content type out.",
		}
	}
	return plain, nil
}

// maxType bounds a MIME type with its parameters.
const maxType = 100

// plainType is a MIME type in its usual spelling, or "" where it is none.
func plainType(raw string) string {
	kind, params, err := mime.ParseMediaType(raw)
	if err != nil {
		return ""
	}
	top, sub, found := strings.Cut(kind, "/")
	plain := mime.FormatMediaType(kind, params)
	if !found || top == "" || sub == "" || strings.Contains(kind, "*") || len(plain) > maxType {
		return ""
	}
	return plain
}

// hashStep is how much is read between two looks at the context.
const hashStep = 1 << 20

// mark tells sources apart that are not the same: the hash of a small one, that of
// the ends of a large one.
func (s *Source) mark(ctx context.Context) (string, error) {
	if s.Size <= hashFirst {
		err := s.sum(ctx)
		return s.SHA256, err
	}
	h := sha256.New()
	for _, at := range []int64{0, s.Size - hashStep} {
		if _, err := io.Copy(h, io.NewSectionReader(s.reader, at, hashStep)); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// sum reads the source for its hash, once.
func (s *Source) sum(ctx context.Context) error {
	if s.SHA256 != "" {
		return nil
	}
	h := sha256.New()
	all := io.NewSectionReader(s.reader, 0, s.Size)
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		_, err := io.CopyN(h, all, hashStep)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	if s.changed != nil {
		if err := s.changed(); err != nil {
			return err
		}
	}
	s.SHA256 = hex.EncodeToString(h.Sum(nil))
	return nil
}
