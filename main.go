// Command nemotron-mcp is an MCP server that delegates work to NVIDIA Nemotron
// 3 Nano Omni on fal.ai. See README.md.
package main

import (
	_ "embed"
	"os"

	"nemotron-mcp/internal/app"
)

// version is set by the release build.
var version = ""

// sampleImage is what the demo asks about.
//
//go:embed testdata/media/chart.png
var sampleImage []byte

func main() {
	os.Exit(app.Main(app.Build{Version: version, SampleImage: sampleImage}, os.Args[1:], app.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}
