package transcript

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/rs/zerolog"

	"nemotron-mcp/falclient"
	"nemotron-mcp/internal/falsim"
	"nemotron-mcp/internal/files"
	"nemotron-mcp/internal/jobs"
	"nemotron-mcp/internal/redact"
	"nemotron-mcp/internal/transport"
	"nemotron-mcp/internal/uploads"
	"nemotron-mcp/tools"
)

type brokenLedger struct{ *jobs.Memory }

func (brokenLedger) Insert(context.Context, jobs.Job, jobs.DayCaps) error {
	return errors.New("disk full")
}

// start puts the server together as the serve command does.
func start(t *testing.T, setup, script string) *conversation {
	t.Helper()
	c := &conversation{t: t, lines: make(chan string, 4096), names: map[string]string{}}
	cfg := falclient.Config{Key: key, QueueURL: "http://localhost", RESTURL: "http://localhost", Transport: simulator(t, script, strings.Contains(setup, "unreachable"))}
	if strings.Contains(setup, "no-key") {
		cfg.Key = ""
	}
	fal, err := falclient.New(cfg)
	must(t, err)
	t.Cleanup(fal.Close)
	var ledger jobs.Ledger = jobs.NewMemory()
	if strings.Contains(setup, "broken-ledger") {
		ledger = brokenLedger{jobs.NewMemory()}
	}
	secrets := redact.New(key)
	log := zerolog.New(secrets.Writer(zerolog.SyncWriter(&c.log)))
	options := jobs.Options{Prices: jobs.DefaultPrices(), KnowsKey: cfg.Key != "", OneCaller: true, Log: log}
	if strings.Contains(setup, "capped") {
		options.MaxCostPerCall = 0.02
	}
	manager := jobs.New(fal, ledger, options)
	allowed := []string{folder(t, "build.log", "notes/plan.md", "chart.png", ".env")}
	if strings.Contains(setup, "no-folders") {
		allowed = nil
	}
	c.names[uriOf(folder(t, "minutes.md"))] = "ROOT_URI"
	folders := tools.NewFolders(allowed, log)
	t.Cleanup(folders.Close)
	srv, err := tools.NewServer(tools.Config{
		Version: "1.2.3", Jobs: manager, Folders: folders, Secrets: secrets, Log: log,
		Uploads: uploads.New(uploads.Config{
			Storage: fal, Ledger: jobs.NewMemory(), Fetcher: files.NewFetcher("test"), KnowsKey: cfg.Key != "", Log: log,
		}),
	})
	must(t, err)

	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	c.in = inW
	var all sync.WaitGroup
	all.Go(func() {
		stdio := transport.Stdio{Server: srv, Log: log}
		if err := stdio.Serve(t.Context(), inR, outW); err != nil {
			t.Error(err)
		}
		_ = manager.Close(context.Background())
		_ = outW.Close()
	})
	all.Go(func() {
		defer close(c.lines)
		for s := bufio.NewScanner(outR); s.Scan(); {
			c.lines <- s.Text()
		}
	})
	t.Cleanup(all.Wait)
	t.Cleanup(func() { _ = inW.Close() })
	return c
}

// folder is one with these files.
func folder(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	image, err := os.ReadFile("../../testdata/media/chart.png")
	must(t, err)
	contents := map[string][]byte{
		"build.log": []byte("compiling\nERROR: disk full\n"), "notes/plan.md": []byte("# Plan\n\nMore disk.\n"), "chart.png": image,
		".env": []byte("KEY=value\n"), "minutes.md": []byte("We buy a disk.\n"),
	}
	for _, name := range names {
		path := filepath.Join(dir, filepath.FromSlash(name))
		must(t, os.MkdirAll(filepath.Dir(path), 0o700))
		must(t, os.WriteFile(path, contents[name], 0o600))
	}
	return dir
}

func uriOf(dir string) string {
	return "file:///" + strings.TrimPrefix(filepath.ToSlash(dir), "/")
}

// simulator is a fal behind pipes.
func simulator(t *testing.T, script string, unreachable bool) *http.Transport {
	t.Helper()
	var parsed falsim.Script
	if script != "" {
		must(t, json.Unmarshal([]byte(script), &parsed))
	}
	sim := falsim.New(parsed)
	l := pipes{conns: make(chan net.Conn), done: make(chan struct{})}
	srv := &http.Server{Handler: sim}
	var served sync.WaitGroup
	served.Go(func() { _ = srv.Serve(l) })
	t.Cleanup(func() {
		_ = sim.Close()
		close(l.done)
		_ = srv.Close()
		served.Wait()
	})
	return &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		if unreachable {
			return nil, errors.New("connection refused")
		}
		ours, theirs := net.Pipe()
		l.conns <- theirs
		return ours, nil
	}}
}

// pipes is a listener without a network.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func (p pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}
func (p pipes) Close() error   { return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }
