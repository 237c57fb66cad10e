//go:build unix

package app_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"nemotron-mcp/internal/falsim"
)

// An answer that could not be printed was not delivered: the same call gets it,
// and does not pay again.
func TestCallThatCouldNotPrint(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("needs /dev/full")
	}
	for _, store := range []string{"full", "metadata"} {
		t.Run(store, func(t *testing.T) {
			t.Parallel()
			sim := falsim.New(falsim.Script{Output: "the answer"})
			_, err := sim.Start()
			if err != nil {
				t.Fatal(err)
			}
			defer sim.Close()
			dir := stateDir(t)
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer full.Close()
			settings := []string{"FAL_KEY=" + testKey, "FAL_QUEUE_URL=" + sim.QueueURL(), "NEMOTRON_MCP_STATE_DIR=" + dir, "NEMOTRON_MCP_STORE=" + store}
			cmd := exec.CommandContext(t.Context(), self, "call", "nemotron_generate", "prompt=Hi")
			cmd.Env, cmd.Stdout = append(environ(t), settings...), full
			if cmd.Run() == nil {
				t.Error("the failed print was no failure")
			}
			out, log, err := command(t, settings, "call", "nemotron_generate", "prompt=Hi")
			if err != nil || out[:min(len(out), 10)] != "the answer" {
				t.Errorf("%v: %s%s", err, out, log)
			}
			if n := sim.Stats().Accepted; n != 1 {
				t.Errorf("%d submissions", n)
			}
		})
	}
}

// A server that was started before there was a ledger, and is asked for nothing,
// brings home what another one leaves.
func TestIdleServerFindsALedgerThatCameLater(t *testing.T) {
	t.Parallel()
	sim := falsim.New(falsim.Script{Output: "the answer", RunTime: 500 * time.Millisecond})
	if _, err := sim.Start(); err != nil {
		t.Fatal(err)
	}
	defer sim.Close()
	setting := "NEMOTRON_MCP_STATE_DIR=" + stateDir(t)
	startProcess(t, sim, true, setting)
	other := startProcess(t, sim, true, setting)
	other.send(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"nemotron_generate","arguments":{"prompt":"Hi","wait_seconds":0}}}`)
	other.answer("1")
	_ = other.cmd.Process.Kill()
	ctx, done := context.WithTimeout(t.Context(), 30*time.Second)
	defer done()
	if err := sim.WaitFor(ctx, func(s falsim.Stats) bool { return s.Requests.Result > 0 }); err != nil {
		t.Errorf("nobody fetched the result: %v", err)
	}
}

// What lies in the place of the prices neither hangs the start nor is passed over.
func TestPricesThatAreNoFile(t *testing.T) {
	t.Parallel()
	for name, make := range map[string]func(path string) error{
		"a FIFO":   func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"a folder": func(path string) error { return os.Mkdir(path, 0o700) },
		"a link":   func(path string) error { return os.Symlink("/dev/zero", path) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := stateDir(t)
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := make(filepath.Join(dir, "prices.json")); err != nil {
				t.Fatal(err)
			}
			_, log, err := command(t, []string{"NEMOTRON_MCP_STATE_DIR=" + dir}, "call", "queue_list")
			if err == nil || !strings.Contains(log, "can't be read as prices") {
				t.Errorf("%v: %s", err, log)
			}
		})
	}
}
