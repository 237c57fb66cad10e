//go:build conformance

// Command conformance puts the fixtures of MCP's conformance suites on the
// transports of this project: the suites check those, and mcp-go beneath them,
// with tools, resources and prompts of their own. make conformance builds and
// runs it, with the build tag conformance.
//
//	conformance [-listen 127.0.0.1:0]
//	conformance -stdio
//
// Over HTTP it prints the address of its endpoint, and ends at SIGINT, at SIGTERM
// or at the end of its stdin.
package main
