package app

import (
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

type manCommand struct {
	Date string `help:"Date of the page: that of the release." placeholder:"YYYY-MM-DD"`
}

// Run prints the manual page, in man(7)'s macros, from what the command line is
// made of.
func (c *manCommand) Run(s *session) error {
	model, err := commandModel(s.Streams)
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(s.Out, manPage(model, s.version, c.Date))
	return err
}

func manPage(model *kong.Application, version, date string) string {
	var b strings.Builder
	fmt.Fprintf(&b, ".TH NEMOTRON-MCP 1 \"%s\" \"nemotron-mcp %s\" \"User Commands\"\n", date, roff(version))
	fmt.Fprintf(&b, ".SH NAME\nnemotron-mcp \\- an MCP server that delegates work to NVIDIA Nemotron on fal.ai\n")
	b.WriteString(".SH SYNOPSIS\n.B nemotron-mcp\n[\\fIcommand\\fR]\n[\\fIflags\\fR]\n")
	fmt.Fprintf(&b, ".SH DESCRIPTION\n%s\n", prose(model.Help))
	b.WriteString("A host starts it and speaks MCP on its standard input and output.\nFlags come first, then variables, then defaults.\n")
	b.WriteString(".SH COMMANDS\n")
	for _, command := range model.Leaves(true) {
		summary := strings.TrimPrefix(command.Path(), model.Name+" ")
		for _, argument := range command.Positional {
			summary += " " + argument.Summary()
		}
		fmt.Fprintf(&b, ".SS \"%s\"\n%s\n", roff(summary), prose(command.Help))
		if command.Detail != "" {
			for line := range strings.Lines(command.Detail) {
				if strings.TrimSpace(line) == "" {
					continue
				}
				fmt.Fprintf(&b, ".PP\n%s\n", prose(line))
			}
		}
		for _, argument := range command.Positional {
			manItem(&b, argument.Summary(), argument.Help, nil)
		}
		manFlags(&b, command.Flags)
	}
	b.WriteString(".SH FLAGS\nEvery command has these.\n")
	manFlags(&b, model.Flags)
	b.WriteString(".SH ENVIRONMENT\nBesides the variables of the flags:\n")
	for _, v := range keyVariables {
		manItem(&b, v.name, v.meaning, nil)
	}
	b.WriteString(`.SH FILES
The ledger is ledger.db in the folder of \-\-state\-dir, else in nemotron\-mcp
below $XDG_STATE_HOME, ~/.local/state, ~/Library/Application Support on macOS,
or %LocalAppData% on Windows.
.SH "EXIT STATUS"
.TP
0
The command did what it was asked.
.TP
1
It failed.
.TP
2
The command line or the configuration is wrong.
`)
	return b.String()
}

func manFlags(b *strings.Builder, flags []*kong.Flag) {
	for _, flag := range flags {
		if flag.Hidden {
			continue
		}
		var notes []string
		if flag.HasDefault && flag.Default != "" {
			notes = append(notes, "Default: "+strings.TrimSuffix(flag.Default, ".")+".")
		}
		if set := slices.DeleteFunc(slices.Clone(flag.Envs), func(name string) bool { return name == "-" }); len(set) > 0 {
			notes = append(notes, "Variable: "+strings.Join(set, ", ")+".")
		}
		summary := flagSummary(flag)
		if flag.Short != 0 {
			summary = "-" + string(flag.Short) + ", " + summary
		}
		manItem(b, summary, flag.Help, notes)
	}
}

func manItem(b *strings.Builder, term, meaning string, notes []string) {
	if meaning != "" && !strings.HasSuffix(meaning, ".") && !strings.HasSuffix(meaning, "?") {
		meaning += "."
	}
	fmt.Fprintf(b, ".TP\n.B \"%s\"\n%s\n", roff(term), prose(strings.Join(append([]string{meaning}, notes...), " ")))
}

// roff writes a text so that nothing of it is taken for markup.
var roffEscapes = strings.NewReplacer(`\`, `\e`, `-`, `\-`, `"`, `\(dq`, `'`, `\(aq`, "\n", " ")

func roff(text string) string { return roffEscapes.Replace(text) }

// prose is a text in lines as long as roff's sources have them.
func prose(text string) string {
	var b strings.Builder
	length := 0
	for _, word := range strings.Fields(text) {
		word = roff(word)
		switch {
		case length > 0 && length+1+len(word) <= 78:
			b.WriteByte(' ')
			length++
		case length > 0:
			b.WriteByte('\n')
			length = 0
		}
		if length == 0 && strings.HasPrefix(word, ".") {
			word = `\&` + word
		}
		b.WriteString(word)
		length += len(word)
	}
	return b.String()
}

// keyVariables are the variables that have no flag.
var keyVariables = []struct{ name, meaning string }{
	{"FAL_KEY", "The fal key. There is no flag for it, because a command line is public."},
	{"FAL_KEY_ID, FAL_KEY_SECRET", "The key in two parts, where FAL_KEY is not set."},
	{envPrefix + "_ALLOW_DIR", "A list of paths: folders in which tools may read files, where --allow-dir is not given."},
}
