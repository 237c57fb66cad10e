package falsim

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// headSize is how many of a file's first bytes are kept to tell its kind.
const headSize = 64

// Media is what the runner found where a job's media field points. Only files
// of this simulator's own CDN and data URIs are looked at.
type Media struct {
	Field string `json:"field"`
	// Kind is the content type that the first bytes tell, whatever is claimed.
	Kind string `json:"kind"`
	Size int64  `json:"size"`
	// SHA256 is in hex; empty where the storage did not take it.
	SHA256 string `json:"sha256,omitempty"`
}

// found is a file as far as the runner looks at it.
type found struct {
	head []byte
	size int64
	sum  string
}

func look(b []byte) found {
	sum := sha256.Sum256(b)
	return found{b[:min(len(b), headSize)], int64(len(b)), hex.EncodeToString(sum[:])}
}

// supported names the kinds that each media field takes, as the endpoints' pages
// do.
var supported = map[string][]string{
	"image_url": {"image/jpeg", "image/png"},
	"video_url": {"video/mp4"},
	"audio_url": {"audio/wav", "audio/mpeg"},
}

// kindOf tells a kind by its magic bytes.
func kindOf(head []byte) string {
	at := func(offset int, magic string) bool {
		return len(head) >= offset && bytes.HasPrefix(head[offset:], []byte(magic))
	}
	switch {
	case at(0, "RIFF") && at(8, "WAVE"):
		return "audio/wav"
	case at(0, "ID3"), len(head) > 1 && head[0] == 0xff && head[1]&0xe6 == 0xe2:
		return "audio/mpeg"
	case at(4, "ftypM4A"):
		return "audio/mp4"
	case at(4, "ftypqt"):
		return "video/quicktime"
	case at(4, "ftyp"):
		return "video/mp4"
	}
	kind, _, _ := strings.Cut(http.DetectContentType(head), ";")
	return kind
}

// media checks a media field; fetch gets a file by its URL: what it is, where
// that can be known, and whether it is there.
func (v *validator) media(field string, fetch func(*url.URL) (*found, bool)) *Media {
	before := len(v.faults)
	v.requiredText(field)
	if len(v.faults) > before {
		return nil
	}
	file, ok := fetchAny(v.in.text(field), fetch)
	if !ok {
		v.fault(field, "file_download_error", "Failed to download the file. Please check if the URL is accessible and try again.", nil)
		return nil
	}
	if file == nil {
		return nil
	}
	m := &Media{Field: field, Kind: kindOf(file.head), Size: file.size, SHA256: file.sum}
	kinds := supported[field]
	if slices.Contains(kinds, m.Kind) {
		return m
	}
	family, _, _ := strings.Cut(field, "_")
	if family == "image" && !strings.HasPrefix(m.Kind, "image/") {
		v.fault(field, "image_load_error", "Failed to load the image. Please ensure the image file is not corrupted and is in a supported format.", nil)
		return m
	}
	v.fault(field, "unsupported_"+family+"_format", "Unsupported "+family+" format. Supported formats are "+strings.Join(kinds, ", ")+".",
		map[string]any{"supported_formats": kinds})
	return m
}

func fetchAny(raw string, fetch func(*url.URL) (*found, bool)) (*found, bool) {
	if rest, ok := strings.CutPrefix(raw, "data:"); ok {
		return decodeDataURI(rest)
	}
	u, err := url.Parse(raw)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, false
	}
	return fetch(u)
}

func decodeDataURI(rest string) (*found, bool) {
	kind, data, ok := strings.Cut(rest, ",")
	if !ok {
		return nil, false
	}
	var b []byte
	var err error
	if strings.HasSuffix(kind, ";base64") {
		b, err = base64.StdEncoding.DecodeString(data)
	} else {
		data, err = url.PathUnescape(data)
		b = []byte(data)
	}
	if err != nil {
		return nil, false
	}
	f := look(b)
	return &f, true
}
