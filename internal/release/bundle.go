package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// bundle has mcpb make the bundle of a platform.
func (r *release) bundle(work string, p platform, binary []byte, common []entry) error {
	text, err := os.ReadFile(filepath.Join("dist", "manifest.json"))
	if err != nil {
		return err
	}
	icon, err := os.ReadFile(filepath.Join("dist", "icon.png"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	manifest, err := r.manifest(text, p, len(icon) > 0)
	if err != nil {
		return fmt.Errorf("manifest.json: %w", err)
	}
	folder := filepath.Join(work, r.name(p))
	files := []entry{
		{path: "manifest.json", data: manifest, mode: 0o644},
		{path: "server/" + p.binary(), data: binary, mode: 0o755},
	}
	if len(icon) > 0 {
		files = append(files, entry{path: "icon.png", data: icon, mode: 0o644})
	}
	for _, f := range common {
		if f.path == "LICENSE" || f.path == noticesFile {
			files = append(files, f)
		}
	}
	for _, f := range files {
		path := filepath.Join(folder, filepath.FromSlash(f.path))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, f.data, f.mode); err != nil {
			return err
		}
		if err := os.Chmod(path, f.mode); err != nil { // whatever the umask
			return err
		}
	}
	// mcpb writes the time of the day into the bundle: it gets a clock that
	// stands still.
	clock, err := filepath.Abs(filepath.Join("dist", "still-clock.mjs"))
	if err != nil {
		return err
	}
	pack := exec.CommandContext(r.ctx, "node", "--import", "file://"+filepath.ToSlash(clock), r.mcpb, "pack", folder, filepath.Join(r.out, r.name(p)+".mcpb"))
	pack.Env = append(os.Environ(), "TZ=UTC", "SOURCE_DATE_EPOCH="+strconv.FormatInt(r.at.Unix(), 10))
	if out, err := pack.CombinedOutput(); err != nil {
		return fmt.Errorf("mcpb pack: %w\n%s", err, out)
	}
	return os.RemoveAll(folder)
}

// manifest is the bundle's for a platform: a bundle has one binary.
func (r *release) manifest(text []byte, p platform, icon bool) ([]byte, error) {
	var manifest map[string]any
	if err := json.Unmarshal(text, &manifest); err != nil {
		return nil, err
	}
	server, _ := manifest["server"].(map[string]any)
	config, _ := server["mcp_config"].(map[string]any)
	if config == nil {
		return nil, errors.New("no server.mcp_config")
	}
	manifest["version"] = r.version
	manifest["compatibility"] = map[string]any{"platforms": []string{p.system()}}
	server["entry_point"] = "server/" + p.binary()
	config["command"] = "${__dirname}/server/" + p.binary()
	if icon {
		manifest["icon"] = "icon.png"
	}
	if r.owner != "" {
		manifest["repository"] = map[string]any{"type": "git", "url": "https://github.com/" + r.owner + "/nemotron-mcp"}
	}
	return encode(manifest)
}

// registryEntry writes server.json, with a package for each bundle that is in
// the folder, and its checksum.
func (r *release) registryEntry() error {
	text, err := os.ReadFile(filepath.Join("dist", "server.json"))
	if err != nil {
		return err
	}
	filled := strings.NewReplacer("OWNER", r.owner, "0.0.0", r.version).Replace(string(text))
	var server map[string]any
	if err := json.Unmarshal([]byte(filled), &server); err != nil {
		return err
	}
	var packages []any
	for _, listed := range server["packages"].([]any) {
		p, _ := listed.(map[string]any)
		if p["registryType"] != "mcpb" {
			// The name of an image has no capitals.
			p["identifier"] = strings.ToLower(fmt.Sprint(p["identifier"]))
			packages = append(packages, p)
			continue
		}
		for _, platform := range r.platforms {
			sum, err := sha256Of(filepath.Join(r.out, r.name(platform)+".mcpb"))
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return err
			}
			one := map[string]any{}
			for key, value := range p {
				one[key] = value
			}
			one["fileSha256"] = sum
			one["identifier"] = strings.ReplaceAll(fmt.Sprint(p["identifier"]), "PLATFORM", platform.os+"_"+platform.arch)
			packages = append(packages, one)
		}
	}
	server["packages"] = packages
	b, err := encode(server)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(r.out, "server.json"), b, 0o644)
}

func encode(value any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	err := encoder.Encode(value)
	return b.Bytes(), err
}
