package transport

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"nemotron-mcp/tools"
)

// notificationBuffer is how many notifications mcp-go itself may send while the
// host does not read; it drops what is beyond. Tools use Notify.
const notificationBuffer = 256

// stdioSession is what mcp-go and the tools see of the host. It is safe for
// concurrent use.
type stdioSession struct {
	id            string
	out           *lineWriter
	notifications chan mcp.JSONRPCNotification
	// channelUsed is set for good once mcp-go has asked for the channel: from
	// then on a response waits for what is in it.
	channelUsed atomic.Bool
	initialized atomic.Bool
	remote      bool // the client may be on another machine
	roots       *hostRoots

	mu           sync.Mutex
	level        mcp.LoggingLevel
	client       mcp.Implementation
	capabilities mcp.ClientCapabilities
	version      string
}

var (
	_ server.ClientSession              = (*stdioSession)(nil)
	_ server.SessionWithLogging         = (*stdioSession)(nil)
	_ server.SessionWithClientInfo      = (*stdioSession)(nil)
	_ server.SessionWithProtocolVersion = (*stdioSession)(nil)
	_ tools.Notifier                    = (*stdioSession)(nil)
	_ tools.RootLister                  = (*stdioSession)(nil)
)

// newStdioSession makes a session that writes to out, on goroutines of spawn
// where nobody is to wait for that.
func newStdioSession(out *lineWriter, spawn func(func())) *stdioSession {
	return &stdioSession{
		// One MCPServer may serve several pairs of streams.
		id:            "stdio-" + rand.Text(),
		out:           out,
		notifications: make(chan mcp.JSONRPCNotification, notificationBuffer),
		level:         mcp.LoggingLevelError,
		roots:         &hostRoots{out: out, spawn: spawn, open: make(map[string]*rootsQuestion)},
	}
}

// Notify has written the notification when it returns. It waits while the host
// does not read.
func (s *stdioSession) Notify(notification mcp.JSONRPCNotification) error {
	var buf bytes.Buffer
	if err := encodeJSON(&buf, notification); err != nil {
		return fmt.Errorf("encode the notification %s: %w", notification.Method, err)
	}
	buf.WriteByte('\n')
	_, err := s.out.write(buf.Bytes(), nil)
	return err
}

// NotificationChannel is where mcp-go puts its own notifications. It asks for
// the channel each time before it sends.
func (s *stdioSession) NotificationChannel() chan<- mcp.JSONRPCNotification {
	s.channelUsed.Store(true)
	return s.notifications
}

func (s *stdioSession) SessionID() string { return s.id }

func (s *stdioSession) Initialize() { s.initialized.Store(true) }

func (s *stdioSession) Initialized() bool { return s.initialized.Load() }

func (s *stdioSession) SetLogLevel(level mcp.LoggingLevel) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.level = level
}

func (s *stdioSession) GetLogLevel() mcp.LoggingLevel {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.level
}

func (s *stdioSession) SetClientInfo(client mcp.Implementation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.client = client
}

func (s *stdioSession) GetClientInfo() mcp.Implementation {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.client
}

func (s *stdioSession) SetClientCapabilities(capabilities mcp.ClientCapabilities) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.capabilities = capabilities
}

func (s *stdioSession) GetClientCapabilities() mcp.ClientCapabilities {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.capabilities
}

// SetProtocolVersion is called by mcp-go with what initialize has negotiated,
// last: only here are the capabilities known to be those of initialize. Each
// request without a handshake sets them too.
func (s *stdioSession) SetProtocolVersion(version string) {
	s.mu.Lock()
	s.version = version
	offered := s.capabilities.Roots != nil
	s.mu.Unlock()
	s.roots.offer(offered)
}

func (s *stdioSession) ProtocolVersion() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.version
}
