package files

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/google/go-cmp/cmp"
)

func TestExpand(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, glob string
		want       []string // nil: too many
	}{
		{"none", "src/*.go", []string{"src/*.go"}},
		{"one", "{src,lib}/*.go", []string{"src/*.go", "lib/*.go"}},
		{"nested", "a{b,{c,d}e}f", []string{"abf", "acef", "adef"}},
		{"two", "{a,b}{c,d}", []string{"ac", "ad", "bc", "bd"}},
		{"empty ones", "a{,b}{}", []string{"a", "ab"}},
		{"once each", "{a,a}{b,b}", []string{"ab"}},
		{"escaped", `\{a,b\}{c,\,}`, []string{`\{a,b\}c`, `\{a,b\}\,`}},
		{"in a class", "[{,}]{a,[,}]}", []string{"[{,}]a", "[{,}][,}]"}},
		{"64", strings.Repeat("{a,b}", 6), nil},
		{"65", "{" + strings.Repeat(",", 64) + "}", nil},
		{"128", strings.Repeat("{a,b}", 7), nil},
		{"2 to the 64th", strings.Repeat("{a,a}", 64), nil},
		{"one in the other", strings.Repeat("{", 64) + strings.Repeat(",a}", 64), nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got := expand(tc.glob)
			if tc.name == "64" {
				if len(got) != 64 || got[0] != "aaaaaa" || got[63] != "bbbbbb" {
					t.Errorf("got %q", got)
				}
				return
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPatternMatch(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		pattern, name string
		want          bool
	}{
		{"**/*.go", "a.go", true},
		{"**/*.go", "a/b/c.go", true},
		{"a/**/b", "a/b", true},
		{"a/**/b", "a/x/b/y/b", true},
		{"a/**/b", "a/x/b/y", false},
		{"**/a/**/b/**", "x/a/y/b/z", true},
		{"**/a/**/b/**", "x/b/y/a/z", false},
		{"*", "a/b", false},
		{"a**b/c", "axxb/c", true},
		{"a**b", "a/b", false},
		{"a[!x]b", "a/b", false},
		{"[a/b].c", "a.c", true},
		{`a\/b`, "a/b", true},
		{`\**`, "*x", true},
		{`\**`, "x", false},
		{"[é]?", "éü", true},
	} {
		p, ok := newPattern(tc.pattern)
		if !ok || p.match(strings.Split(tc.name, "/")) != tc.want {
			t.Errorf("%s on %s: %v, want %v", tc.pattern, tc.name, !tc.want, tc.want)
		}
	}
	for _, malformed := range []string{"[a", "a/[", `a\`, "[]", strings.Repeat("**/", 9), strings.Repeat("a", maxPattern+1)} {
		if _, ok := newPattern(malformed); ok {
			t.Errorf("%.20q is taken", malformed)
		}
	}
}

// TestCostlyGlobs asks for what would take doublestar longer than the world
// lasts; a cancel must end it in any case.
func TestCostlyGlobs(t *testing.T) {
	t.Parallel()
	name := strings.Repeat("a", 60)
	f := allow(t, tree(t, map[string]string{name: "x", "d/" + strings.Repeat("a", 250): "y"}))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, tc := range []struct{ name, glob, fault string }{
		{"braces", strings.Repeat("{a,a}", 64), "too many alternatives"},
		{"braces in braces", strings.Repeat("{a,", 64) + strings.Repeat("}", 64), "too many alternatives"},
		{"stars", "**/" + strings.Repeat("*a", 300) + "b", "no file matches"},
		{"double stars", strings.Repeat("**/*a*a", 8) + "b", "no file matches"},
	} {
		_, err := f.Collect(ctx, []string{tc.glob}, DefaultLimits())
		wantError(t, err, CodeInvalid, tc.fault)
	}
}

// TestAlternativesStartBelow tells that each alternative has its own fixed part,
// by an entry limit that the rest of the tree is beyond.
func TestAlternativesStartBelow(t *testing.T) {
	t.Parallel()
	content := map[string]string{"src/a.go": "a", "lib/b.go": "b", "lib/.hid/c.go": "c", ".hid/d.go": "d"}
	for i := range 50 {
		content["node_modules/"+strings.Repeat("x", i+1)] = "x"
	}
	f := allow(t, tree(t, content))
	limits := Limits{Bytes: 1000, Files: 10, Entries: 5, Depth: 5}
	texts, err := f.Collect(t.Context(), []string{"{src,lib}/*.go"}, limits)
	if diff := cmp.Diff([]string{"lib/b.go", "src/a.go"}, shown(texts)); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	// Alternatives below one folder walk it once.
	texts, err = f.Collect(t.Context(), []string{"lib/*{.go,.ts,.js}"}, limits)
	if diff := cmp.Diff([]string{"lib/b.go"}, shown(texts)); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	// What one alternative names by its dot stays hidden from the other.
	texts, err = f.Collect(t.Context(), []string{"{.hid/*.txt,**/*.go}"}, DefaultLimits())
	if diff := cmp.Diff([]string{"lib/b.go", "src/a.go"}, shown(texts)); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	_, err = f.Collect(t.Context(), []string{"{src,../x}/*"}, limits)
	wantError(t, err, CodeNotAllowed, "leads out")
	_, err = f.Collect(t.Context(), []string{"{src," + filepath.ToSlash(t.TempDir()) + "}/*"}, limits)
	wantError(t, err, CodeNotAllowed, "not in an allowed folder")
}

// endsAfter is a context that ends when it was asked a number of times.
type endsAfter struct {
	context.Context
	left int
}

func (c *endsAfter) Err() error {
	if c.left--; c.left < 0 {
		return context.Canceled
	}
	return nil
}

func TestCancelBetweenMatches(t *testing.T) {
	t.Parallel()
	f := allow(t, tree(t, map[string]string{"a": "a", "b": "b", ".gitignore": strings.Repeat("x\n", 10_000)}))
	asked := 0
	for ; asked < 10_000; asked++ {
		_, err := f.Collect(&endsAfter{t.Context(), asked}, []string{"*"}, DefaultLimits())
		if err == nil {
			break
		}
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("asked %d times: %v", asked, err)
		}
	}
	if asked < 2*10_000/256 {
		t.Errorf("the context was asked %d times only", asked)
	}
}

func FuzzGlob(f *testing.F) {
	for _, seed := range [][2]string{
		{"src/**/*.go", "src/a/b.go"},
		{"{a,b}/{c,d{e,f}}", "a/de"},
		{strings.Repeat("{a,a}", 64), strings.Repeat("a", 60)},
		{strings.Repeat("*a", 100), strings.Repeat("a", 255)},
		{strings.Repeat("**/a/", 8), strings.Repeat("a/", 60)},
		{`[!a]\/**`, "b/c"},
		{"a***/b", "a/b"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, glob, name string) {
		elems := strings.FieldsFunc(name, func(r rune) bool { return r == '/' })
		if len(elems) == 0 || len(elems) > DefaultLimits().Depth || len(name) > maxPath {
			return
		}
		began := time.Now()
		starts, fault := splitGlob(glob)
		for _, start := range starts {
			for _, p := range start.patterns {
				matched := p.match(elems)
				if matched && !p.leads(elems[:len(elems)-1]) {
					t.Errorf("%q matches %q, and does not lead there", p, elems)
				}
				p.shows(elems)
			}
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%q took %s on %q", glob, took, name)
		}
		agree(t, glob, fault != nil, elems)
	})
}

// agree compares a brace-free pattern with doublestar, but where doublestar lets
// a class take a slash, or a pattern for a folder a file.
func agree(t *testing.T, glob string, refused bool, elems []string) {
	p, ok := newPattern(glob)
	if !ok || strings.ContainsAny(glob, "{}") || strings.HasSuffix(glob, "/") {
		return
	}
	if refused && !strings.Contains(glob, "..") && !strings.ContainsAny(glob, "\x00\\") && strings.ToValidUTF8(glob, "") == glob && !doublestar.ValidatePattern(glob) {
		t.Errorf("%q is a pattern, and no glob", glob)
	}
	plain, ours := strings.Join(p, "/"), p.match(elems)
	theirs := doublestar.MatchUnvalidated(plain, strings.Join(elems, "/"))
	if ours == theirs || theirs && strings.Contains(glob, "[") && len(elems) > 1 {
		return
	}
	t.Errorf("%q on %q: %v, doublestar says %v", plain, elems, ours, theirs)
}
