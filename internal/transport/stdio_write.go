package transport

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/mark3labs/mcp-go/mcp"
)

// keptBuffer is the largest buffer that is used again, so that one long answer
// does not stay in memory.
const keptBuffer = 64 << 10

var errOutputClosed = errors.New("the output is closed")

// lineWriter writes whole lines, one at a time. Its lock is a channel, so that
// whoever waits behind a Write that blocks for ever can be released.
type lineWriter struct {
	out    io.Writer
	lock   chan struct{}
	closed chan struct{}

	mu  sync.Mutex
	err error // the first failed write
	end bool
}

func newLineWriter(out io.Writer) *lineWriter {
	return &lineWriter{out: out, lock: make(chan struct{}, 1), closed: make(chan struct{})}
}

// write writes line, which ends in LF, in one Write. claim, where given, is
// asked when it is the line's turn; false drops it, without an error.
func (w *lineWriter) write(line []byte, claim func() bool) (written bool, err error) {
	select {
	case w.lock <- struct{}{}:
	case <-w.closed:
		return false, errOutputClosed
	}
	defer func() { <-w.lock }()
	select {
	case <-w.closed:
		return false, errOutputClosed
	default:
	}
	if claim != nil && !claim() {
		return false, nil
	}
	n, err := w.out.Write(line)
	if err == nil && n < len(line) {
		err = io.ErrShortWrite
	}
	if err != nil {
		w.shut(err)
		return false, err
	}
	return true, nil
}

// close releases whoever waits to write, and refuses all that comes.
func (w *lineWriter) close() { w.shut(nil) }

// failure returns the error of the write that failed; nil where none has.
func (w *lineWriter) failure() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

func (w *lineWriter) shut(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.end {
		return
	}
	w.end = true
	w.err = err
	close(w.closed)
}

// buffers keeps small buffers for answers.
type buffers struct{ pool sync.Pool }

func (b *buffers) get() *bytes.Buffer {
	if buf, ok := b.pool.Get().(*bytes.Buffer); ok {
		return buf
	}
	return new(bytes.Buffer)
}

func (b *buffers) put(buf *bytes.Buffer) {
	if buf.Cap() > keptBuffer {
		return
	}
	buf.Reset()
	b.pool.Put(buf)
}

// encodeAnswer puts mcp-go's answer into an envelope of ours: mcp-go has read
// the id as a float64, which changes large ones.
func encodeAnswer(buf *bytes.Buffer, id []byte, answer mcp.JSONRPCMessage) error {
	switch m := answer.(type) {
	case mcp.JSONRPCResponse:
		return encodeLine(buf, id, "result", m.Result)
	case mcp.JSONRPCError:
		return encodeLine(buf, id, "error", m.Error)
	default:
		return fmt.Errorf("an answer of type %T", answer)
	}
}

// encodeLine writes {"jsonrpc":"2.0","id":id,field:value} and LF.
func encodeLine(buf *bytes.Buffer, id []byte, field string, value any) error {
	buf.WriteString(`{"jsonrpc":"2.0","id":`)
	buf.Write(id)
	buf.WriteString(`,"`)
	buf.WriteString(field)
	buf.WriteString(`":`)
	if err := encodeJSON(buf, value); err != nil {
		return err
	}
	buf.WriteString("}\n")
	return nil
}

// encodeJSON writes value on one line, without a line end.
func encodeJSON(buf *bytes.Buffer, value any) error {
	encoder := json.NewEncoder(buf)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return err
	}
	buf.Truncate(buf.Len() - 1)
	return nil
}
