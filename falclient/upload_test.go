package falclient_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"nemotron-mcp/falclient"
	"nemotron-mcp/internal/falsim"
)

// storage starts a simulator, and a client for it whose PUTs go up to putLimit
// Sizes of uploads in tests, in bytes.
const (
	putLimit = 1000
	partSize = 300
)

// storage starts a simulator, and a client for it with these sizes.
func storage(t *testing.T, sc falsim.Script) (*falclient.Client, *falsim.Server) {
	t.Helper()
	sim := falsim.New(sc)
	base, err := sim.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sim.Close() })
	c := newClient(t, falclient.Config{QueueURL: base, RESTURL: base})
	c.SetUploadSizes(putLimit, partSize)
	return c, sim
}

// noise is bytes of which no two ranges are alike.
func noise(n int) []byte {
	var b []byte
	for sum := sha256.Sum256(nil); len(b) < n; sum = sha256.Sum256(sum[:]) {
		b = append(b, sum[:]...)
	}
	return b[:n]
}

func sumOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func source(b []byte) falclient.UploadSource {
	return falclient.UploadSource{Reader: bytes.NewReader(b), Size: int64(len(b))}
}

// fetched reads a file as anybody can.
func fetched(t *testing.T, url string) ([]byte, http.Header) {
	t.Helper()
	tr := falclient.NewTransport()
	defer tr.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("%s: HTTP %d %s %v", url, resp.StatusCode, b, err)
	}
	return b, resp.Header
}

func TestUpload(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		size   int
		parts  int // of Upload
		stream int // parts of UploadStream
	}{
		{"one byte", 1, 0, 0},
		{"below a part", partSize - 1, 0, 0},
		{"a part", partSize, 0, 0},
		{"above a part", partSize + 1, 0, 2},
		{"below the limit", putLimit - 1, 0, 4},
		{"the limit", putLimit, 0, 4},
		{"above the limit", putLimit + 1, 4, 4},
		{"whole parts", 4 * partSize, 4, 4},
		{"whole parts and a byte", 4*partSize + 1, 5, 5},
		{"many parts", 40*partSize - 1, 40, 40},
	} {
		for _, api := range []string{"Upload", "UploadStream"} {
			t.Run(api+" "+tc.name, func(t *testing.T) {
				t.Parallel()
				c, sim := storage(t, falsim.Script{Key: testKey})
				data := noise(tc.size)
				opts := falclient.UploadOptions{FileName: "a-b_c.1.png", ContentType: "image/png", ExpiresIn: time.Hour + time.Millisecond}
				var told []int64
				opts.Progress = func(n int64) { told = append(told, n) }
				began := time.Now()
				parts := tc.parts
				var got falclient.Uploaded
				var err error
				if api == "Upload" {
					got, err = c.Upload(t.Context(), source(data), opts)
				} else {
					parts = tc.stream
					got, err = c.UploadStream(t.Context(), iotest.HalfReader(bytes.NewReader(data)), int64(len(data)), opts)
				}
				if err != nil {
					t.Fatal(err)
				}
				if got.Size != int64(tc.size) || got.SHA256 != sumOf(data) || got.ContentType != "image/png" {
					t.Errorf("got %+v", got)
				}
				if got.ExpiresAt.Before(began.Add(time.Hour)) || got.ExpiresAt.After(time.Now().Add(time.Hour)) {
					t.Errorf("expires at %v", got.ExpiresAt)
				}
				if b, h := fetched(t, got.URL); !bytes.Equal(b, data) || h.Get("Content-Type") != "image/png" || !strings.HasSuffix(got.URL, "/a-b_c.1.png") {
					t.Errorf("%s gives %d bytes %v", got.URL, len(b), h)
				}
				st := sim.Stats()
				if st.Requests.Part != parts || st.Requests.Put != 1-min(parts, 1) || st.Uploads != 1 || st.UploadBytes != int64(tc.size) {
					t.Errorf("stats %+v", st)
				}
				if st.KeyOnPublicURL != 0 {
					t.Errorf("the key went to %d presigned URLs", st.KeyOnPublicURL)
				}
				if up := sim.Uploads()[0]; up.SHA256 != got.SHA256 || up.ExpiresAt.Sub(began).Round(time.Minute) != time.Hour {
					t.Errorf("stored %+v", up)
				}
				if len(told) == 0 || told[len(told)-1] != int64(tc.size) {
					t.Errorf("progress %v", told)
				}
			})
		}
	}
}

// TestUploadDefaults sends no lifecycle where none was asked for.
func TestUploadDefaults(t *testing.T) {
	t.Parallel()
	c, sim := storage(t, falsim.Script{})
	got, err := c.Upload(t.Context(), source([]byte("x")), falclient.UploadOptions{FileName: "x"})
	if err != nil || !got.ExpiresAt.IsZero() || got.ContentType != "application/octet-stream" {
		t.Errorf("%+v, %v", got, err)
	}
	if up := sim.Uploads()[0]; !up.ExpiresAt.IsZero() || up.ContentType != "application/octet-stream" {
		t.Errorf("%+v", up)
	}
}

func TestUploadRefused(t *testing.T) {
	t.Parallel()
	good := falclient.UploadOptions{FileName: "x"}
	for _, tc := range []struct {
		name string
		src  falclient.UploadSource
		opts falclient.UploadOptions
	}{
		{"empty", source(nil), good},
		{"negative size", falclient.UploadSource{Reader: strings.NewReader("x"), Size: -1}, good},
		{"no reader", falclient.UploadSource{Size: 1}, good},
		{"too many parts", falclient.UploadSource{Reader: strings.NewReader("x"), Size: 10_000*partSize + 1}, good},
		{"no name", source([]byte("x")), falclient.UploadOptions{}},
		{"path as name", source([]byte("x")), falclient.UploadOptions{FileName: "a/b"}},
		{"hidden name", source([]byte("x")), falclient.UploadOptions{FileName: ".."}},
		{"line end in the name", source([]byte("x")), falclient.UploadOptions{FileName: "a\r\nX: y"}},
		{"right-to-left mark in the name", source([]byte("x")), falclient.UploadOptions{FileName: "a\u202egnp.exe"}},
		{"long name", source([]byte("x")), falclient.UploadOptions{FileName: strings.Repeat("a", 201)}},
		{"line end in the type", source([]byte("x")), falclient.UploadOptions{FileName: "x", ContentType: "text/plain;a=\"\r\n\""}},
		{"no type", source([]byte("x")), falclient.UploadOptions{FileName: "x", ContentType: "text"}},
		{"long type", source([]byte("x")), falclient.UploadOptions{FileName: "x", ContentType: "text/" + strings.Repeat("a", 200)}},
		{"past expiry", source([]byte("x")), falclient.UploadOptions{FileName: "x", ExpiresIn: -time.Second}},
		{"no whole second", source([]byte("x")), falclient.UploadOptions{FileName: "x", ExpiresIn: time.Second - 1}},
		{"far expiry", source([]byte("x")), falclient.UploadOptions{FileName: "x", ExpiresIn: 101 * 365 * 24 * time.Hour}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c, sim := storage(t, falsim.Script{})
			if _, err := c.Upload(t.Context(), tc.src, tc.opts); !errors.Is(err, falclient.ErrInvalidUpload) {
				t.Errorf("got %v", err)
			}
			if st := sim.Stats(); st.Requests.Initiate+st.Requests.InitiateMultipart != 0 {
				t.Errorf("something was sent: %+v", st.Requests)
			}
		})
	}
	c, _ := storage(t, falsim.Script{})
	if _, err := c.UploadStream(t.Context(), strings.NewReader(""), 10, good); !errors.Is(err, falclient.ErrInvalidUpload) {
		t.Errorf("an empty stream: %v", err)
	}
}

func TestUploadNeedsStorageAndKey(t *testing.T) {
	t.Parallel()
	nowhere := roundTripper(func(*http.Request) (*http.Response, error) { return nil, errors.New("nothing should be sent") })
	opts := falclient.UploadOptions{FileName: "x"}
	for _, url := range []string{"http://127.0.0.1:1", "https://fal.example"} {
		c := newClient(t, falclient.Config{QueueURL: url, Transport: nowhere})
		if _, err := c.Upload(t.Context(), source([]byte("x")), opts); !errors.Is(err, falclient.ErrNoStorage) {
			t.Errorf("%s: %v", url, err)
		}
	}
	c, err := falclient.New(falclient.Config{Transport: nowhere})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Upload(t.Context(), source([]byte("x")), opts); !errors.Is(err, falclient.ErrNoKey) {
		t.Errorf("without a key: %v", err)
	}
	if _, err := falclient.New(falclient.Config{RESTURL: "http://rest.fal.ai"}); err == nil {
		t.Error("a REST URL without TLS was accepted")
	}
}

func TestUploadDefaultURL(t *testing.T) {
	t.Parallel()
	var asked []string
	var mu sync.Mutex
	c := newClient(t, falclient.Config{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, r.Method+" "+r.URL.String()+" "+r.Header.Get("Authorization"))
		if r.Method == http.MethodPost {
			return answer(200, `{"upload_url":"https://v3b.fal.media/upload/a%2Fb?sig=1","file_url":"https://v3b.fal.media/files/b/x.png"}`)
		}
		_, _ = io.Copy(io.Discard, r.Body)
		return answer(200, "")
	})})
	got, err := c.Upload(t.Context(), source([]byte("x")), falclient.UploadOptions{FileName: "x.png"})
	if err != nil || got.URL != "https://v3b.fal.media/files/b/x.png" {
		t.Fatalf("%+v, %v", got, err)
	}
	if len(asked) != 2 || asked[0] != "POST https://rest.fal.ai/storage/upload/initiate?storage_type=fal-cdn-v3 Key "+testKey ||
		asked[1] != "PUT https://v3b.fal.media/upload/a%2Fb?sig=1 " {
		t.Errorf("asked %q", asked)
	}
}

// TestForeignUploadURL sends neither bytes nor the key anywhere else.
func TestForeignUploadURL(t *testing.T) {
	t.Parallel()
	const good = "https://v3b.fal.media/files/b/x"
	for _, tc := range []struct{ name, upload, file string }{
		{"foreign host", "https://evil.example/x", good},
		{"fal's name inside another", "https://fal.media.evil.example/x", good},
		{"fal's name at another's end", "https://evilfal.media/x", good},
		{"plain http", "http://v3b.fal.media/x", good},
		{"other port", "https://v3b.fal.media:8443/x", good},
		{"user", "https://fal@v3b.fal.media/x", good},
		{"host in the user", "https://v3b.fal.media@evil.example/x", good},
		{"other scheme", "file:///etc/passwd", good},
		{"no host", "/x", good},
		{"loopback", "http://127.0.0.1:1/x", good},
		{"the key in it", good + "?k=" + testKey, good},
		{"too long", good + strings.Repeat("x", 9000), good},
		{"foreign file", good, "https://evil.example/x"},
		{"plain file", good, "http://v3b.fal.media/x"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			sent := 0
			c := newClient(t, falclient.Config{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
				sent++
				if r.URL.Host != "rest.fal.ai" {
					t.Errorf("%s was asked", r.URL.Host)
				}
				return answer(200, `{"upload_url":"`+tc.upload+`","file_url":"`+tc.file+`"}`)
			})})
			_, err := c.Upload(t.Context(), source([]byte("x")), falclient.UploadOptions{FileName: "x"})
			if !errors.Is(err, falclient.ErrForeignURL) || strings.Contains(err.Error(), "evil") || strings.Contains(err.Error(), testKey) {
				t.Errorf("got %v", err)
			}
			if sent != 1 {
				t.Errorf("%d requests", sent)
			}
		})
	}
}

// TestUploadURLOfAnotherPort is refused although the REST host is on loopback.
func TestUploadURLOfAnotherPort(t *testing.T) {
	t.Parallel()
	c := newClient(t, falclient.Config{RESTURL: "http://127.0.0.1:7001", Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		if r.URL.Port() != "7001" {
			t.Errorf("%s was asked", r.URL.Host)
		}
		return answer(200, `{"upload_url":"http://127.0.0.1:7002/x","file_url":"http://127.0.0.1:7001/x"}`)
	})})
	if _, err := c.Upload(t.Context(), source([]byte("x")), falclient.UploadOptions{FileName: "x"}); !errors.Is(err, falclient.ErrForeignURL) {
		t.Errorf("got %v", err)
	}
}

// TestUploadMemory counts what an upload of many parts allocates.
func TestUploadMemory(t *testing.T) {
	sim := falsim.New(falsim.Script{DiscardUploads: true})
	base, err := sim.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sim.Close() })
	c := newClient(t, falclient.Config{QueueURL: base, RESTURL: base})
	const size = 160 << 20
	opts := falclient.UploadOptions{FileName: "x"}
	if _, err := c.Upload(t.Context(), source([]byte("x")), opts); err != nil { // connections, pools
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	src := falclient.UploadSource{Reader: io.NewSectionReader(zeros{}, 0, size), Size: size}
	if got, err := c.Upload(t.Context(), src, opts); err != nil || got.Size != size {
		t.Fatalf("%+v, %v", got, err)
	}
	runtime.ReadMemStats(&after)
	// The simulator's own buffers, 128 KiB a part, are counted too.
	if n := after.TotalAlloc - before.TotalAlloc; n > 8<<20 {
		t.Errorf("%d bytes allocated for 16 parts of 10 MiB", n)
	}
}

type zeros struct{}

func (zeros) ReadAt(b []byte, offset int64) (int, error) {
	clear(b)
	return len(b), nil
}
