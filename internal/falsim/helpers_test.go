package falsim

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	chat  = "/" + appRoot
	hello = `{"prompt":"Say hello to the world"}`
)

// ask sends one request straight to the handler.
func ask(t *testing.T, s *Server, method, url, body string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	r.Header.Set("Authorization", "Key k")
	setHeaders(r, headers)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

// setHeaders takes names and values in turn; an empty value removes the header.
func setHeaders(r *http.Request, headers []string) {
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i+1] == "" {
			r.Header.Del(headers[i])
			continue
		}
		r.Header.Set(headers[i], headers[i+1])
	}
}

func submit(t *testing.T, s *Server, body string, headers ...string) string {
	t.Helper()
	w := ask(t, s, "POST", chat, body, headers...)
	if w.Code != 200 {
		t.Fatalf("submit answered %d %s", w.Code, w.Body)
	}
	return object(t, w.Body.Bytes())["request_id"].(string)
}

func jobPath(id string) string { return chat + "/requests/" + id }

func object(t *testing.T, b []byte) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatalf("not an object: %v: %q", err, b)
	}
	return m
}

// wire is a client of the simulator over pipes, so that it can live in a
// synctest bubble.
type wire struct {
	client *http.Client
	close  func()
}

type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func (p pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}
func (p pipes) Close() error   { return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

func connect(s *Server) wire {
	p := pipes{make(chan net.Conn), make(chan struct{})}
	srv := &http.Server{Handler: s}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = srv.Serve(p)
	}()
	tr := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		a, b := net.Pipe()
		p.conns <- b
		return a, nil
	}}
	return wire{&http.Client{Transport: tr}, func() {
		tr.CloseIdleConnections()
		_ = s.Close()
		close(p.done)
		_ = srv.Close()
		<-served
	}}
}

func (w wire) do(t *testing.T, method, path, body string, headers ...string) (*http.Response, []byte) {
	t.Helper()
	resp := w.open(t, method, path, body, headers...)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return resp, b
}

func (w wire) open(t *testing.T, method, path, body string, headers ...string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://sim"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Key k")
	setHeaders(r, headers)
	resp, err := w.client.Do(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return resp
}

func (w wire) submit(t *testing.T, body string, headers ...string) string {
	t.Helper()
	resp, b := w.do(t, "POST", chat, body, headers...)
	if resp.StatusCode != 200 {
		t.Fatalf("submit answered %d %s", resp.StatusCode, b)
	}
	return object(t, b)["request_id"].(string)
}

// lines reads an event stream line by line, blank lines left out.
func lines(r io.Reader) func() (string, error) {
	br := bufio.NewReader(r)
	return func() (string, error) {
		for {
			l, err := br.ReadString('\n')
			if l = strings.TrimRight(l, "\n"); l != "" || err != nil {
				return l, err
			}
		}
	}
}

// local starts the simulator on a socket and gives a client for it.
func local(t *testing.T, sc Script) (*Server, *http.Client, string) {
	t.Helper()
	s := New(sc)
	base, err := s.Start()
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{}
	t.Cleanup(func() {
		tr.CloseIdleConnections()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, &http.Client{Transport: tr}, base
}

func post(ctx context.Context, c *http.Client, url, body string, headers ...string) (*http.Response, error) {
	return send(ctx, c, "POST", url, body, headers...)
}

func send(ctx context.Context, c *http.Client, method, url, body string, headers ...string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Key k")
	setHeaders(r, headers)
	return c.Do(r)
}
