// Package app is the command line: it reads the configuration, puts the rooms
// of the server together and runs one command.
//
// Stdout belongs to what a command is for: the protocol under serve, the
// result under call. Everything else is written to stderr, through a mask that
// knows every secret of the process.
package app
