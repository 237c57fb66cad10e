package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"nemotron-mcp/internal/metrics"
	"nemotron-mcp/internal/page"
	"nemotron-mcp/internal/transport"
)

// serveHTTP serves many clients until a signal.
func (c *serveCommand) serveHTTP(s *session) error {
	network, address, local, err := listenAddress(c.HTTP)
	if err != nil {
		return err
	}
	if !local && c.AuthTokens == "" {
		return &configError{
			fmt.Sprintf("--http %s can be reached from other machines, and no tokens are set", c.HTTP),
			"Give --auth-tokens FILE, with a line name:token for each caller, or serve on a loopback address (127.0.0.1:8080) or unix:PATH.",
		}
	}
	if c.AuthTokens == "" && slices.ContainsFunc(c.AllowHost, publicName) {
		return &configError{
			"--allow-host lets the server be addressed by a public name, as behind a proxy, and no tokens are set",
			"Give --auth-tokens FILE, with a line name:token for each caller, or leave --allow-host out.",
		}
	}
	s.overHTTP, s.namesCallers, s.metrics = true, c.AuthTokens != "", metrics.New(s.version)
	if c.AuthTokens != "" {
		s.ownFiles = []string{c.AuthTokens}
	}
	h, err := s.build()
	if err != nil {
		return err
	}
	var tokens *transport.Tokens
	if c.AuthTokens != "" {
		if tokens, err = transport.OpenTokens(c.AuthTokens, h.log); err != nil {
			return &configError{fmt.Sprintf("the tokens can't be used: %v", err), "Check --auth-tokens (NEMOTRON_MCP_AUTH_TOKENS)."}
		}
	}
	server := transport.HTTP{
		Server: h.server, Log: h.log, Mask: h.secrets.Bytes,
		AllowHosts: c.AllowHost, AllowOrigins: c.AllowOrigin,
		Health: func(ctx context.Context) error { return errors.Join(h.ready(ctx), tokens.Trouble()) }, Draining: h.jobs.HandBack,
		Metrics: s.metrics, Page: c.page(s, h), Observe: s.metrics.HTTPRequest, Serving: func(state transport.State) { s.observeState(h, state) },
	}
	if tokens != nil {
		server.Caller, server.Knows = tokens.Caller, tokens.Knows
	}
	listener, err := listen(network, address)
	if err != nil {
		return &configError{fmt.Sprintf("--http %s: %v", c.HTTP, err), "Choose another address, or end what uses this one."}
	}
	tuneGC()
	serving, stop := context.WithCancel(s.ctx)
	defer stop()
	var collecting sync.WaitGroup
	collecting.Go(func() { s.collect(serving, h.jobs) })
	h.log.Info().Str("address", listener.Addr().String()).Bool("tokens", c.AuthTokens != "").Msg("serving MCP over HTTP at /mcp")
	notifySystemd("READY=1")
	err = server.Serve(s.ctx, listener)
	notifySystemd("STOPPING=1")
	stop()
	collecting.Wait()
	h.close(max(endTime-time.Since(s.ended()), closeTime))
	return err
}

// page is the page at /; nil where the operator wants none.
func (c *serveCommand) page(s *session, h *house) http.Handler {
	if c.Page == "off" {
		return nil
	}
	return page.New(page.Config{Jobs: h.jobs, Secrets: h.secrets, Version: s.version, Log: h.log})
}

// publicName reports whether a name may lead here from other machines.
func publicName(name string) bool {
	name = strings.ToLower(strings.Trim(strings.TrimSpace(name), "[]"))
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return false
	}
	addr, err := netip.ParseAddr(name)
	return err != nil || !addr.Unmap().IsLoopback()
}

// listenAddress reads --http. local says that other machines can't reach it.
func listenAddress(given string) (network, address string, local bool, err error) {
	if path, ok := strings.CutPrefix(given, "unix:"); ok && path != "" {
		return "unix", path, true, nil
	}
	host, port, err := net.SplitHostPort(given)
	if err != nil || port == "" {
		return "", "", false, &configError{fmt.Sprintf("--http %q is not an address", given), "Give host and port, such as 127.0.0.1:8080, or unix:PATH."}
	}
	if strings.EqualFold(host, "localhost") {
		return "tcp", net.JoinHostPort("127.0.0.1", port), true, nil
	}
	addr, err := netip.ParseAddr(host)
	return "tcp", given, err == nil && addr.Unmap().IsLoopback(), nil
}

// listen opens the address. A socket that a process of before has left is taken
// away; the new one is for this user only.
func listen(network, address string) (net.Listener, error) {
	if network != "unix" {
		return net.Listen(network, address)
	}
	if info, err := os.Lstat(address); err == nil {
		if info.Mode()&os.ModeSocket == 0 {
			return nil, errors.New("a file is there that is no socket")
		}
		conn, err := net.DialTimeout("unix", address, time.Second)
		if err == nil {
			_ = conn.Close()
			return nil, errors.New("another process listens there")
		}
		// Busy, of another kind, or not ours to connect to: it is somebody's.
		if runtime.GOOS != "windows" && !errors.Is(err, syscall.ECONNREFUSED) {
			return nil, fmt.Errorf("a socket is there that may be in use: %w", err)
		}
		if err := os.Remove(address); err != nil {
			return nil, err
		}
	}
	return listenPrivate(address)
}

// notifySystemd tells the service manager how far the server is, where one wants
// to know (sd_notify).
func notifySystemd(state string) {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" {
		return
	}
	conn, err := net.Dial("unixgram", name)
	if err != nil {
		return
	}
	defer conn.Close()
	_, _ = conn.Write([]byte(state))
}
