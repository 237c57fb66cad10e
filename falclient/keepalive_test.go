package falclient_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"nemotron-mcp/falclient"
)

var quiet = log.New(io.Discard, "", 0)

// watched is a connection of the client's that tells when the client closed it,
// and that can be made stale: it takes not one byte more.
type watched struct {
	net.Conn
	once   sync.Once
	closed chan struct{}
	stale  *atomic.Bool
}

func (w *watched) Close() error {
	w.once.Do(func() { close(w.closed) })
	return w.Conn.Close()
}

func (w *watched) Write(b []byte) (int, error) {
	if w.stale.Load() {
		return 0, syscall.ECONNRESET
	}
	return w.Conn.Write(b)
}

func watchedTransport(conns chan *watched) *http.Transport {
	tr := falclient.NewTransport()
	dial := tr.DialContext
	tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		w := &watched{Conn: conn, closed: make(chan struct{}), stale: new(atomic.Bool)}
		conns <- w
		return w, nil
	}
	return tr
}

// A kept-alive connection that ended between two submissions, seen or not, costs
// no submission: nothing was sent on it.
func TestSubmitAfterIdleClose(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		end  func(server net.Conn, client *watched)
	}{
		{"closed by the server, and seen", func(server net.Conn, client *watched) {
			_ = server.Close()
			<-client.closed
		}},
		{"not one byte can be written", func(_ net.Conn, client *watched) { client.stale.Store(true) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			conns := make(chan *watched, 2)
			srv := startRaw(t, func(_ int64, conn net.Conn, _ *http.Request) bool {
				text(conn, "200 OK", "", taken)
				return true
			})
			c := newClient(t, falclient.Config{QueueURL: srv.url(), Transport: watchedTransport(conns)})
			if _, err := submit(t.Context(), c, falclient.SubmitOptions{}); err != nil {
				t.Fatal(err)
			}
			srv.mu.Lock()
			server := srv.conns[0]
			srv.mu.Unlock()
			tc.end(server, <-conns)
			if _, err := submit(t.Context(), c, falclient.SubmitOptions{}); err != nil {
				t.Error(err)
			}
			if n := srv.posts.Load(); n != 2 {
				t.Errorf("%d POSTs for 2 submissions", n)
			}
			if len(conns) != 1 {
				t.Errorf("%d new connections, want 1", len(conns))
			}
		})
	}
}

// trusting returns a transport that trusts the server.
func trusting(srv *httptest.Server) *http.Transport {
	tr := falclient.NewTransport()
	roots := x509.NewCertPool()
	roots.AddCert(srv.Certificate())
	tr.TLSClientConfig = &tls.Config{RootCAs: roots}
	return tr
}

func TestHTTP2IsOffered(t *testing.T) {
	t.Parallel()
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 {
			t.Errorf("spoken: %s", r.Proto)
		}
		bodyOf(w, http.StatusOK, taken)
	}))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	t.Cleanup(srv.Close)
	c := newClient(t, falclient.Config{QueueURL: srv.URL, Transport: trusting(srv)})
	for range 2 {
		if _, err := submit(t.Context(), c, falclient.SubmitOptions{}); err != nil {
			t.Error(err)
		}
	}
}

// Frames of HTTP/2 (RFC 9113), as far as one refusal needs them.
const (
	frameData, frameHeaders, frameReset, frameSettings, frameGoAway = 0, 1, 3, 4, 7
	flagEndStream, flagAck                                          = 1, 1
	codeProtocol, codeInternal, codeRefused                         = 1, 2, 7
)

func frame(w io.Writer, kind, flags byte, stream uint32, payload []byte) {
	head := make([]byte, 9, 9+len(payload))
	binary.BigEndian.PutUint32(head, uint32(len(payload))<<8|uint32(kind))
	head[4] = flags
	binary.BigEndian.PutUint32(head[5:], stream)
	_, _ = w.Write(append(head, payload...))
}

// serveH2 reads requests and calls answer at the end of each.
func serveH2(conn net.Conn, answer func(w io.Writer, stream uint32)) {
	defer conn.Close()
	if _, err := io.CopyN(io.Discard, conn, int64(len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))); err != nil {
		return
	}
	frame(conn, frameSettings, 0, 0, nil)
	for {
		var head [9]byte
		if _, err := io.ReadFull(conn, head[:]); err != nil {
			return
		}
		size, kind, flags := binary.BigEndian.Uint32(head[:4])>>8, head[3], head[4]
		if _, err := io.CopyN(io.Discard, conn, int64(size)); err != nil {
			return
		}
		switch {
		case kind == frameSettings && flags&flagAck == 0:
			frame(conn, frameSettings, flagAck, 0, nil)
		case (kind == frameData || kind == frameHeaders) && flags&flagEndStream != 0:
			answer(conn, binary.BigEndian.Uint32(head[5:]))
		}
	}
}

// net/http sends a request again after some resets of HTTP/2. After
// PROTOCOL_ERROR the server may have acted, so a submission is not sent again.
func TestSubmitHTTP2ResetIsSentOnce(t *testing.T) {
	t.Parallel()
	code := func(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }
	for name, refuse := range map[string]func(w io.Writer, stream uint32){
		"PROTOCOL_ERROR": func(w io.Writer, s uint32) { frame(w, frameReset, 0, s, code(codeProtocol)) },
		"INTERNAL_ERROR": func(w io.Writer, s uint32) { frame(w, frameReset, 0, s, code(codeInternal)) },
		"REFUSED_STREAM": func(w io.Writer, s uint32) { frame(w, frameReset, 0, s, code(codeRefused)) },
		"GOAWAY":         func(w io.Writer, _ uint32) { frame(w, frameGoAway, 0, 0, append(code(0), code(0)...)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			identity := httptest.NewTLSServer(forbidden(t))
			t.Cleanup(identity.Close)
			ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
				Certificates: identity.TLS.Certificates, NextProtos: []string{"h2"},
			})
			if err != nil {
				t.Fatal(err)
			}
			var posts atomic.Int64
			var wg sync.WaitGroup
			wg.Go(func() {
				for {
					conn, err := ln.Accept()
					if err != nil {
						return
					}
					wg.Go(func() {
						serveH2(conn, func(w io.Writer, stream uint32) { posts.Add(1); refuse(w, stream) })
					})
				}
			})
			c := newClient(t, falclient.Config{QueueURL: "https://" + ln.Addr().String(), Transport: trusting(identity)})
			_, err = submit(t.Context(), c, falclient.SubmitOptions{MaxWait: time.Minute})
			if !errors.As(err, new(*falclient.SubmitUnknownError)) {
				t.Errorf("error is %T (%v), want *SubmitUnknownError", err, err)
			}
			if n := posts.Load(); n != 1 {
				t.Errorf("%d POSTs, want 1", n)
			}
			c.Close()
			_ = ln.Close()
			wg.Wait()
		})
	}
}
