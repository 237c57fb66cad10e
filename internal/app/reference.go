package app

import (
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"nemotron-mcp/internal/jobs"
	"nemotron-mcp/tools"
)

type referenceCommand struct {
	Page string `arg:"" enum:"tools,prompts,errors,flags,commands" help:"${enum}."`
}

// Run prints a part of the documentation as Markdown, from what the program is
// made of.
func (c *referenceCommand) Run(s *session) error {
	var page string
	var err error
	switch c.Page {
	case "tools":
		page, err = toolsReference()
	case "prompts":
		page = tools.PromptsReference()
	case "errors":
		page = errorsReference()
	case "flags":
		page, err = flagsReference(s.Streams)
	case "commands":
		page, err = commandsReference(s.Streams)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(s.Out, page)
	return err
}

func toolsReference() (string, error) {
	declared, err := tools.Declarations()
	if err != nil {
		return "", err
	}
	return tools.Reference(declared)
}

func errorsReference() string {
	var b strings.Builder
	b.WriteString("| code | what happened | what to do |\n|---|---|---|\n")
	for _, m := range jobs.Codes() {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", m.Code, m.Happened, m.ToDo)
	}
	return b.String()
}

// flagsReference lists the flags that every command has.
func flagsReference(streams Streams) (string, error) {
	model, err := commandModel(streams)
	if err != nil {
		return "", err
	}
	return flagTable(model.Flags), nil
}

// commandsReference lists the commands, each with its own arguments and flags.
func commandsReference(streams Streams) (string, error) {
	model, err := commandModel(streams)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, command := range model.Leaves(true) {
		fmt.Fprintf(&b, "### %s\n\n%s\n", command.FullPath(), command.Help)
		if command.Detail != "" {
			fmt.Fprintf(&b, "\n%s\n", command.Detail)
		}
		if len(command.Positional) > 0 {
			b.WriteString("\n| argument | meaning |\n|---|---|\n")
			for _, argument := range command.Positional {
				fmt.Fprintf(&b, "| `%s` | %s |\n", escapePipes(argument.Summary()), escapePipes(argument.Help))
			}
		}
		if table := flagTable(command.Flags); table != "" {
			b.WriteString("\n" + table)
		}
		b.WriteString("\n")
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}

// flagTable is empty where no flag is for people.
func flagTable(flags []*kong.Flag) string {
	var b strings.Builder
	for _, flag := range flags {
		if flag.Hidden || flag.Name == "help" {
			continue
		}
		variable := ""
		if set := slices.DeleteFunc(slices.Clone(flag.Envs), func(name string) bool { return name == "-" }); len(set) > 0 {
			variable = "`" + strings.Join(set, "`, `") + "`"
		}
		value := ""
		if flag.HasDefault && flag.Default != "" {
			value = "`" + flag.Default + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", escapePipes(flagSummary(flag)), variable, value, escapePipes(flag.Help))
	}
	if b.Len() == 0 {
		return ""
	}
	return "| flag | variable | default | meaning |\n|---|---|---|---|\n" + b.String()
}

// flagSummary is the flag with what it takes.
func flagSummary(flag *kong.Flag) string {
	words := slices.DeleteFunc(flag.EnumSlice(), func(word string) bool { return word == "" })
	switch {
	case flag.IsBool():
		return "--" + flag.Name
	case len(words) > 0:
		return "--" + flag.Name + "=" + strings.Join(words, "|")
	case flag.PlaceHolder == "":
		return "--" + flag.Name + "=" + strings.ToUpper(flag.Name)
	}
	return "--" + flag.Name + "=" + flag.PlaceHolder
}

func escapePipes(text string) string { return strings.ReplaceAll(text, "|", "\\|") }
