package falsim

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const initiatePath = "/storage/upload/initiate?storage_type=fal-cdn-v3"

// begin initiates an upload and gives the paths of its two URLs.
func begin(t *testing.T, s *Server, path, name string, headers ...string) (upload *url.URL, file string) {
	t.Helper()
	w := ask(t, s, "POST", path, `{"content_type":"text/plain","file_name":"`+name+`"}`, headers...)
	if w.Code != 200 {
		t.Fatalf("initiate answered %d %s", w.Code, w.Body)
	}
	m := object(t, w.Body.Bytes())
	u, err := url.Parse(m["upload_url"].(string))
	if err != nil || u.Host != "example.com" {
		t.Fatalf("upload_url %v: %v", m["upload_url"], err)
	}
	return u, m["file_url"].(string)
}

func sumOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func TestUpload(t *testing.T) {
	t.Parallel()
	s := New(Script{})
	up, file := begin(t, s, initiatePath, "a b.txt")
	if !strings.HasPrefix(file, "http://example.com/files/b/") || !strings.HasSuffix(file, "/a%20b.txt") {
		t.Errorf("file_url %s", file)
	}
	if w := ask(t, s, "GET", file, "", "Authorization", ""); w.Code != 404 {
		t.Errorf("a file without bytes: %d", w.Code)
	}
	if w := ask(t, s, "PUT", up.String(), "x"); w.Code != 400 {
		t.Errorf("PUT with the key answered %d", w.Code)
	}
	if w := ask(t, s, "PUT", up.EscapedPath(), "x", "Authorization", ""); w.Code != 403 {
		t.Errorf("PUT without the signature answered %d", w.Code)
	}
	if st := s.Stats(); st.KeyOnPublicURL != 1 || st.Uploads != 0 {
		t.Errorf("stats %+v", st)
	}
	if w := ask(t, s, "PUT", up.String(), "hello", "Authorization", ""); w.Code != 200 || w.Header().Get("Content-Type") != "" {
		t.Errorf("PUT answered %d %s %v", w.Code, w.Body, w.Header())
	}
	if w := ask(t, s, "GET", file, "", "Authorization", ""); w.Code != 200 || w.Body.String() != "hello" || w.Header().Get("Content-Type") != "text/plain" {
		t.Errorf("file: %d %s %v", w.Code, w.Body, w.Header())
	}
	if w := ask(t, s, "HEAD", file, "", "Authorization", ""); w.Code != 200 || w.Body.Len() != 0 || w.Header().Get("Content-Length") != "5" {
		t.Errorf("HEAD: %d %q %v", w.Code, w.Body, w.Header())
	}
	u := s.Uploads()[0]
	if !u.Ready || u.Size != 5 || u.SHA256 != sumOf([]byte("hello")) || u.Name != "a b.txt" || u.Multipart {
		t.Errorf("upload %+v", u)
	}
	if st := s.Stats(); st.Uploads != 1 || st.UploadBytes != 5 || st.Requests.Initiate != 1 || st.Requests.Put != 3 || st.Requests.File != 3 {
		t.Errorf("stats %+v", st)
	}
}

func TestInitiateRefusals(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, path, body string
		headers          []string
		code             int
	}{
		{"no storage type", "/storage/upload/initiate", `{"file_name":"x"}`, nil, 422},
		{"not JSON", initiatePath, `x`, nil, 422},
		{"no name", initiatePath, `{}`, nil, 422},
		{"dots", initiatePath, `{"file_name":"../.."}`, nil, 422},
		{"long name", initiatePath, `{"file_name":"` + strings.Repeat("n", 256) + `"}`, nil, 422},
		{"bad lifecycle", initiatePath, `{"file_name":"x"}`, []string{"X-Fal-Object-Lifecycle", "soon"}, 422},
		{"negative lifecycle", initiatePath, `{"file_name":"x"}`, []string{"X-Fal-Object-Lifecycle", `{"expiration_duration_seconds":-1}`}, 422},
		{"GET", initiatePath, ``, nil, 405},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			method := "POST"
			if c.code == 405 {
				method = "GET"
			}
			if w := ask(t, New(Script{}), method, c.path, c.body, c.headers...); w.Code != c.code {
				t.Errorf("got %d %s", w.Code, w.Body)
			}
		})
	}
}

func TestFileNameIsPlain(t *testing.T) {
	t.Parallel()
	s := New(Script{})
	up, file := begin(t, s, initiatePath, `../../etc/a?b#c.txt`)
	if !strings.HasSuffix(file, "/a%3Fb%23c.txt") {
		t.Errorf("file_url %s", file)
	}
	ask(t, s, "PUT", up.String(), "x", "Authorization", "")
	if w := ask(t, s, "GET", file, "", "Authorization", ""); w.Code != 200 {
		t.Errorf("file: %d", w.Code)
	}
}

func TestFileExpires(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := New(Script{})
		up, file := begin(t, s, initiatePath, "x", "X-Fal-Object-Lifecycle", `{"expiration_duration_seconds":60}`)
		ask(t, s, "PUT", up.String(), "x", "Authorization", "")
		time.Sleep(time.Minute - 1)
		if w := ask(t, s, "GET", file, ""); w.Code != 200 {
			t.Errorf("before expiry: %d", w.Code)
		}
		time.Sleep(time.Nanosecond)
		if w := ask(t, s, "GET", file, ""); w.Code != 404 {
			t.Errorf("after expiry: %d", w.Code)
		}
	})
}

func TestMultipart(t *testing.T) {
	t.Parallel()
	whole := []byte(strings.Repeat("abc", 10))
	parts := [][]byte{whole[:10], whole[10:20], whole[20:]}
	for _, c := range []struct {
		name  string
		order []int
		code  int
	}{
		{"in order", []int{1, 2, 3}, 200},
		{"reversed", []int{3, 2, 1}, 200},
		{"one again", []int{2, 2, 1, 1, 3}, 200},
		{"one missing", []int{1, 3}, 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := New(Script{})
			up, file := begin(t, s, "/storage/upload/initiate-multipart?storage_type=fal-cdn-v3", "m.txt")
			etags := map[int]string{}
			for _, n := range c.order {
				w := ask(t, s, "PUT", fmt.Sprintf("%s/%d?%s", up.Path, n, up.RawQuery), string(parts[n-1]), "Authorization", "")
				m := object(t, w.Body.Bytes())
				if w.Code != 200 || m["partNumber"] != float64(n) || w.Header().Get("ETag") != fmt.Sprintf("%q", m["etag"]) {
					t.Fatalf("part %d: %d %s", n, w.Code, w.Body)
				}
				etags[n] = m["etag"].(string)
			}
			done := up.Path + "/complete?" + up.RawQuery
			list := func(break1 string) string {
				var l []string
				for n := range 4 {
					if e, ok := etags[n]; ok {
						l = append(l, fmt.Sprintf(`{"partNumber":%d,"etag":%q}`, n, e+break1))
					}
				}
				return `{"parts":[` + strings.Join(l, ",") + `]}`
			}
			for _, bad := range []string{``, `{}`, list("x")} {
				if w := ask(t, s, "POST", done, bad, "Authorization", ""); w.Code != 400 {
					t.Errorf("complete with %q answered %d", bad, w.Code)
				}
			}
			if w := ask(t, s, "GET", file, ""); w.Code != 404 {
				t.Errorf("file before complete: %d", w.Code)
			}
			if w := ask(t, s, "POST", done, list(""), "Authorization", ""); w.Code != c.code {
				t.Fatalf("complete answered %d %s", w.Code, w.Body)
			}
			if c.code != 200 {
				return
			}
			if w := ask(t, s, "GET", file, ""); !bytes.Equal(w.Body.Bytes(), whole) {
				t.Errorf("file: %d %q", w.Code, w.Body)
			}
			if u := s.Uploads()[0]; u.SHA256 != sumOf(whole) || u.Size != 30 || !u.Multipart {
				t.Errorf("upload %+v", u)
			}
			if s.storage.pending != 0 || s.storage.stored != 30 {
				t.Errorf("pending %d, stored %d", s.storage.pending, s.storage.stored)
			}
		})
	}
}

func TestStorageIsBounded(t *testing.T) {
	t.Parallel()
	s := New(Script{})
	s.storage.stored = maxStored - 8 // as if other files lay there
	for i, code := range []int{200, 410} {
		up, file := begin(t, s, initiatePath, fmt.Sprint(i))
		if w := ask(t, s, "PUT", up.String(), "hello", "Authorization", ""); w.Code != 200 {
			t.Fatalf("PUT answered %d", w.Code)
		}
		if w := ask(t, s, "GET", file, ""); w.Code != code {
			t.Errorf("file %d: %d, want %d", i, w.Code, code)
		}
	}
	for _, u := range s.Uploads() {
		if u.Size != 5 || u.SHA256 != sumOf([]byte("hello")) {
			t.Errorf("upload %+v", u)
		}
	}
	if s.storage.stored != maxStored-3 || s.storage.pending != 0 {
		t.Errorf("stored %d, pending %d", s.storage.stored, s.storage.pending)
	}
}

// TestPartsAreBounded has no room for waiting parts: they count, unhashed.
func TestPartsAreBounded(t *testing.T) {
	t.Parallel()
	s := New(Script{})
	s.storage.pending = maxPending
	up, file := begin(t, s, "/storage/upload/initiate-multipart?storage_type=fal-cdn-v3", "m")
	w := ask(t, s, "PUT", up.Path+"/1?"+up.RawQuery, "hello", "Authorization", "")
	w = ask(t, s, "POST", up.Path+"/complete?"+up.RawQuery, `{"parts":[`+w.Body.String()+`]}`, "Authorization", "")
	if w.Code != 200 {
		t.Fatalf("complete answered %d %s", w.Code, w.Body)
	}
	if u := s.Uploads()[0]; !u.Ready || u.Size != 5 || u.SHA256 != "" {
		t.Errorf("upload %+v", u)
	}
	if w := ask(t, s, "GET", file, ""); w.Code != 410 {
		t.Errorf("file: %d", w.Code)
	}
	if s.storage.pending != maxPending || s.storage.stored != 0 {
		t.Errorf("stored %d, pending %d", s.storage.stored, s.storage.pending)
	}
}

func TestDiscardUploads(t *testing.T) {
	t.Parallel()
	s := New(Script{DiscardUploads: true})
	up, file := begin(t, s, initiatePath, "x")
	ask(t, s, "PUT", up.String(), "hello", "Authorization", "")
	if u := s.Uploads()[0]; !u.Ready || u.Size != 5 || u.SHA256 != "" {
		t.Errorf("upload %+v", u)
	}
	if w := ask(t, s, "GET", file, ""); w.Code != 410 {
		t.Errorf("file: %d", w.Code)
	}
}
