package app

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
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
			if f, there := entryOf(host, scope, path); there {
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
func entryOf(host hosts.Host, scope hosts.Scope, path string) (f finding, there bool) {
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
	again := "'nemotron-mcp install " + host.Name + " --write"
	if scope != hosts.User {
		again += " --scope " + string(scope)
	}
	again += "'"
	if entry.URL == "" {
		if _, err := exec.LookPath(entry.Command); err != nil {
			return failed(check, fmt.Sprintf("%s starts %q for this server, which can't be run (%s)", host.Title, entry.Command, path),
				again+" brings the entry up to date and keeps its options."), true
		}
	}
	f = keyOf(host, entry, again)
	f.Check, f.What = check, fmt.Sprintf("%s has this server (%s) and %s; a call waits %s unless the agent says otherwise; %s",
		host.Title, path, patience(host), tools.DefaultWait, f.What)
	return f, true
}

// keyOf says how an entry has the key, never the key itself.
func keyOf(host hosts.Host, entry *hosts.Found, again string) finding {
	if entry.URL != "" {
		return fine("", "the server at its URL has a key of its own")
	}
	state := map[hosts.KeyState][]string{}
	for _, variable := range keyNames {
		how := entry.Key(variable)
		state[how] = append(state[how], variable)
	}
	one := func(how hosts.KeyState) string { // what is a whole key
		for _, whole := range []string{"FAL_KEY", "FAL_KEY_ID FAL_KEY_SECRET"} {
			words := strings.Fields(whole)
			if !slices.ContainsFunc(words, func(word string) bool { return !slices.Contains(state[how], word) }) {
				return strings.Join(words, " and ")
			}
		}
		return ""
	}
	switch {
	case one(hosts.KeyHeld) != "":
		return fine("", "the entry holds a key in "+one(hosts.KeyHeld))
	case one(hosts.KeyReferred) != "":
		return fine("", "the entry refers to "+one(hosts.KeyReferred)+" and does not hold it")
	case namesKeyFile(entry):
		return fine("", "the entry names a file with the key")
	case len(state[hosts.KeyPlaceholder]) > 0:
		return failed("", strings.Join(state[hosts.KeyPlaceholder], " and ")+" in the entry is still the placeholder, so the server has no key",
			"Put your key from "+keysPage+" in the place of "+hosts.Placeholder+" in the file, and restart "+host.Title+".")
	case host.Secrets == hosts.Inherits:
		return fine("", "the entry has no key: "+host.Title+" hands its own variables to the server")
	}
	return warning("", "the entry has no key, so the server has none unless "+host.Title+" hands on FAL_KEY of its own variables", again+" puts it in.")
}

// namesKeyFile reports whether an entry names a file that holds the key.
func namesKeyFile(entry *hosts.Found) bool {
	return entry.Env[envPrefix+"_FAL_KEY_FILE"] != "" ||
		slices.ContainsFunc(optionsOf(entry.Args), func(o option) bool { return o.name == "--fal-key-file" })
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
