package uploads

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"slices"
	"strings"

	"nemotron-mcp/internal/files"
	"nemotron-mcp/internal/jobs"
)

// smallURI is the longest data URI that goes to fal, in bytes: fal wants no more
// than a few KB.
const smallURI = 8 << 10

// mediaKinds are what each field of nemotron_generate takes.
var mediaKinds = map[string][]files.Kind{
	"image_url": {files.KindJPEG, files.KindPNG},
	"video_url": {files.KindMP4},
	"audio_url": {files.KindWAV, files.KindMP3},
}

// Medium is what a media field of nemotron_generate names: judged, and nothing
// of it sent. It is for one goroutine. The caller closes it.
type Medium struct {
	// Attachment is what the ledger keeps of it.
	Attachment jobs.Attachment
	// URL is what fal is given; empty until Place.
	URL string

	source *Source // nil where fal fetches it
}

// Close lets go of the file.
func (m *Medium) Close() {
	if m.source != nil {
		m.source.Close()
	}
}

// Medium judges what a field names: an https URL, which fal is given as it is, a
// data URI, or a file in the allowed folders, which are asked for only then. Of what is not fetched by fal, the
// kind and the limits that the header tells of are checked.
func (u *Uploader) Medium(ctx context.Context, folders func() *files.Folders, field, value string) (*Medium, error) {
	m, err := u.medium(ctx, folders, field, value)
	if err != nil {
		return nil, inField(field, err)
	}
	return m, nil
}

func (u *Uploader) medium(ctx context.Context, folders func() *files.Folders, field, value string) (*Medium, error) {
	m := &Medium{Attachment: jobs.Attachment{Field: field}}
	var err error
	switch {
	case isDataURI(value):
		m.source, err = u.decode(value, Options{})
	case strings.Contains(value, "://"):
		m.Attachment.Path, err = u.hostOf(value)
		m.URL = value
		return m, failure(ctx, err)
	default:
		m.source, err = u.File(ctx, folders(), value, Options{})
	}
	if err != nil {
		return nil, err
	}
	if err := m.check(field); err != nil {
		m.Close()
		return nil, failure(ctx, err)
	}
	// One type for one kind, whatever was claimed: the model and the ledger go by it.
	m.source.ContentType = string(m.source.Kind)
	switch {
	case !isDataURI(value):
	case m.source.uriLength() <= smallURI:
		m.URL, err = m.source.dataURI(ctx)
	default:
		err = u.ready(Options{})
	}
	if err != nil {
		return nil, failure(ctx, err)
	}
	m.attach()
	return m, nil
}

func isDataURI(value string) bool {
	value = strings.TrimSpace(value)
	return len(value) >= 5 && strings.EqualFold(value[:5], "data:")
}

// hostOf judges a URL that fal is to fetch. One of the storage is fal's own,
// which on a loopback address may be plain http.
func (u *Uploader) hostOf(raw string) (string, error) {
	if u.cfg.Storage.OfStorage(raw) {
		return "fal", nil
	}
	return files.CheckURL(raw)
}

// check refuses what the model would.
func (m *Medium) check(field string) error {
	src, kinds := m.source, mediaKinds[field]
	if !slices.Contains(kinds, src.Kind) {
		var wanted []string
		for _, kind := range kinds {
			wanted = append(wanted, string(kind))
		}
		return &files.Error{
			Code: files.CodeInvalid, Message: fmt.Sprintf("%s is %s; the field takes %s", src.shown(), src.ContentType, strings.Join(wanted, " or ")),
			Action: "Convert it, or name another file; text files go into files.",
		}
	}
	shown := src.Path
	if shown == "" {
		shown = "data URI"
	}
	return files.Inspect(src.reader, src.Size, src.Kind).Check(src.Kind, shown)
}

func (m *Medium) attach() {
	a := &m.Attachment
	a.Path, a.ContentType, a.Size, a.SHA256 = m.source.Path, m.source.ContentType, m.source.Size, m.source.SHA256
}

func (s *Source) uriHead() string { return "data:" + s.ContentType + ";base64," }

// uriLength is that of dataURI.
func (s *Source) uriLength() int64 { return int64(len(s.uriHead())) + (s.Size+2)/3*4 }

// dataURI writes a small source in one spelling, whatever it came in.
func (s *Source) dataURI(ctx context.Context) (string, error) {
	if err := s.sum(ctx); err != nil {
		return "", err
	}
	data := make([]byte, s.Size)
	if _, err := io.ReadFull(io.NewSectionReader(s.reader, 0, s.Size), data); err != nil {
		return "", err
	}
	return s.uriHead() + base64.StdEncoding.EncodeToString(data), nil
}

// Find looks for the medium among what was uploaded before, so that Attachment
// tells its hash where there can have been a call with it.
func (m *Medium) Find(ctx context.Context, u *Uploader, opts Options) error {
	if m.URL != "" {
		return nil
	}
	_, err := u.Find(ctx, m.source, opts)
	m.attach()
	return inField(m.Attachment.Field, err)
}

// Place uploads the medium where it needs to be.
func (m *Medium) Place(ctx context.Context, u *Uploader, opts Options) error {
	if m.URL != "" {
		return nil
	}
	placed, err := u.Upload(ctx, m.source, opts)
	if err != nil {
		return inField(m.Attachment.Field, err)
	}
	m.URL = placed.URL
	m.attach()
	return nil
}
