// Package tools holds the MCP tools, one file each: input, output, description
// and handler. tool.go is the only place that turns such a typed handler into
// a tool of mcp-go's.
//
// Every tool keeps these promises: arguments are checked in full before
// anything is spent, a failure is an error result in words that an agent can
// act on and never a protocol error, a panic's text stays in the log, and no
// secret known to the process is in an answer.
package tools
