package app

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/mark3labs/mcp-go/mcp"

	"nemotron-mcp/internal/hosts"
	"nemotron-mcp/tools"
)

// candidate is a word that may stand at the cursor.
type candidate struct{ word, meaning string }

// What a shell completes by itself.
var (
	anyFile   = []candidate{{word: ":files"}}
	anyFolder = []candidate{{word: ":folders"}}
)

// typed is a command line up to the cursor.
type typed struct {
	tools   []mcp.Tool
	node    *kong.Node // the command so far
	words   []string   // its arguments so far
	flag    *kong.Flag // whose value is at the cursor, if any
	literal bool       // after "--": no flags
	current string     // the value at the cursor, as far as it is typed
	before  string     // what the shell takes for a part of the same word, such as "--store="
}

// completions are the words that may stand at the end of a command line, where
// the last of the words is as far typed as it is.
func completions(model *kong.Application, words []string) ([]candidate, error) {
	declared, err := tools.Declarations()
	if err != nil {
		return nil, err
	}
	line := &typed{tools: declared, node: model.Node}
	words, cut := joinEquals(words)
	if len(words) == 0 {
		words = []string{""}
	}
	last := len(words) - 1
	for _, word := range words[:last] {
		line.pass(word)
	}
	line.current = words[last]
	candidates := line.candidates()
	if cut { // the shell takes the value for a word of its own
		line.before = ""
	}
	var fitting []candidate
	for _, c := range candidates {
		if strings.HasPrefix(c.word, ":") {
			return candidates, nil
		}
		if strings.HasPrefix(c.word, line.current) {
			fitting = append(fitting, candidate{line.before + c.word, firstSentence(c.meaning)})
		}
	}
	return fitting, nil
}

// joinEquals puts together what bash takes apart at "=". cut says that it did so
// at the cursor.
func joinEquals(words []string) (joined []string, cut bool) {
	for i := 0; i < len(words); i++ {
		cut = words[i] == "=" && len(joined) > 0
		if !cut {
			joined = append(joined, words[i])
			continue
		}
		joined[len(joined)-1] += "="
		if i++; i < len(words) {
			joined[len(joined)-1] += words[i]
		}
	}
	return joined, cut
}

// pass takes a word before the cursor.
func (l *typed) pass(word string) {
	switch {
	case l.flag != nil:
		l.flag = nil
	case !l.literal && word == "--":
		l.literal = true
	case l.isFlag(word):
		name, _, hasValue := strings.Cut(word, "=")
		if flag := l.find(name); flag != nil && !flag.IsBool() && !hasValue {
			l.flag = flag
		}
	default:
		for _, child := range l.node.Children {
			if child.Name == word && len(l.words) == 0 {
				l.node = child
				return
			}
		}
		l.words = append(l.words, word)
	}
}

func (l *typed) isFlag(word string) bool {
	return !l.literal && len(word) > 1 && strings.HasPrefix(word, "-")
}

// flags are those that may stand here: those of the command, and of all.
func (l *typed) flags() []*kong.Flag {
	var flags []*kong.Flag
	if l.node.DefaultCmd != nil {
		flags = append(flags, l.node.DefaultCmd.Flags...)
	}
	for node := l.node; node != nil; node = node.Parent {
		flags = append(flags, node.Flags...)
	}
	return slices.DeleteFunc(flags, func(f *kong.Flag) bool { return f.Hidden })
}

// find is nil where there is no such flag.
func (l *typed) find(name string) *kong.Flag {
	for _, flag := range l.flags() {
		if name == "--"+flag.Name || flag.Short != 0 && name == "-"+string(flag.Short) {
			return flag
		}
	}
	return nil
}

func (l *typed) candidates() []candidate {
	if name, value, found := strings.Cut(l.current, "="); found && l.flag == nil && l.isFlag(name) {
		l.before, l.current = name+"=", value
		if l.flag = l.find(name); l.flag == nil {
			return nil
		}
	}
	switch {
	case l.flag != nil:
		return valuesOf(l.flag.Value, l.flag.PlaceHolder)
	case !l.literal && strings.HasPrefix(l.current, "-"):
		var flags []candidate
		for _, flag := range l.flags() {
			flags = append(flags, candidate{"--" + flag.Name, flag.Help})
		}
		slices.SortFunc(flags, func(a, b candidate) int { return cmp.Compare(a.word, b.word) })
		return flags
	case len(l.words) == 0 && len(l.node.Children) > 0:
		var commands []candidate
		for _, child := range l.node.Children {
			if !child.Hidden {
				commands = append(commands, candidate{child.Name, child.Help})
			}
		}
		return commands
	}
	return l.argument()
}

// argument is what the next argument of the command may be.
func (l *typed) argument() []candidate {
	place := len(l.words)
	if last := len(l.node.Positional) - 1; place > last {
		if last < 0 || !l.node.Positional[last].IsCumulative() {
			return nil
		}
		place = last
	}
	argument := l.node.Positional[place]
	switch {
	case argument.Name == "tool":
		var names []candidate
		for _, t := range l.tools {
			names = append(names, candidate{t.Name, t.Description})
		}
		return names
	case l.node.Name == "install":
		var names []candidate
		for _, h := range hosts.All() {
			names = append(names, candidate{h.Name, h.Title})
		}
		return names
	case l.node.Name == "call":
		return l.toolArgument(l.words[0])
	}
	return valuesOf(argument, strings.ToUpper(argument.Name))
}

// toolArgument is a key of the tool's input, or a value of one where the key is
// typed.
func (l *typed) toolArgument(tool string) []candidate {
	at := slices.IndexFunc(l.tools, func(t mcp.Tool) bool { return t.Name == tool })
	if at < 0 {
		return nil
	}
	var input struct {
		Properties map[string]struct {
			Type, Description string
			Enum              []string
		}
	}
	if json.Unmarshal(l.tools[at].RawInputSchema, &input) != nil {
		return nil
	}
	if name, value, found := strings.Cut(l.current, "="); found {
		l.before, l.current = name+"=", value
		words := input.Properties[name].Enum
		if input.Properties[name].Type == "boolean" {
			words = []string{"true", "false"}
		}
		return plain(words)
	}
	var keys []candidate
	for _, name := range slices.Sorted(maps.Keys(input.Properties)) {
		keys = append(keys, candidate{name + "=", input.Properties[name].Description})
	}
	return keys
}

// valuesOf are those of a flag or an argument. Placeholders say which paths are
// folders.
func valuesOf(value *kong.Value, placeholder string) []candidate {
	switch {
	case value.Enum != "":
		return plain(value.EnumSlice())
	case placeholder == "DIR":
		return anyFolder
	case placeholder == "FILE" || strings.HasSuffix(value.Tag.Type, "file") || value.Tag.Type == "path":
		return anyFile
	}
	return nil
}

func plain(words []string) []candidate {
	var candidates []candidate
	for _, word := range words {
		if word != "" {
			candidates = append(candidates, candidate{word: word})
		}
	}
	return candidates
}

// firstSentence is what of a help text fits beside a candidate.
func firstSentence(help string) string {
	help = strings.Join(strings.Fields(help), " ")
	if sentence, _, found := strings.Cut(help, ". "); found {
		return sentence
	}
	return strings.TrimSuffix(help, ".")
}
