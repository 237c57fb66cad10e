package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// noticesFile has the licences of all that is linked into the binaries, which
// most of them ask for.
const noticesFile = "THIRD_PARTY_NOTICES.txt"

// module is one of a binary's, and where its source is.
type module struct{ path, version, dir string }

// notices are the licences of Go and of the modules of any platform.
func (r *release) notices() ([]byte, error) {
	goroot, err := exec.CommandContext(r.ctx, "go", "env", "GOROOT", "GOVERSION").Output()
	if err != nil {
		return nil, fmt.Errorf("go env: %w", err)
	}
	root, version, _ := strings.Cut(strings.TrimSpace(string(goroot)), "\n")
	modules := []module{{"The Go standard library", version, root}}
	for _, p := range r.platforms {
		linked, err := r.linked(p)
		if err != nil {
			return nil, err
		}
		modules = append(modules, linked...)
	}
	slices.SortFunc(modules[1:], func(a, b module) int { return strings.Compare(a.path, b.path) })
	return writeNotices(slices.Compact(modules))
}

// linked are the modules that a platform's binary has packages of.
func (r *release) linked(p platform) ([]module, error) {
	list := exec.CommandContext(r.ctx, "go", "list", "-deps", "-f", `{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}} {{.Dir}}{{end}}{{end}}`, ".")
	list.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+p.os, "GOARCH="+p.arch)
	list.Stderr = os.Stderr
	out, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	var modules []module
	for line := range strings.Lines(string(out)) {
		if words := strings.SplitN(strings.TrimSpace(line), " ", 3); len(words) == 3 {
			modules = append(modules, module{words[0], words[1], words[2]})
		}
	}
	return modules, nil
}

// licenceName is how files with licences and notices are called.
var licenceName = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice|patents|copyright)([._-].*)?$`)

// writeNotices fails where a module has no licence: it must not be passed on
// then.
func writeNotices(modules []module) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString("nemotron-mcp is under the Apache License 2.0. Its binaries have in them:\n")
	for _, m := range modules {
		fmt.Fprintf(&b, "\n%s\n%s %s\n%[1]s\n", strings.Repeat("=", 78), m.path, m.version)
		files, err := os.ReadDir(m.dir)
		if err != nil {
			return nil, err
		}
		found := false
		for _, f := range files {
			if f.IsDir() || !licenceName.MatchString(f.Name()) || filepath.Ext(f.Name()) == ".go" {
				continue
			}
			text, err := os.ReadFile(filepath.Join(m.dir, f.Name()))
			if err != nil {
				return nil, err
			}
			found = true
			fmt.Fprintf(&b, "\n--- %s ---\n\n%s\n", f.Name(), bytes.TrimSpace(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))))
		}
		if !found {
			return nil, fmt.Errorf("module %s %s has no licence", m.path, m.version)
		}
	}
	return b.Bytes(), nil
}
