package jobs

import (
	"strings"
	"unicode/utf8"
)

// PageSize is how much of an output one answer holds, in bytes.
const PageSize = 64 << 10

// lineReach is how far before the end of a page a line's end is looked for.
const lineReach = 4 << 10

// Page returns the part of text from offset on that fits one answer, and where
// the next part begins, 0 where there is none. It ends after a line where one
// ends near, and never inside a character; the parts put together are text. An
// offset beyond the text gives nothing, one inside a character starts at its
// beginning.
func Page(text string, offset int) (part string, next int) {
	if offset < 0 || offset >= len(text) {
		return "", 0
	}
	offset = runeStart(text, offset)
	rest := text[offset:]
	if len(rest) <= PageSize {
		return rest, 0
	}
	end := runeStart(rest, PageSize)
	if line := strings.LastIndexByte(rest[:end], '\n'); line >= end-lineReach {
		end = line + 1
	}
	return rest[:end], offset + end
}

// runeStart is where the character begins that the byte at i is part of. A byte
// that is part of none is one by itself: a run of them must not lead far back.
func runeStart(text string, i int) int {
	for start := i - 1; start >= max(0, i-utf8.UTFMax+1); start-- {
		if utf8.RuneStart(text[start]) {
			if _, size := utf8.DecodeRuneInString(text[start:]); start+size > i {
				return start
			}
			break
		}
	}
	return i
}
