package transport

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/mark3labs/mcp-go/server"
)

const (
	aliceToken = "alice-token-0123456789"
	bobToken   = "bob-token-0123456789ab"
)

// web is a fixture that is served over HTTP.
type web struct {
	*fixture
	t      testing.TB
	url    string
	client *http.Client
	stop   context.CancelFunc
	served chan error
}

// patience is against a hang only.
const patience = 20 * time.Second

func serveWeb(t testing.TB, o HTTP, opts ...server.ServerOption) *web {
	t.Helper()
	w := &web{fixture: newFixture(opts...), t: t, served: make(chan error, 1)}
	o.Server = w.server
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.url = "http://" + listener.Addr().String()
	w.client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}}
	ctx, stop := context.WithCancel(context.Background())
	w.stop = stop
	go func() { w.served <- o.Serve(ctx, listener) }()
	t.Cleanup(func() {
		w.free()
		stop()
		w.client.CloseIdleConnections()
		if err := w.wait(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// wait returns once Serve has.
func (w *web) wait() error {
	select {
	case err := <-w.served:
		w.served <- err
		return err
	case <-time.After(patience):
		return errors.New("the server does not end")
	}
}

func withTokens() HTTP {
	return HTTP{Caller: func(token string) (string, bool) {
		name, ok := map[string]string{aliceToken: "alice", bobToken: "bob"}[token]
		return name, ok
	}}
}

// sent is a request to be made.
type sent struct {
	method, path, body string
	header             http.Header
	host               string
	ctx                context.Context
}

func (w *web) do(s sent) (*http.Response, error) {
	if s.ctx == nil {
		s.ctx = context.Background()
	}
	var body io.Reader
	if s.body != "" {
		body = strings.NewReader(s.body)
	}
	req, err := http.NewRequestWithContext(s.ctx, s.method, w.url+s.path, body)
	if err != nil {
		return nil, err
	}
	for name, values := range s.header {
		req.Header[name] = values
	}
	req.Host = s.host
	return w.client.Do(req)
}

// ask makes a request and reads its answer.
func (w *web) ask(s sent) (*http.Response, string) {
	w.t.Helper()
	if s.ctx == nil {
		s.ctx = context.Background()
	}
	ctx, done := context.WithTimeout(s.ctx, patience)
	defer done()
	s.ctx = ctx
	res, err := w.do(s)
	if err != nil {
		w.t.Fatalf("%s %s: %v", s.method, s.path, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatalf("%s %s: %v", s.method, s.path, err)
	}
	return res, string(body)
}

// visitor is a client of streamable HTTP with a session.
type visitor struct {
	*web
	session, token string
}

func (w *web) visit(token string) *visitor {
	w.t.Helper()
	v := &visitor{web: w, token: token}
	res, body := v.post(context.Background(), initialize)
	if v.session = res.Header.Get("Mcp-Session-Id"); res.StatusCode != http.StatusOK || v.session == "" {
		w.t.Fatalf("initialize: %s %s", res.Status, body)
	}
	return v
}

func (v *visitor) header() http.Header {
	h := http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"}}
	if v.session != "" {
		h.Set("Mcp-Session-Id", v.session)
	}
	if v.token != "" {
		h.Set("Authorization", "Bearer "+v.token)
	}
	return h
}

func (v *visitor) post(ctx context.Context, message string) (*http.Response, string) {
	v.t.Helper()
	return v.ask(sent{method: http.MethodPost, path: "/mcp", body: message, header: v.header(), ctx: ctx})
}

// later is post in a goroutine.
func (v *visitor) later(ctx context.Context, message string) <-chan string {
	answer := make(chan string, 1)
	go func() {
		res, err := v.do(sent{method: http.MethodPost, path: "/mcp", body: message, header: v.header(), ctx: ctx})
		if err != nil {
			answer <- err.Error()
			return
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			body = []byte(err.Error())
		}
		answer <- fmt.Sprintf("%d %s", res.StatusCode, body)
	}()
	return answer
}

// wantBegun waits for calls of gate.
func (w *web) wantBegun(n int) {
	w.t.Helper()
	for range n {
		select {
		case <-w.started:
		case <-time.After(patience):
			w.t.Fatal("the call has not begun")
		}
	}
}

// wantEnd waits for the end of a call of gate.
func (w *web) wantEnd(want error) {
	w.t.Helper()
	select {
	case got := <-w.ended:
		if !errors.Is(got, want) {
			w.t.Errorf("the call ended with %v, not %v", got, want)
		}
	case <-time.After(patience):
		w.t.Fatal("the call goes on")
	}
}

func receive[T any](t testing.TB, from <-chan T) T {
	t.Helper()
	select {
	case value := <-from:
		return value
	case <-time.After(patience):
		t.Fatal("nothing in time")
		panic("unreachable")
	}
}

// events takes a stream apart.
func events(body string) (all []message) {
	for _, event := range strings.Split(body, "\n\n") {
		_, data, found := strings.Cut(event, "data: ")
		if !found {
			continue
		}
		m := message{line: data}
		if json.Unmarshal([]byte(data), &m) != nil {
			m.Method = "NOT JSON-RPC"
		}
		all = append(all, m)
	}
	return all
}

// watcher is a client of HTTP with SSE.
type watcher struct {
	*web
	token    string
	endpoint string
	lines    chan message
	leave    context.CancelFunc
}

func (w *web) watch(token string) *watcher {
	w.t.Helper()
	ctx, leave := context.WithCancel(context.Background())
	v := &watcher{web: w, token: token, lines: make(chan message, 20000), leave: leave}
	h := http.Header{}
	if token != "" {
		h.Set("Authorization", "Bearer "+token)
	}
	res, err := w.do(sent{method: http.MethodGet, path: "/sse", header: h, ctx: ctx})
	if err != nil {
		w.t.Fatal(err)
	}
	r := bufio.NewReader(res.Body)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			w.t.Fatalf("no endpoint: %v", err)
		}
		if data, ok := strings.CutPrefix(line, "data: "); ok {
			v.endpoint = strings.TrimSpace(data)
			break
		}
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer close(v.lines)
		for {
			line, err := r.ReadString('\n')
			if data, ok := strings.CutPrefix(line, "data: "); ok {
				m := message{line: data}
				if json.Unmarshal([]byte(data), &m) != nil {
					m.Method = "NOT JSON-RPC"
				}
				v.lines <- m
			}
			if err != nil {
				return
			}
		}
	}()
	w.t.Cleanup(func() {
		leave()
		_ = res.Body.Close()
		<-read
	})
	return v
}

func (v *watcher) send(message string) {
	v.t.Helper()
	h := http.Header{"Content-Type": {"application/json"}}
	if v.token != "" {
		h.Set("Authorization", "Bearer "+v.token)
	}
	if res, body := v.ask(sent{method: http.MethodPost, path: v.endpoint, body: message, header: h}); res.StatusCode != http.StatusAccepted {
		v.t.Fatalf("%s: %s %s", message, res.Status, body)
	}
}

func (v *watcher) next() message {
	v.t.Helper()
	return receive(v.t, v.lines)
}
