package app

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/alecthomas/kong"
)

// folder is an allowed folder as an argument of its own, which is the one form
// in which the host of a bundle can pass several. It is empty where the host
// left its placeholder as it was.
type folder string

// UnmarshalText reads an argument. A bare word is more likely a command that is
// written wrong, and serve is the default command: only what is written as a
// path counts.
func (f *folder) UnmarshalText(text []byte) error {
	word := string(text)
	switch {
	case unfilled(word):
		return nil
	case !asPath(word):
		return fmt.Errorf("%s is no command, and no folder, which is written as a path: ./%s", word, word)
	}
	*f = folder(kong.ExpandPath(word))
	return nil
}

// asPath reports whether a word can only be meant as a path.
func asPath(word string) bool {
	return word == "." || word == ".." || strings.HasPrefix(word, "~") ||
		strings.ContainsFunc(word, func(r rune) bool { return r < 0x80 && os.IsPathSeparator(uint8(r)) }) || filepath.VolumeName(word) != ""
}

// allow adds the folders to those of --allow-dir.
func (o *Options) allow(folders []folder) {
	for _, f := range folders {
		if f != "" {
			o.AllowDir = append(o.AllowDir, string(f))
		}
	}
}
