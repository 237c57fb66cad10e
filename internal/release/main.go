// Command release makes what a release consists of: an archive and an MCP bundle
// for each of six platforms, the entry for the MCP registry, and checksums. The
// same source, version and Go make the same bytes, wherever they are made.
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// release is what is made, and from what.
type release struct {
	version   string // without a leading v
	owner     string // of the public repository; empty: no entry for the registry
	out       string // folder, emptied first
	mcpb      string // program that validates and packs bundles; empty: no bundles
	platforms []platform
	at        time.Time // of every file in an archive
	ctx       context.Context
}

// platform is a system and an architecture, in Go's names.
type platform struct{ os, arch string }

func (p platform) binary() string {
	if p.os == "windows" {
		return "nemotron-mcp.exe"
	}
	return "nemotron-mcp"
}

// name is that of a platform's files, without the end.
func (r *release) name(p platform) string {
	return fmt.Sprintf("nemotron-mcp_%s_%s_%s", r.version, p.os, p.arch)
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	r := release{ctx: ctx}
	flag.StringVar(&r.version, "version", "", "`version` such as 1.2.3")
	flag.StringVar(&r.owner, "owner", "", "owner of the public repository; without it there is no server.json")
	flag.StringVar(&r.out, "out", filepath.Join("dist", "out"), "`folder` to write to; emptied first")
	flag.StringVar(&r.mcpb, "mcpb", "", "`file` that is the mcpb program; without it there are no bundles")
	platforms := flag.String("platforms", "linux/amd64,linux/arm64,darwin/amd64,darwin/arm64,windows/amd64,windows/arm64", "systems and architectures")
	flag.Parse()
	err := r.set(*platforms)
	if err == nil {
		err = r.make()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

// semver is a version as the registry and the bundles want it.
var semver = regexp.MustCompile(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?$`)

// ownerName is a name of GitHub's.
var ownerName = regexp.MustCompile(`^[A-Za-z0-9](-?[A-Za-z0-9]){0,38}$`)

func (r *release) set(platforms string) error {
	r.version = strings.TrimPrefix(r.version, "v")
	if !semver.MatchString(r.version) {
		return fmt.Errorf("version %q is not like 1.2.3", r.version)
	}
	if r.owner != "" && !ownerName.MatchString(r.owner) {
		return fmt.Errorf("owner %q is no name of an account", r.owner)
	}
	for word := range strings.SplitSeq(platforms, ",") {
		system, arch, found := strings.Cut(word, "/")
		if !found {
			return fmt.Errorf("platform %q is not like linux/amd64", word)
		}
		r.platforms = append(r.platforms, platform{system, arch})
	}
	var err error
	r.at, err = r.time()
	return err
}

// time is SOURCE_DATE_EPOCH, or that of the commit.
func (r *release) time() (time.Time, error) {
	text := os.Getenv("SOURCE_DATE_EPOCH")
	if text == "" {
		out, err := exec.CommandContext(r.ctx, "git", "log", "-1", "--format=%ct").Output()
		if err != nil {
			return time.Time{}, fmt.Errorf("asking git for the commit's time: %w; outside of a checkout set SOURCE_DATE_EPOCH", err)
		}
		text = strings.TrimSpace(string(out))
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH: %w", err)
	}
	at := time.Unix(seconds, 0).UTC()
	if at.Year() < 1980 || at.Year() > 2107 {
		return time.Time{}, fmt.Errorf("%s can't be told in a zip file", at)
	}
	return at, nil
}

func (r *release) make() error {
	if err := os.RemoveAll(r.out); err != nil {
		return err
	}
	if err := os.MkdirAll(r.out, 0o755); err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "nemotron-mcp-release-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	common, err := r.common(work)
	if err != nil {
		return err
	}
	for _, p := range r.platforms {
		if err := r.platform(work, p, common); err != nil {
			return fmt.Errorf("%s/%s: %w", p.os, p.arch, err)
		}
	}
	if r.owner == "" {
		fmt.Println("no owner is given: no server.json")
	} else if err := r.registryEntry(); err != nil {
		return fmt.Errorf("server.json: %w", err)
	}
	return checksums(r.out)
}

// common are the files that every archive has.
func (r *release) common(work string) ([]entry, error) {
	host := filepath.Join(work, "host")
	if err := r.build(host, platform{}); err != nil {
		return nil, err
	}
	files := []entry{}
	for _, printed := range []struct {
		path string
		args []string
	}{
		{"man/nemotron-mcp.1", []string{"man", "--date", r.at.Format(time.DateOnly)}},
		{"completions/nemotron-mcp.bash", []string{"completion", "bash"}},
		{"completions/_nemotron-mcp", []string{"completion", "zsh"}},
		{"completions/nemotron-mcp.fish", []string{"completion", "fish"}},
		{"completions/nemotron-mcp.ps1", []string{"completion", "powershell"}},
	} {
		out, err := exec.CommandContext(r.ctx, host, printed.args...).Output()
		if err != nil {
			return nil, fmt.Errorf("%v: %w", printed.args, err)
		}
		files = append(files, entry{path: printed.path, data: out, mode: 0o644})
	}
	for _, name := range []string{"README.md", "LICENSE"} {
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		files = append(files, entry{path: name, data: data, mode: 0o644})
	}
	notices, err := r.notices()
	if err != nil {
		return nil, err
	}
	return append(files, entry{path: noticesFile, data: notices, mode: 0o644}), nil
}

// platform makes the archive and the bundle of a platform.
func (r *release) platform(work string, p platform, common []entry) error {
	fmt.Println(r.name(p))
	built := filepath.Join(work, p.os+"-"+p.arch)
	if err := r.build(built, p); err != nil {
		return err
	}
	binary, err := os.ReadFile(built)
	if err != nil {
		return err
	}
	files := append([]entry{{path: p.binary(), data: binary, mode: 0o755}}, common...)
	for i := range files {
		files[i].path = r.name(p) + "/" + files[i].path
	}
	write, end := writeTarGz, ".tar.gz"
	if p.os == "windows" {
		write, end = writeZip, ".zip"
	}
	if err := writeFile(filepath.Join(r.out, r.name(p)+end), func(f *os.File) error { return write(f, files, r.at) }); err != nil {
		return err
	}
	if r.mcpb == "" {
		return nil
	}
	return r.bundle(work, p, binary, common)
}

// build makes a binary; for this machine where the platform is empty.
func (r *release) build(out string, p platform) error {
	build := exec.CommandContext(r.ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -X main.version=v"+r.version, "-o", out, ".")
	build.Env = append(os.Environ(),
		"CGO_ENABLED=0", "GOFLAGS=", "GOEXPERIMENT=", "GOFIPS140=off", "GOAMD64=v1", "GOARM64=v8.0", "GOOS="+p.os, "GOARCH="+p.arch)
	build.Stdout, build.Stderr = os.Stdout, os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("go build: %w", err)
	}
	return nil
}

// system is a platform's name for bundles.
func (p platform) system() string { return cmp.Or(map[string]string{"windows": "win32"}[p.os], p.os) }
