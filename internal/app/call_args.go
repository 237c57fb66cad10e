package app

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"nemotron-mcp/internal/files"
	"nemotron-mcp/tools"
)

// given is what a command line gives a tool.
type given struct {
	values     map[string]any // by the names of the tool's arguments
	prompt     *string        // nil where none was given
	promptFrom string         // how it was given
	promptFile string
	stdin      bool          // it is to be read for '-'
	generates  bool          // the tool is nemotron_generate
	waits      bool          // the job is to be waited for to its end
	named      []files.Named // by flags, to be read without --allow-dir
}

// parse reads the command line, and no file. Every error is a *configError.
func (c *callCommand) parse() (*given, error) {
	names, err := argumentNames(c.Tool)
	if err != nil {
		return nil, err
	}
	g := &given{values: map[string]any{}, generates: c.Tool == generateTool, promptFile: c.PromptFile}
	for _, argument := range c.Args {
		if err := g.add(argument, names); err != nil {
			return nil, err
		}
	}
	if err := g.addFlags(c); err != nil {
		return nil, err
	}
	if value, ok := g.values["prompt"]; ok && g.generates {
		if err := g.setPrompt(value); err != nil {
			return nil, err
		}
	}
	return g, g.checkPrompt()
}

// argumentNames are the names of a tool's arguments.
func argumentNames(tool string) (map[string]bool, error) {
	declared, err := tools.Declarations()
	if err != nil {
		return nil, err
	}
	var known []string
	for _, t := range declared {
		known = append(known, t.Name)
		if t.Name != tool {
			continue
		}
		var input struct{ Properties map[string]json.RawMessage }
		if err := json.Unmarshal(t.RawInputSchema, &input); err != nil {
			return nil, err
		}
		names := map[string]bool{}
		for name := range input.Properties {
			names[name] = true
		}
		return names, nil
	}
	return nil, &configError{fmt.Sprintf("there is no tool %q", tool), "The tools are " + strings.Join(known, ", ") + "."}
}

// argumentLike is what begins as key=value does.
var argumentLike = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]+=`)

// add takes one argument.
func (g *given) add(argument string, names map[string]bool) error {
	name, value, pair := strings.Cut(argument, "=")
	switch {
	case argument == "-" && g.stdin:
		return &configError{"'-' is given twice", "stdin can be read once."}
	case argument == "-":
		g.stdin = true
		return nil
	case strings.HasPrefix(strings.TrimSpace(argument), "{"):
		return g.addObject([]byte(argument), "an argument", "A prompt that begins so is given as prompt='…'.")
	case pair && name != "" && (names[name] || !g.generates):
		return g.set(name, value) // numbers and booleans are told apart by the schema
	case !g.generates:
		return &configError{fmt.Sprintf("the argument %q is not key=value", argument), `Give key=value pairs, one JSON object ('{"key": "value"}'), or '-' to read it from stdin.`}
	case argumentLike.MatchString(argument):
		return &configError{
			fmt.Sprintf("%s has no argument %q", generateTool, name),
			fmt.Sprintf("'nemotron-mcp schema %s' lists those that it has. A prompt that begins so is given as prompt='%s=…'.", generateTool, name),
		}
	case g.prompt != nil:
		return &configError{
			fmt.Sprintf("there is a second prompt, %q", shortened(argument)),
			"Quote the prompt. Where a glob was meant, name the files with a flag and quote it: --file 'src/*.go'.",
		}
	}
	g.prompt, g.promptFrom = &argument, "an argument"
	return nil
}

// shortened is enough of an argument to recognise it.
func shortened(text string) string {
	const enough = 40
	if runes := []rune(text); len(runes) > enough {
		return string(runes[:enough]) + "…"
	}
	return text
}

func (g *given) set(name string, value any) error {
	if _, twice := g.values[name]; twice {
		return &configError{fmt.Sprintf("%s is given twice", name), "Give it once."}
	}
	g.values[name] = value
	return nil
}

// addObject takes the members of a JSON object.
func (g *given) addObject(text []byte, source, remedy string) error {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(text, &object); err != nil || object == nil {
		what := source + " is not a JSON object"
		if err != nil {
			what += ": " + err.Error()
		}
		return &configError{what, strings.TrimSpace(`Give one such as '{"key": "value"}'. ` + remedy)}
	}
	for name, value := range object {
		if err := g.set(name, value); err != nil {
			return err
		}
	}
	return nil
}

// addFlags takes the files that flags name.
func (g *given) addFlags(c *callCommand) error {
	if !g.generates {
		if c.PromptFile != "" || c.Image != "" || c.Video != "" || c.Audio != "" || len(c.File) > 0 {
			return &configError{"--prompt-file, --image, --video, --audio and --file are for " + generateTool, "Leave them out; " + c.Tool + " takes key=value pairs."}
		}
		return nil
	}
	for _, medium := range []struct{ flag, name, value string }{
		{"--image", "image_url", c.Image}, {"--video", "video_url", c.Video}, {"--audio", "audio_url", c.Audio},
	} {
		if medium.value == "" {
			continue
		}
		value := medium.value
		if !isURI(value) {
			named, err := g.name(medium.flag, value, false)
			if err != nil {
				return err
			}
			value = named
		}
		if err := g.set(medium.name, value); err != nil {
			return err
		}
	}
	var texts []string
	for _, file := range c.File {
		named, err := g.name("--file", file, true)
		if err != nil {
			return err
		}
		texts = append(texts, named)
	}
	if len(texts) == 0 {
		return nil
	}
	return g.set("files", texts)
}

// isURI reports whether fal or a tool is to read it from elsewhere than a file.
func isURI(value string) bool {
	scheme, _, found := strings.Cut(value, ":")
	return found && (strings.Contains(value, "://") || strings.EqualFold(scheme, "data"))
}

// name has a file be found that a flag names, and gives its name for the tool.
func (g *given) name(flag, file string, many bool) (string, error) {
	named, err := nameFile(flag, file, many)
	if err != nil {
		return "", err
	}
	g.named = append(g.named, named)
	return named.Name(), nil
}

func nameFile(flag, file string, many bool) (files.Named, error) {
	named, err := files.NameFile(file)
	var fault *files.Error
	switch {
	case errors.As(err, &fault):
		return files.Named{}, &configError{flag + ": " + fault.Message, fault.Action}
	case err != nil:
		return files.Named{}, err
	case named.Glob() && !many:
		return files.Named{}, &configError{fmt.Sprintf("%s: %q is not found", flag, file), "Name one file."}
	}
	return named, nil
}

// setPrompt takes the argument of that name.
func (g *given) setPrompt(value any) error {
	if g.prompt != nil {
		return promptTwice(g.promptFrom, "prompt=")
	}
	text, ok := value.(string)
	if raw, isRaw := value.(json.RawMessage); isRaw && !ok {
		if err := json.Unmarshal(raw, &text); err != nil || bytes.Equal(raw, []byte("null")) {
			return &configError{"the prompt is no text", `Give a string: '{"prompt": "Hi"}'.`}
		}
	}
	g.prompt, g.promptFrom = &text, "prompt="
	return nil
}

func promptTwice(one, other string) error {
	return &configError{"the prompt is given twice: by " + one + " and by " + other, "Give it in one way. '-' beside a prompt puts stdin below it."}
}

// checkPrompt finds what is wrong whatever the files and stdin hold.
func (g *given) checkPrompt() error {
	switch {
	case !g.generates:
		return nil
	case g.promptFile != "" && g.prompt != nil:
		return promptTwice(g.promptFrom, "--prompt-file")
	case g.promptFile == "-" && g.stdin:
		return &configError{"both '-' and --prompt-file - ask for stdin", "It can be read once: leave one of them out."}
	case g.promptFile == "" && !g.stdin && (g.prompt == nil || strings.TrimSpace(*g.prompt) == ""):
		return noPrompt()
	}
	return nil
}

func noPrompt() error {
	return &configError{"there is no prompt", `Give it as an argument ("Name three uses of a bloom filter"), by --prompt-file FILE, or on stdin with '-' (git diff | nemotron-mcp call ` + generateTool + ` "Review this" -).`}
}
