package app

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"
)

// healthcheckCommand is what a container's engine runs, where there is no shell.
type healthcheckCommand struct {
	HTTP string `name:"http" help:"Address that the server was given; none is a server on stdio, which is as well as its process." placeholder:"ADDR"`
}

// healthTime is shorter than the engine's own patience.
const healthTime = 4 * time.Second

// Run asks the server in the same container for /healthz.
func (c *healthcheckCommand) Run(s *session) error {
	if c.HTTP == "" {
		return nil
	}
	network, address, err := localAddress(c.HTTP)
	if err != nil {
		return err
	}
	client := http.Client{Timeout: healthTime, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, address)
		},
	}}
	request, err := http.NewRequestWithContext(s.ctx, http.MethodGet, "http://localhost/healthz", nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("the server at %s does not answer: %w", c.HTTP, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the server at %s answers %s", c.HTTP, response.Status)
	}
	return nil
}

// localAddress is where a server that listens at an address is reached from the
// same machine.
func localAddress(given string) (network, address string, err error) {
	network, address, _, err = listenAddress(given)
	if err != nil || network == "unix" {
		return network, address, err
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", "", err
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return network, net.JoinHostPort(host, port), nil
}
