// Command packaging checks what is packed and needs tools of its own for it:
//
//	packaging image CONTEXT DOCKERFILE SIMULATOR
//
// lints a Dockerfile with BuildKit's own parser, then goes through its steps
// without an engine: the build stage in a folder, the last stage into another,
// which becomes the root of the server, read only, for the image's user.
//
//	packaging server-json FILE
//
// holds a server.json to the registry's own schema.
package main

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

func main() {
	err := errors.New("usage: packaging image CONTEXT DOCKERFILE SIMULATOR | packaging server-json FILE")
	switch args := os.Args[1:]; {
	case len(args) == 4 && args[0] == "image":
		err = checkImage(args[1], args[2], args[3])
	case len(args) == 2 && args[0] == "server-json":
		err = checkServerJSON(args[1])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "FAIL ", err)
		os.Exit(1)
	}
}

// image is what the last stage comes to.
type image struct {
	root, user, workdir         string
	env, entrypoint, cmd, check []string
	volumes                     []string
	stop                        string
}

func checkImage(context, dockerfile, simulator string) error {
	stages, err := parse(dockerfile)
	if err != nil {
		return err
	}
	fmt.Println("ok    image: the Dockerfile has no fault that BuildKit tells")
	work, err := os.MkdirTemp("", "nemotron-mcp-image-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	if len(stages) != 2 || stages[1].BaseName != "scratch" {
		return errors.New("the Dockerfile is not one stage to build and one from scratch")
	}
	build := &stage{folder: filepath.Join(work, "build"), context: context, dockerfile: dockerfile}
	if err := build.run(stages[0]); err != nil {
		return err
	}
	last := &stage{folder: filepath.Join(work, "root"), from: build}
	if err := last.run(stages[1]); err != nil {
		return err
	}
	last.root = last.folder
	return last.image.start(work, simulator)
}

func parse(dockerfile string) ([]instructions.Stage, error) {
	text, err := os.ReadFile(dockerfile)
	if err != nil {
		return nil, err
	}
	parsed, err := parser.Parse(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	var faults []error
	lint := linter.New(&linter.Config{Warn: func(rule, _, _, message string, at []parser.Range) {
		line := 0
		if len(at) > 0 {
			line = at[0].Start.Line
		}
		faults = append(faults, fmt.Errorf("%s:%d: %s: %s", dockerfile, line, rule, message))
	}})
	stages, _, err := instructions.Parse(parsed.AST, lint)
	for _, w := range parsed.Warnings {
		faults = append(faults, errors.New(w.Short))
	}
	return stages, errors.Join(append(faults, err)...)
}

// stage is one of a Dockerfile's that is gone through. folder is its working
// folder where it builds, and its root where it is the last.
type stage struct {
	image
	folder, context, dockerfile string
	from                        *stage
	args                        []string
}

func (s *stage) run(parsed instructions.Stage) error {
	if err := os.MkdirAll(s.folder, 0o755); err != nil {
		return err
	}
	s.args = []string{"BUILDPLATFORM=linux/" + runtime.GOARCH}
	given := map[string]string{"TARGETOS": "linux", "TARGETARCH": runtime.GOARCH, "VERSION": "1.2.3", "OWNER": "example"}
	for _, command := range parsed.Commands {
		if err := s.command(command, given); err != nil {
			return fmt.Errorf("%s: %w", command.Name(), err)
		}
	}
	return nil
}

func (s *stage) command(command instructions.Command, given map[string]string) error {
	switch c := command.(type) {
	case *instructions.ArgCommand:
		for _, arg := range c.Args {
			if _, known := given[arg.Key]; !known {
				return fmt.Errorf("nobody gives %s", arg.Key)
			}
			s.args = append(s.args, arg.Key+"="+given[arg.Key])
		}
	case *instructions.WorkdirCommand:
		s.workdir = c.Path
	case *instructions.CopyCommand:
		return s.copy(c)
	case *instructions.RunCommand:
		run := exec.Command("sh", "-c", strings.Join(c.CmdLine, " "))
		run.Dir, run.Env = s.folder, append(os.Environ(), s.args...)
		run.Stdout, run.Stderr = os.Stdout, os.Stderr
		return run.Run()
	case *instructions.EnvCommand:
		for _, pair := range c.Env {
			s.env = append(s.env, pair.Key+"="+pair.Value)
		}
	case *instructions.UserCommand:
		s.user = c.User
	case *instructions.VolumeCommand:
		s.volumes = c.Volumes
	case *instructions.EntrypointCommand:
		s.entrypoint = c.CmdLine
		if c.PrependShell {
			return errors.New("wants a shell, which the image has not")
		}
	case *instructions.CmdCommand:
		s.cmd = c.CmdLine
		if c.PrependShell {
			return errors.New("wants a shell, which the image has not")
		}
	case *instructions.HealthCheckCommand:
		if len(c.Health.Test) == 0 || c.Health.Test[0] != "CMD" {
			return errors.New("wants a shell, which the image has not")
		}
		s.check = c.Health.Test[1:]
	case *instructions.StopSignalCommand:
		s.stop = c.Signal
	case *instructions.LabelCommand:
		return s.label(c)
	case *instructions.ExposeCommand:
	default:
		return errors.New("is not known here: add it")
	}
	return nil
}

// label looks for the label that the registry wants.
func (s *stage) label(c *instructions.LabelCommand) error {
	lex := shell.NewLex('\\')
	for _, pair := range c.Labels {
		value, _, err := lex.ProcessWord(pair.Value, shell.EnvsFromSlice(s.args))
		if err != nil {
			return err
		}
		if pair.Key == "io.modelcontextprotocol.server.name" && value == "io.github.example/nemotron-mcp" {
			return nil
		}
	}
	return errors.New("there is no io.modelcontextprotocol.server.name with the registry's name")
}

func (s *stage) copy(c *instructions.CopyCommand) error {
	if s.from == nil {
		return s.copyContext()
	}
	source, found := strings.CutPrefix(c.SourcePaths[0], s.from.workdir+"/")
	if !found {
		return fmt.Errorf("%s is not of the stage before", c.SourcePaths[0])
	}
	into := filepath.Join(s.folder, c.DestPath)
	if err := copyTree(filepath.Join(s.from.folder, source), into, func(string) bool { return true }); err != nil {
		return err
	}
	uid, gid, err := ids(c.Chown)
	if err != nil {
		return err
	}
	return filepath.WalkDir(into, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || c.Chown == "" {
			return err
		}
		return os.Lchown(path, uid, gid)
	})
}

// copyContext copies what the .dockerignore leaves.
func (s *stage) copyContext() error {
	f, err := os.Open(s.dockerfile + ".dockerignore")
	if err != nil {
		return err
	}
	defer f.Close()
	patterns, err := ignorefile.ReadAll(f)
	if err != nil {
		return err
	}
	ignored, err := patternmatcher.New(patterns)
	if err != nil {
		return err
	}
	return copyTree(s.context, s.folder, func(path string) bool {
		out, err := ignored.MatchesOrParentMatches(path)
		return err == nil && !out && !strings.HasPrefix(path, ".git/")
	})
}

// copyTree copies the files that wanted says, with their folders; all folders
// where nothing is left out.
func copyTree(from, to string, wanted func(string) bool) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		target := filepath.Join(to, name)
		if d.IsDir() {
			if d.Name() == "node_modules" || d.Name() == ".git" {
				return filepath.SkipDir
			}
			if name == "." || wanted(name) {
				if err := os.MkdirAll(target, 0o755); err != nil {
					return err
				}
				return os.Chmod(target, info.Mode().Perm())
			}
			return nil
		}
		if !wanted(name) || !d.Type().IsRegular() {
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		return os.WriteFile(target, data, info.Mode().Perm())
	})
}

func ids(user string) (uid, gid int, err error) {
	if user == "" {
		return 0, 0, nil
	}
	a, b, _ := strings.Cut(user, ":")
	uid, err = strconv.Atoi(a)
	if err != nil {
		return 0, 0, err
	}
	gid, err = strconv.Atoi(b)
	return uid, gid, err
}

// start starts the image as an engine does that is told --read-only.
func (i *image) start(work, simulator string) error {
	if uid, _, err := ids(i.user); err != nil || uid == 0 {
		return fmt.Errorf("user %q is not one by number, or root", i.user)
	}
	binary := filepath.Join(i.root, i.entrypoint[0])
	linked, err := elf.Open(binary)
	if err != nil {
		return err
	}
	defer linked.Close()
	if slices.ContainsFunc(linked.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
		return errors.New("the binary is not static")
	}
	certs, err := os.ReadFile(filepath.Join(i.root, "etc/ssl/certs/ca-certificates.crt"))
	if err != nil || !bytes.Contains(certs, []byte("BEGIN CERTIFICATE")) {
		return fmt.Errorf("there are no certificates: %v", err)
	}
	sim, env, err := simulate(simulator)
	if err != nil {
		return err
	}
	defer sim.end(syscall.SIGTERM)
	if err := i.stdio(env); err != nil {
		return fmt.Errorf("stdio: %w", err)
	}
	fmt.Println("ok    image: serves stdio as a user of its own on a read-only root")
	if err := i.http(env); err != nil {
		return fmt.Errorf("HTTP: %w", err)
	}
	fmt.Println("ok    image: serves HTTP, tells its health, ends at its stop signal")
	return nil
}

// enter makes the namespace of a container: the root is read only, the volumes
// belong to whom they belong to in the image.
const enter = `set -e
root=$1; user=$2; volumes=$3; shift 3
mount --bind "$root" "$root"
for volume in $volumes; do
  mount -t tmpfs -o "$(stat -c uid=%u,gid=%g,mode=%a "$root$volume")" tmpfs "$root$volume"
done
mount -o remount,ro,bind "$root"
! touch "$root/written" 2>/dev/null
exec chroot --userspec="$user" "$root" "$@"`

// command is a process in the image.
func (i *image) command(env []string, args ...string) *exec.Cmd {
	c := exec.Command("unshare", append([]string{"--mount", "sh", "-c", enter, "-", i.root, i.user, strings.Join(i.volumes, " ")}, args...)...)
	c.Env = append(append(slices.Clone(i.env), env...), "PATH=/usr/sbin:/usr/bin:/sbin:/bin")
	return c
}
