package hosts

import (
	"encoding/base64"
	"net/url"
	"strings"
)

// compact renders on one line.
var compact = &jsonText{}

// Link is an address that has the host offer the entry to its user; "" where the
// host has none.
func (h Host) Link(s Server) string {
	switch h.Name {
	case "vscode":
		return "vscode:mcp/install?" + strings.ReplaceAll(url.QueryEscape(h.named(s)), "+", "%20")
	case "cursor":
		config := base64.StdEncoding.EncodeToString([]byte(compact.render(h.entry(s), "", false)))
		return "cursor://anysphere.cursor-deeplink/mcp/install?name=" + url.QueryEscape(s.Name) + "&config=" + url.QueryEscape(config)
	}
	return ""
}

// named is VS Code's entry with the name and the inputs in it.
func (h Host) named(s Server) string {
	all := append(members{{"name", s.Name}}, h.entry(s)...)
	text := compact.render(all, "", false)
	var inputs []string
	for _, input := range h.inputs(s) {
		inputs = append(inputs, compact.render(input, "", false))
	}
	if len(inputs) > 0 {
		text = strings.TrimSuffix(text, "}") + `, "inputs": [` + strings.Join(inputs, ", ") + "]}"
	}
	return text
}

// CommandLine is what adds the entry by the host's own program, each argument in
// quotes for a shell of that system where it needs them; "" where there is none.
func (h Host) CommandLine(s Server, scope Scope, os string) string {
	var words []string
	switch h.Name {
	case "claude-code":
		words = []string{"claude", "mcp", "add", "--scope", string(scope), s.Name}
		for _, key := range s.Keys {
			words = append(words, "--env", key+"="+h.keyValue(key))
		}
		words = append(append(words, "--", s.Command), s.Args...)
	case "vscode":
		if scope == User {
			words = []string{"code", "--add-mcp", h.named(s)}
		}
	}
	for i, word := range words {
		words[i] = Quote(word, os)
	}
	return strings.Join(words, " ")
}

// Quote puts a word in quotes for a shell of that system (as runtime.GOOS) where
// it needs them.
func Quote(word, os string) string {
	plain := word != "" && !strings.ContainsFunc(word, func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-=/.:,", r)
	})
	switch {
	case plain || os == "windows" && !strings.ContainsAny(word, " \"&|<>^%$(){}'"):
		return word
	case os == "windows":
		return windowsQuote(word)
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// windowsQuote quotes as programs of Windows take their command line apart: a
// backslash is doubled where a quote follows.
func windowsQuote(word string) string {
	var b strings.Builder
	b.WriteByte('"')
	slashes := 0
	for _, r := range word {
		switch r {
		case '\\':
			slashes++
		case '"':
			b.WriteString(strings.Repeat(`\`, slashes+1))
			slashes = 0
		default:
			slashes = 0
		}
		b.WriteRune(r)
	}
	b.WriteString(strings.Repeat(`\`, slashes) + `"`)
	return b.String()
}
