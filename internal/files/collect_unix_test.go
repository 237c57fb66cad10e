//go:build unix

package files

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCollectAmongLinks(t *testing.T) {
	t.Parallel()
	dir := tree(t, map[string]string{"a.go": "a", "sub/b.go": "b", "hard1.go": "h", "secret/.env": "s"})
	for name, target := range map[string]string{"z.go": "a.go", "link": "sub", "loop": "."} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Link(filepath.Join(dir, "hard1.go"), filepath.Join(dir, "hard2.go")); err != nil {
		t.Fatal(err)
	}
	f := allow(t, dir)
	for _, tc := range []struct {
		name     string
		patterns []string
		want     []string
	}{
		{"a file under two names comes once", []string{"z.go", "a.go", "link/b.go", "sub/b.go"}, []string{"a.go", "link/b.go"}},
		{"globs follow no link and leave hard links out", []string{"**/*.go"}, []string{"a.go", "sub/b.go"}},
		{"but start from one", []string{"link/*.go"}, []string{"link/b.go"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			texts, err := f.Collect(t.Context(), tc.patterns, DefaultLimits())
			if diff := cmp.Diff(tc.want, shown(texts)); diff != "" || err != nil {
				t.Errorf("%v\n%s", err, diff)
			}
		})
	}
	_, err := f.Collect(t.Context(), []string{"hard1.go"}, DefaultLimits())
	wantError(t, err, CodeNotAllowed, "hard links")
}
