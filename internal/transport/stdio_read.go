package transport

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// readBuffer is what a connection holds while it is idle. Longer lines get a
// buffer of their own, which is dropped after the line.
const readBuffer = 64 << 10

var errLineTooLong = errors.New("line too long")

// lineReader cuts a stream into lines of at most max bytes.
type lineReader struct {
	r   *bufio.Reader
	max int
}

func newLineReader(in io.Reader, limit int) *lineReader {
	return &lineReader{r: bufio.NewReaderSize(in, readBuffer), max: limit}
}

// next returns the next line without its LF or CRLF, valid until the following
// call; a last line without an end is a line too, unless the stream failed in
// the middle of it. After errLineTooLong the line has been passed over.
func (l *lineReader) next() ([]byte, error) {
	line, err := l.r.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return l.long(line)
	case err == nil, errors.Is(err, io.EOF) && len(line) > 0:
		return l.trim(line)
	default:
		return nil, err
	}
}

// long goes on with a line that did not fit in the read buffer.
func (l *lineReader) long(start []byte) ([]byte, error) {
	line := bytes.Clone(start)
	for {
		part, err := l.r.ReadSlice('\n')
		// One byte of grace for a CR and one for the LF.
		if len(line)+len(part) > l.max+2 {
			return nil, l.discard(err)
		}
		line = append(line, part...)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
		case err == nil, errors.Is(err, io.EOF):
			return l.trim(line)
		default:
			return nil, err
		}
	}
}

// discard passes over the rest of a line; err is how its last part ended.
func (l *lineReader) discard(err error) error {
	for errors.Is(err, bufio.ErrBufferFull) {
		_, err = l.r.ReadSlice('\n')
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return errLineTooLong
}

func (l *lineReader) trim(line []byte) ([]byte, error) {
	line = bytes.TrimSuffix(line, []byte("\n"))
	line = bytes.TrimSuffix(line, []byte("\r"))
	if len(line) > l.max {
		return nil, errLineTooLong
	}
	return line, nil
}

// read serves the lines of in until it ends (nil), fails, or the connection
// stops.
func (c *stdioConn) read(in io.Reader, maxLine int) error {
	lines := newLineReader(in, maxLine)
	for {
		line, err := lines.next()
		if c.base.Err() != nil {
			return nil
		}
		switch {
		case err == nil:
			c.handleLine(line)
		case errors.Is(err, errLineTooLong):
			c.refuse(tooLong(maxLine))
		case errors.Is(err, io.EOF):
			return nil
		default:
			return err
		}
	}
}
