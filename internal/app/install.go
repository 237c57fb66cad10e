package app

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"

	"nemotron-mcp/internal/hosts"
)

// defaultName is what hosts are told to call this server.
const defaultName = "nemotron"

type installCommand struct {
	Host   string `arg:"" optional:"" help:"claude-code, claude-desktop, cursor, vscode, codex, gemini, zed or windsurf; left out, all of them are listed with their files."`
	Write  bool   `xor:"do" help:"Merge the entry into the host's configuration; what was there is kept beside it."`
	Remove bool   `xor:"do" help:"Take the entry out of the host's configuration."`
	Name   string `help:"Name of the server in the host." default:"${server_name}"`
	Scope  string `help:"For whom: user (every project) or project (the current folder); user where not set." enum:"user,project," default:"" placeholder:"user|project"`
	File   string `help:"Another configuration than the host's own." type:"path" placeholder:"FILE"`
	JSON   bool   `name:"json" help:"Print JSON."`
}

// installed is what the command tells a program.
type installed struct {
	Host    string   `json:"host"`
	Title   string   `json:"title"`
	Scope   string   `json:"scope,omitempty"`
	File    string   `json:"file,omitempty"`
	Exists  bool     `json:"exists"`
	Present bool     `json:"installed"`
	Entry   string   `json:"entry,omitempty"`
	Link    string   `json:"link,omitempty"`
	Command string   `json:"command,omitempty"`
	Changed bool     `json:"changed"`
	Backup  string   `json:"backup,omitempty"`
	Notes   []string `json:"notes,omitempty"`
}

// Run prints, writes or removes the entry of one host, or lists all hosts.
func (c *installCommand) Run(s *session) error {
	if err := hosts.CheckName(c.Name); err != nil {
		return &configError{fmt.Sprintf("--name is %q", c.Name), "Give another: " + err.Error() + "."}
	}
	if c.Host == "" {
		if c.Write || c.Remove || c.File != "" {
			return &configError{"no host is named", "The hosts are " + hostNames() + "."}
		}
		return c.list(s)
	}
	host, ok := hosts.Lookup(c.Host)
	if !ok {
		return &configError{fmt.Sprintf("there is no host %q", c.Host), "The hosts are " + hostNames() + "."}
	}
	out := installed{Host: host.Name, Title: host.Title, Scope: c.Scope}
	if out.Scope == "" {
		out.Scope = string(hosts.User)
	}
	if out.File = c.File; out.File == "" {
		var err error
		if out.File, err = c.path(host, hosts.Scope(out.Scope)); err != nil {
			return &configError{err.Error(), "Name the file with --file, or leave --scope out."}
		}
	}
	if c.Remove {
		return c.remove(s, host, out)
	}
	server, err := c.server(s.opts, host)
	if err != nil {
		return err
	}
	if c.Write {
		return c.write(s, host, server, out)
	}
	return c.show(s, host, server, out)
}

func hostNames() string {
	var names []string
	for _, h := range hosts.All() {
		names = append(names, h.Name)
	}
	return strings.Join(names, ", ")
}

func (c *installCommand) path(host hosts.Host, scope hosts.Scope) (string, error) {
	dir, err := os.Getwd()
	if err != nil && scope == hosts.Project {
		return "", err
	}
	return host.Path(scope, hosts.Place{OS: runtime.GOOS, Env: os.Getenv, Project: dir})
}

// server is what the host is to start: this program with the options that were
// given.
func (c *installCommand) server(o *Options, host hosts.Host) (hosts.Server, error) {
	program, err := program(os.Args[0])
	if err != nil {
		return hosts.Server{}, err
	}
	if passing(program) {
		return hosts.Server{}, &configError{program + " is a program that 'go run' made and takes away again", "Build it where it can stay, such as with 'go install', and run install of that."}
	}
	server := hosts.Server{Name: c.Name, Command: program, Args: append([]string{"serve"}, o.arguments()...)}
	one, pair := keyNames[:1], keyNames[1:]
	switch {
	case o.FalKeyFile != "":
		server.Unused = keyNames
	case setting("FAL_KEY") != "":
		server.Keys, server.Unused = one, pair
	case setting("FAL_KEY_ID") != "" && setting("FAL_KEY_SECRET") != "":
		server.Keys, server.Unused = pair, one
	default:
		server.Keys = one
	}
	for _, text := range append([]string{server.Command}, server.Args...) {
		if host.Replaces(text) {
			return server, &configError{fmt.Sprintf("%s would replace a part of %q, since it holds a $", host.Title, text), "Use a path without it."}
		}
	}
	return server, nil
}

func (c *installCommand) show(s *session, host hosts.Host, server hosts.Server, out installed) error {
	var kept []string
	if file, err := hosts.Read(out.File); err == nil {
		out.Exists = file.Exists
		found, err := host.Find(file.Text, c.Name)
		out.Present = err == nil && found != nil
		if kept, err = c.settle(&server, found, out.File); err != nil {
			kept = []string{"With --write this is refused: " + strings.ReplaceAll(err.Error(), "\n", ". ")}
		}
	}
	entry, err := host.Render(server)
	if err != nil {
		return err
	}
	out.Entry, out.Link = string(entry), host.Link(server)
	if c.File == "" {
		out.Command = host.CommandLine(server, hosts.Scope(out.Scope), runtime.GOOS)
	}
	out.Notes = append(kept, notes(host, server)...)
	if c.JSON {
		return s.printPlain(out)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n\n%s\n", host.Title, out.File, entry)
	if out.Command != "" {
		fmt.Fprintf(&b, "Or run:\n  %s\n", out.Command)
	}
	if out.Link != "" {
		fmt.Fprintf(&b, "Or open:\n  %s\n", out.Link)
	}
	for _, note := range out.Notes {
		fmt.Fprintln(&b, note)
	}
	fmt.Fprintf(&b, "Nothing was written. This merges it into the file:\n  nemotron-mcp %s\n", quoted(withWrite(s.args)))
	return s.printText(b.String())
}

// withWrite is a command line as it was typed, that writes.
func withWrite(args []string) []string {
	if at := slices.Index(args, "--"); at >= 0 {
		return slices.Insert(slices.Clone(args), at, "--write")
	}
	return append(slices.Clone(args), "--write")
}

// notes say what a person has to do about the key.
func notes(host hosts.Host, server hosts.Server) []string {
	if len(server.Keys) == 0 {
		return nil
	}
	keys := strings.Join(server.Keys, " and ")
	const instead = " Or give --fal-key-file FILE, a file that holds it."
	switch host.Secrets {
	case hosts.Asks:
		return []string{"Key: " + host.Title + " asks for it when it first starts the server, and keeps it."}
	case hosts.Literal:
		return []string{"Key: put your key in the place of " + hosts.Placeholder + " in the file: " + host.Title + " reads it from nowhere else." + instead}
	case hosts.Inherits:
		return []string{"Key: set " + keys + " in your shell's profile, whose variables " + host.Title + " hands to its servers." + instead}
	}
	return []string{"Key: the entry names " + keys + " and does not hold it. Start " + host.Title + " where it is set." + instead}
}

func (c *installCommand) write(s *session, host hosts.Host, server hosts.Server, out installed) error {
	mode := os.FileMode(0o600)
	if out.Scope == string(hosts.Project) && c.File == "" {
		mode = 0o644
	}
	var entry hosts.Server
	change, err := edit(&out, mode, func(text []byte) (hosts.Change, error) {
		found, err := host.Find(text, c.Name)
		if err != nil {
			return hosts.Change{}, err
		}
		entry = server // each try begins with what was asked for
		if out.Notes, err = c.settle(&entry, found, out.File); err != nil {
			return hosts.Change{}, err
		}
		return host.Merge(text, entry)
	})
	if err != nil {
		return err
	}
	out.Exists, out.Present = true, true
	done := "Added"
	switch {
	case !change.Changed:
		done = "Nothing to change: there is already"
	case change.Existed:
		done = "Updated"
	}
	if change.NewCommand && out.Backup != "" {
		out.Notes = append(out.Notes, "Its command or arguments were others; they are in the copy.")
	}
	if kept := change.KeptUnused; len(kept) > 0 && kept[0] == "FAL_KEY" || len(kept) == 2 && len(entry.Keys) == 0 {
		instead := strings.Join(entry.Keys, " and ")
		if instead == "" {
			instead = "the file with the key"
		}
		out.Notes = append(out.Notes, "Warning: "+strings.Join(kept, " and ")+" of the entry stays, and the server takes its key from there and not from "+instead+". Take it out by hand where that is not meant.")
	}
	if len(change.KeptKeys) > 0 {
		out.Notes = append(out.Notes, "The value of "+strings.Join(change.KeptKeys, " and ")+" that the file holds was kept.")
	} else {
		out.Notes = append(out.Notes, notes(host, entry)...)
	}
	if change.Changed {
		out.Notes = append(out.Notes, "Restart "+host.Title+" if it is running.")
	}
	return c.told(s, out, done)
}

func (c *installCommand) remove(s *session, host hosts.Host, out installed) error {
	_, err := edit(&out, 0o600, func(text []byte) (hosts.Change, error) {
		change, err := host.Remove(text, c.Name)
		change.Changed = change.Changed && change.Existed
		return change, err
	})
	if err != nil {
		return err
	}
	done := "Nothing to remove: there is no"
	if out.Changed {
		done = "Removed"
	}
	return c.told(s, out, done)
}

// editTries is how often an edit is begun again because another program was
// faster.
const editTries = 20

// edit changes the file, and says in out what became of it.
func edit(out *installed, mode os.FileMode, change func([]byte) (hosts.Change, error)) (hosts.Change, error) {
	for try := 1; ; try++ {
		file, err := hosts.Read(out.File)
		if err != nil {
			return hosts.Change{}, untouched(out.File, err)
		}
		c, err := change(file.Text)
		if err != nil {
			return hosts.Change{}, untouched(out.File, err)
		}
		if out.Exists, out.Changed = file.Exists, c.Changed; !c.Changed {
			return c, nil
		}
		out.Backup, err = file.Write(c.Text, mode)
		if errors.Is(err, hosts.ErrChanged) && try < editTries {
			continue
		}
		if err != nil {
			return hosts.Change{}, untouched(out.File, err)
		}
		return c, nil
	}
}

func untouched(path string, err error) error {
	if errors.As(err, new(*configError)) {
		return err
	}
	remedy := "It was left as it is. Mend it, or edit it by hand with what 'nemotron-mcp install HOST' prints."
	if !errors.Is(err, hosts.ErrBroken) && !errors.Is(err, hosts.ErrShape) {
		remedy = "It was left as it is. Check its permissions, or name another with --file."
	}
	return &configError{fmt.Sprintf("%s: %v", path, err), remedy}
}

// told says what was done.
func (c *installCommand) told(s *session, out installed, done string) error {
	if c.JSON {
		return s.printPlain(out)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s in %s\n", done, c.Name, out.File)
	if out.Backup != "" {
		fmt.Fprintf(&b, "The file as it was: %s\n", out.Backup)
	}
	for _, note := range out.Notes {
		fmt.Fprintln(&b, note)
	}
	return s.printText(b.String())
}

// list prints the hosts and whether they have the server.
func (c *installCommand) list(s *session) error {
	var all []installed
	rows := [][]string{{"HOST", "SCOPE", "STATE", "FILE"}}
	for _, host := range hosts.All() {
		for _, scope := range host.Scopes() {
			if c.Scope != "" && c.Scope != string(scope) {
				continue
			}
			one := installed{Host: host.Name, Title: host.Title, Scope: string(scope)}
			state := c.state(host, scope, &one)
			all = append(all, one)
			rows = append(rows, []string{one.Host, one.Scope, state, one.File})
		}
	}
	if c.JSON {
		return s.printPlain(all)
	}
	return s.printText(string(table(rows)))
}

func (c *installCommand) state(host hosts.Host, scope hosts.Scope, one *installed) string {
	path, err := c.path(host, scope)
	if err != nil {
		one.Notes = []string{err.Error()}
		return "unknown"
	}
	one.File = path
	file, err := hosts.Read(path)
	if err != nil {
		one.Notes = []string{err.Error()}
		return "unreadable"
	}
	if one.Exists = file.Exists; !file.Exists {
		return "no file"
	}
	found, err := host.Find(file.Text, c.Name)
	if err != nil {
		one.Notes = []string{err.Error()}
		return "unreadable"
	}
	if one.Present = found != nil; one.Present {
		return "installed"
	}
	return "not installed"
}

// printPlain writes a JSON document, without a key that may stand in a path.
func (s *session) printPlain(value any) error {
	text, err := encode(value, "  ")
	if err != nil {
		return err
	}
	return s.printText(string(text))
}

func (s *session) printText(text string) error {
	secrets := s.opts.secrets("")
	if isTerminal(s.Out) {
		text = strings.Map(harmless, text)
	}
	_, err := s.Out.Write(secrets.Bytes([]byte(text)))
	return err
}
