package files

import (
	"strings"
	"testing"
)

func TestBrands(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		brands string // the first is the file's own
		want   string // its content type
	}{
		{"isom iso2 mp41", "video/mp4"},
		{"iso5 dash", "video/mp4"},
		{"mp41", "video/mp4"},
		{"mp42 isom", "video/mp4"},
		{"avc1", "video/mp4"},
		{"M4V", "video/mp4"},
		{"M4VH", "video/mp4"},
		{"M4VP", "video/mp4"},
		{"MSNV", "video/mp4"},
		{"XAVC mp42", "video/mp4"},
		{"F4V", "video/mp4"},
		{"zzzz isom", "video/mp4"},
		{"heic mif1", "image/heic"},
		{"heix", "image/heic"},
		{"hevc mif1 iso8", "image/heic-sequence"},
		{"mif1 heic", "image/heif"},
		{"msf1", "image/heif-sequence"},
		{"avif mif1", "image/avif"},
		{"avis msf1 iso8", "image/avif"},
		{"M4A isom mp42", "audio/x-m4a"},
		{"M4B", "audio/mp4"},
		{"F4A", "audio/mp4"},
		{"3gp4 isom", "video/3gpp"},
		{"3gp5", "video/3gpp"},
		{"3g2a", "video/3gpp2"},
		{"mjp2", "video/mj2"},
		{"mj2s isom", "video/mj2"},
		{"qt", "video/quicktime"},
		{"mqt", "video/quicktime"},
		{"dvb1", "application/octet-stream"},
		{"dmb1 isom", "video/vnd.dvb.file"},
		{"crx isom mif1", "application/octet-stream"},
		{"crx", "application/octet-stream"},
		{"zzzz", "application/octet-stream"},
	} {
		t.Run(tc.brands, func(t *testing.T) {
			t.Parallel()
			var body strings.Builder
			for i, brand := range strings.Fields(tc.brands) {
				body.WriteString(brand + strings.Repeat(" ", 4-len(brand)))
				if i == 0 {
					body.WriteString("\x00\x00\x02\x00")
				}
			}
			head := box("ftyp", []byte(body.String()))
			kind, got := Sniff(head), ContentType(head)
			if got != tc.want || (kind == KindMP4) != (tc.want == "video/mp4") || kind != KindMP4 && kind != KindOther {
				t.Errorf("got %s, %s; want %s", kind, got, tc.want)
			}
			if !kind.Matches(got) {
				t.Errorf("%s does not stand for %s", kind, got)
			}
			if kind == KindOther && (kind.Matches("video/mp4") || Extension(head) == ".mp4" && !strings.HasPrefix(got, "audio/")) {
				t.Errorf("it passes as an MP4, with %q", Extension(head))
			}
		})
	}
	if Sniff([]byte("The ftypisom box\n")) != KindText {
		t.Error("a text passes as an MP4")
	}
	// What follows the box is none of its brands.
	if head := append(box("ftyp", []byte("zzzz\x00\x00\x00\x00")), "isom"...); Sniff(head) != KindOther {
		t.Error("a brand was read behind the box")
	}
}
