package app

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"time"

	"nemotron-mcp/internal/hosts"
	"nemotron-mcp/tools"
)

// clients looks for this server in the configurations of hosts, and tells how
// long each waits for a call.
func (x *examination) clients() []finding {
	var findings []finding
	dir, _ := os.Getwd() // without it there is no project
	for _, host := range hosts.All() {
		for _, scope := range host.Scopes() {
			if scope == hosts.Project && dir == "" {
				continue
			}
			path, err := host.Path(scope, hosts.Place{OS: runtime.GOOS, Env: os.Getenv, Project: dir})
			if err != nil {
				continue // no home folder: the host has no file there either
			}
			if f, there := entryOf(host, path); there {
				findings = append(findings, f)
			}
		}
	}
	if len(findings) == 0 {
		return []finding{fine("clients", "no host on this machine has an entry "+defaultName+"; 'nemotron-mcp install' lists the hosts")}
	}
	return findings
}

// entryOf judges a host's entry for this server; there is false where it has none.
func entryOf(host hosts.Host, path string) (f finding, there bool) {
	const check = "clients"
	file, err := hosts.Read(path)
	if err == nil && !file.Exists {
		return finding{}, false
	}
	var entry *hosts.Found
	if err == nil {
		entry, err = host.Find(file.Text, defaultName)
	}
	if err != nil {
		return warning(check, fmt.Sprintf("%s's configuration %s: %v", host.Title, path, err),
			"Mend it: "+host.Title+" can't read it either. It may name this server or not."), true
	}
	if entry == nil {
		return finding{}, false
	}
	if entry.URL == "" {
		if _, err := exec.LookPath(entry.Command); err != nil {
			return failed(check, fmt.Sprintf("%s starts %q for this server, which can't be run (%s)", host.Title, entry.Command, path),
				"'nemotron-mcp install "+host.Name+" --write' brings the entry up to date."), true
		}
	}
	return fine(check, fmt.Sprintf("%s has this server (%s) and %s; a call waits %s unless the agent says otherwise",
		host.Title, path, patience(host), tools.DefaultWait)), true
}

// patience is how long a host waits for one call, in words.
func patience(host hosts.Host) string {
	switch {
	case host.CallLimit == 0:
		return "has no limit on a call that is known"
	case host.ExtendedByProgress:
		return "ends a call that tells nothing for " + short(host.CallLimit)
	}
	return "ends a call after " + short(host.CallLimit)
}

// short leaves out what is zero at the end.
func short(d time.Duration) string {
	if d%time.Minute == 0 && d > time.Minute {
		return fmt.Sprintf("%d minutes", d/time.Minute)
	}
	return fmt.Sprintf("%d seconds", d/time.Second)
}
