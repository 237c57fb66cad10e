package app

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

type versionCommand struct{}

// Run prints the version of the program, of Go, and the platform.
func (c *versionCommand) Run(s *session) error {
	_, err := fmt.Fprintf(s.Out, "nemotron-mcp %s %s %s/%s\n", s.version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}

// buildVersion is what the release build says, or what the Go command knows.
func buildVersion(released string) string {
	if released != "" {
		return released
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "dev"
}
