package transport

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
)

// maxHeaders bounds what connections may together have sent of headers that are
// not whole yet, in bytes: each may be long, and nobody has shown a token.
const maxHeaders = 64 << 20

var errHeaders = errors.New("too many long headers are on their way")

// limited lets at most n connections be open.
func limited(l net.Listener, n int, headers *atomic.Int64) net.Listener {
	return &limitedListener{Listener: l, places: make(chan struct{}, n), closed: make(chan struct{}), headers: headers}
}

type limitedListener struct {
	net.Listener
	places chan struct{}
	closed chan struct{}
	once   sync.Once

	headers *atomic.Int64
}

func (l *limitedListener) Accept() (net.Conn, error) {
	select {
	case l.places <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.places
		return nil, err
	}
	return &limitedConn{Conn: conn, leave: func() { <-l.places }, headers: l.headers}, nil
}

func (l *limitedListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// limitedConn counts what comes before a request is served.
type limitedConn struct {
	net.Conn
	once  sync.Once
	leave func()

	headers *atomic.Int64 // of all connections
	own     atomic.Int64
	serving atomic.Bool // what comes now belongs to a request that is served
}

// Read implements net.Conn.
func (c *limitedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 && !c.serving.Load() {
		c.own.Add(int64(n))
		if c.headers.Add(int64(n)) > maxHeaders {
			return 0, errHeaders
		}
	}
	return n, err
}

// CloseWrite is for net/http, which ends a connection so that the answer still
// arrives where the client has sent more than was read.
func (c *limitedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// Close implements net.Conn.
func (c *limitedConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() {
		c.forgetHeader()
		c.leave()
	})
	return err
}

func (c *limitedConn) forgetHeader() { c.headers.Add(-c.own.Swap(0)) }

type connKey struct{}

func withConn(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, conn)
}

// headerRead notes that a request's header is whole.
func headerRead(r *http.Request) {
	if c, ok := r.Context().Value(connKey{}).(*limitedConn); ok {
		c.serving.Store(true)
		c.forgetHeader()
	}
}

// headerNext notes that what comes now is the header of the next request.
func headerNext(conn net.Conn) {
	if c, ok := conn.(*limitedConn); ok {
		c.serving.Store(false)
	}
}
