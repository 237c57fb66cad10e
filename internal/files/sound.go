package files

import (
	"bytes"
	"encoding/binary"
	"io"
	"time"
)

const (
	maxChunks = 256
	// mp3Window is how much of an MP3's start is looked at. Where its frames have
	// one bit rate there, they are taken to have it throughout.
	mp3Window = 64 << 10
	mp3Frames = 16 // fewer tell nothing
)

// wavDuration reads a RIFF file's chunks up to its samples. As with the MP3s
// below, it is done without a library: none was found that is well kept and tells
// the length by the header, in bounds; they decode all.
func wavDuration(r io.ReaderAt, size int64) time.Duration {
	rate := 0.0
	at := int64(12)
	for range maxChunks {
		head := make([]byte, 8)
		if n, _ := r.ReadAt(head, at); n < len(head) {
			return 0
		}
		length := int64(binary.LittleEndian.Uint32(head[4:]))
		switch string(head[:4]) {
		case "fmt ":
			format := make([]byte, 12)
			if n, _ := r.ReadAt(format, at+8); n < len(format) {
				return 0
			}
			rate = float64(binary.LittleEndian.Uint32(format[8:])) // bytes a second
		case "data":
			// A recorder that streams writes 0 or all ones.
			if rest := size - at - 8; length == 0 || length > rest {
				length = rest
			}
			return seconds(float64(length), rate)
		}
		at += 8 + length + length&1
	}
	return 0
}

// mp3Duration tells by the count of frames in an encoder's header, or by a
// constant bit rate.
func mp3Duration(r io.ReaderAt, size int64) time.Duration {
	start := int64(0)
	tag := make([]byte, 10)
	if n, _ := r.ReadAt(tag, 0); n == len(tag) && string(tag[:3]) == "ID3" {
		start = 10 + int64(tag[6]&0x7f)<<21 + int64(tag[7]&0x7f)<<14 + int64(tag[8]&0x7f)<<7 + int64(tag[9]&0x7f)
		if tag[5]&0x10 != 0 {
			start += 10 // a footer
		}
	}
	window := make([]byte, mp3Window)
	n, _ := r.ReadAt(window, start)
	window = window[:n]
	for i := 0; i+4 <= len(window); i++ {
		first, ok := parseFrame(window[i:])
		if !ok {
			continue
		}
		rest := window[i:]
		if first.length < len(rest) {
			if _, ok := parseFrame(rest[first.length:]); !ok {
				continue // chance: a frame is followed by a frame
			}
		}
		if frames, ok := frameCount(rest[:min(first.length, len(rest))]); ok {
			return seconds(float64(frames)*float64(first.samples), float64(first.rate))
		}
		if !constantRate(rest) {
			return 0
		}
		return seconds(float64(size-start-int64(i))*8, float64(first.bits))
	}
	return 0
}

// constantRate tells whether all frames of the window have one bit rate.
func constantRate(window []byte) bool {
	bits, count := 0, 0
	for len(window) >= 4 {
		f, ok := parseFrame(window)
		if !ok || count > 0 && f.bits != bits {
			return false
		}
		bits = f.bits
		count++
		if f.length > len(window) {
			break
		}
		window = window[f.length:]
	}
	return count >= mp3Frames
}

// frameCount reads the Xing, Info or VBRI header in an MP3's first frame.
func frameCount(frame []byte) (uint32, bool) {
	for _, mark := range []string{"Xing", "Info"} {
		if i := bytes.Index(frame, []byte(mark)); i >= 0 && i+12 <= len(frame) && frame[i+7]&1 != 0 {
			return binary.BigEndian.Uint32(frame[i+8:]), true
		}
	}
	if i := bytes.Index(frame, []byte("VBRI")); i >= 0 && i+18 <= len(frame) {
		return binary.BigEndian.Uint32(frame[i+14:]), true
	}
	return 0, false
}

type mp3Frame struct{ bits, rate, samples, length int }

// parseFrame reads the header of a layer III frame.
func parseFrame(b []byte) (mp3Frame, bool) {
	if len(b) < 4 || b[0] != 0xff || b[1]&0xe0 != 0xe0 {
		return mp3Frame{}, false
	}
	version, layer := b[1]>>3&3, b[1]>>1&3 // 3: MPEG 1, 2: MPEG 2, 0: MPEG 2.5
	index, rateIndex, padding := b[2]>>4, b[2]>>2&3, int(b[2]>>1&1)
	if version == 1 || layer != 1 || index == 0 || index == 15 || rateIndex == 3 {
		return mp3Frame{}, false
	}
	kilobits := [16]int{0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160}
	f := mp3Frame{rate: [3]int{44100, 48000, 32000}[rateIndex], samples: 576}
	switch version {
	case 3:
		kilobits = [16]int{0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320}
		f.samples = 1152
	case 2:
		f.rate /= 2
	case 0:
		f.rate /= 4
	}
	f.bits = kilobits[index] * 1000
	f.length = f.samples/8*f.bits/f.rate + padding
	return f, true
}
