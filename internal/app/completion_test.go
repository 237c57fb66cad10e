package app

import (
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCompletions(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name string
		line string // words parted by spaces; the cursor is at the end
		want []string
	}{
		{"a command", "se", []string{"serve"}},
		{"nothing hidden", "complet", []string{"completion"}},
		{"a command of a command", "jobs re", []string{"reconcile"}},
		{"a flag of the command", "serve --allow-h", []string{"--allow-host"}},
		{"a flag of the default command", "--allow-o", []string{"--allow-origin"}},
		{"a flag of all commands", "jobs list --queue-", []string{"--queue-priority", "--queue-url"}},
		{"a flag's value", "--store m", []string{"metadata", "memory"}},
		{"a flag's value after =", "--store=m", []string{"--store=metadata", "--store=memory"}},
		{"a flag's value as bash parts it", "--store = m", []string{"metadata", "memory"}},
		{"a flag's value of nothing as bash parts it", "--store =", []string{"full", "metadata", "memory"}},
		{"a command after a flag and its value", "--store full sim", []string{"simulate"}},
		{"a command after a flag with its value", "--store=full sim", []string{"simulate"}},
		{"a command after what bash has parted", "--store = full sim", []string{"simulate"}},
		{"a switch takes no value", "jobs list --json --lim", []string{"--limit"}},
		{"a folder", "--allow-dir ", []string{":folders"}},
		{"a folder of serve", "serve ./", []string{":folders"}},
		{"a second folder of serve", "serve ./x ", []string{":folders"}},
		{"a file", "--fal-key-file ", []string{":files"}},
		{"a host", "install c", []string{"claude-code", "claude-desktop", "cursor", "codex"}},
		{"a tool", "call queue_", []string{"queue_status", "queue_cancel", "queue_list"}},
		{"a tool of schema", "schema up", []string{"upload_file"}},
		{"an argument of a tool", "call nemotron_generate system", []string{"system_prompt="}},
		{"an argument's value", "call nemotron_generate prompt=x reasoning_mode=n", []string{"reasoning_mode=no_think"}},
		{"an argument's value as bash parts it", "call nemotron_generate prompt = x reasoning_mode = n", []string{"no_think"}},
		{"an argument that is true or false", "call queue_status logs=", []string{"logs=true", "logs=false"}},
		{"of a tool that is none", "call no_such_tool pro", nil},
		{"a flag that is none", "--no-such-flag=x", nil},
		{"no flags after --", "serve -- --sto", []string{":folders"}},
		{"a shell", "completion f", []string{"fish"}},
		{"nothing after the last argument", "completion fish ", nil},
	}
	model, err := commandModel(Streams{Out: io.Discard, Err: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			found, err := completions(model, strings.Split(tc.line, " "))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, c := range found {
				got = append(got, c.word)
				if strings.ContainsAny(c.word+c.meaning, "\t\n") {
					t.Errorf("%q is no line", c)
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestCompletionsOfAll asks for every command and every flag.
func TestCompletionsOfAll(t *testing.T) {
	t.Parallel()
	model, err := commandModel(Streams{Out: io.Discard, Err: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range model.Leaves(true) {
		path := strings.Fields(strings.TrimPrefix(command.Path(), model.Name+" "))
		found, err := completions(model, append(path, "--"))
		if err != nil {
			t.Fatal(err)
		}
		for _, flag := range slices.Concat(command.Flags, model.Flags) {
			if !slices.ContainsFunc(found, func(c candidate) bool { return c.word == "--"+flag.Name }) {
				t.Errorf("%v: --%s is not offered", path, flag.Name)
			}
		}
	}
}

// TestManPage has every command and every flag in it, and no line that roff
// takes for a request of ours.
func TestManPage(t *testing.T) {
	t.Parallel()
	model, err := commandModel(Streams{Out: io.Discard, Err: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	page := manPage(model, "v1.2.3", "2026-01-02")
	for _, command := range model.Leaves(true) {
		if !strings.Contains(page, `.SS "`+roff(strings.TrimPrefix(command.Path(), model.Name+" "))) {
			t.Errorf("%s is missing", command.Path())
		}
		for _, flag := range slices.Concat(command.Flags, model.Flags) {
			if !strings.Contains(page, roff("--"+flag.Name)) {
				t.Errorf("--%s is missing", flag.Name)
			}
		}
	}
	known := []string{".TH", ".SH", ".SS", ".TP", ".PP", ".B"}
	for line := range strings.Lines(page) {
		if request := strings.Fields(line)[0]; strings.HasPrefix(request, ".") && !slices.Contains(known, request) {
			t.Errorf("%q is no request", line)
		}
		if strings.HasPrefix(line, "'") {
			t.Errorf("%q is a request", line)
		}
	}
	if got := prose(`a .b \c "d" 'e' -f`); got != `a .b \ec \(dqd\(dq \(aqe\(aq \-f` {
		t.Errorf("prose: %s", got)
	}
	if got := prose(".b"); got != `\&.b` {
		t.Errorf("prose: %s", got)
	}
}
