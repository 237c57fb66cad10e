package hosts

import (
	"fmt"
	"strings"
)

// Place is where to look for a configuration.
type Place struct {
	OS      string              // as runtime.GOOS
	Env     func(string) string // as os.Getenv
	Project string              // the folder of the project
}

// location is a path below a folder that the place knows; below the project
// where there is no root.
type location struct {
	root func(Place) string
	rest []string
}

// Path is where the host keeps its configuration. It fails where the host has
// none of that scope, and where the environment does not say.
func (h Host) Path(scope Scope, p Place) (string, error) {
	loc, ok := h.paths[scope]
	if !ok {
		return "", fmt.Errorf("%s has no configuration of a %s", h.Title, scope)
	}
	root := p.Project
	if loc.root != nil {
		root = loc.root(p)
	}
	if root == "" {
		return "", fmt.Errorf("the folder of %s's configuration is not known: %s is not set", h.Title, p.homeVariable())
	}
	return p.join(append([]string{root}, loc.rest...)...), nil
}

func (p Place) separator() string {
	if p.OS == "windows" {
		return `\`
	}
	return "/"
}

func (p Place) join(parts ...string) string {
	parts[0] = strings.TrimSuffix(parts[0], p.separator())
	return strings.Join(parts, p.separator())
}

func (p Place) homeVariable() string {
	if p.OS == "windows" {
		return "USERPROFILE"
	}
	return "HOME"
}

// folder is a variable that names a folder, "" where it names none.
func (p Place) folder(variable string) string {
	value := p.Env(variable)
	if p.OS == "windows" && (len(value) > 2 && value[1] == ':' || strings.HasPrefix(value, `\\`)) || p.OS != "windows" && strings.HasPrefix(value, "/") {
		return value
	}
	return ""
}

// below is a folder below another, "" where that is not known.
func (p Place) below(root string, rest ...string) string {
	if root == "" {
		return ""
	}
	return p.join(append([]string{root}, rest...)...)
}

func home(p Place) string { return p.folder(p.homeVariable()) }

// either is the folder that a variable of the host's names, or another.
func (p Place) either(variable, other string) string {
	if named := p.folder(variable); named != "" {
		return named
	}
	return other
}

// xdgConfig is what programs that follow the XDG rules use.
func xdgConfig(p Place) string {
	return p.either("XDG_CONFIG_HOME", p.below(home(p), ".config"))
}

// appConfig is where the platform's applications keep their settings.
func appConfig(p Place) string {
	switch p.OS {
	case "windows":
		return p.either("APPDATA", p.below(home(p), "AppData", "Roaming"))
	case "darwin":
		return p.below(home(p), "Library", "Application Support")
	}
	return xdgConfig(p)
}

func claudeConfig(p Place) string { return p.either("CLAUDE_CONFIG_DIR", home(p)) }

func codexHome(p Place) string { return p.either("CODEX_HOME", p.below(home(p), ".codex")) }

func geminiHome(p Place) string { return p.either("GEMINI_CLI_HOME", home(p)) }

func zedConfig(p Place) string {
	switch p.OS {
	case "windows":
		return p.below(appConfig(p), "Zed")
	case "darwin":
		return p.below(home(p), ".config", "zed")
	}
	return p.below(p.either("FLATPAK_XDG_CONFIG_HOME", xdgConfig(p)), "zed")
}
