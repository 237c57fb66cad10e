package hosts

import (
	"fmt"
	"slices"
	"strings"
)

// Server is what a host is told about a server.
type Server struct {
	Name    string   // see [CheckName]
	Command string   // an absolute path
	Args    []string // nil for none
	// Keys are the variables with the server's secrets, whose values the entry never
	// holds. There are none where Args name a file that does.
	Keys []string
	// Unused are variables that the server is not to have its secret from any more:
	// what Merge once put in for them is taken out.
	Unused []string
}

// Found is a server as a configuration has it. Env may hold secrets.
type Found struct {
	Command string
	Args    []string
	Env     map[string]string
	// URL is that of a server that is reached over HTTP instead.
	URL string
	// Forwarded are the variables that a host of the kind Forwards passes on.
	Forwarded []string
}

// KeyState says how an entry has a secret.
type KeyState int

// The ways of an entry to have a secret.
const (
	KeyNone        KeyState = iota // not at all
	KeyPlaceholder                 // as Placeholder: a person has to fill it in
	KeyReferred                    // by a name that the host knows its value by
	KeyHeld                        // its value
)

// Key says how the entry has the secret that a variable is for.
func (f *Found) Key(variable string) KeyState {
	switch value := strings.TrimSpace(f.Env[variable]); {
	case value == Placeholder:
		return KeyPlaceholder
	case stands(value):
		return KeyHeld
	case value != "" || slices.Contains(f.Forwarded, variable):
		return KeyReferred
	}
	return KeyNone
}

// Change is an edited configuration.
type Change struct {
	Text []byte
	// Changed says that Text is not what was given.
	Changed bool
	// Existed says that there was an entry before, and NewCommand that it had another
	// command or other arguments.
	Existed, NewCommand bool
	// KeptKeys are variables for which the entry had a value of its own, which
	// stays.
	KeptKeys []string
	// KeptUnused are those of the unused variables for which the entry has something
	// that Merge did not put in, which stays.
	KeptUnused []string
}

// maxName leaves room for a tool's name in what a host makes of the two.
const maxName = 32

// CheckName says why a name can't be a server's: hosts take letters, digits, _
// and -, and join it with the names of tools. The first is a letter, so that it is
// no flag of a host's own program and no name with a meaning, such as __proto__.
func CheckName(name string) error {
	letter := func(r rune) bool { return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' }
	other := func(r rune) bool { return !(letter(r) || r >= '0' && r <= '9' || r == '_' || r == '-') }
	if name == "" || len(name) > maxName || !letter(rune(name[0])) || strings.ContainsFunc(name, other) {
		return fmt.Errorf("a server's name has 1 to %d letters, digits, _ and -, a letter first", maxName)
	}
	return nil
}

// member is a name and its value: a string, a bool, a list of strings, or
// members.
type member struct {
	name  string
	value any
}

// members are an object whose order is kept.
type members []member

// entry is the server as the host wants it.
func (h Host) entry(s Server) members {
	var e members
	if h.typed {
		e = append(e, member{"type", "stdio"})
	}
	e = append(e, member{"command", s.Command}, member{"args", append([]string{}, s.Args...)})
	switch {
	case len(s.Keys) == 0 || h.Secrets == Inherits:
	case h.Secrets == Forwards:
		e = append(e, member{"env_vars", s.Keys})
	default:
		var env members
		for _, key := range s.Keys {
			env = append(env, member{key, h.keyValue(key)})
		}
		e = append(e, member{"env", env})
	}
	return e
}

// Placeholder is what stands for a secret where a person has to fill it in. The
// server takes it for a variable that is not set.
const Placeholder = "${put your key here}"

func (h Host) keyValue(key string) string {
	switch h.Secrets {
	case Literal:
		return Placeholder
	case Asks:
		return fmt.Sprintf(h.reference, inputID(key))
	}
	return fmt.Sprintf(h.reference, key)
}

// madeHere reports whether a value is what Merge puts in for a variable.
func (h Host) madeHere(variable, value string) bool {
	return h.Secrets != Inherits && h.Secrets != Forwards && value == h.keyValue(variable)
}

// stands reports whether a value is one that a person has put in.
func stands(value string) bool {
	value = strings.TrimSpace(value)
	return value != "" && !strings.HasPrefix(value, "$")
}

func inputID(key string) string { return strings.ReplaceAll(strings.ToLower(key), "_", "-") }

// inputs are what the host asks the person for.
func (h Host) inputs(s Server) []members {
	if h.Secrets != Asks {
		return nil
	}
	var inputs []members
	for _, key := range s.Keys {
		inputs = append(inputs, members{
			{"id", inputID(key)},
			{"type", "promptString"},
			{"description", inputMark + key},
			{"password", true},
		})
	}
	return inputs
}

// Render is a whole configuration with just this server in it.
func (h Host) Render(s Server) ([]byte, error) {
	change, err := h.Merge(nil, s)
	return change.Text, err
}
