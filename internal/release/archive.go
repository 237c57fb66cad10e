package main

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// entry is a file in an archive.
type entry struct {
	path string // with slashes
	data []byte
	mode fs.FileMode
}

// sorted are the entries by path, so that their order says nothing.
func sorted(files []entry) []entry {
	return slices.SortedFunc(slices.Values(files), func(a, b entry) int { return strings.Compare(a.path, b.path) })
}

// writeTarGz writes files that belong to nobody and are all of one time.
func writeTarGz(w io.Writer, files []entry, at time.Time) error {
	packed, err := gzip.NewWriterLevel(w, gzip.BestCompression) // without a name and a time
	if err != nil {
		return err
	}
	archive := tar.NewWriter(packed)
	for _, f := range sorted(files) {
		header := &tar.Header{Typeflag: tar.TypeReg, Name: f.path, Mode: int64(f.mode), Size: int64(len(f.data)), ModTime: at, Format: tar.FormatUSTAR}
		if err := archive.WriteHeader(header); err != nil {
			return err
		}
		if _, err := archive.Write(f.data); err != nil {
			return err
		}
	}
	return errors.Join(archive.Close(), packed.Close())
}

// writeZip writes files that are all of one time.
func writeZip(w io.Writer, files []entry, at time.Time) error {
	archive := zip.NewWriter(w)
	for _, f := range sorted(files) {
		header := &zip.FileHeader{Name: f.path, Method: zip.Deflate, Modified: at.UTC()}
		header.SetMode(f.mode)
		file, err := archive.CreateHeader(header)
		if err != nil {
			return err
		}
		if _, err := file.Write(f.data); err != nil {
			return err
		}
	}
	return archive.Close()
}

// checksumsFile is in the form that sha256sum -c reads.
const checksumsFile = "checksums.txt"

// checksums writes those of all files in the folder.
func checksums(folder string) error {
	files, err := os.ReadDir(folder) // sorted
	if err != nil {
		return err
	}
	var b strings.Builder
	for _, f := range files {
		sum, err := sha256Of(filepath.Join(folder, f.Name()))
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "%s  %s\n", sum, f.Name())
	}
	return os.WriteFile(filepath.Join(folder, checksumsFile), []byte(b.String()), 0o644)
}

func sha256Of(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func writeFile(path string, write func(*os.File) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}
