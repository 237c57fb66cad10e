package files

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"
)

func TestDecodeBase64(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, in string
		limit    int64
		want     string
		claimed  string
		fault    string
	}{
		{"padded", "aGVsbG8=", 10, "hello", "", ""},
		{"not padded", "aGVsbG8", 10, "hello", "", ""},
		{"line breaks and spaces", " aGVs\r\nbG8=\t\n", 10, "hello", "", ""},
		{"standard alphabet", "+/+/", 10, "\xfb\xff\xbf", "", ""},
		{"URL alphabet", "-_-_", 10, "\xfb\xff\xbf", "", ""},
		{"data URI", "data:image/png;base64,aGVsbG8=", 10, "hello", "image/png", ""},
		{"data URI in capitals", "DATA:image/png;BASE64,aGVsbG8=", 10, "hello", "image/png", ""},
		{"data URI with parameters", "data:text/plain;charset=utf-8;base64,aGVsbG8=", 10, "hello", "text/plain;charset=utf-8", ""},
		{"data URI without a type", "data:;base64,aGVsbG8=", 10, "hello", "", ""},
		{"data URI, escaped base64", "data:image/png;base64,aGVs%0AbG8%3D", 10, "hello", "image/png", ""},
		{"data URI, percent-encoded", "data:text/plain,a%20b,c", 10, "a b,c", "text/plain", ""},
		{"exactly the limit", "aGVsbG8=", 5, "hello", "", ""},
		{"percent-encoded, exactly the limit", "data:,%41%42", 2, "AB", "", ""},
		{"over the limit", "aGVsbG8=", 4, "", "", "limit of 4"},
		{"percent-encoded, over the limit", "data:,abc", 2, "", "", "limit of 2"},
		{"empty", "", 4, "", "", "empty"},
		{"spaces only", " \n ", 4, "", "", "empty"},
		{"empty data URI", "data:image/png;base64,", 4, "", "", "empty"},
		{"empty, percent-encoded", "data:,", 4, "", "", "empty"},
		{"no comma", "data:image/png;base64", 4, "", "", "no comma"},
		{"broken escape", "data:,%4", 4, "", "", "percent"},
		{"one digit too few", "aGVsbG8xx", 100, "", "", "cut off"},
		{"bad padding", "aGVsbG8==", 10, "", "", "padding"},
		{"only padding", "====", 10, "", "", "padding"},
		{"goes on after padding", "aGVsbG8=aGVs", 10, "", "", "after its padding"},
		{"two alphabets", "+_+_", 10, "", "", "two alphabets"},
		{"another character", "aGVs*bG8=", 10, "", "", "0x2a"},
		{"a path", "/tmp/x.png", 10, "", "", "0x2e"},
		{"bits left over", "aGVsbG9=", 10, "", "", "damaged"},
		{"type with a line break", "data:image/png\r\nX: y;base64,aGVs", 10, "", "", "content type"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			data, claimed, err := DecodeBase64(tc.in, tc.limit)
			if tc.fault != "" {
				wantError(t, err, CodeInvalid, tc.fault)
				return
			}
			if err != nil || string(data) != tc.want || claimed != tc.claimed {
				t.Errorf("got %q, %q, %v", data, claimed, err)
			}
		})
	}
}

func TestDecodeBase64OfHundredMegabytes(t *testing.T) {
	text := strings.Repeat("A", 100<<20)
	allocated := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, _, err := DecodeBase64(text, 1<<20); err == nil {
				b.Fatal("100 MB are allowed")
			}
		}
	}).AllocedBytesPerOp()
	if allocated > 1<<20 {
		t.Errorf("refusing 100 MB took %d bytes", allocated)
	}
}

func FuzzDecodeBase64(f *testing.F) {
	for _, seed := range []string{"aGVsbG8=", "data:image/png;base64,aGVs", "data:,%41", "-_-_", "=", "data:", "aGVs\nbG8"} {
		f.Add(seed, int64(16))
	}
	f.Fuzz(func(t *testing.T, text string, limit int64) {
		data, claimed, err := DecodeBase64(text, limit)
		if err != nil {
			return
		}
		if len(data) == 0 || int64(len(data)) > limit {
			t.Errorf("%d bytes with a limit of %d", len(data), limit)
		}
		if strings.ContainsAny(claimed, "\r\n\x00") {
			t.Errorf("claims %q", claimed)
		}
		again, _, err := DecodeBase64("data:x/y;base64,"+base64.URLEncoding.EncodeToString(data), limit)
		if err != nil || !bytes.Equal(again, data) {
			t.Errorf("encoded again: %q, %v", again, err)
		}
	})
}
