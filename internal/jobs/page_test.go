package jobs

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestPage(t *testing.T) {
	t.Parallel()
	line := strings.Repeat("x", 99) + "\n"
	long := strings.Repeat("x", PageSize)
	for _, tc := range []struct {
		name   string
		text   string
		offset int
		part   int // its length
		next   int
	}{
		{"empty", "", 0, 0, 0},
		{"short", "short", 0, 5, 0},
		{"the rest", "short", 2, 3, 0},
		{"at the end", "short", 5, 0, 0},
		{"beyond the end", "short", 6, 0, 0},
		{"negative", "short", -1, 0, 0},
		{"exactly a page", long, 0, PageSize, 0},
		{"a byte more", long + "y", 0, PageSize, PageSize},
		{"the byte more", long + "y", PageSize, 1, 0},
		{"ends after a line", strings.Repeat(line, 1000), 0, PageSize / 100 * 100, PageSize / 100 * 100},
		{"the line's end is too far back", "a\n" + long, 0, PageSize, PageSize},
		{"the line's end is just in reach", long[:PageSize-lineReach] + "\n" + long, 0, PageSize - lineReach + 1, PageSize - lineReach + 1},
		{"the line's end is just out of reach", long[:PageSize-lineReach-1] + "\n" + long, 0, PageSize, PageSize},
		{"a character over the end", long[1:] + "é" + long, 0, PageSize - 1, PageSize - 1},
		{"a character of 4 bytes over the end", long[3:] + "😀" + long, 0, PageSize - 3, PageSize - 3},
		{"an offset inside a character", "aé", 2, 2, 0},
		{"an offset inside one of 4 bytes", "a😀b", 4, 5, 0},
		{"an offset among stray bytes", "a\x80\x80\x80", 2, 2, 0},
		{"stray bytes over the end", strings.Repeat("\x80", PageSize+10), 0, PageSize, PageSize},
		{"an offset beyond a broken character", "\xf0\x9fab", 2, 2, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			part, next := Page(tc.text, tc.offset)
			if len(part) != tc.part || next != tc.next {
				t.Errorf("%d bytes, next %d; want %d and %d", len(part), next, tc.part, tc.next)
			}
		})
	}
}

// checkPages turns all pages of a text.
func checkPages(t interface {
	Fatalf(format string, args ...any)
}, text string,
) {
	var b strings.Builder
	for offset := 0; ; {
		part, next := Page(text, offset)
		b.WriteString(part)
		if len(part) > PageSize {
			t.Fatalf("a page of %d bytes", len(part))
		}
		if next == 0 {
			break
		}
		if next <= offset || next != offset+len(part) || len(part) < PageSize-lineReach-utf8.UTFMax {
			t.Fatalf("from %d to %d with %d bytes", offset, next, len(part))
		}
		if utf8.ValidString(text) && !utf8.RuneStart(text[next]) {
			t.Fatalf("offset %d is inside a character", next)
		}
		offset = next
	}
	if b.String() != text {
		t.Fatalf("the pages put together are not the text: %d bytes of %d", b.Len(), len(text))
	}
}

// checkOffset asks for any offset, as a host may.
func checkOffset(t interface {
	Fatalf(format string, args ...any)
}, text string, offset int,
) {
	part, next := Page(text, offset)
	if len(part) > PageSize || (next != 0 && (next <= offset || next >= len(text))) {
		t.Fatalf("from %d of %d: %d bytes, next %d", offset, len(text), len(part), next)
	}
	if offset >= 0 && offset < len(text) && part == "" {
		t.Fatalf("nothing at %d of %d", offset, len(text))
	}
	if utf8.ValidString(text) && !utf8.ValidString(part) {
		t.Fatalf("the page at %d begins or ends inside a character", offset)
	}
}

// longText grows from small pieces, so that shrinking can do something.
func longText(pieces *rapid.Generator[string]) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		piece := pieces.Draw(t, "piece")
		text := strings.Repeat(piece, rapid.IntRange(0, 3*PageSize).Draw(t, "bytes")/max(len(piece), 1))
		return pieces.Draw(t, "head") + text + pieces.Draw(t, "tail")
	})
}

func TestPagesOfAnyText(t *testing.T) {
	t.Parallel()
	for name, pieces := range map[string]*rapid.Generator[string]{
		"UTF-8": rapid.String(),
		"bytes": rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 40), func(b []byte) string { return string(b) }),
		"stray": rapid.Map(rapid.SliceOfN(rapid.SampledFrom([]byte{0x80, 0xBF, 0xC3, 0xE2, 0xF0, 'a', '\n'}), 0, 40), func(b []byte) string { return string(b) }),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(t *rapid.T) {
				text := longText(pieces).Draw(t, "text")
				checkPages(t, text)
				checkOffset(t, text, rapid.IntRange(-1, len(text)+1).Draw(t, "offset"))
			})
		})
	}
}

func FuzzPage(f *testing.F) {
	f.Add("a\nb", uint(3), 1)
	f.Add("é😀", uint(20_000), 65_537)
	f.Add("\x80", uint(70_000), 65_536)
	f.Fuzz(func(t *testing.T, piece string, times uint, offset int) {
		if len(piece) == 0 {
			return
		}
		text := strings.Repeat(piece, int(times)%(3*PageSize/len(piece)+2))
		checkPages(t, text)
		checkOffset(t, text, offset)
	})
}
