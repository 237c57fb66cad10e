package uploads

import (
	"bytes"
	"encoding/base64"
	"net/url"
	"strings"
	"testing"

	"nemotron-mcp/internal/jobs"
)

// medium is a medium of this test, which must be taken.
func (r *rig) medium(field, value string) *Medium {
	r.t.Helper()
	m, err := r.Medium(r.t.Context(), r.allowed, field, value)
	must(r.t, err)
	r.t.Cleanup(m.Close)
	return m
}

func TestWhatEachFieldTakes(t *testing.T) {
	t.Parallel()
	contents := map[string][]byte{
		"image/jpeg": jpegOf(t), "image/png": pngOf(t, 3, 2), "video/mp4": mp4Of(5, 640, 480), "audio/wav": wavOf(8000, 8000),
		"audio/mpeg": mp3Of(20), "text/plain; charset=utf-8": []byte("hello"), "application/pdf": []byte("%PDF-1.7\n\xe2\xe3"),
		"application/octet-stream": noise(1, 100), "image/gif": []byte("GIF89a\x01\x00\x01\x00"),
	}
	takes := map[string]string{
		"image_url": "image/jpeg or image/png", "video_url": "video/mp4", "audio_url": "audio/wav or audio/mpeg",
	}
	for field, taken := range takes {
		for kind, content := range contents {
			t.Run(field+" "+kind, func(t *testing.T) {
				t.Parallel()
				r := newRig(t, rigOptions{})
				r.file("a", content)
				for way, value := range map[string]string{"file": "a", "data URI": "data:;base64," + base64Of(content)} {
					m, err := r.Medium(t.Context(), r.allowed, field, value)
					if !strings.Contains(taken, kind) {
						fault := wantFault(t, err, jobs.FileInvalid, "is "+kind+"; the field takes "+taken+".")
						if !strings.HasPrefix(fault.Message, field+": ") || !strings.HasSuffix(fault.Action, "Nothing was sent.") || m != nil {
							t.Errorf("%s: %+v", way, fault)
						}
						continue
					}
					must(t, err)
					defer m.Close()
					want := jobs.Attachment{Field: field, ContentType: kind, Size: int64(len(content))}
					if way == "file" {
						want.Path = "a"
					}
					if m.URL != "" { // a small data URI, which was read
						want.SHA256 = sumOf(content)
					}
					if m.Attachment != want {
						t.Errorf("%s: got %+v, want %+v", way, m.Attachment, want)
					}
				}
				r.wantSilence()
			})
		}
	}
}

func TestMediaThatTheModelRefuses(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, field, part string
		content           []byte
	}{
		{"4K", "video_url", "3840 × 2160", mp4Of(5, 3840, 2160)},
		{"three minutes", "video_url", "lasts 3m0s", mp4Of(180, 640, 480)},
		{"a wide picture", "image_url", "16385 × 1 pixels", pngOf(t, 16385, 1)},
		{"a long recording", "audio_url", "lasts 50m2s", wavOf(1, 3002)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, rigOptions{})
			r.file("a", tc.content)
			for shown, value := range map[string]string{`"a"`: "a", `"data URI"`: "data:;base64," + base64Of(tc.content)} {
				_, err := r.Medium(t.Context(), r.allowed, tc.field, value)
				fault := wantFault(t, err, jobs.FileInvalid, tc.part)
				if !strings.Contains(fault.Message, shown) || !strings.HasPrefix(fault.Message, tc.field+": ") {
					t.Errorf("message %q", fault.Message)
				}
			}
			r.wantSilence()
		})
	}
}

func TestMediumByURL(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	ours := r.sent(r.decode(base64Of(pngOf(t, 3, 2)), Options{}), Options{}).URL
	if !strings.HasPrefix(ours, "http://localhost/") {
		t.Fatalf("the storage's URL is %s", ours)
	}
	before := r.sim.Stats().Requests
	for _, tc := range []struct{ name, url, host string }{
		{"https", "https://example.com/a%20b.png?token=s3cret#x", "example.com"},
		{"another port", "https://example.com:8443/a.png", "example.com"},
		{"an address", "https://93.184.215.14/a.png", "93.184.215.14"},
		{"upper case", "HTTPS://EXAMPLE.com/A.png", "EXAMPLE.com"},
		{"fal's CDN", "https://v3.fal.media/files/b/x/a.png", "fal"},
		{"the storage's own", ours, "fal"},
	} {
		m := r.medium("image_url", tc.url)
		if m.URL != tc.url {
			t.Errorf("%s: fal is given %s", tc.name, m.URL)
		}
		must(t, m.Find(t.Context(), r.Uploader, Options{}))
		must(t, m.Place(t.Context(), r.Uploader, Options{}))
		if want := (jobs.Attachment{Field: "image_url", Path: tc.host}); m.Attachment != want || m.URL != tc.url {
			t.Errorf("%s: %s, %+v", tc.name, m.URL, m.Attachment)
		}
	}
	if now := r.sim.Stats().Requests; now != before {
		t.Errorf("sent %+v", now)
	}
}

func TestURLsThatFalMustNotFetch(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	for _, tc := range []struct {
		url  string
		code jobs.Code
	}{
		{"http://example.com/a.png", jobs.FileNotAllowed},
		{"http://fal.media/a.png", jobs.FileNotAllowed},
		{"http://localhost:8080/a.png", jobs.FileNotAllowed},
		{"http://localhost.evil.example/a.png", jobs.FileNotAllowed},
		{"file:///etc/passwd", jobs.FileNotAllowed},
		{"gopher://example.com/a.png", jobs.FileNotAllowed},
		{"ftp://example.com/a.png", jobs.FileNotAllowed},
		{"https://me:secret@example.com/a.png", jobs.FileNotAllowed},
		{"https://me@v3.fal.media/a.png", jobs.FileNotAllowed},
		{"https://localhost/a.png", jobs.FileNotAllowed},
		{"https://127.0.0.1/a.png", jobs.FileNotAllowed},
		{"https://2130706433/a.png", jobs.FileNotAllowed},
		{"https://0x7f.1/a.png", jobs.FileNotAllowed},
		{"https://0177.0.0.1/a.png", jobs.FileNotAllowed},
		{"https://[::1]/a.png", jobs.FileNotAllowed},
		{"https://[::ffff:10.0.0.1]/a.png", jobs.FileNotAllowed},
		{"https://[64:ff9b::7f00:1]/a.png", jobs.FileNotAllowed},
		{"https://169.254.169.254/latest/meta-data", jobs.FileNotAllowed},
		{"https://192.168.1.1/a.png", jobs.FileNotAllowed},
		{"https://metadata.google.internal/a.png", jobs.FileNotAllowed},
		{"https:///a.png", jobs.FileInvalid},
		{"https://example.com/a b.png", jobs.FileInvalid},
		{" https://example.com/a.png", jobs.FileInvalid},
		{"https://example.com/\r\nX: y", jobs.FileInvalid},
		{"https://example.com/" + strings.Repeat("a", 9000), jobs.FileInvalid},
		{"file:/etc/passwd", jobs.FileInvalid}, // a path like any other
	} {
		_, err := r.Medium(t.Context(), r.allowed, "video_url", tc.url)
		fault := wantFault(t, err, tc.code, "Nothing was sent.")
		if !strings.HasPrefix(fault.Message, "video_url: ") || strings.Contains(fault.Message, "secret") || fault.Retryable {
			t.Errorf("%s: %+v", tc.url, fault)
		}
	}
	r.wantSilence()
}

func TestASmallDataURIIsPassedOn(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	var data []byte
	for seed := byte(0); !bytes.ContainsAny([]byte(base64Of(data)), "+/") || len(data)%3 == 0; seed++ {
		data = append(jpegOf(t), noise(seed, 100+int(seed))...)
	}
	want := "data:image/jpeg;base64," + base64Of(data)
	for name, value := range map[string]string{
		"the usual":     want,
		"in lines":      "data:image/jpeg;base64," + inLines(base64Of(data)),
		"white space":   " \n" + want + "\n",
		"URL alphabet":  "data:image/jpeg;base64," + base64.URLEncoding.EncodeToString(data),
		"no padding":    "data:image/jpeg;base64," + base64.RawStdEncoding.EncodeToString(data),
		"upper case":    "DATA:IMAGE/JPEG;BASE64," + base64Of(data),
		"no claim":      "data:;base64," + base64Of(data),
		"with escapes":  "data:image/jpeg;base64," + strings.ReplaceAll(base64Of(data), "+", "%2B"),
		"spaces inside": "data: image/jpeg ; base64 ," + base64Of(data),
		"another claim": "data:image/jpg;base64," + base64Of(data),
		"a parameter":   "data:image/jpeg;a=b;base64," + base64Of(data),
		"a vague claim": "data:application/octet-stream;base64," + base64Of(data),
		"much space":    "data:;base64," + base64Of(data) + strings.Repeat(" ", smallURI),
		"all escaped":   "data:image/jpeg;base64," + strings.Repeat("%20", smallURI) + base64Of(data),
	} {
		m := r.medium("image_url", value)
		must(t, m.Find(t.Context(), r.Uploader, Options{}))
		must(t, m.Place(t.Context(), r.Uploader, Options{}))
		if m.URL != want {
			t.Errorf("%s: fal is given %s", name, m.URL)
		}
		if a := (jobs.Attachment{Field: "image_url", ContentType: "image/jpeg", Size: int64(len(data)), SHA256: sumOf(data)}); m.Attachment != a {
			t.Errorf("%s: %+v", name, m.Attachment)
		}
	}
	r.wantSilence()
}

// The limit is that of what fal is given, not of the caller's spelling.
func TestTheLargestSmallDataURI(t *testing.T) {
	t.Parallel()
	head := "data:audio/wav;base64,"
	most := (smallURI - len(head)) / 4 * 3
	for name, spell := range map[string]func([]byte) string{
		"base64":   func(b []byte) string { return head + base64Of(b) },
		"as it is": func(b []byte) string { return "data:audio/wav," + url.PathEscape(string(b)) },
	} {
		for size, passed := range map[int]bool{most: true, most + 1: false} {
			r := newRig(t, rigOptions{})
			content := append(wavOf(8000, 8000)[:100], bytes.Repeat([]byte("a"), size-100)...)
			m := r.medium("audio_url", spell(content))
			if (m.URL != "") != passed || len(m.URL) > smallURI || m.Attachment.Size != int64(size) {
				t.Errorf("%s of %d bytes: %d characters are passed on", name, size, len(m.URL))
			}
			must(t, m.Place(t.Context(), r.Uploader, Options{}))
			if sent := r.sim.Stats().Uploads == 1; sent == passed || m.URL == "" {
				t.Errorf("%s of %d bytes: sent %v", name, size, sent)
			}
		}
	}
}

func TestAMediumIsUploaded(t *testing.T) {
	t.Parallel()
	large := append(pngOf(t, 3, 2), noise(1, smallURI)...)
	for _, tc := range []struct {
		name, path string
		value      func(r *rig) string
	}{
		{"a small file", "a.png", func(r *rig) string { return r.file("a.png", large[:100]) }},
		{"a large file", "a.png", func(r *rig) string { return r.file("a.png", large) }},
		{"a large data URI", "", func(*rig) string { return "data:image/png;base64," + base64Of(large) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, rigOptions{})
			opts := Options{Caller: "ana"}
			value := tc.value(r)
			m := r.medium("image_url", value)
			if m.URL != "" || m.Attachment.SHA256 != "" {
				t.Fatalf("before it is placed: %+v", m)
			}
			must(t, m.Find(t.Context(), r.Uploader, opts))
			if m.URL != "" || m.Attachment.SHA256 != "" {
				t.Errorf("read although the ledger knows none of its size: %+v", m)
			}
			r.wantSilence()
			must(t, m.Place(t.Context(), r.Uploader, opts))
			up := r.sim.Uploads()[0]
			if !strings.HasSuffix(m.URL, up.Path) || m.Attachment.SHA256 != up.SHA256 {
				t.Errorf("placed %+v, stored %+v", m, up)
			}
			want := jobs.Attachment{Field: "image_url", Path: tc.path, ContentType: "image/png", Size: up.Size, SHA256: up.SHA256}
			if m.Attachment != want {
				t.Errorf("got %+v, want %+v", m.Attachment, want)
			}
			again := r.medium("image_url", value)
			must(t, again.Find(t.Context(), r.Uploader, opts))
			if again.Attachment != want || again.URL != "" {
				t.Errorf("found %+v", again)
			}
			must(t, again.Place(t.Context(), r.Uploader, opts))
			if again.URL != m.URL || again.Attachment != want {
				t.Errorf("placed %+v, want %+v", again, m)
			}
			r.wantSent(1)
		})
	}
}

func TestAMediumThatChanges(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	data := pngOf(t, 3, 2)
	other, err := r.bytesSource(noise(1, len(data)), "", "", Options{})
	must(t, err)
	m := r.medium("image_url", r.file("a.png", data))
	r.file("a.png", append(data, 0))
	err = m.Place(t.Context(), r.Uploader, Options{})
	wantFault(t, err, jobs.FileInvalid, `image_url: "a.png" changed`)
	r.sent(other, Options{}) // of its size
	err = m.Find(t.Context(), r.Uploader, Options{})
	wantFault(t, err, jobs.FileInvalid, `image_url: "a.png" changed`)
	if m.URL != "" || m.Attachment.SHA256 != "" {
		t.Errorf("got %+v", m)
	}
}
