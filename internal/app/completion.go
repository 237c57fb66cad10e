package app

import (
	_ "embed"
	"fmt"
)

// The scripts ask the program itself for what may follow, so that they are the
// same for every version of it.
var (
	//go:embed completion/bash.sh
	bashCompletion string
	//go:embed completion/zsh.sh
	zshCompletion string
	//go:embed completion/fish.fish
	fishCompletion string
	//go:embed completion/powershell.ps1
	powershellCompletion string
)

type completionCommand struct {
	Shell string `arg:"" enum:"bash,zsh,fish,powershell" help:"${enum}."`
}

// Help says where the script goes.
func (c *completionCommand) Help() string {
	return `In bash: source <(nemotron-mcp completion bash), in ~/.bashrc. In zsh the same with zsh, after compinit in ~/.zshrc.
In fish: nemotron-mcp completion fish > ~/.config/fish/completions/nemotron-mcp.fish.
In PowerShell: nemotron-mcp completion powershell | Out-String | Invoke-Expression, in the profile.`
}

// Run prints a script for a shell.
func (c *completionCommand) Run(s *session) error {
	script := map[string]string{
		"bash": bashCompletion, "zsh": zshCompletion, "fish": fishCompletion, "powershell": powershellCompletion,
	}[c.Shell]
	_, err := fmt.Fprint(s.Out, script)
	return err
}

// completeCommand is what the scripts run at a press of the tab key.
type completeCommand struct {
	Words []string `arg:"" optional:"" passthrough:"" help:"The words after the program's name; the last is the one at the cursor."`
}

// Run prints one candidate a line, with its meaning after a tab, or one line
// that tells the shell what to offer of its own: ":files" or ":folders".
func (c *completeCommand) Run(s *session) error {
	model, err := commandModel(s.Streams)
	if err != nil {
		return err
	}
	words := c.Words
	if len(words) > 0 && words[0] == "--" {
		words = words[1:]
	}
	found, err := completions(model, words)
	if err != nil {
		return err
	}
	for _, candidate := range found {
		if candidate.meaning == "" {
			fmt.Fprintln(s.Out, candidate.word)
			continue
		}
		fmt.Fprintf(s.Out, "%s\t%s\n", candidate.word, candidate.meaning)
	}
	return nil
}
