package files

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func project(t *testing.T) string {
	t.Helper()
	return tree(t, map[string]string{
		"main.go": "package main\n", "src/a.go": "a", "src/deep/b.go": "b", "src/deep/c.txt": "c", "src/gen/x.go": "generated",
		"src/.hidden/h.go": "hidden", "src/prod.env": "secret", "src/secrets.yaml": "secret", "src/id_map.go": "map", ".github/ci.yml": "ci", ".env": "secret", "app/[id]/page.tsx": "page",
		".gitignore": "/dist/\n*.log\n!keep.log\n", "src/.gitignore": "gen/\n", "dist/out.js": "out", "x.log": "x", "keep.log": "k",
		"src/deep/y.log": "y", "bin.dat": "a\x00b", "latin.txt": "caf\xe9", "empty.txt": "",
	})
}

func shown(texts []Text) []string {
	var names []string
	for _, text := range texts {
		names = append(names, text.Path)
	}
	return names
}

func TestCollect(t *testing.T) {
	t.Parallel()
	dir, two := project(t), tree(t, map[string]string{"src/a.go": "two's", "src/z.go": "z", "only/o.go": "o"})
	f := allow(t, dir, two)
	for _, tc := range []struct {
		name     string
		patterns []string
		want     []string
		fault    string
	}{
		{"a path", []string{"main.go"}, []string{"main.go"}, ""},
		{"in order, once", []string{"src/deep/b.go", "main.go", "./main.go", filepath.Join(dir, "main.go")}, []string{"main.go", "src/deep/b.go"}, ""},
		{"double star; ignored, hidden and secret left out; both folders", []string{"src/**/*.{go,env,yaml}"}, []string{"src/a.go", "src/deep/b.go", "src/id_map.go", "src/z.go"}, ""},
		{"star does not cross", []string{"src/*.go"}, []string{"src/a.go", "src/id_map.go", "src/z.go"}, ""},
		{"alternation", []string{"{src/deep,only}/*.{txt,go}"}, []string{"only/o.go", "src/deep/b.go", "src/deep/c.txt"}, ""},
		{"negated rule", []string{"*.log"}, []string{"keep.log"}, ""},
		{"ignored but named", []string{"x.log", "src/gen/x.go"}, []string{"src/gen/x.go", "x.log"}, ""},
		{"hidden and named by the glob", []string{".github/*.yml"}, []string{".github/ci.yml"}, ""},
		{"hidden and named by a part", []string{"**/.github/*.yml"}, []string{".github/ci.yml"}, ""},
		{"brackets as they stand", []string{"app/[id]/page.tsx"}, []string{"app/[id]/page.tsx"}, ""},
		{"glob and path", []string{"src/*.go", "src/a.go"}, []string{"src/a.go", "src/id_map.go", "src/z.go"}, ""},
		{"absolute glob", []string{filepath.Join(two, "only") + "/*.go"}, []string{filepath.ToSlash(two) + "/only/o.go"}, ""},
		{"empty file", []string{"empty.txt"}, []string{"empty.txt"}, ""},
		{"nothing", nil, nil, ""},
		{"ignored folder", []string{"dist/*.js"}, nil, "1 was left out"},
		{"two left out", []string{"{dist/*.js,src/gen/*}"}, nil, "2 were left out"},
		{"URI", []string{"file:///src/a.go"}, nil, "is a URI, not a path"},
		{"URI with a glob", []string{"FILE:///src/*.go"}, nil, "is a URI, not a path"},
		{"URI with alternatives", []string{"file://{a,b}"}, nil, "is a URI, not a path"},
		{"nothing matches", []string{"src/*.rs"}, nil, `no file matches "src/*.rs"`},
		{"missing", []string{"nope.go"}, nil, "not found"},
		{"binary", []string{"bin.dat", "latin.txt", "main.go"}, nil, `not UTF-8 text: "bin.dat", "latin.txt"`},
		{"secret named", []string{".env"}, nil, "named like a secret"},
		{"secret folder as a glob", []string{".git/*"}, nil, "named like a secret"},
		{"outside", []string{"/etc/*"}, nil, "not in an allowed folder"},
		{"climbs", []string{"../*"}, nil, "leads out"},
		{"folder", []string{"src"}, nil, "is a folder"},
		{"malformed", []string{"src/[a"}, nil, "no valid glob"},
		{"costly", []string{strings.Repeat("**/", 20) + "x"}, nil, "no valid glob"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if runtime.GOOS == "windows" && strings.HasPrefix(tc.name, "outside") {
				t.Skip("has no drive there")
			}
			texts, err := f.Collect(t.Context(), tc.patterns, DefaultLimits())
			if tc.fault != "" {
				var fault *Error
				if !errors.As(err, &fault) {
					t.Fatalf("got %v, %v", shown(texts), err)
				}
				wantError(t, err, fault.Code, tc.fault)
				return
			}
			if diff := cmp.Diff(tc.want, shown(texts)); diff != "" || err != nil {
				t.Errorf("%v\n%s", err, diff)
			}
		})
	}
	texts, err := f.Collect(t.Context(), []string{"src/a.go"}, DefaultLimits())
	if err != nil || texts[0].Content != "a" || texts[0].SHA256 != "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb" {
		t.Errorf("got %+v, %v", texts, err)
	}
}

func TestCollectLimits(t *testing.T) {
	t.Parallel()
	content := map[string]string{}
	for i := range 20 {
		content[fmt.Sprintf("f%02d.txt", i)] = strings.Repeat("x", 100+i)
	}
	content["d1/d2/d3/deep.md"] = "x"
	f := allow(t, tree(t, content))
	for _, tc := range []struct {
		name    string
		limits  Limits
		pattern string
		fault   string
	}{
		{"exactly the bytes", Limits{Bytes: 2190, Files: 20, Entries: 100, Depth: 9}, "*.txt", ""},
		{"one byte more", Limits{Bytes: 2189, Files: 20, Entries: 100, Depth: 9}, "*.txt", `2190 bytes, about 548 tokens; the limit is 2189 bytes. The largest: "f19.txt" (119), "f18.txt" (118)`},
		{"one file", Limits{Bytes: 1, Files: 19, Entries: 100, Depth: 9}, "f00*", `the 1 file has 100 bytes, about 25 tokens; the limit is 1 byte. The largest: "f00.txt" (100)`},
		{"files", Limits{Bytes: 9999, Files: 19, Entries: 100, Depth: 9}, "*.txt", "more than 19 files"},
		{"entries", Limits{Bytes: 9999, Files: 20, Entries: 10, Depth: 9}, "*.txt", "more than 10 files and folders"},
		{"depth", Limits{Bytes: 9999, Files: 20, Entries: 100, Depth: 2}, "**/*.md", "more than 2 deep"},
		{"depth reached", Limits{Bytes: 9999, Files: 20, Entries: 100, Depth: 3}, "**/*.md", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := f.Collect(t.Context(), []string{tc.pattern}, tc.limits)
			if tc.fault == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantError(t, err, CodeInvalid, tc.fault)
		})
	}
	_, err := f.Collect(t.Context(), slices.Repeat([]string{"f00.txt"}, 1001), DefaultLimits())
	wantError(t, err, CodeInvalid, "1001 paths")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.Collect(ctx, []string{"**/*"}, DefaultLimits()); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	_, err = new(Folders).Collect(t.Context(), []string{"*.go"}, DefaultLimits())
	wantError(t, err, CodeNotAllowed, "no folder is allowed")
}

func TestOverlappingFolders(t *testing.T) {
	t.Parallel()
	dir := tree(t, map[string]string{"a.go": "a", "sub/b.go": "b", "sub/deep/c.go": "c"})
	sub := filepath.Join(dir, "sub")
	for _, tc := range []struct {
		name     string
		folders  []string
		patterns []string
		want     []string
	}{
		{"the outer first", []string{dir, sub}, []string{"**/*.go"}, []string{"a.go", "sub/b.go", "sub/deep/c.go"}},
		{"the inner first", []string{sub, dir}, []string{"**/*.go"}, []string{"a.go", "b.go", "deep/c.go"}},
		{"by two paths", []string{dir, sub}, []string{"b.go", "sub/b.go", filepath.Join(sub, "b.go")}, []string{"sub/b.go"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			texts, err := allow(t, tc.folders...).Collect(t.Context(), tc.patterns, DefaultLimits())
			if diff := cmp.Diff(tc.want, shown(texts)); diff != "" || err != nil {
				t.Errorf("%v\n%s", err, diff)
			}
		})
	}
}

// TestIgnoreLikeGit compares with git itself.
func TestIgnoreLikeGit(t *testing.T) {
	t.Parallel()
	git, err := exec.LookPath("git")
	if err != nil {
		t.Skip("no git here")
	}
	lines := []string{
		"*.log", "!keep.log", "/top.txt", "build/", "a/**/z", "**/deep", "docs/**", "!docs/a", "foo/*", "!foo/bar", "x?y", "[abc].c", "[!abc].h",
		`\#hash`, `\!bang`, "{a,b}.txt", "trail  ", "# comment", "", "sub/dir", "*.o*", "q**r", "spa\\ ce", "/anch/*/end", "[", "dir.d/", `back\`, "[a-", "**",
	}
	// The last line ignores all; it is tried on its own.
	lines = lines[:len(lines)-1]
	paths := strings.Fields(`a.log keep.log d/keep.log top.txt d/top.txt build/x d/build/x a/z a/b/z a/b/c/z deep d/deep/f docs/a
		docs/b/c foo/bar foo/baz foo/q/r d/foo/bar xzy x/y a.c d.c a.h d.h #hash !bang {a,b}.txt a.txt trail sub/dir d/sub/dir x.o x.old
		qr qxr q/r anch/m/end anch/m/n/end dir.d/f dir.d.x back spa`)
	paths = append(paths, "spa ce", "build2")
	dir := tree(t, map[string]string{".gitignore": strings.Join(lines, "\n")})
	for _, name := range paths {
		full := filepath.Join(dir, filepath.FromSlash(name))
		if info, err := os.Stat(full); err == nil && info.IsDir() {
			continue
		}
		write(t, full, "x")
	}
	run := func(args ...string) string {
		cmd := exec.CommandContext(t.Context(), git, args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_NOSYSTEM=1")
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("git %v: %v", args, err)
		}
		return string(out)
	}
	run("init", "-q")
	want := strings.Split(strings.Trim(run("ls-files", "-z", "--others", "--exclude-standard"), "\x00"), "\x00")
	want = slices.DeleteFunc(want, func(name string) bool { return strings.HasPrefix(name, ".") })
	slices.Sort(want)
	texts, err := allow(t, dir).Collect(t.Context(), []string{"**/*"}, DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, shown(texts)); diff != "" {
		t.Errorf("git and Collect differ (-git):\n%s", diff)
	}
}
