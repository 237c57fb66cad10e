//go:build !unix

package hosts

import (
	"io/fs"
	"os"
)

// sameOwner does nothing where the folder says who may use a new file.
func sameOwner(*os.File, fs.FileInfo) error { return nil }
