package files

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"strings"
	"testing"
	"time"
)

func pngOf(t *testing.T, w, h int) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, w, h))); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func box(kind string, parts ...[]byte) []byte {
	body := bytes.Join(parts, nil)
	return append(append(binary.BigEndian.AppendUint32(nil, uint32(len(body)+8)), kind...), body...)
}

// mp4Of builds an mp4 with the movie's header behind the media, as cameras do.
func mp4Of(version byte, rate uint32, length uint64, width, height int, more ...[]byte) []byte {
	mvhd, tkhd := make([]byte, 100), make([]byte, 84)
	if version == 1 {
		mvhd, tkhd = make([]byte, 112), make([]byte, 96)
		binary.BigEndian.PutUint32(mvhd[20:], rate)
		binary.BigEndian.PutUint64(mvhd[24:], length)
	} else {
		binary.BigEndian.PutUint32(mvhd[12:], rate)
		binary.BigEndian.PutUint32(mvhd[16:], uint32(length))
	}
	mvhd[0], tkhd[0] = version, version
	binary.BigEndian.PutUint32(tkhd[len(tkhd)-8:], uint32(width)<<16)
	binary.BigEndian.PutUint32(tkhd[len(tkhd)-4:], uint32(height)<<16)
	sound := make([]byte, 84)
	moov := append([][]byte{box("mvhd", mvhd), box("trak", box("tkhd", tkhd)), box("trak", box("tkhd", sound))}, more...)
	return bytes.Join([][]byte{box("ftyp", []byte("isom\x00\x00\x02\x00isomiso2mp41")), box("mdat", make([]byte, 5000)), box("moov", moov...)}, nil)
}

func wavOf(rate uint32, data int) []byte {
	b := []byte("RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00")
	b = binary.LittleEndian.AppendUint32(b, rate)
	b = binary.LittleEndian.AppendUint32(b, rate) // bytes a second
	b = append(b, 1, 0, 8, 0)
	b = append(b, "LIST\x03\x00\x00\x00abc\x00data"...)
	b = binary.LittleEndian.AppendUint32(b, uint32(data))
	return append(b, make([]byte, data)...)
}

// mp3Of builds frames of MPEG 1, 128 kbit/s, 44.1 kHz, 417 bytes each.
func mp3Of(frames int, header string, count uint32) []byte {
	var b []byte
	for i := range frames {
		frame := make([]byte, 417)
		copy(frame, "\xff\xfb\x90\x00")
		if i == 0 && header != "" {
			copy(frame[36:], header+"\x00\x00\x00\x01")
			binary.BigEndian.PutUint32(frame[44:], count)
		}
		b = append(b, frame...)
	}
	return b
}

func TestSniff(t *testing.T) {
	t.Parallel()
	var jpg bytes.Buffer
	if err := jpeg.Encode(&jpg, image.NewGray(image.Rect(0, 0, 3, 2)), nil); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name string
		in   string
		want Kind
	}{
		{"JPEG", jpg.String(), KindJPEG},
		{"PNG", string(pngOf(t, 3, 2)), KindPNG},
		{"mp4", string(mp4Of(0, 1, 1, 1, 1)), KindMP4},
		{"QuickTime is no mp4", string(box("ftyp", []byte("qt  \x00\x00\x02\x00qt  "))), KindOther},
		{"wav", string(wavOf(8000, 10)), KindWAV},
		{"mp3", string(mp3Of(3, "", 0)), KindMP3},
		{"mp3 with a tag", "ID3\x04\x00\x00\x00\x00\x00\x00" + string(mp3Of(3, "", 0)), KindMP3},
		{"text", "hello, 漢字\n", KindText},
		{"HTML is text", "<!DOCTYPE html><html></html>", KindText},
		{"JSON is text", `{"a": 1}`, KindText},
		{"empty", "", KindText},
		{"a character cut at the end", "hello é"[:7], KindText},
		{"Latin-1", "caf\xe9 au lait", KindOther},
		{"NUL", "a\x00b", KindOther},
		{"UTF-16", "\xff\xfeh\x00i\x00", KindOther},
		{"PDF", "%PDF-1.7\n\xe2\xe3", KindOther},
		{"GIF", "GIF89a\x01\x00\x01\x00", KindOther},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if got := Sniff([]byte(tc.in)); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
	for in, want := range map[string]string{"%PDF-1.7\n": "application/pdf", "hello": "text/plain; charset=utf-8", string(pngOf(t, 1, 1)): "image/png"} {
		if got := ContentType([]byte(in)); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestKindMatches(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		kind    Kind
		claimed string
		want    bool
	}{
		{KindPNG, "", true},
		{KindPNG, "application/octet-stream", true},
		{KindPNG, "image/png", true},
		{KindPNG, "IMAGE/PNG; q=1", true},
		{KindPNG, "image/jpeg", false},
		{KindPNG, "text/html", false},
		{KindJPEG, "image/jpg", true},
		{KindWAV, "audio/x-wav", true},
		{KindMP3, "audio/mp3", true},
		{KindMP4, "application/mp4", true},
		{KindMP4, "video/quicktime", false},
		{KindText, "application/json", true},
		{KindText, "text/markdown; charset=utf-8", true},
		{KindText, "image/svg+xml", true},
		{KindText, "image/png", false},
		{KindText, "application/pdf", false},
		{KindOther, "application/pdf", true},
		{KindOther, "image/png", false},
		{KindOther, "text/plain", false},
	} {
		if got := tc.kind.Matches(tc.claimed); got != tc.want {
			t.Errorf("%s claimed as %q: %v", tc.kind, tc.claimed, got)
		}
	}
}

func TestInspectAndCheck(t *testing.T) {
	t.Parallel()
	mehd := box("mvex", box("mehd", []byte{0, 0, 0, 0, 0, 0, 0x2b, 0x0c})) // 11020
	hugePNG := pngOf(t, 1, 1)
	binary.BigEndian.PutUint32(hugePNG[16:], 20000) // its checksum is wrong now
	const damaged = "its header can't be read: is it damaged?"
	var jpg bytes.Buffer
	if err := jpeg.Encode(&jpg, image.NewGray(image.Rect(0, 0, 30, 20)), nil); err != nil {
		t.Fatal(err)
	}
	plain := jpg.String()
	frameAt := strings.Index(plain, "\xff\xc0")
	as := func(mark, bits byte) []byte { // another kind of frame
		b := []byte(plain)
		b[frameAt+1], b[frameAt+4] = mark, bits
		return b
	}
	// What stands in front of the frame, 64 KiB in each segment.
	long := strings.Repeat("\xff\xe2\xff\xff"+strings.Repeat("x", 0xfffd), 20)
	palette := image.NewPaletted(image.Rect(0, 0, 7, 5), color.Palette{color.Black, color.White})
	var indexed bytes.Buffer
	if err := png.Encode(&indexed, palette); err != nil {
		t.Fatal(err)
	}
	text := strings.Repeat("x", 2<<20)
	chunk := string(binary.BigEndian.AppendUint32(nil, uint32(len(text)))) + "tEXt" + text +
		string(binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE([]byte("tEXt"+text))))
	farPalette := []byte(indexed.String()[:33] + chunk + indexed.String()[33:])
	moov := mp4Of(0, 1000, 5000, 640, 480)
	// A box of 64 bits in length in front of the movie's header.
	large := append(append([]byte("\x00\x00\x00\x01mdat\x00\x00\x00\x00\x00\x00\x10\x00"), make([]byte, 4096-16)...), moov...)
	for _, tc := range []struct {
		name  string
		kind  Kind
		in    []byte
		want  Media
		fault string
	}{
		{"PNG", KindPNG, pngOf(t, 30, 20), Media{Width: 30, Height: 20}, ""},
		{"wide PNG", KindPNG, pngOf(t, 16385, 1), Media{Width: 16385, Height: 1}, "16385 × 1 pixels"},
		{"damaged PNG", KindPNG, hugePNG, Media{}, damaged},
		{"cut PNG", KindPNG, pngOf(t, 30, 20)[:30], Media{}, damaged},
		{"PNG whose palette is far", KindPNG, farPalette, Media{Width: 7, Height: 5}, ""},
		{"cut JPEG", KindJPEG, []byte("\xff\xd8\xff"), Media{}, damaged},
		{"JPEG", KindJPEG, jpg.Bytes(), Media{Width: 30, Height: 20}, ""},
		{"JPEG cut in its picture", KindJPEG, jpg.Bytes()[:jpg.Len()-5], Media{Width: 30, Height: 20}, ""},
		{"JPEG cut in its frame", KindJPEG, jpg.Bytes()[:frameAt+8], Media{}, damaged},
		{"JPEG of 12 bits", KindJPEG, as(0xc1, 12), Media{Width: 30, Height: 20}, ""},
		{"arithmetic JPEG", KindJPEG, as(0xc9, 8), Media{Width: 30, Height: 20}, ""},
		{"lossless JPEG", KindJPEG, as(0xc3, 16), Media{Width: 30, Height: 20}, ""},
		{"JPEG of 99 bits", KindJPEG, as(0xc0, 99), Media{}, damaged},
		{"JPEG with more than 1 MiB in front", KindJPEG, []byte(plain[:2] + long + plain[2:]), Media{Width: 30, Height: 20}, ""},
		{"the same, too wide", KindJPEG, append([]byte(plain[:2]+long+"\xff\xc0\x00\x0b\x08\x00\x01\xff\xff\x01"), 1, 0x11, 0), Media{Width: 65535, Height: 1}, "65535 × 1 pixels"},
		{"JPEG without a frame", KindJPEG, []byte(plain[:2] + "\xff\xe0\x00\x04xx\xff\xda\x00\x02" + plain[frameAt:]), Media{}, damaged},
		{"JPEG of noise", KindJPEG, []byte("\xff\xd8\xff" + strings.Repeat("\x00", 100_000)), Media{}, damaged},
		{"mp4", KindMP4, mp4Of(0, 1000, 120_000, 1920, 1080), Media{1920, 1080, 2 * time.Minute, false}, ""},
		{"mp4 upright", KindMP4, mp4Of(0, 1000, 5000, 1080, 1920), Media{1080, 1920, 5 * time.Second, false}, ""},
		{"mp4 too long", KindMP4, mp4Of(0, 1000, 122_000, 640, 480), Media{640, 480, 122 * time.Second, false}, "lasts 2m2s"},
		{"mp4 too long, 64 bits", KindMP4, mp4Of(1, 1000, 122_000, 640, 480), Media{640, 480, 122 * time.Second, false}, "lasts 2m2s"},
		{"mp4 too large", KindMP4, mp4Of(0, 1000, 5000, 3840, 2160), Media{3840, 2160, 5 * time.Second, false}, "3840 × 2160"},
		{"mp4 square", KindMP4, mp4Of(0, 1000, 5000, 1440, 1440), Media{1440, 1440, 5 * time.Second, false}, "1440 × 1440"},
		{"mp4 of unknown length", KindMP4, mp4Of(0, 1000, 0xffffffff, 640, 480), Media{Width: 640, Height: 480}, ""},
		{"mp4 in fragments", KindMP4, mp4Of(0, 10, 0, 640, 480, mehd), Media{640, 480, 1102 * time.Second, false}, "lasts 18m22s"},
		{"mp4 without a rate", KindMP4, mp4Of(0, 0, 5, 640, 480), Media{Width: 640, Height: 480}, ""},
		{"mp4 that is cut", KindMP4, mp4Of(0, 1000, 122_000, 640, 480)[:2000], Media{}, damaged},
		{"mp4 with a box that is too small", KindMP4, []byte("\x00\x00\x00\x04moov"), Media{}, damaged},
		{"mp4 cut in its movie", KindMP4, moov[:len(moov)-200], Media{}, damaged},
		{"mp4 behind a box of 64 bits", KindMP4, large, Media{640, 480, 5 * time.Second, false}, ""},
		{"mp4 with an empty movie", KindMP4, []byte("\x00\x00\x00\x08moov"), Media{}, damaged},
		{"wav", KindWAV, wavOf(8000, 16000), Media{Duration: 2 * time.Second}, ""},
		{"wav too long", KindWAV, wavOf(1, 3002), Media{Duration: 3002 * time.Second}, "lasts 50m2s"},
		{"wav without a rate", KindWAV, wavOf(0, 3002), Media{}, ""},
		{"wav that is cut", KindWAV, wavOf(8000, 16000)[:20], Media{}, ""},
		{"mp3 with a count", KindMP3, mp3Of(2, "Xing", 38281), Media{Duration: time.Duration(38281 * 1152 * int64(time.Second) / 44100)}, ""},
		{"mp3 with a count, too long", KindMP3, mp3Of(2, "Info", 200_000), Media{Duration: time.Duration(200_000 * 1152 * int64(time.Second) / 44100)}, "lasts 1h27m"},
		{"mp3 of constant rate", KindMP3, mp3Of(200, "", 0), Media{Duration: 200 * 417 * 8 * time.Second / 128000}, ""},
		{"mp3 of few frames", KindMP3, mp3Of(3, "", 0), Media{}, ""},
		{"mp3 of nothing", KindMP3, []byte("ID3"), Media{}, ""},
		{"mp4 with a compressed movie", KindMP4, box("moov", box("cmov", []byte("x"))), Media{}, ""},
		{"text", KindText, []byte("x"), Media{}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got := Inspect(bytes.NewReader(tc.in), int64(len(tc.in)), tc.kind)
			if d := got.Duration - tc.want.Duration; d.Abs() > time.Millisecond || got.Width != tc.want.Width || got.Height != tc.want.Height || got.Damaged != (tc.fault == damaged) {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
			err := got.Check(tc.kind, "x\u202e")
			if tc.fault == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantError(t, err, CodeInvalid, tc.fault)
		})
	}
}

func FuzzInspect(f *testing.F) {
	f.Add(mp4Of(1, 1000, 122_000, 640, 480))
	f.Add(wavOf(8000, 100))
	f.Add(mp3Of(20, "Xing", 5))
	f.Add([]byte(strings.Repeat("\x00\x00\x00\x08trak", 100)))
	f.Fuzz(func(t *testing.T, content []byte) {
		Sniff(content)
		for _, kind := range []Kind{KindJPEG, KindPNG, KindMP4, KindWAV, KindMP3} {
			if m := Inspect(bytes.NewReader(content), int64(len(content)), kind); m.Duration < 0 || m.Width < 0 || m.Height < 0 {
				t.Errorf("%s: %+v", kind, m)
			}
		}
	})
}
