package files

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
)

const (
	maxSegments = 4096 // of a JPEG, up to its frame
	markWindow  = 4096 // bytes in which the next mark must be
)

// frameHeader finds the frame of a JPEG, going by the lengths of its segments.
// It is asked where image.DecodeConfig fails, because that knows few of the
// kinds of frames, and reads no farther than its bound: what cameras and editors
// put in front can be longer.
func frameHeader(r io.ReaderAt) (m Media, found bool) {
	at := int64(2)
	for range maxSegments {
		window := readAt(r, at, markWindow)
		i := bytes.IndexByte(window, 0xff)
		if i < 0 || i+1 >= len(window) {
			return Media{}, false
		}
		at += int64(i)
		mark := window[i+1]
		segment := readAt(r, at+2, 7)
		switch {
		case mark == 0 || mark == 0xff || mark == 0x01 || 0xd0 <= mark && mark <= 0xd7:
			at++ // filling, or a mark that stands alone
			continue
		case mark == 0xd9 || mark == 0xda || len(segment) < 2:
			return Media{}, false // the end, or the picture itself
		}
		length := int64(binary.BigEndian.Uint16(segment))
		if 0xc0 <= mark && mark <= 0xcf && mark != 0xc4 && mark != 0xc8 && mark != 0xcc {
			return frame(segment, length)
		}
		if length < 2 {
			return Media{}, false
		}
		at += 2 + length
	}
	return Media{}, false
}

// frame reads the head of a frame's segment: its length, the bits of a sample,
// and the sides. A height of 0 is told behind the first scan.
func frame(segment []byte, length int64) (Media, bool) {
	if len(segment) < 7 || length < 8 || segment[2] < 2 || segment[2] > 16 {
		return Media{}, false
	}
	m := Media{Height: int(binary.BigEndian.Uint16(segment[3:])), Width: int(binary.BigEndian.Uint16(segment[5:]))}
	return m, m.Width > 0
}

// pngHeader reads a PNG's first chunk, where image.DecodeConfig finds the palette
// too far behind it.
func pngHeader(r io.ReaderAt) (Media, bool) {
	const signature, chunk = 8, 25 // bytes; the chunk's length, name, 13 bytes, checksum
	head := readAt(r, signature, chunk)
	if len(head) < chunk || binary.BigEndian.Uint32(head) != 13 || string(head[4:8]) != "IHDR" ||
		crc32.ChecksumIEEE(head[4:21]) != binary.BigEndian.Uint32(head[21:]) {
		return Media{}, false
	}
	width, height := binary.BigEndian.Uint32(head[8:]), binary.BigEndian.Uint32(head[12:])
	if width == 0 || height == 0 || width > 1<<31-1 || height > 1<<31-1 {
		return Media{}, false
	}
	return Media{Width: int(width), Height: int(height)}, true
}

// readAt reads up to n bytes; what is too short can't be told, for whatever reason.
func readAt(r io.ReaderAt, at int64, n int) []byte {
	b := make([]byte, n)
	read, _ := r.ReadAt(b, at)
	return b[:read]
}
