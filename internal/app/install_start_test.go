package app_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"nemotron-mcp/internal/hosts"
)

// installed HOST KEY: install --write puts the server into the host's file below
// KEY, and what stands there starts and answers initialize.
func installed(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(ts.Exec("nemotron-mcp", "install", args[0], "--write", "--json", "--max-cost-per-day=3"))
	var told struct{ File string }
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &told))
	text, err := os.ReadFile(told.File)
	ts.Check(err)
	if bytes.Contains(text, []byte(ts.Getenv("FAL_KEY"))) {
		ts.Fatalf("the key is in %s", told.File)
	}
	if !bytes.Contains(text, []byte(args[1])) {
		ts.Fatalf("no %s in %s", args[1], text)
	}
	host, _ := hosts.Lookup(args[0])
	found, err := host.Find(text, "nemotron")
	ts.Check(err)
	command := exec.Command(found.Command, found.Args...)
	command.Env = []string{"FAL_QUEUE_URL=" + ts.Getenv("FAL_QUEUE_URL"), "SYSTEMROOT=" + os.Getenv("SYSTEMROOT")}
	for name, value := range found.Env {
		command.Env = append(command.Env, name+"="+value)
	}
	command.Stdin = strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}` + "\n")
	out, err := command.Output()
	ts.Check(err)
	if !bytes.Contains(out, []byte(`"serverInfo"`)) || !strings.Contains(strings.Join(found.Args, " "), "--max-cost-per-day=3") {
		ts.Fatalf("%q %q answered %s", found.Command, found.Args, out)
	}
}
