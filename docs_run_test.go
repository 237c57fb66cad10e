//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"nemotron-mcp/internal/falsim"
)

// programName is the test binary when it is called as the program itself.
const programName = "nemotron-mcp"

func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == programName {
		main()
	}
	os.Exit(m.Run())
}

// fence is a block of a page, with the comment before it if there is one.
var fence = regexp.MustCompile("(?m)^(?:<!-- (in another terminal) -->\n)?```([a-z]+)\n((?s:.*?))^```$")

// TestCommandsInDocuments runs every shell block of every page as a reader would:
// in order, in one terminal, in a project of their own and with an empty home
// folder. fal is the simulator; programs that are not ours, such as a host's, are
// stand-ins that start what they are told to start (testdata/docs/bin).
//
// A block under the comment "in another terminal" goes on until the page ends.
// REQUEST_ID is the id of the newest job, /path/to/nemotron-mcp the program, and
// the addresses of examples are free ones.
func TestCommandsInDocuments(t *testing.T) {
	t.Parallel()
	for _, name := range documents(t) {
		blocks := fence.FindAllStringSubmatch(readPage(t, name), -1)
		if len(blocks) == 0 {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newReader(t)
			var script strings.Builder
			for i, block := range blocks {
				terminal, language, text := block[1], block[2], r.fill(t, block[3])
				switch {
				case language == "json" && strings.Contains(text, `"command"`):
					r.startEntries(t, text)
				case language == "sh" && terminal != "":
					fmt.Fprintf(&script, "echo '== block %d' >&2\n( %s ) & others+=($!)\nready %s\n", i+1, strings.TrimSpace(text), address.FindString(text))
				case language == "sh":
					fmt.Fprintf(&script, "echo '== block %d' >&2\n%s", i+1, text)
				}
			}
			r.run(t, script.String())
		})
	}
}

// reader is someone who follows a page.
type reader struct {
	home, project string
	env           []string
	names         *strings.Replacer
	addresses     map[string]string // of the page, to free ones
}

func newReader(t *testing.T) *reader {
	t.Helper()
	sim := falsim.New(falsim.Script{Output: "The answer."})
	url, err := sim.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sim.Close() })

	r := &reader{home: t.TempDir()}
	r.project = filepath.Join(r.home, "project")
	bin := filepath.Join(r.home, "bin")
	if err := os.CopyFS(r.project, os.DirFS("testdata/docs/project")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(bin, programName)
	if err := os.Symlink(self, program); err != nil {
		t.Fatal(err)
	}
	here, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	r.env = []string{
		"HOME=" + r.home, "REPOSITORY=" + here,
		"PATH=" + strings.Join([]string{bin, filepath.Join(here, "testdata/docs/bin"), os.Getenv("PATH")}, string(os.PathListSeparator)),
		"FAL_QUEUE_URL=" + url, "FAL_PLATFORM_URL=" + sim.PlatformURL(), "FAL_REST_URL=" + sim.RESTURL(),
	}
	r.names = strings.NewReplacer("/path/to/nemotron-mcp", program, "REQUEST_ID", "$(newest)")
	r.addresses = map[string]string{}
	return r
}

var address = regexp.MustCompile(`127\.0\.0\.1:\d+`)

// fill puts what is so on this machine in the place of a page's examples.
func (r *reader) fill(t *testing.T, text string) string {
	t.Helper()
	return address.ReplaceAllStringFunc(r.names.Replace(text), func(example string) string {
		if r.addresses[example] == "" {
			r.addresses[example] = freeAddress(t)
		}
		return r.addresses[example]
	})
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// prelude is what a script of a page begins with: newest prints the newest job's
// request_id; ready waits until the server at an address answers.
const prelude = `set -euo pipefail
others=()
set -m # each of them in a process group of its own
trap 'for o in ${others[@]+"${others[@]}"}; do kill -- "-$o" || true; done; wait' EXIT
newest() { nemotron-mcp jobs list --limit 1 --json | sed -n 's/^ *"request_id": "\(.*\)",*$/\1/p'; }
ready() { until curl --silent --output /dev/null "http://$1/healthz"; do kill -0 $! && sleep 0.05; done; }
`

func (r *reader) run(t *testing.T, script string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", prelude+script)
	cmd.Dir, cmd.Env, cmd.WaitDelay = r.project, r.env, 5*time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// startEntries starts each server of a host's configuration as the host does.
func (r *reader) startEntries(t *testing.T, text string) {
	t.Helper()
	type entry struct {
		Command string            `json:"command"`
		Args    []string          `json:"args"`
		Env     map[string]string `json:"env"`
	}
	var config struct {
		MCPServers map[string]entry `json:"mcpServers"`
		Servers    map[string]entry `json:"servers"`
	}
	if err := json.Unmarshal([]byte(text), &config); err != nil {
		t.Errorf("%v in\n%s", err, text)
		return
	}
	started := 0
	for _, servers := range []map[string]entry{config.MCPServers, config.Servers} {
		for name, e := range servers {
			started++
			cmd := exec.CommandContext(t.Context(), e.Command, e.Args...)
			cmd.Dir, cmd.Env = "/", r.env
			for key, value := range e.Env {
				cmd.Env = append(cmd.Env, key+"="+value)
			}
			cmd.Stdin = strings.NewReader(hello)
			out, err := cmd.Output()
			if err != nil || !bytes.Contains(out, []byte("nemotron_generate")) {
				t.Errorf("%s: %v: %s", name, err, out)
			}
		}
	}
	if started == 0 {
		t.Errorf("no server in\n%s", text)
	}
}

// hello is what a host says first.
const hello = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"reader","version":"1"}}}
{"jsonrpc":"2.0","method":"notifications/initialized"}
{"jsonrpc":"2.0","id":2,"method":"tools/list"}
`
