package falclient

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"sync/atomic"
	"testing"
	"time"
)

func TestTransitRewound(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name            string
		shared, leaving bool
		want            error
	}{
		{"HTTP/1.1, before the body", false, false, nil},
		{"HTTP/1.1, nothing written", false, true, nil},
		{"HTTP/2, before the body", true, false, nil},
		{"HTTP/2, the body left", true, true, errReplay},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			tr := transit{connected: true, shared: tc.shared, leaving: tc.leaving}
			if err := tr.rewound(); !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
			if tr.connected != (tc.want != nil) {
				t.Errorf("connected is %v", tr.connected)
			}
		})
	}
}

// Giving up and sending exclude each other, whichever comes first.
func TestTransitAbandon(t *testing.T) {
	t.Parallel()
	var first transit
	first.gotConn(httptrace.GotConnInfo{Conn: &net.TCPConn{}})
	if !first.abandon() || !first.isAbandoned() {
		t.Error("a body that has not begun to leave can be kept back, connected or not")
	}
	if b, err := io.ReadAll(first.body([]byte("x"))); !errors.Is(err, errAbandoned) || len(b) != 0 {
		t.Errorf("read %q, %v after abandon", b, err)
	}
	var second transit
	if b, err := io.ReadAll(second.body([]byte("x"))); err != nil || string(b) != "x" {
		t.Errorf("read %q, %v", b, err)
	}
	if second.abandon() || second.isAbandoned() {
		t.Error("a body that has left was abandoned")
	}
}

// Giving up while net/http looks for a connection, and finds a free one, keeps
// the submission from leaving on it. Without TLS nothing but the body can.
func TestTransitAbandonOnAPlainConnection(t *testing.T) {
	t.Parallel()
	var posts atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			posts.Add(1)
		}
	}))
	defer srv.Close()
	c, err := New(Config{Key: "k", QueueURL: srv.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	get := call{op: "warm", method: http.MethodGet, path: "/", header: c.plain, clean: c.clean}
	post := call{op: "submit", method: http.MethodPost, path: "/", header: c.posting, body: []byte("{}"), clean: c.clean}
	for _, abandon := range []bool{false, true} {
		resp, err := c.send(t.Context(), c.hosts[0], get, new(transit))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		var tr transit
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GetConn: func(string) {
			if abandon && !tr.abandon() {
				t.Error("could not be abandoned")
			}
		}})
		resp, err = c.send(ctx, c.hosts[0], post, &tr)
		if err == nil {
			_ = resp.Body.Close()
		}
		if (err != nil) != abandon || posts.Load() != 1 {
			t.Errorf("abandon %v: error %v, %d submissions", abandon, err, posts.Load())
		}
	}
}

// ctx ends between the connection and the body: the connection is there, and
// still nothing is sent.
func TestUntilSent(t *testing.T) {
	t.Parallel()
	for _, left := range []bool{false, true} {
		ctx, cancel := context.WithCancel(t.Context())
		var tr transit
		tr.gotConn(httptrace.GotConnInfo{Conn: &net.TCPConn{}})
		sending, release := untilSent(ctx, &tr)
		if left {
			if err := tr.leave(); err != nil {
				t.Fatal(err)
			}
		}
		if deadline, ok := sending.Deadline(); !ok || time.Until(deadline) > answerTimeout {
			t.Errorf("deadline is %v", deadline)
		}
		cancel()
		if !left {
			<-sending.Done()
		} else if sending.Err() != nil {
			t.Error("ended although the body had left")
		}
		release()
		if sending.Err() == nil {
			t.Error("release leaves the context open")
		}
	}
}
