package app

import "net"

// listenPrivate makes a socket, for which the folder's permissions hold.
func listenPrivate(address string) (net.Listener, error) { return net.Listen("unix", address) }
