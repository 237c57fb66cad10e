package falclient_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"

	"nemotron-mcp/falclient"
	"nemotron-mcp/internal/falsim"
)

// interposed is storage on a real socket; before sees each request first, and
// leaves it to the simulator where it returns true.
func interposed(t *testing.T, before func(http.ResponseWriter, *http.Request) bool) (*falclient.Client, *falsim.Server) {
	t.Helper()
	sim := falsim.New(falsim.Script{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if before(w, r) {
			sim.ServeHTTP(w, r)
		}
	}))
	c := newClient(t, falclient.Config{QueueURL: srv.URL, RESTURL: srv.URL})
	t.Cleanup(func() { _ = sim.Close(); c.Close(); srv.Close() })
	return c, sim
}

// TestPartIsRepeatedAlone resets a connection in the middle of a part: that part
// is sent again from its own beginning, and no other byte.
func TestPartIsRepeatedAlone(t *testing.T) {
	t.Parallel()
	const part = 1 << 20
	var broken atomic.Bool
	c, sim := interposed(t, func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/3") || broken.Swap(true) {
			return true
		}
		_, _ = io.ReadFull(r.Body, make([]byte, part/2))
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return false
		}
		_ = conn.(*net.TCPConn).SetLinger(0)
		_ = conn.Close()
		return false
	})
	c.SetUploadSizes(part, part)
	data := noise(6*part - 1)
	var told []int64
	got, err := c.Upload(t.Context(), source(data), falclient.UploadOptions{FileName: "x", Progress: func(n int64) { told = append(told, n) }})
	if err != nil {
		t.Fatal(err)
	}
	st := sim.Stats()
	if !broken.Load() || got.SHA256 != sumOf(data) || sim.Uploads()[0].SHA256 != got.SHA256 {
		t.Errorf("%+v, stored %+v", got, sim.Uploads())
	}
	if st.Requests.Part != 6 || st.UploadBytes != int64(len(data)) {
		t.Errorf("%d parts and %d bytes reached fal whole", st.Requests.Part, st.UploadBytes)
	}
	if len(told) < 6 || !slices.IsSorted(told) || told[len(told)-1] != int64(len(data)) || len(slices.Compact(slices.Clone(told))) != len(told) {
		t.Errorf("progress %v", told)
	}
}

// TestPartsAtOnce holds the first parts back until no more of them come.
func TestPartsAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var came atomic.Int64
		more := make(chan struct{})
		c, _ := storageBubble(t, falsim.Script{}, func(_ http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodPut {
				came.Add(1)
				<-more
			}
			return true
		})
		done := make(chan error)
		go func() {
			_, err := c.Upload(t.Context(), source(noise(20*partSize)), plainName)
			done <- err
		}()
		synctest.Wait()
		if n := came.Load(); n != 4 {
			t.Errorf("%d parts at once", n)
		}
		close(more)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestSourceIsLeftAlone reads a body after its request was answered, as net/http
// may.
func TestSourceIsLeftAlone(t *testing.T) {
	t.Parallel()
	var body io.Reader
	c := newClient(t, falclient.Config{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		if r.Method == http.MethodPut {
			body = r.Body
			return answer(403, "")
		}
		return answer(200, `{"upload_url":"https://v3b.fal.media/x","file_url":"https://v3b.fal.media/y"}`)
	})})
	src := &witness{ReaderAt: bytes.NewReader(noise(10))}
	if _, err := c.Upload(t.Context(), falclient.UploadSource{Reader: src, Size: 10}, plainName); err == nil {
		t.Error("a refused upload succeeded")
	}
	src.over.Store(true)
	if n, err := body.Read(make([]byte, 1)); n != 0 || err == nil || src.late.Load() {
		t.Errorf("read %d bytes, %v", n, err)
	}
}

// TestUploadCancelled ends in the middle of a body; then nothing reads the
// source any longer.
func TestUploadCancelled(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		put  int64
	}{{"one piece", 1 << 30}, {"parts", 1 << 20}} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			c, sim := interposed(t, func(_ http.ResponseWriter, r *http.Request) bool {
				if r.Method != http.MethodPut {
					return true
				}
				_, _ = io.ReadFull(r.Body, make([]byte, 1000))
				cancel()
				_, _ = io.Copy(io.Discard, r.Body)
				panic(http.ErrAbortHandler)
			})
			c.SetUploadSizes(tc.put, 1<<20)
			src := &witness{ReaderAt: bytes.NewReader(noise(8 << 20))}
			_, err := c.Upload(ctx, falclient.UploadSource{Reader: src, Size: 8 << 20}, plainName)
			src.over.Store(true)
			if !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
			c.Close()
			if src.late.Load() {
				t.Error("the source was read after Upload had returned")
			}
			if st := sim.Stats(); st.Uploads != 0 || st.Requests.Complete != 0 {
				t.Errorf("stats %+v", st)
			}
		})
	}
}

type witness struct {
	io.ReaderAt
	over, late atomic.Bool
}

func (w *witness) ReadAt(b []byte, offset int64) (int, error) {
	if w.over.Load() {
		w.late.Store(true)
	}
	return w.ReaderAt.ReadAt(b, offset)
}

// readerAt reads as a function does.
type readerAt func([]byte, int64) (int, error)

func (f readerAt) ReadAt(b []byte, offset int64) (int, error) { return f(b, offset) }

// restless gives other bytes each time it is read.
func restless(size int64) io.ReaderAt {
	var n atomic.Int64
	return readerAt(func(b []byte, offset int64) (int, error) {
		if offset >= size {
			return 0, io.EOF
		}
		b = b[:min(int64(len(b)), size-offset)]
		for i := range b {
			b[i] = byte(n.Add(1) >> 4)
		}
		return len(b), nil
	})
}

func TestSourceChanges(t *testing.T) {
	t.Parallel()
	gone := errors.New("input/output error")
	touched := errors.New("its time of change is another")
	for _, size := range []int64{putLimit, putLimit + 1} {
		data := noise(int(size))
		for _, tc := range []struct {
			name  string
			src   falclient.UploadSource
			cause error
		}{
			{"shrinks", falclient.UploadSource{Reader: bytes.NewReader(data[:size-1])}, falclient.ErrSourceChanged},
			{"shrinks to nothing", falclient.UploadSource{Reader: bytes.NewReader(nil)}, falclient.ErrSourceChanged},
			{"grows", falclient.UploadSource{Reader: bytes.NewReader(append(bytes.Clone(data), 1))}, falclient.ErrSourceChanged},
			{"says so", falclient.UploadSource{Reader: bytes.NewReader(data), Changed: func() error { return touched }}, touched},
			{"fails", falclient.UploadSource{Reader: readerAt(func([]byte, int64) (int, error) { return 0, gone })}, gone},
			{"short without a word", falclient.UploadSource{Reader: readerAt(func([]byte, int64) (int, error) { return 0, nil })}, falclient.ErrSourceChanged},
			{"content", falclient.UploadSource{Reader: restless(size)}, falclient.ErrSourceChanged},
		} {
			if tc.name == "content" && size <= putLimit {
				continue // read once: what was sent is what was summed
			}
			t.Run(tc.name+map[bool]string{true: " in parts"}[size > putLimit], func(t *testing.T) {
				t.Parallel()
				c, sim := storage(t, falsim.Script{})
				tc.src.Size = size
				_, err := c.Upload(t.Context(), tc.src, plainName)
				if !errors.Is(err, tc.cause) || !errors.As(err, new(*falclient.SourceError)) {
					t.Errorf("got %v", err)
				}
				if st := sim.Stats(); st.Uploads != 0 || st.Requests.Complete != 0 || st.Requests.Put > 1 || st.Requests.Part > 4 {
					t.Errorf("stats %+v", st)
				}
			})
		}
	}
}

// TestSumIsOfWhatWasSent: a source that changes between tries of its one PUT is
// summed as the last one sent it.
func TestSumIsOfWhatWasSent(t *testing.T) {
	t.Parallel()
	c, sim := storage(t, falsim.Script{Faults: []falsim.Fault{{Step: falsim.StepPut, Kind: falsim.ResetAfterRead, Times: 1}}})
	got, err := c.Upload(t.Context(), falclient.UploadSource{Reader: restless(putLimit), Size: putLimit}, plainName)
	if err != nil || got.SHA256 != sim.Uploads()[0].SHA256 {
		t.Errorf("%+v, %v, stored %+v", got, err, sim.Uploads())
	}
}

func TestStreamTrouble(t *testing.T) {
	t.Parallel()
	gone := errors.New("gone")
	broken := func(n int) io.Reader { return io.MultiReader(bytes.NewReader(noise(n)), iotest.ErrReader(gone)) }
	for _, tc := range []struct {
		name  string
		r     io.Reader
		limit int64
		want  error
	}{
		{"above the limit at once", bytes.NewReader(noise(11)), 10, falclient.ErrUploadTooLarge},
		{"above the limit by a byte of the next part", bytes.NewReader(noise(2*partSize + 1)), 2 * partSize, falclient.ErrUploadTooLarge},
		{"no limit", bytes.NewReader(noise(1)), 0, falclient.ErrUploadTooLarge},
		{"endless", ceaseless{}, 5 * partSize, falclient.ErrUploadTooLarge},
		{"breaks at once", broken(0), 1 << 20, gone},
		{"breaks in the first part", broken(10), 1 << 20, gone},
		{"breaks at the end of a part", broken(partSize), 1 << 20, gone},
		{"breaks in the third part", broken(2*partSize + 10), 1 << 20, gone},
		{"gives nothing", readerFunc(func([]byte) (int, error) { return 0, nil }), 1 << 20, io.ErrNoProgress},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c, sim := storage(t, falsim.Script{})
			_, err := c.UploadStream(t.Context(), tc.r, tc.limit, plainName)
			if !errors.Is(err, tc.want) || errors.As(err, new(*falclient.SourceError)) != (tc.want != falclient.ErrUploadTooLarge) {
				t.Errorf("got %v", err)
			}
			if st := sim.Stats(); st.Uploads != 0 || st.Requests.Complete != 0 {
				t.Errorf("stats %+v", st)
			}
		})
	}
}

func TestStreamPartIsRepeated(t *testing.T) {
	t.Parallel()
	c, sim := storage(t, falsim.Script{Faults: []falsim.Fault{{Step: falsim.StepPart, Kind: falsim.ResetAfterRead, Nth: 2, Times: 1}}})
	data := noise(5 * partSize)
	got, err := c.UploadStream(t.Context(), iotest.OneByteReader(bytes.NewReader(data)), 1<<20, plainName)
	if err != nil || got.SHA256 != sumOf(data) || sim.Uploads()[0].SHA256 != got.SHA256 || sim.Stats().Requests.Part != 6 {
		t.Errorf("%+v, %v, stored %+v", got, err, sim.Uploads())
	}
}

func TestStreamCancelled(t *testing.T) {
	t.Parallel()
	c, sim := storage(t, falsim.Script{})
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	_, err := c.UploadStream(ctx, readerFunc(func(b []byte) (int, error) {
		if n += len(b); n > 3*partSize {
			cancel()
		}
		return len(b), nil
	}), 1<<30, plainName)
	if !errors.Is(err, context.Canceled) || sim.Stats().Requests.Complete != 0 {
		t.Errorf("got %v", err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

type ceaseless struct{}

func (ceaseless) Read(b []byte) (int, error) { return len(b), nil }
