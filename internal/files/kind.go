package files

import (
	"bytes"
	"mime"
	"strings"
	"unicode/utf8"

	"github.com/gabriel-vasile/mimetype"
)

// HeadSize is how many bytes of a file tell its kind.
const HeadSize = 3072

// A Kind is what a file's content says it is, as its MIME type.
type Kind string

// The kinds that matter here. KindText is text in UTF-8, whatever its language;
// KindOther is everything else.
const (
	KindJPEG  Kind = "image/jpeg"
	KindPNG   Kind = "image/png"
	KindMP4   Kind = "video/mp4"
	KindWAV   Kind = "audio/wav"
	KindMP3   Kind = "audio/mpeg"
	KindText  Kind = "text/plain"
	KindOther Kind = "application/octet-stream"
)

// Sniff tells the kind by a file's first bytes; HeadSize of them are enough.
func Sniff(head []byte) Kind {
	if playsAsMP4(head) {
		return KindMP4
	}
	found := detect(head)
	for _, kind := range []Kind{KindJPEG, KindPNG, KindWAV, KindMP3} {
		// A kind's children count as the kind: an animated PNG is a PNG. Not so
		// with MP4, whose children are whatever is built of the same boxes.
		for m := found; m != nil; m = m.Parent() {
			if m.Is(string(kind)) {
				return kind
			}
		}
	}
	if isText(head) {
		return KindText
	}
	return KindOther
}

// ContentType tells the full MIME type by a file's first bytes, for an upload
// whose caller claims none. It has no parameters but the charset of text.
func ContentType(head []byte) string {
	if kind := Sniff(head); kind != KindText && kind != KindOther {
		return string(kind)
	}
	found := detect(head)
	if found.Is(string(KindMP4)) {
		return string(KindOther) // none of MP4's brands: see playsAsMP4
	}
	return found.String()
}

// Extension is the usual ending of a file's name by its first bytes, with the
// dot, or "" where there is none.
func Extension(head []byte) string {
	found := detect(head)
	if found.Is(string(KindMP4)) && !playsAsMP4(head) {
		return ""
	}
	return found.Extension()
}

func detect(head []byte) *mimetype.MIME { return mimetype.Detect(head[:min(len(head), HeadSize)]) }

// isText tells UTF-8 without NUL; head may end within a character.
func isText(head []byte) bool {
	for cut := 0; cut < utf8.UTFMax && cut < len(head); cut++ {
		if utf8.RuneStart(head[len(head)-1-cut]) {
			if !utf8.FullRune(head[len(head)-1-cut:]) {
				head = head[:len(head)-1-cut]
			}
			break
		}
	}
	return utf8.Valid(head) && bytes.IndexByte(head, 0) < 0
}

// Matches tells whether a claimed content type may stand for content of this
// kind. No claim, and one that says nothing, always may. Between types that the
// model can't take anyway it does not judge.
func (k Kind) Matches(claimed string) bool {
	media, _, err := mime.ParseMediaType(claimed)
	if err != nil {
		media, _, _ = strings.Cut(claimed, ";")
	}
	media = strings.ToLower(strings.TrimSpace(media))
	switch media {
	case "", string(KindOther), "binary/octet-stream":
		return true
	case "image/jpg", "image/pjpeg":
		media = string(KindJPEG)
	case "image/apng", "image/vnd.mozilla.apng", "image/x-png":
		media = string(KindPNG)
	case "application/mp4", "video/x-m4v":
		media = string(KindMP4)
	case "audio/x-wav", "audio/wave", "audio/vnd.wave", "audio/x-pn-wav":
		media = string(KindWAV)
	case "audio/mp3", "audio/mpeg3", "audio/x-mp3", "audio/x-mpeg", "audio/x-mpeg-3":
		media = string(KindMP3)
	}
	switch k {
	case KindText:
		return !binaryType(media)
	case KindOther:
		return !strings.HasPrefix(media, "text/") && !modelTakes(Kind(media))
	}
	return media == string(k)
}

func modelTakes(k Kind) bool {
	switch k {
	case KindJPEG, KindPNG, KindMP4, KindWAV, KindMP3:
		return true
	}
	return false
}

// binaryType tells the types that text can't be of. SVG is text.
func binaryType(media string) bool {
	for _, class := range []string{"image/", "video/", "audio/", "font/"} {
		if strings.HasPrefix(media, class) {
			return !strings.HasSuffix(media, "+xml")
		}
	}
	return media == "application/pdf" || media == "application/zip" || media == "application/gzip"
}
