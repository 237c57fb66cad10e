package tools

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"nemotron-mcp/internal/falsim"
	"nemotron-mcp/internal/files"
	"nemotron-mcp/internal/jobs"
)

// slowConn takes its time to send.
type slowConn struct {
	net.Conn
	rate int // bytes a second
}

func (c slowConn) Write(p []byte) (sent int, err error) {
	const step = 16 << 10
	for len(p) > 0 && err == nil {
		piece := p[:min(len(p), step)]
		time.Sleep(time.Duration(len(piece)) * time.Second / time.Duration(c.rate))
		var n int
		n, err = c.Conn.Write(piece)
		sent, p = sent+n, p[n:]
	}
	return sent, err
}

// tempDir is a folder of the test's own, by its name without links.
func tempDir(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	return dir
}

// write puts a file, named with slashes, into the project and returns its path.
func (r *rig) write(name string, content []byte) string {
	r.t.Helper()
	return writeIn(r.t, r.project, name, content)
}

func writeIn(t *testing.T, dir, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(dir, filepath.FromSlash(name))
	must(t, os.MkdirAll(filepath.Dir(path), 0o700))
	must(t, os.WriteFile(path, content, 0o600))
	return path
}

// rows are the ledger's, newest first, as JSON.
func (r *rig) rows() string {
	r.t.Helper()
	page, err := r.ledger.List(r.t.Context(), jobs.Query{Everyone: true, Limit: 100})
	must(r.t, err)
	b, err := json.Marshal(page)
	must(r.t, err)
	return string(b)
}

// wantNothing checks that fal was not asked for anything, and that nothing is
// in the ledger or counts against the day's cap.
func (r *rig) wantNothing() {
	r.t.Helper()
	if got := r.sim.Stats().Requests; got != (falsim.Requests{}) {
		r.t.Errorf("fal was asked: %+v", got)
	}
	if rows := r.rows(); rows != "null" && rows != "[]" {
		r.t.Errorf("the ledger has %s", rows)
	}
}

// wantRefused checks an error's code and that its text can be seen, all of it.
func wantRefused(t *testing.T, a answer, code jobs.Code, parts ...string) {
	t.Helper()
	if a.code() != string(code) || a.meta["retryable"] != false {
		t.Errorf("told as %v: %s %s", a.meta, a.text, a.raw)
	}
	wantIn(t, a.text, parts...)
	for _, char := range a.text {
		if char != '\n' && files.Visible(string(char)) != string(char) {
			t.Errorf("%U is in the text: %q", char, a.text)
		}
	}
}
