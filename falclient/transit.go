package falclient

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net/http/httptrace"
	"sync"
)

var (
	errAbandoned = errors.New("the caller gave up before anything was sent")
	errReplay    = errors.New("not sent again: the server may have acted on it")
)

// transit records how far a request has got on its way out. net/http calls it
// from goroutines of its own.
type transit struct {
	plain bool // no TLS, so HTTP/1.1; set before the request is made

	mu        sync.Mutex
	connected bool          // a connection was handed out: bytes may have left
	shared    bool          // that connection speaks HTTP/2
	leaving   bool          // the body is about to be taken, or was: fal may get all of it
	abandoned bool          // the caller gave up before that
	whole     *bytes.Reader // the body, where net/http may see that it is one
}

func (t *transit) gotConn(info httptrace.GotConnInfo) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.connected = true
	t.leaving = t.leaving || t.plain
	conn, ok := info.Conn.(*tls.Conn)
	t.shared = ok && conn.ConnectionState().NegotiatedProtocol == "h2"
}

func (t *transit) hasConnected() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.connected
}

// body is a request's body that can't start to leave after abandon. With TLS it
// says so itself, because HTTP/2 may let a request wait for its turn on a
// connection. Without, it leaves as soon as there is a connection, and net/http
// sends what it sees to be in memory in one write with the header.
func (t *transit) body(b []byte) io.ReadCloser {
	if t.plain {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.whole = bytes.NewReader(b)
		if t.abandoned {
			t.whole.Reset(nil)
		}
		return io.NopCloser(t.whole)
	}
	return io.NopCloser(&outgoing{t: t, rest: bytes.NewReader(b)})
}

// rewound is told that net/http wants to send the body again. On HTTP/1.1 it
// does so for a POST only where nothing was written to a kept-alive connection
// that had gone stale. On HTTP/2 it also does so after a reset with
// PROTOCOL_ERROR (golang/go#47635), when the server may have acted: refused,
// unless the body had not begun to leave.
func (t *transit) rewound() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.shared && t.leaving {
		return errReplay
	}
	t.connected, t.leaving = false, false
	return nil
}

// abandon keeps the body from leaving. It reports false where it has begun to.
// A connection may still be found before the request's context has ended: then
// a body emptied here fails the request, before its header was flushed.
func (t *transit) abandon() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.leaving {
		return false
	}
	t.abandoned = true
	if t.whole != nil {
		t.whole.Reset(nil)
	}
	return true
}

func (t *transit) isAbandoned() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.abandoned
}

func (t *transit) leave() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.abandoned {
		return errAbandoned
	}
	t.leaving = true
	return nil
}

type outgoing struct {
	t    *transit
	rest *bytes.Reader
}

func (o *outgoing) Read(p []byte) (int, error) {
	if err := o.t.leave(); err != nil {
		return 0, err
	}
	return o.rest.Read(p)
}
