package falsim

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	pngMagic = "\x89PNG\r\n\x1a\n"
	tinyPNG  = "data:image/png;base64,iVBORw0KGgo="
)

// faultTypes lists what a refused job was refused for.
func faultTypes(t *testing.T, body []byte) []string {
	t.Helper()
	var m struct {
		Detail []struct{ Type string }
	}
	if err := json.Unmarshal(body, &m); err != nil {
		t.Fatal(err)
	}
	var types []string
	for _, d := range m.Detail {
		types = append(types, d.Type)
	}
	return types
}

// TestMedia gives each kind to each endpoint, as a data URI and as an upload in
// one piece and in parts.
func TestMedia(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, endpoint, field, bytes, kind string
		refused                            string
	}{
		{"png", "/vision", "image_url", pngMagic + "…", "image/png", ""},
		{"jpeg", "/vision", "image_url", "\xff\xd8\xff\xe0JFIF", "image/jpeg", ""},
		{"gif", "/vision", "image_url", "GIF89a", "image/gif", "unsupported_image_format"},
		{"text as image", "/vision", "image_url", "hello", "text/plain", "image_load_error"},
		{"mp4", "/video", "video_url", "\x00\x00\x00\x18ftypisom", "video/mp4", ""},
		{"quicktime", "/video", "video_url", "\x00\x00\x00\x18ftypqt  ", "video/quicktime", "unsupported_video_format"},
		{"png as video", "/video", "video_url", pngMagic, "image/png", "unsupported_video_format"},
		{"wav", "/audio", "audio_url", "RIFF\x00\x00\x00\x00WAVEfmt ", "audio/wav", ""},
		{"mp3 with a tag", "/audio", "audio_url", "ID3\x04", "audio/mpeg", ""},
		{"mp3 frame", "/audio", "audio_url", "\xff\xfb\x90\x00", "audio/mpeg", ""},
		{"m4a", "/audio", "audio_url", "\x00\x00\x00\x18ftypM4A ", "audio/mp4", "unsupported_audio_format"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := New(Script{})
			whole, wholeURL := begin(t, s, initiatePath, "x")
			ask(t, s, "PUT", whole.String(), c.bytes, "Authorization", "")
			parts, partsURL := begin(t, s, "/storage/upload/initiate-multipart?storage_type=fal-cdn-v3", "x")
			w := ask(t, s, "PUT", parts.Path+"/1?"+parts.RawQuery, c.bytes, "Authorization", "")
			ask(t, s, "POST", parts.Path+"/complete?"+parts.RawQuery, `{"parts":[`+w.Body.String()+`]}`, "Authorization", "")
			for _, url := range []string{"data:x/y;base64," + base64.StdEncoding.EncodeToString([]byte(c.bytes)), wholeURL, partsURL} {
				w := ask(t, s, "POST", chat+c.endpoint, fmt.Sprintf(`{"prompt":"p",%q:%q}`, c.field, url))
				id := object(t, w.Body.Bytes())["request_id"].(string)
				r := ask(t, s, "GET", jobPath(id), "")
				if c.refused == "" && r.Code != 200 {
					t.Errorf("%s: %d %s", url, r.Code, r.Body)
				}
				if c.refused != "" && (r.Code != 422 || !cmp.Equal(faultTypes(t, r.Body.Bytes()), []string{c.refused})) {
					t.Errorf("%s: %d %s", url, r.Code, r.Body)
				}
				jobs := s.Jobs()
				want := &Media{Field: c.field, Kind: c.kind, Size: int64(len(c.bytes)), SHA256: sumOf([]byte(c.bytes))}
				if diff := cmp.Diff(want, jobs[len(jobs)-1].Media); diff != "" {
					t.Errorf("%s: (-want +got)\n%s", url, diff)
				}
			}
		})
	}
}

func TestMediaNotLookedAt(t *testing.T) {
	t.Parallel()
	s := New(Script{})
	submit(t, s, hello)
	for _, url := range []string{"https://elsewhere.example/x.png", "data:image/png;base64,!", "data:,%zz", "http://example.com/files/b/none/x"} {
		ask(t, s, "POST", chat+"/vision", fmt.Sprintf(`{"prompt":"p","image_url":%q}`, url))
	}
	for i, want := range []string{"", "", "file_download_error", "file_download_error", "file_download_error"} {
		j := s.Jobs()[i]
		r := ask(t, s, "GET", jobPath(j.RequestID), "")
		if j.Media != nil || !strings.Contains(r.Body.String(), want) || (r.Code == 422) != (want != "") {
			t.Errorf("job %d: media %+v, %d %s", i, j.Media, r.Code, r.Body)
		}
	}
}

func TestLockedStorage(t *testing.T) {
	t.Parallel()
	s := New(Script{Locked: true})
	w := ask(t, s, "POST", initiatePath, `{"file_name":"x"}`)
	if w.Code != 403 || !strings.Contains(w.Body.String(), "Exhausted balance") || len(s.Uploads()) != 0 {
		t.Errorf("initiate of a locked account: %d %s", w.Code, w.Body)
	}
}

// TestMaxKeptUpload keeps files up to the limit; of others size and sum.
func TestMaxKeptUpload(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		pieces []string
		code   int
	}{
		{"one piece at the limit", []string{"12345678"}, 200},
		{"one piece above", []string{"123456789"}, 410},
		{"parts at the limit", []string{"1234", "5678"}, 200},
		{"parts above", []string{"1234", "56789"}, 410},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := New(Script{MaxKeptUpload: 8})
			path := initiatePath
			if len(c.pieces) > 1 {
				path = "/storage/upload/initiate-multipart?storage_type=fal-cdn-v3"
			}
			up, file := begin(t, s, path, "x")
			var told []string
			for i, p := range c.pieces {
				url := up.String()
				if len(c.pieces) > 1 {
					url = fmt.Sprintf("%s/%d?%s", up.Path, i+1, up.RawQuery)
				}
				told = append(told, ask(t, s, "PUT", url, p, "Authorization", "").Body.String())
			}
			if len(c.pieces) > 1 {
				ask(t, s, "POST", up.Path+"/complete?"+up.RawQuery, `{"parts":[`+strings.Join(told, ",")+`]}`, "Authorization", "")
			}
			if w := ask(t, s, "GET", file, ""); w.Code != c.code {
				t.Errorf("file: %d, want %d", w.Code, c.code)
			}
			all := strings.Join(c.pieces, "")
			if u := s.Uploads()[0]; !u.Ready || u.Size != int64(len(all)) || u.SHA256 != sumOf([]byte(all)) {
				t.Errorf("upload %+v", u)
			}
			kept := int64(0)
			if c.code == 200 {
				kept = 8
			}
			if s.storage.stored != kept || s.storage.pending != 0 {
				t.Errorf("stored %d, pending %d", s.storage.stored, s.storage.pending)
			}
		})
	}
}
