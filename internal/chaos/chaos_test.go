package main

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"nemotron-mcp/internal/app"
)

// childEnv makes the test binary the server that the storm is about.
const childEnv = "CHAOS_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		os.Exit(app.Main(app.Build{Version: "v0.0.0-test"}, os.Args[1:], app.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
	}
	goleak.VerifyTestMain(m)
}

// TestQuickRun is a short storm, so that the command works when it is wanted
// and the plainest defects are found by every run of the tests.
func TestQuickRun(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	logs := &head{}
	figures, err := run(t.Context(), options{
		binary: self, environ: []string{childEnv + "=1", "GORACE=atexit_sleep_ms=0"},
		jobs: 40, seed: 1, duration: time.Minute, stderr: logs,
	})
	t.Log("\n" + figures)
	if err != nil {
		t.Errorf("%v\nthe servers' log:\n%s", err, logs)
	}
	if strings.Contains(logs.String(), "DATA RACE") {
		t.Errorf("a server has a data race:\n%s", logs)
	}
	for _, none := range []string{`took 0 jobs`, ` 0 COMPLETED`, `ended     0 killed`, `outputs           0,`} {
		if regexp.MustCompile(none).MatchString(figures) {
			t.Errorf("there was no storm: %s", none)
		}
	}
}

// head keeps the beginning of what the servers log. Each has a pipe of its own.
type head struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *head) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	const most = 1 << 20
	l.b.Write(p[:min(len(p), max(most-l.b.Len(), 0))])
	return len(p), nil
}

func (l *head) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
