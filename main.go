// Command nemotron-mcp is an MCP server that delegates work to NVIDIA Nemotron
// 3 Nano Omni on fal.ai. See README.md.
package main

import (
	"os"

	"nemotron-mcp/internal/app"
)

// version is set by the release build.
var version = ""

func main() {
	os.Exit(app.Main(version, os.Args[1:], app.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}
