package transport

import (
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// watchedBody is a request's body that has to come in time, whoever reads it and
// whether anybody does: net/http has a deadline for the header only.
type watchedBody struct {
	io.ReadCloser
	rc    *http.ResponseController
	ended atomic.Bool // read to its end
}

// watchBody puts it in the request's place.
func (s *httpServer) watchBody(w http.ResponseWriter, r *http.Request) *watchedBody {
	b := &watchedBody{ReadCloser: r.Body, rc: http.NewResponseController(w)}
	if r.ContentLength == 0 {
		b.ended.Store(true)
		return b
	}
	_ = b.rc.SetReadDeadline(time.Now().Add(s.times.body))
	r.Body = b
	return b
}

// giveUp forgoes what has not come: net/http would read on for a while before it closes
// the connection.
func (b *watchedBody) giveUp() {
	if !b.ended.Load() {
		_ = b.rc.SetReadDeadline(time.Now())
	}
}

// Read implements io.Reader.
func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) && b.ended.CompareAndSwap(false, true) {
		_ = b.rc.SetReadDeadline(time.Time{}) // what follows is the wait for the answer
	}
	return n, err
}
