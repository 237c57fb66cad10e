//go:build conformance

package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
	"github.com/rs/zerolog"

	"nemotron-mcp/internal/transport"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "the address to serve HTTP on")
	stdio := flag.Bool("stdio", false, "serve stdin and stdout instead")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *listen, *stdio); err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, address string, stdio bool) error {
	log := zerolog.New(os.Stderr).Level(zerolog.WarnLevel)
	if stdio {
		s := transport.Stdio{Server: fixture(), Log: log}
		return s.Serve(ctx, os.Stdin, os.Stdout)
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	fmt.Printf("http://%s/mcp\n", listener.Addr())
	ctx, end := context.WithCancel(ctx)
	defer end()
	go func() {
		defer end()
		_, _ = io.Copy(io.Discard, os.Stdin)
	}()
	h := transport.HTTP{Server: fixture(), Log: log}
	return h.Serve(ctx, listener)
}

func fixture() *server.MCPServer {
	s := server.NewMCPServer("nemotron-mcp-conformance", "1.0.0",
		server.WithToolCapabilities(true),
		server.WithResourceCapabilities(true, true),
		server.WithPromptCapabilities(true),
		server.WithCompletions(),
		server.WithPromptCompletionProvider(noCompletions{}),
		server.WithLogging(),
		server.WithElicitation(),
	)
	s.EnableSampling()
	addContentTools(s)
	addNoticeTools(s)
	addRequestTools(s)
	addInputTools(s)
	addSchemaTools(s)
	addResources(s)
	addPrompts(s)
	return s
}

// noCompletions knows of nothing to complete with.
type noCompletions struct{}

func (noCompletions) CompletePromptArgument(context.Context, string, mcp.CompleteArgument, mcp.CompleteContext) (*mcp.Completion, error) {
	return &mcp.Completion{Values: []string{}}, nil
}
