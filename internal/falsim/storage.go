package falsim

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"hash"
	"io"
	"mime"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	filePrefix   = "/files/b/"
	uploadPrefix = "/upload/"

	maxParts      = 10_000
	maxFiles      = 100_000
	maxNameLength = 255
	// maxStored bounds the bytes kept for reading; beyond it only size and
	// sha256 of a file are known.
	maxStored = 64 << 20
	// maxPending bounds parts that wait for an earlier part to be hashed.
	maxPending = 128 << 20
)

type storage struct {
	files   map[string]*file
	stored  int64
	pending int64
}

func newStorage() storage { return storage{files: map[string]*file{}} }

// file is one upload, from its initiation on. The server's lock guards it.
type file struct {
	name        string
	contentType string
	secret      string // of the presigned query
	multipart   bool
	expires     time.Time // zero: never

	ready   bool // all bytes are here
	size    int64
	sum     string // sha256 in hex; empty where it could not be told
	head    []byte
	content []byte
	kept    bool // content holds the whole file

	// Of multipart uploads: parts are hashed in their order, those that come
	// early wait with their bytes.
	whole  hash.Hash
	next   int
	parts  map[int]part
	broken bool // a part came that could not wait: no sum
}

type part struct {
	etag  string
	size  int64
	head  []byte
	bytes []byte
}

// Upload describes one file in the simulated storage.
type Upload struct {
	Name        string `json:"name"`
	ContentType string `json:"content_type"`
	Path        string `json:"path"` // of its file URL
	Ready       bool   `json:"ready"`
	Size        int64  `json:"size"`
	// SHA256 is empty where bytes were discarded or parts came too far out of
	// order to be hashed in bounded memory.
	SHA256    string    `json:"sha256,omitempty"`
	Multipart bool      `json:"multipart"`
	ExpiresAt time.Time `json:"expires_at,omitzero"`
}

// Uploads describes the stored files, in no order.
func (s *Server) Uploads() []Upload {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]Upload, 0, len(s.storage.files))
	for id, f := range s.storage.files {
		all = append(all, Upload{
			Name: f.name, ContentType: f.contentType, Path: filePrefix + id + "/" + f.name, Ready: f.ready,
			Size: f.size, SHA256: f.sum, Multipart: f.multipart, ExpiresAt: f.expires,
		})
	}
	return all
}

// fetch gets a file as the runner does. Only files of this simulator's own CDN
// can be judged; others are taken to exist, and are not looked at.
func (st *storage) fetch(u *url.URL, host string, now time.Time) (*found, bool) {
	rest, ok := strings.CutPrefix(u.Path, filePrefix)
	if u.Host != host || !ok {
		return nil, true
	}
	id, _, _ := strings.Cut(rest, "/")
	f := st.files[id]
	if f == nil || !f.ready || due(f.expires, now) {
		return nil, false
	}
	return &found{f.head, f.size, f.sum}, true
}

func (s *Server) initiate(c *call) answer {
	var in struct {
		ContentType string `json:"content_type"`
		FileName    string `json:"file_name"`
	}
	body, err := c.readAll(64 << 10)
	if err != nil || json.Unmarshal(body, &in) != nil {
		return detail(422, "Invalid upload request")
	}
	if kind := c.r.URL.Query().Get("storage_type"); kind != "fal-cdn-v3" {
		return detail(422, "Unknown storage_type")
	}
	name := path.Base(path.Clean("/" + strings.ReplaceAll(in.FileName, "\\", "/")))
	if name == "/" || len(name) > maxNameLength {
		return detail(422, "Invalid file_name")
	}
	f := &file{
		name: name, contentType: in.ContentType, multipart: c.step == StepInitiateMultipart,
		secret: rand.Text(), next: 1,
	}
	if _, _, err := mime.ParseMediaType(f.contentType); err != nil {
		f.contentType = "application/octet-stream"
	}
	if f.multipart {
		f.whole, f.parts = sha256.New(), map[int]part{}
	}
	if f.expires, err = lifecycle(c.r.Header.Get("X-Fal-Object-Lifecycle")); err != nil {
		return detail(422, "Invalid X-Fal-Object-Lifecycle")
	}
	id := rand.Text()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.plan.Locked {
		return lockedAnswer()
	}
	if len(s.storage.files) >= maxFiles {
		return detail(503, "The simulator holds too many files")
	}
	s.storage.files[id] = f
	tail := id + "/" + url.PathEscape(name)
	return jsonAnswer(200, map[string]string{
		"upload_url": c.base() + uploadPrefix + tail + "?X-Falsim-Signature=" + f.secret,
		"file_url":   c.base() + filePrefix + tail,
	})
}

func lifecycle(header string) (time.Time, error) {
	if header == "" {
		return time.Time{}, nil
	}
	var in struct {
		Seconds *int64 `json:"expiration_duration_seconds"`
	}
	if err := json.Unmarshal([]byte(header), &in); err != nil {
		return time.Time{}, err
	}
	if in.Seconds == nil || *in.Seconds == 0 {
		return time.Time{}, nil
	}
	if *in.Seconds < 0 || *in.Seconds > 100*365*86400 {
		return time.Time{}, errors.New("out of range")
	}
	return time.Now().Add(time.Duration(*in.Seconds) * time.Second), nil
}

// keptUpload is the largest file that is kept whole.
func (p *plan) keptUpload() int64 {
	if p.MaxKeptUpload > 0 {
		return min(p.MaxKeptUpload, maxStored)
	}
	return maxStored
}

// upload gives the file that a presigned URL names, or the refusal.
func (s *Server) upload(c *call) (*file, answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.storage.files[c.id]
	switch {
	case f == nil || f.multipart == (c.step == StepPut):
		return nil, detail(404, "Not Found")
	case c.r.URL.Query().Get("X-Falsim-Signature") != f.secret:
		return nil, detail(403, "Signature does not match")
	}
	return f, answer{}
}

// put takes the bytes of a file or of one part.
func (s *Server) put(c *call) answer {
	f, refusal := s.upload(c)
	if f == nil {
		c.drain(maxPut)
		return refusal
	}
	p, err := s.receive(c, f.multipart)
	if err != nil {
		return detail(400, "The body ended early or is too large")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.UploadBytes += p.size
	s.wake()
	a := answer{status: 200, header: map[string]string{"ETag": strconv.Quote(p.etag)}}
	if f.multipart {
		s.storage.add(f, c.part, p, s.plan.keptUpload())
		a.body, _ = json.Marshal(struct {
			PartNumber int    `json:"partNumber"`
			ETag       string `json:"etag"`
		}{c.part, p.etag})
		return a
	}
	if f.kept {
		s.storage.stored -= int64(len(f.content))
	}
	f.ready, f.size, f.sum, f.head, f.content, f.kept = true, p.size, p.etag, p.head, p.bytes, p.bytes != nil
	if s.plan.DiscardUploads {
		f.sum = ""
	}
	s.storage.pending -= int64(len(p.bytes))
	s.storage.stored += int64(len(p.bytes))
	if s.storage.stored > maxStored {
		s.storage.stored -= int64(len(p.bytes))
		f.content, f.kept = nil, false
	}
	s.stats.Uploads++
	return a
}

// receive reads one body: into memory where there is room for it, else only
// through the hash. The memory is reserved as pending.
func (s *Server) receive(c *call, multipart bool) (part, error) {
	s.mu.Lock()
	discard := s.plan.DiscardUploads
	size := c.r.ContentLength
	room := s.plan.keptUpload()
	if multipart {
		room = maxPending
	}
	keep := !discard && size >= 0 && size <= room && s.storage.pending+size <= maxPending
	if keep {
		s.storage.pending += size
	}
	s.mu.Unlock()

	body, lift := c.limit(maxPut)
	defer lift()
	if !keep {
		p := part{etag: rand.Text()}
		sum := sha256.New()
		err := inChunks(body, func(b []byte) {
			p.size += int64(len(b))
			p.head = append(p.head, b[:min(len(b), headSize-len(p.head))]...)
			if !discard {
				sum.Write(b)
			}
		})
		if !discard {
			p.etag = hex.EncodeToString(sum.Sum(nil))
		}
		return p, err
	}
	b := make([]byte, size)
	if _, err := io.ReadFull(body, b); err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.storage.pending -= size
		return part{}, err
	}
	f := look(b)
	return part{etag: f.sum, size: size, head: bytes.Clone(f.head), bytes: b}, nil
}

// inChunks gives f all that comes. Its reads are large enough to pass the
// server's own buffer by.
func inChunks(r io.Reader, f func([]byte)) error {
	b := make([]byte, 128<<10)
	for {
		n, err := r.Read(b)
		f(b[:n])
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// add takes a part and hashes all that are next in order. A part that is sent
// again replaces its forerunner while that still waits; later it must be equal.
func (st *storage) add(f *file, n int, p part, limit int64) {
	old, again := f.parts[n]
	if again {
		st.pending -= int64(len(old.bytes))
		if n < f.next {
			f.broken = f.broken || old.etag != p.etag
			st.pending -= int64(len(p.bytes))
			p.bytes = nil
		}
	}
	f.parts[n] = p
	if n == 1 {
		f.head = p.head
	}
	for {
		p, ok := f.parts[f.next]
		if !ok {
			return
		}
		if p.bytes == nil && p.size > 0 {
			f.broken = true
		}
		f.whole.Write(p.bytes)
		if st.stored+int64(len(p.bytes)) <= maxStored && f.size+p.size <= limit && f.size == int64(len(f.content)) && !f.broken {
			f.content = append(f.content, p.bytes...)
			st.stored += int64(len(p.bytes))
		}
		f.size += p.size
		st.pending -= int64(len(p.bytes))
		p.bytes = nil
		f.parts[f.next] = p
		f.next++
	}
}

func (s *Server) complete(c *call) answer {
	f, refusal := s.upload(c)
	if f == nil {
		return refusal
	}
	var in struct {
		Parts []struct {
			PartNumber int    `json:"partNumber"`
			ETag       string `json:"etag"`
		} `json:"parts"`
	}
	body, err := c.readAll(4 << 20)
	if err != nil || json.Unmarshal(body, &in) != nil || len(in.Parts) == 0 {
		return detail(400, "Invalid parts")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(in.Parts) != len(f.parts) || f.next != len(f.parts)+1 {
		return detail(400, "Parts are missing")
	}
	seen := make([]bool, len(f.parts)+1)
	for _, p := range in.Parts {
		have, ok := f.parts[p.PartNumber]
		if !ok || seen[p.PartNumber] || strings.Trim(p.ETag, `"`) != have.etag {
			return detail(400, "A part's etag does not match")
		}
		seen[p.PartNumber] = true
	}
	if f.ready {
		return jsonText(200, `{}`)
	}
	f.ready = true
	f.kept = f.size == int64(len(f.content)) && !f.broken
	if !f.kept {
		s.storage.stored -= int64(len(f.content))
		f.content = nil
	}
	if !f.broken {
		f.sum = hex.EncodeToString(f.whole.Sum(nil))
	}
	s.stats.Uploads++
	s.wake()
	return jsonText(200, `{}`)
}

// file serves a stored file to anyone, as the CDN does.
func (s *Server) file(c *call) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.storage.files[c.id]
	switch {
	case f == nil || !f.ready || due(f.expires, time.Now()) || path.Base(c.r.URL.Path) != f.name:
		return detail(http.StatusNotFound, "Not Found")
	case !f.kept:
		return detail(http.StatusGone, "The simulator kept only the size and the sha256 of this file")
	}
	return answer{status: 200, body: slices.Clip(bytes.Clone(f.content)), header: map[string]string{"Content-Type": f.contentType}}
}
