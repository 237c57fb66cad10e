package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	at    = time.Date(2026, 1, 2, 3, 4, 6, 0, time.UTC)
	files = []entry{
		{path: "x/program", data: []byte("program"), mode: 0o755},
		{path: "x/README.md", data: []byte("read me"), mode: 0o644},
	}
)

// TestArchives have what they are given, and say neither who made them nor when.
func TestArchives(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name  string
		write func(io.Writer, []entry, time.Time) error
		read  func(t *testing.T, data []byte) []entry
	}{
		{"tar.gz", writeTarGz, readTarGz},
		{"zip", writeZip, readZip},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var one, two bytes.Buffer
			reversed := slices.Clone(files)
			slices.Reverse(reversed)
			elsewhere := at.In(time.FixedZone("elsewhere", 9*60*60))
			if err := errors.Join(tc.write(&one, files, at), tc.write(&two, reversed, elsewhere)); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(one.Bytes(), two.Bytes()) {
				t.Error("order or time zone shows in the bytes")
			}
			got := tc.read(t, one.Bytes())
			if len(got) != 2 || string(got[0].data) != "read me" || got[1].path != "x/program" || got[1].mode != 0o755 {
				t.Errorf("got %v", got)
			}
		})
	}
}

func readTarGz(t *testing.T, data []byte) (got []entry) {
	t.Helper()
	packed, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if !packed.ModTime.IsZero() || packed.Name != "" {
		t.Errorf("gzip tells %v %q", packed.ModTime, packed.Name)
	}
	for archive := tar.NewReader(packed); ; {
		header, err := archive.Next()
		if err == io.EOF {
			return got
		}
		if err != nil {
			t.Fatal(err)
		}
		if !header.ModTime.Equal(at) || header.Uid != 0 || header.Uname != "" {
			t.Errorf("tar tells %v %d %q", header.ModTime, header.Uid, header.Uname)
		}
		text, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, entry{header.Name, text, header.FileInfo().Mode()})
	}
}

func readZip(t *testing.T, data []byte) (got []entry) {
	t.Helper()
	archive, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range archive.File {
		if !f.Modified.Equal(at) {
			t.Errorf("zip tells %v", f.Modified)
		}
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, entry{f.Name, text, f.Mode()})
	}
	return got
}

// TestSettings are refused before anything is made.
func TestSettings(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "1767323046")
	cases := []struct {
		name, version, owner, platforms, epoch, fault string
	}{
		{"good", "1.2.3", "example", "linux/amd64", "1767323046", ""},
		{"with a v", "v1.2.3-rc.1", "", "linux/amd64,windows/arm64", "1767323046", ""},
		{"no version", "", "", "linux/amd64", "1767323046", "not like 1.2.3"},
		{"a range", "^1.2.3", "", "linux/amd64", "1767323046", "not like 1.2.3"},
		{"an owner with a slash", "1.2.3", "a/b", "linux/amd64", "1767323046", "no name of an account"},
		{"no platform", "1.2.3", "", "linux", "1767323046", "not like linux/amd64"},
		{"no time", "1.2.3", "", "linux/amd64", "yesterday", "SOURCE_DATE_EPOCH"},
		{"before zip", "1.2.3", "", "linux/amd64", "0", "can't be told"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			t.Setenv("SOURCE_DATE_EPOCH", tc.epoch)
			r := release{version: tc.version, owner: tc.owner, ctx: t.Context()}
			err := r.set(tc.platforms)
			if tc.fault == "" {
				if err != nil || !r.at.Equal(at) || strings.HasPrefix(r.version, "v") {
					t.Errorf("%v, %v, %s", err, r.at, r.version)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tc.fault) {
				t.Errorf("got %v, want %q", err, tc.fault)
			}
		})
	}
}

// TestNotices names each licence, and refuses a module without one.
func TestNotices(t *testing.T) {
	t.Parallel()
	with, without := t.TempDir(), t.TempDir()
	for name, text := range map[string]string{"LICENSE": "do as you like\r\n", "NOTICE.md": "made by us", "license.go": "package x", "README": "x"} {
		if err := os.WriteFile(filepath.Join(with, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := writeNotices([]module{{"example.com/with", "v1.0.0", with}})
	if err != nil {
		t.Fatal(err)
	}
	for _, wanted := range []string{"example.com/with v1.0.0\n", "--- LICENSE ---\n\ndo as you like\n", "--- NOTICE.md ---\n\nmade by us\n"} {
		if !strings.Contains(string(got), wanted) {
			t.Errorf("no %q in:\n%s", wanted, got)
		}
	}
	if strings.Contains(string(got), "package x") || strings.Contains(string(got), "README") {
		t.Errorf("too much:\n%s", got)
	}
	if _, err := writeNotices([]module{{"example.com/without", "v1.0.0", without}}); err == nil {
		t.Error("a module without a licence is passed on")
	}
}

// TestManifestOfPlatform has the one binary that its bundle has.
func TestManifestOfPlatform(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "..", "dist", "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		platform             platform
		system, binary, icon string
	}{
		{platform{"linux", "arm64"}, "linux", "server/nemotron-mcp", ""},
		{platform{"darwin", "amd64"}, "darwin", "server/nemotron-mcp", "icon.png"},
		{platform{"windows", "amd64"}, "win32", "server/nemotron-mcp.exe", "icon.png"},
	}
	for _, tc := range cases {
		t.Run(tc.platform.os, func(t *testing.T) {
			t.Parallel()
			r := release{version: "1.2.3", owner: "example"}
			filled, err := r.manifest(text, tc.platform, tc.icon != "")
			if err != nil {
				t.Fatal(err)
			}
			var got struct {
				Version, Icon string
				Repository    struct{ URL string }
				Compatibility struct{ Platforms []string }
				Server        struct {
					EntryPoint string                   `json:"entry_point"`
					Config     struct{ Command string } `json:"mcp_config"`
				}
			}
			if err := json.Unmarshal(filled, &got); err != nil {
				t.Fatal(err)
			}
			if got.Version != "1.2.3" || got.Icon != tc.icon || got.Repository.URL != "https://github.com/example/nemotron-mcp" ||
				!slices.Equal(got.Compatibility.Platforms, []string{tc.system}) ||
				got.Server.EntryPoint != tc.binary || got.Server.Config.Command != "${__dirname}/"+tc.binary {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// bundleSum is the SHA-256 of "bundle".
const bundleSum = "1e6ed65d77d6364eeaed5a745ba5c4985ae2b700dd85d7cf7f027bdf294a33fc"

// TestRegistryEntry has a package for each bundle that there is.
func TestRegistryEntry(t *testing.T) {
	t.Chdir(filepath.Join("..", ".."))
	r := release{version: "1.2.3", owner: "Example", out: t.TempDir(), platforms: []platform{{"linux", "amd64"}, {"darwin", "arm64"}, {"windows", "amd64"}}}
	for _, name := range []string{"nemotron-mcp_1.2.3_linux_amd64.mcpb", "nemotron-mcp_1.2.3_windows_amd64.mcpb"} {
		if err := os.WriteFile(filepath.Join(r.out, name), []byte("bundle"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(r.registryEntry(), checksums(r.out)); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(r.out, "server.json"))
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Name, Version string
		Packages      []struct{ Identifier, FileSha256 string }
	}
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, p := range got.Packages {
		names = append(names, p.Identifier)
	}
	want := []string{
		"https://github.com/Example/nemotron-mcp/releases/download/v1.2.3/nemotron-mcp_1.2.3_linux_amd64.mcpb",
		"https://github.com/Example/nemotron-mcp/releases/download/v1.2.3/nemotron-mcp_1.2.3_windows_amd64.mcpb",
		"ghcr.io/example/nemotron-mcp:1.2.3",
	}
	if got.Name != "io.github.Example/nemotron-mcp" || got.Version != "1.2.3" || !slices.Equal(names, want) {
		t.Errorf("got %+v", got)
	}
	if got.Packages[0].FileSha256 != bundleSum || got.Packages[2].FileSha256 != "" {
		t.Errorf("sums %s, %s", got.Packages[0].FileSha256, got.Packages[2].FileSha256)
	}
	sums, err := os.ReadFile(filepath.Join(r.out, checksumsFile))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(sums), bundleSum+"  nemotron-mcp_1.2.3_linux_amd64.mcpb\n") || strings.Contains(string(sums), checksumsFile) {
		t.Errorf("checksums:\n%s", sums)
	}
}
