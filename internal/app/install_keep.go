package app

import (
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"nemotron-mcp/internal/hosts"
)

// settle has an entry that is there already keep its options where none are
// given now, and tells of those that would change or go. It refuses to take away
// what bounds the cost or what is stored: to write an entry again must not allow
// more than a person has.
func (c *installCommand) settle(server *hosts.Server, found *hosts.Found, path string) (notes []string, err error) {
	if found == nil || found.URL != "" { // nothing there, or nothing that is written over
		return nil, nil
	}
	if len(server.Args) == 1 && startsUs(found) {
		server.Args = slices.Clone(found.Args)
		keepKeys(server, found)
		if len(optionsOf(found.Args)) > 0 {
			notes = []string{"The options of the entry were kept: " + quoted(found.Args) + "."}
		}
		return notes, nil
	}
	var gone, bounds []string
	now := optionsOf(server.Args)
	for _, old := range optionsOf(found.Args) {
		same := func(o option) bool { return o.name == old.name && (o.value == old.value || !old.isList()) }
		at := slices.IndexFunc(now, same)
		switch {
		case at < 0 && old.bounds():
			bounds = append(bounds, old.String())
		case at < 0:
			gone = append(gone, old.String())
		case old.bounds() && now[at].value != old.value:
			notes = append(notes, fmt.Sprintf("%s of the entry is now %s.", old, now[at].value))
		}
	}
	if len(bounds) > 0 {
		return nil, &configError{
			fmt.Sprintf("the entry %s in %s has %s, which would be gone", c.Name, path, strings.Join(bounds, " ")),
			"Repeat it among the options, give none to keep those of the entry, or take the entry out with --remove first.",
		}
	}
	if len(gone) > 0 {
		notes = append(notes, "Options of the entry that are gone: "+strings.Join(gone, " ")+".")
	}
	return notes, nil
}

// startsUs reports whether an entry starts this server by its own options.
func startsUs(found *hosts.Found) bool {
	if len(found.Args) > 0 && found.Args[0] == "serve" {
		return true
	}
	// Serve is what is done where no command is named.
	program := strings.ToLower(filepath.Base(filepath.FromSlash(found.Command)))
	return strings.TrimSuffix(program, ".exe") == "nemotron-mcp" && (len(found.Args) == 0 || strings.HasPrefix(found.Args[0], "--"))
}

// keepKeys leaves the way in which an entry has the key as it is.
func keepKeys(server *hosts.Server, found *hosts.Found) {
	server.Unused = nil
	named := namesKeyFile(found)
	var held []string
	for _, variable := range keyNames {
		switch found.Key(variable) {
		case hosts.KeyHeld:
			held = append(held, variable) // for its note
			named = true
		case hosts.KeyReferred:
			named = true
		}
	}
	if named {
		server.Keys = held
	}
}

// keyNames are the variables that a key can be in: whole, or in its two halves.
var keyNames = []string{"FAL_KEY", "FAL_KEY_ID", "FAL_KEY_SECRET"}

// option is a flag of serve, or a folder, in the arguments of an entry.
type option struct{ name, value string }

func (o option) String() string {
	switch {
	case o.name == "":
		return hosts.Quote(o.value, runtime.GOOS)
	case o.bounds() || o.isList():
		return hosts.Quote(o.name+"="+o.value, runtime.GOOS)
	}
	return o.name
}

// bounds reports whether the option keeps the cost, or what is stored, within
// bounds.
func (o option) bounds() bool {
	return strings.HasPrefix(o.name, "--max-cost-") || o.name == "--max-calls-per-minute" || o.name == "--max-jobs-in-flight" || o.name == "--store"
}

// isList reports whether the option may be given several times, each time for
// another thing.
func (o option) isList() bool { return o.name == "" || o.name == "--allow-dir" || o.name == "--price" }

// optionsOf takes arguments apart that a person may have written: with = or as
// two words. What is not ours, such as the words before serve of an entry that
// starts a container, is among them.
func optionsOf(args []string) []option {
	var all []option
	for i := 0; i < len(args); i++ {
		name, value, hasValue := strings.Cut(args[i], "=")
		switch {
		case !strings.HasPrefix(name, "--"):
			if args[i] != "serve" {
				all = append(all, option{"", args[i]})
			}
			continue
		case name == "--":
			continue
		case !hasValue && i+1 < len(args) && !strings.HasPrefix(args[i+1], "-"):
			i++
			value = args[i]
		}
		all = append(all, option{name, value})
	}
	return all
}

func quoted(words []string) string {
	var out []string
	for _, word := range words {
		out = append(out, hosts.Quote(word, runtime.GOOS))
	}
	return strings.Join(out, " ")
}
