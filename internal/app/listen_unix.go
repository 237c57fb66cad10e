//go:build unix

package app

import (
	"net"
	"syscall"
)

// listenPrivate makes a socket for this user only, from its first moment on: the
// mode is set by what the process masks. Called before anything else makes files.
func listenPrivate(address string) (net.Listener, error) {
	before := syscall.Umask(0o177)
	defer syscall.Umask(before)
	return net.Listen("unix", address)
}
