package uploads

import (
	"bytes"
	"context"
	"encoding/base64"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"nemotron-mcp/internal/falsim"
	"nemotron-mcp/internal/jobs"
	"nemotron-mcp/internal/redact"
)

const ownSecret = "the-own-s3cret-of-this-server"

// TestOwnSecretsAreNotSent: whoever has the URL of an upload can read it, so none
// may hold what is secret of this server's, in whatever form.
func TestOwnSecretsAreNotSent(t *testing.T) {
	t.Parallel()
	secrets := redact.New(ownSecret)
	// Over the end of what is looked at in one piece.
	split := append(bytes.Repeat([]byte("a"), hashStep+16<<10-10), ownSecret...)
	for name, data := range map[string][]byte{
		"alone":                   []byte(ownSecret),
		"in a host's config":      []byte(`{"env": {"FAL_KEY": "` + ownSecret + `"}}`),
		"in base64":               []byte("key: " + base64.StdEncoding.EncodeToString([]byte(ownSecret))),
		"in binary data":          append([]byte{0, 1, 2, 255}, ownSecret...),
		"over two pieces":         split,
		"at the end of much text": append(bytes.Repeat([]byte("some text\n"), scanned/10+1), ownSecret...),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, rigOptions{fetcher: &fetcher{give: always(data, "")}})
			r.cfg.Holds, r.cfg.Mask = secrets.Holds, secrets.String
			path := r.file("a.bin", data)
			for way, try := range map[string]func() error{
				"a file": func() error { _, err := r.File(t.Context(), r.folders, path, Options{}); return err },
				"base64": func() error { _, err := r.Base64(base64.StdEncoding.EncodeToString(data), Options{}); return err },
				"a URL":  func() error { _, err := r.FromURL(t.Context(), address, Options{}); return err },
				"a claim": func() error {
					_, err := r.File(t.Context(), r.folders, path, Options{ContentType: "application/octet-stream"})
					return err
				},
			} {
				if way == "a URL" && len(data) > heldFetch {
					continue // what is public already
				}
				fault := wantFault(t, try(), jobs.FileNotAllowed, "holds a secret of this server")
				if strings.Contains(fault.Message+fault.Action, ownSecret) {
					t.Errorf("%s: %v", way, fault)
				}
			}
			r.wantSilence()
		})
	}
	t.Run("in the name", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, rigOptions{})
		r.cfg.Holds, r.cfg.Mask = secrets.Holds, secrets.String
		src, err := r.File(t.Context(), r.folders, r.file(ownSecret+".txt", []byte("text")), Options{})
		must(t, err)
		defer src.Close()
		if up := r.sent(src, Options{}); strings.Contains(up.URL+up.FileName, ownSecret) || up.FileName != "upload.txt" {
			t.Errorf("%+v", up)
		}
	})
	t.Run("near to one", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, rigOptions{})
		r.cfg.Holds = secrets.Holds
		r.sent(r.open(r.file("a.txt", []byte(ownSecret[:len(ownSecret)-1])), Options{}), Options{})
	})
}

// TestOtherFilesOfASizeDoNotWait: what is not the same is sent at once, also where
// it is as large.
func TestOtherFilesOfASizeDoNotWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, rigOptions{script: falsim.Script{Faults: []falsim.Fault{{Step: falsim.StepPut, Delay: 20 * time.Second}}}})
		began := time.Now()
		var all sync.WaitGroup
		for i := range atOnce {
			src, err := r.bytesSource(noise(byte(i), 1000), "a.bin", "", Options{})
			must(t, err)
			all.Go(func() { r.sent(src, Options{}) })
		}
		all.Wait()
		if took := time.Since(began); took != 20*time.Second {
			t.Errorf("%d uploads of 20 s each took %v", atOnce, took)
		}
	})
}

// TestUploadsAtOnce are bounded, and who waits can leave.
func TestUploadsAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, rigOptions{script: falsim.Script{Faults: []falsim.Fault{{Step: falsim.StepPut, Delay: 20 * time.Second}}}})
		began := time.Now()
		var all sync.WaitGroup
		for i := range atOnce + 1 {
			src, err := r.bytesSource(noise(byte(i), 1000+i), "a.bin", "", Options{})
			must(t, err)
			all.Go(func() { r.sent(src, Options{}) })
		}
		synctest.Wait()
		src, err := r.bytesSource(noise(99, 99), "a.bin", "", Options{})
		must(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := r.Upload(ctx, src, Options{}); err == nil || time.Since(began) != time.Second {
			t.Errorf("one that leaves: %v after %v", err, time.Since(began))
		}
		all.Wait()
		if took := time.Since(began); took != 40*time.Second {
			t.Errorf("%d uploads of 20 s each took %v", atOnce+1, took)
		}
	})
}

// TestLeastLife: what will be needed for longer is sent again.
func TestLeastLife(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	path := r.file("a.bin", noise(1, 1000))
	short := r.sent(r.open(path, Options{}), Options{Expiry: time.Hour})
	if same := r.sent(r.open(path, Options{}), Options{}); same.URL != short.URL {
		t.Error("it is not found")
	}
	long := r.sent(r.open(path, Options{}), Options{LeastLife: 2 * time.Hour})
	if long.URL == short.URL || time.Until(long.ExpiresAt) < 23*time.Hour {
		t.Errorf("it expires %v", long.ExpiresAt)
	}
}
