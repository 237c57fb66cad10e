package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"nemotron-mcp/internal/files"
)

const (
	// maxArguments is the most that is taken from stdin, as large as a line of the
	// protocol may be.
	maxArguments = 16 << 20
	// maxPrompt is the most that a prompt's file may hold: two million characters
	// of the longest kind.
	maxPrompt = 8_000_000
)

// read completes what is given from files and stdin, and has the tools find the
// files that flags name.
func (g *given) read(s *session, h *house) error {
	h.folders.Admit(g.named...)
	if !g.generates {
		return g.readArguments(s)
	}
	if err := g.readPrompt(s, h); err != nil {
		return err
	}
	if g.prompt == nil || strings.TrimSpace(*g.prompt) == "" {
		return noPrompt()
	}
	g.values["prompt"] = *g.prompt
	if _, given := g.values["wait_seconds"]; !given {
		g.waits, g.values["wait_seconds"] = true, longestWait
	}
	return nil
}

// readArguments reads the JSON object of a tool that takes no prompt.
func (g *given) readArguments(s *session) error {
	if !g.stdin {
		return nil
	}
	text, err := readStdin(s)
	if err != nil {
		return err
	}
	return g.addObject([]byte(text), "stdin", "")
}

func (g *given) readPrompt(s *session, h *house) error {
	if g.promptFile != "" && g.promptFile != "-" {
		text, err := readPromptFile(s, h, g.promptFile)
		if err != nil {
			return err
		}
		g.prompt = &text
	}
	if !g.stdin && g.promptFile != "-" {
		return nil
	}
	text, err := readStdin(s)
	if err != nil {
		return err
	}
	switch {
	case g.prompt != nil:
		text = *g.prompt + "\n\n" + text
	case g.stdin && strings.HasPrefix(strings.TrimSpace(text), "{"):
		if err := g.addObject([]byte(text), "stdin", "Text that begins so is read with --prompt-file -."); err != nil {
			return err
		}
		value, given := g.values["prompt"]
		if !given {
			return noPrompt()
		}
		return g.setPrompt(value)
	}
	g.prompt = &text
	return nil
}

// readStdin reads all of stdin, or ends with the signal: what it waits for may
// never come.
func readStdin(s *session) (string, error) {
	if isTerminal(s.In) {
		fmt.Fprintln(s.Err, "Reading from the terminal; Ctrl-D (on Windows Ctrl-Z and Enter) ends the text.")
	}
	type all struct {
		text []byte
		err  error
	}
	read := make(chan all, 1)
	go func() { // ends with the process where nothing else ends it
		text, err := io.ReadAll(io.LimitReader(s.In, maxArguments+1))
		read <- all{text, err}
	}()
	select {
	case <-s.ctx.Done():
		fmt.Fprintln(s.Err, "Interrupted. Nothing was sent.")
		return "", errInterrupted
	case got := <-read:
		if got.err != nil {
			return "", &configError{"stdin can't be read: " + got.err.Error(), "Check what is before the pipe."}
		}
		if len(got.text) > maxArguments {
			return "", &configError{fmt.Sprintf("stdin holds more than %d bytes", maxArguments), "Send less of it."}
		}
		return textOf("stdin", got.text)
	}
}

// textOf is what a file or stdin holds as a prompt: without a byte order mark, and
// without the line ends at its end, as a shell's $(…) has it.
func textOf(source string, content []byte) (string, error) {
	content = bytes.TrimPrefix(content, []byte("\ufeff"))
	if !utf8.Valid(content) || bytes.IndexByte(content, 0) >= 0 {
		return "", &configError{source + " is not UTF-8 text", "Convert it first; an image, a video or a sound goes with --image, --video or --audio."}
	}
	text := strings.TrimRight(string(content), "\r\n")
	if strings.TrimSpace(text) == "" {
		return "", &configError{source + " is empty, so nothing was sent", "Check where its text should come from."}
	}
	return text, nil
}

// readPromptFile reads a file that is to be the prompt, as the tools read files:
// a secret stays where it is.
func readPromptFile(s *session, h *house, name string) (string, error) {
	named, err := nameFile("--prompt-file", name, false)
	if err != nil {
		return "", err
	}
	var folders files.Folders
	folders.Forbid(append(s.opts.ownFiles(), s.ownFiles...)...)
	folders.Admit(named)
	folders.Set()
	defer folders.Close()
	text, err := readOne(s.ctx, &folders, named.Name())
	var fault *files.Error
	switch {
	case errors.As(err, &fault):
		return "", &configError{"--prompt-file: " + fault.Message, fault.Action}
	case err != nil && s.ctx.Err() != nil:
		return "", errInterrupted
	case err != nil:
		return "", &configError{"--prompt-file: " + err.Error(), "Check the file."}
	case h.secrets.Holds(text):
		return "", &configError{"--prompt-file: the file holds a secret of this program", "Take it out of the file first."}
	}
	return textOf("--prompt-file", text)
}

func readOne(ctx context.Context, folders *files.Folders, name string) ([]byte, error) {
	file, err := folders.Open(ctx, name, maxPrompt)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.NewSectionReader(file, 0, file.Size()))
}
