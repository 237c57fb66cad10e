package falclient_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"nemotron-mcp/falclient"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testKey = "0f1e2d3c-aaaa-bbbb-cccc-000011112222:5ec4e7deadbeef5ec4e7deadbeef0001"
	testID  = "764cabcf-b745-4b3e-ae38-1200304cf45b"
	taken   = `{"status":"IN_QUEUE","request_id":"` + testID + `","queue_position":3}`
)

var vision = falclient.Endpoint{Owner: "nvidia", Alias: "nemotron-3-nano-omni", Path: "vision"}

// newClient makes a client that the test closes at its end.
func newClient(t *testing.T, cfg falclient.Config) *falclient.Client {
	t.Helper()
	if cfg.Key == "" {
		cfg.Key = testKey
	}
	c, err := falclient.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func submit(ctx context.Context, c *falclient.Client, opts falclient.SubmitOptions) (falclient.Submission, error) {
	return c.Submit(ctx, vision, map[string]any{"prompt": "hi"}, opts)
}

// rawServer reads HTTP/1.1 requests off real sockets and leaves the answer,
// down to the last byte, to the test.
type rawServer struct {
	net.Listener
	posts atomic.Int64
	wg    sync.WaitGroup
	mu    sync.Mutex
	conns []net.Conn
}

// startRaw calls answer for each request; n counts them from 1. The connection
// is closed where answer returns false.
func startRaw(t *testing.T, answer func(n int64, conn net.Conn, r *http.Request) bool) *rawServer {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &rawServer{Listener: ln}
	s.wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns = append(s.conns, conn)
			s.mu.Unlock()
			s.wg.Go(func() { s.serve(conn, answer) })
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		s.mu.Lock()
		for _, c := range s.conns {
			_ = c.Close()
		}
		s.mu.Unlock()
		s.wg.Wait()
	})
	return s
}

func (s *rawServer) serve(conn net.Conn, answer func(int64, net.Conn, *http.Request) bool) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	for {
		r, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return
		}
		n := s.posts.Load()
		if r.Method == http.MethodPost {
			n = s.posts.Add(1)
		}
		if !answer(n, conn, r) {
			return
		}
	}
}

func (s *rawServer) url() string { return "http://" + s.Addr().String() }

// reset makes the close of a connection an RST.
func reset(conn net.Conn) {
	_ = conn.(*net.TCPConn).SetLinger(0)
}

// text is a whole answer with a length.
func text(conn net.Conn, status, header, body string) {
	_, _ = io.WriteString(conn, "HTTP/1.1 "+status+"\r\n"+header+
		"Content-Length: "+itoa(len(body))+"\r\n\r\n"+body)
}

// memory is a network inside the process, whose waiting synctest can see.
type memory struct {
	accept  chan net.Conn
	done    chan struct{}
	once    sync.Once
	dials   atomic.Int64
	refused atomic.Bool // each dial fails
}

func (m *memory) Accept() (net.Conn, error) {
	select {
	case c := <-m.accept:
		return c, nil
	case <-m.done:
		return nil, net.ErrClosed
	}
}
func (m *memory) Close() error   { m.once.Do(func() { close(m.done) }); return nil }
func (m *memory) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80} }

func (m *memory) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	m.dials.Add(1)
	if m.refused.Load() {
		return nil, errors.New("connection refused")
	}
	near, far := net.Pipe()
	select {
	case m.accept <- far:
		return near, nil
	case <-m.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// bubble serves h on a network in memory. It is for use inside synctest.Test.
func bubble(t *testing.T, h http.HandlerFunc) (*falclient.Client, *memory) {
	t.Helper()
	m := &memory{accept: make(chan net.Conn), done: make(chan struct{})}
	var wg sync.WaitGroup
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		wg.Add(1)
		defer wg.Done()
		// A server notices that its client is gone only once the body is read.
		_, _ = io.Copy(io.Discard, r.Body)
		h(w, r)
	})}
	wg.Go(func() { _ = srv.Serve(m) })
	t.Cleanup(func() {
		_ = srv.Close()
		synctest.Wait()
		wg.Wait()
	})
	tr := falclient.NewTransport()
	tr.DialContext, tr.Proxy = m.dial, nil
	return newClient(t, falclient.Config{QueueURL: "http://127.0.0.1", Transport: tr}), m
}

// bodyOf answers with a JSON body.
func bodyOf(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}
