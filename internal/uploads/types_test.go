package uploads

import (
	"strings"
	"testing"

	"nemotron-mcp/falclient"
	"nemotron-mcp/internal/jobs"
)

func TestContentType(t *testing.T) {
	t.Parallel()
	picture, text, pdf, other := pngOf(t, 3, 2), []byte("hello, 漢字"), []byte("%PDF-1.7\n\xe2\xe3"), noise(1, 100)
	const plain = "text/plain; charset=utf-8"
	for _, tc := range []struct {
		name        string
		content     []byte
		claim, hint string
		want        string // a type, or a code
	}{
		{"the content tells", picture, "", "", "image/png"},
		{"the content tells of text", text, "", "", plain},
		{"the content tells of others", pdf, "", "", "application/pdf"},
		{"nothing tells", other, "", "", "application/octet-stream"},
		{"the claim is right", picture, "image/png", "", "image/png"},
		{"the claim is written oddly", picture, " IMAGE/PNG ", "", "image/png"},
		{"the claim says nothing", picture, "application/octet-stream", "", "application/octet-stream"},
		{"the claim of text is finer", text, "text/markdown; charset=UTF-8", "", "text/markdown; charset=UTF-8"},
		{"the claim of others is finer", other, "application/x-thing", "", "application/x-thing"},
		{"the claim is wrong", picture, "image/jpeg", "", "FILE_INVALID"},
		{"text claims to be a picture", text, "image/png", "", "FILE_INVALID"},
		{"others claim to be a picture", other, "image/png", "", "FILE_INVALID"},
		{"a picture claims to be text", picture, "text/html", "", "FILE_INVALID"},
		{"the server is right", picture, "", "image/png", "image/png"},
		{"the server is wrong of a picture", picture, "", "text/html", "image/png"},
		{"the server is wrong of text", text, "", "image/png", plain},
		{"the server is finer of text", text, "", "text/CSV;charset=utf-8", "text/csv; charset=utf-8"},
		{"the server is finer of others", other, "", "application/x-thing", "application/x-thing"},
		{"the server says nothing of text", text, "", "application/octet-stream", plain},
		{"the server says nothing of others", pdf, "", "binary/octet-stream; charset=utf-8", "application/pdf"},
		{"the server talks nonsense", text, "", "text/\r\nX: y", plain},
		{"the server talks long", text, "", "text/plain; a=" + strings.Repeat("b", 1000), plain},
		{"the claim counts, not the server", text, "text/x-go", "text/html", "text/x-go"},
		{"a claim with a line's end", text, "text/plain\r\nX-Evil: 1", "", "INVALID_INPUT"},
		{"a claim with a line's end in a parameter", text, "text/plain; a=\"b\r\nX-Evil: 1\"", "", "INVALID_INPUT"},
		{"a claim without a slash", text, "text", "", "INVALID_INPUT"},
		{"a claim of many", text, "text/*", "", "INVALID_INPUT"},
		{"a claim of all", other, "*/*", "", "INVALID_INPUT"},
		{"a claim without a top", text, "/plain", "", "INVALID_INPUT"},
		{"a claim without a sub", text, "text/", "", "INVALID_INPUT"},
		{"a claim of two", text, "text/a/b", "", "INVALID_INPUT"},
		{"a claim with a space", text, "text/pl ain", "", "INVALID_INPUT"},
		{"a claim of white space", text, "  ", "", "INVALID_INPUT"},
		{"a claim not in ASCII", text, "text/plaín", "", "INVALID_INPUT"},
		{"a claim of 1000 bytes", text, "text/" + strings.Repeat("a", 1000), "", "INVALID_INPUT"},
		{"a claim with a long parameter", text, "text/plain; a=" + strings.Repeat("b", 1000), "", "INVALID_INPUT"},
		{"a claim with a parameter twice", text, "text/plain; a=b; a=c", "", "INVALID_INPUT"},
		{"a parameter not in ASCII", text, "text/plain; a=\"é\"", "", "text/plain; a*=utf-8''%C3%A9"},
		{"a parameter with a quote", text, `text/plain; a="b\"c"`, "", `text/plain; a="b\"c"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, rigOptions{fetcher: &fetcher{give: always(tc.content, tc.hint)}})
			opts := Options{ContentType: tc.claim}
			up, err := r.FromURL(t.Context(), "https://example.com/", opts)
			ways := map[string]error{"URL": err}
			if tc.hint == "" {
				src, err := r.Base64(base64Of(tc.content), opts)
				ways["base64"] = err
				if err == nil && src.ContentType != tc.want {
					t.Errorf("base64 is %s", src.ContentType)
				}
				src, err = r.File(t.Context(), r.folders, r.file("a", tc.content), opts)
				ways["file"] = err
				if err == nil {
					defer src.Close()
					if src.ContentType != tc.want {
						t.Errorf("the file is %s", src.ContentType)
					}
				}
			}
			if strings.Contains(tc.want, "_") {
				for way, err := range ways {
					t.Log(way)
					wantFault(t, err, jobs.Code(tc.want), "Nothing was sent.")
				}
				r.wantSilence()
				return
			}
			for way, err := range ways {
				if err != nil {
					t.Fatalf("%s: %v", way, err)
				}
			}
			if have := r.stored(up); up.ContentType != tc.want || have.ContentType != tc.want {
				t.Errorf("got %s, stored %s", up.ContentType, have.ContentType)
			}
		})
	}
}

func TestDataURIClaims(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, uri, claim, want string }{
		{"no claim", "data:,hello", "", "text/plain; charset=utf-8"},
		{"a claim", "data:text/markdown,hello", "", "text/markdown"},
		{"a claim of parameters alone", "data:;charset=utf-8,hello", "", "text/plain; charset=utf-8"},
		{"a broken parameter", "data:;charset,hello", "", "FILE_INVALID"},
		{"the caller's own counts", "data:text/markdown,hello", "text/x-go", "text/x-go"},
		{"text that claims to be a picture", "data:image/png;base64,aGVsbG8=", "", "FILE_INVALID"},
		{"nonsense", "data:nonsense;base64,aGVsbG8=", "", "FILE_INVALID"},
		{"a line's end", "data:text/plain\r\nX: y;base64,aGVsbG8=", "", "FILE_INVALID"},
		{"too long", "data:text/plain;a=" + strings.Repeat("b", 200) + ";base64,aGVsbG8=", "", "FILE_INVALID"},
		{"bad base64", "data:text/plain;base64,aGVsbG8", "", "text/plain"},
		{"worse base64", "data:text/plain;base64,aGVsbG8==", "", "FILE_INVALID"},
		{"no comma", "data:text/plain", "", "FILE_INVALID"},
		{"no content", "data:text/plain,", "", "FILE_INVALID"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, rigOptions{})
			src, err := r.Base64(tc.uri, Options{ContentType: tc.claim})
			if strings.Contains(tc.want, "_") {
				wantFault(t, err, jobs.Code(tc.want), "")
				return
			}
			must(t, err)
			if src.ContentType != tc.want || src.Size != 5 {
				t.Errorf("got %s, %d bytes", src.ContentType, src.Size)
			}
		})
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, given, own, want string }{
		{"its own", "", "note.md", "note.md"},
		{"none", "", "", "upload.png"},
		{"given", "b.png", "note.md", "b.png"},
		{"with a path", "../../etc/passwd", "", "passwd"},
		{"with a path of Windows", `C:\Users\me\a.png`, "", "a.png"},
		{"with a line's end", "a\r\nX-Evil: 1.png", "", "a_X-Evil_1.png"},
		{"with quotes", `a"b'c.png`, "", "a_b_c.png"},
		{"with a mark that turns the text", "a\u202egnp.exe", "", "agnp.exe"},
		{"decomposed", "cafe\u0301.png", "", "cafe.png"},
		{"a folder", "a/", "", "file"},
		{"hidden", "..", "", "file"},
		{"white space", " ", "", "file"},
		{"not UTF-8", "a\xff.png", "", "a_.png"},
		{"long", strings.Repeat("a", 1000) + ".png", "", strings.Repeat("a", 96) + ".png"},
		{"with what URLs read", "a?b#c%2f.png", "", "a_b_c_2f.png"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, rigOptions{})
			src, err := r.bytesSource(pngOf(t, 3, 2), tc.own, "", Options{Name: tc.given})
			must(t, err)
			up := r.sent(src, Options{Name: tc.given})
			if have := r.stored(up); up.FileName != tc.want || have.Name != tc.want {
				t.Errorf("got %q, stored %q", up.FileName, have.Name)
			}
			if !falclient.ValidFileName(up.FileName) || !strings.HasSuffix(up.URL, "/"+tc.want) {
				t.Errorf("the URL is %s", up.URL)
			}
		})
	}
}

func TestNamesByContent(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	for want, content := range map[string][]byte{
		"upload.png": pngOf(t, 1, 1), "upload.jpg": jpegOf(t), "upload.mp4": mp4Of(1, 4, 4), "upload.wav": wavOf(8000, 80),
		"upload.mp3": mp3Of(3), "upload.txt": []byte("hello"), "upload": noise(1, 100),
	} {
		if src := r.decode(base64Of(content), Options{}); src.Name != want {
			t.Errorf("got %s, want %s", src.Name, want)
		}
	}
}

func TestAFilesOwnName(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	src := r.open(r.file("r\u00e9sum\u00e9 \u202e 1.txt", []byte("hello")), Options{})
	if up := r.sent(src, Options{}); up.FileName != "r_sum_1.txt" {
		t.Errorf("got %s", up.FileName)
	}
	if strings.Contains(src.Path, "\u202e") {
		t.Errorf("shown as %q", src.Path)
	}
}
