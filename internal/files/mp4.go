package files

import (
	"encoding/binary"
	"io"
	"math"
)

// maxBoxes bounds the boxes looked at in one file.
const maxBoxes = 4096

// An mp4Reader goes through the boxes of ISO/IEC 14496-12 down to the movie's
// header, its fragments' header and its tracks' headers, reading these alone. No
// library does it: none was found that is well kept and reads in bounds, and four
// kinds of boxes are all that is asked of it.
type mp4Reader struct {
	r        io.ReaderAt
	boxes    int
	rate     uint32 // units a second
	length   uint64 // units
	fragment uint64 // units, of a fragmented movie
	found    bool   // the movie's header
	media    Media
}

func inspectMP4(r io.ReaderAt, size int64) Media {
	m := mp4Reader{r: r}
	m.scan(0, size, 0)
	m.media.Duration = seconds(float64(max(m.length, m.fragment)), float64(m.rate))
	m.media.Damaged = !m.found
	return m.media
}

// scan goes through the boxes between two offsets; it stops where they make no
// sense.
func (m *mp4Reader) scan(at, end int64, depth int) {
	for at+8 <= end {
		if m.boxes++; m.boxes > maxBoxes {
			return
		}
		head, ok := m.bytes(at, 8)
		if !ok {
			return
		}
		size, body := int64(binary.BigEndian.Uint32(head)), at+8
		switch size {
		case 0: // to the end
			size = end - at
		case 1: // a size of 64 bits follows
			long, ok := m.bytes(at+8, 8)
			if !ok || binary.BigEndian.Uint64(long) > math.MaxInt64 {
				return
			}
			size, body = int64(binary.BigEndian.Uint64(long)), at+16
		}
		if size < body-at || size > end-at {
			return
		}
		m.box(string(head[4:8]), body, at+size, depth)
		at += size
	}
}

func (m *mp4Reader) box(kind string, at, end int64, depth int) {
	switch {
	case depth == 0 && kind == "moov", depth == 1 && (kind == "trak" || kind == "mvex"):
		m.scan(at, end, depth+1)
	case depth == 1 && kind == "cmov": // compressed, as QuickTime once wrote it
		m.found = true
	case depth == 1 && kind == "mvhd":
		m.movieHeader(at, end)
	case depth == 2 && kind == "mehd":
		if b, ok := m.versioned(at, end, 8, 12); ok {
			m.fragment = units(b[4:])
		}
	case depth == 2 && kind == "tkhd":
		if b, ok := m.versioned(at, end, 84, 96); ok {
			// Fixed point, 16.16. A track without a picture has none.
			width, height := int(binary.BigEndian.Uint32(b[len(b)-8:])>>16), int(binary.BigEndian.Uint32(b[len(b)-4:])>>16)
			m.media.Width, m.media.Height = max(m.media.Width, width), max(m.media.Height, height)
		}
	}
}

func (m *mp4Reader) movieHeader(at, end int64) {
	b, ok := m.versioned(at, end, 20, 32)
	if !ok {
		return
	}
	m.found = true
	if b[0] == 1 {
		m.rate, m.length = binary.BigEndian.Uint32(b[20:]), units(b[24:])
		return
	}
	m.rate, m.length = binary.BigEndian.Uint32(b[12:]), units(b[16:])
}

// versioned reads the start of a box whose fields are longer in version 1.
func (m *mp4Reader) versioned(at, end int64, short, long int) ([]byte, bool) {
	version, ok := m.bytes(at, 1)
	if !ok || version[0] > 1 {
		return nil, false
	}
	length := short
	if version[0] == 1 {
		length = long
	}
	if at+int64(length) > end {
		return nil, false
	}
	return m.bytes(at, length)
}

// units reads a duration; all ones say that it is unknown.
func units(b []byte) uint64 {
	if len(b) >= 8 {
		if v := binary.BigEndian.Uint64(b); v != math.MaxUint64 {
			return v
		}
		return 0
	}
	if v := binary.BigEndian.Uint32(b); v != math.MaxUint32 {
		return uint64(v)
	}
	return 0
}

func (m *mp4Reader) bytes(at int64, n int) ([]byte, bool) {
	b := readAt(m.r, at, n)
	return b, len(b) == n
}
