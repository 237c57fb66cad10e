package app

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// program is the absolute path of this program as it was called: behind a
// symbolic link, such as that of a package manager, is what the next upgrade
// removes.
func program(called string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	if found, err := exec.LookPath(called); err == nil {
		if called, err = filepath.Abs(found); err == nil && sameFile(called, self) {
			return called, nil
		}
	}
	return self, nil
}

// passing reports whether a path is that of a program that go run made: in a
// folder go-build with a number, or in the build cache.
func passing(path string) bool {
	parts := strings.Split(filepath.ToSlash(path), "/")
	return slices.ContainsFunc(parts[:len(parts)-1], func(part string) bool {
		number, is := strings.CutPrefix(part, "go-build")
		return is && strings.Trim(number, "0123456789") == ""
	})
}

func sameFile(a, b string) bool {
	infoA, errA := os.Stat(a)
	infoB, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(infoA, infoB)
}
