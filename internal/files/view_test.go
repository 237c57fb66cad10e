package files

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRefusedFoldersAreTold(t *testing.T) {
	t.Parallel()
	base := tree(t, map[string]string{"home/x": "x", "file": "x", "a/a": "a"})
	at := func(name string) string { return filepath.Join(base, name) }
	f := &Folders{home: func() (string, error) { return at("home"), nil }}
	t.Cleanup(f.Close)
	f.Set([]string{at("home"), at("missing\u202e"), "relative", at("file"), filepath.VolumeName(base) + string(filepath.Separator)})
	_, err := open(t, f, "a")
	got := wantError(t, err, CodeNotAllowed, "no folder is allowed").Message
	for _, part := range []string{at("home") + `" is the home folder`, `missing\u202e" does not exist`, `"relative" is not an absolute path`, ", 2 more"} {
		if !strings.Contains(got, part) {
			t.Errorf("%q is not told: %s", part, got)
		}
	}
	if strings.Contains(got, "not a folder") {
		t.Errorf("more than three are named: %s", got)
	}
	_, err = f.Collect(t.Context(), []string{"*"}, DefaultLimits())
	wantError(t, err, CodeNotAllowed, at("home")+`" is the home folder`)

	f.Set([]string{at("file"), at("a")})
	outside := filepath.Join(filepath.Dir(base), "x")
	for _, name := range []string{outside, outside + "*"} {
		_, err := f.Collect(t.Context(), []string{name}, DefaultLimits())
		wantError(t, err, CodeNotAllowed, `allowed: "`+at("a")+`"; refused: "`+at("file")+`" is not a folder`)
	}
	f.Discreet(true)
	for _, name := range []string{outside, outside + "*"} {
		_, err := f.Collect(t.Context(), []string{name}, DefaultLimits())
		if got := wantError(t, err, CodeNotAllowed, "not in an allowed folder").Message; strings.Contains(got, base+string(filepath.Separator)) {
			t.Errorf("paths are told: %s", got)
		}
	}
	f.Set([]string{at("file")})
	_, err = open(t, f, "a")
	if got := wantError(t, err, CodeNotAllowed, "no folder is allowed").Message; strings.Contains(got, base) {
		t.Errorf("paths are told: %s", got)
	}
}

func TestGoneFolderIsTold(t *testing.T) {
	t.Parallel()
	dir, old, f := replaced(t)
	must(t, os.Rename(dir, old))
	_, err := open(t, f, filepath.Join(dir, "a"))
	wantError(t, err, CodeNotAllowed, `refused: "`+dir+`" does not exist`)
}

func TestManyFolders(t *testing.T) {
	t.Parallel()
	base := tree(t, nil)
	var dirs []string
	for i := range maxFolders + 2 {
		dirs = append(dirs, filepath.Join(base, fmt.Sprintf("%02d", i)))
		must(t, os.Mkdir(dirs[i], 0o755))
	}
	f := &Folders{}
	t.Cleanup(f.Close)
	refused := f.Set(append(dirs, dirs[0]))
	if len(refused) != 2 || refused[0].Folder != dirs[64] || !strings.Contains(refused[0].Reason, "at most 64") || len(f.List()) != 64 {
		t.Errorf("refused %v", refused)
	}
	_, err := open(t, f, filepath.Join(base, "x"))
	fault := wantError(t, err, CodeNotAllowed, `04", 59 more; refused: "`)
	if len(fault.Message) > 4000 {
		t.Errorf("the message has %d bytes", len(fault.Message))
	}
}
