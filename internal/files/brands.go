package files

import (
	"encoding/binary"
	"slices"
)

// maxBrands bounds the compatible brands looked at.
const maxBrands = 64

// playsAsMP4 tells an MP4 by the brands in its first box. Pictures (HEIC, AVIF),
// recordings (M4A), and QuickTime's and phones' own formats are built of the same
// boxes, and mimetype, which knows the most common of them, takes whatever else
// starts with such a box for an MP4. So the brand must be one of MP4's own; where
// it is one that nobody knows, a brand of MP4's must be among those that the file
// says to be compatible with, and none of a picture.
func playsAsMP4(head []byte) bool {
	brands := brandsOf(head)
	if len(brands) == 0 {
		return false
	}
	if slices.Contains(mp4Brands(), brands[0]) {
		return true
	}
	return !otherBrand(head) && slices.ContainsFunc(brands, func(b string) bool { return slices.Contains(mp4Brands(), b) }) &&
		!slices.ContainsFunc(brands, func(b string) bool { return slices.Contains([]string{"mif1", "msf1", "miaf", "heic", "avif"}, b) })
}

// mp4Brands are those that players take for video in MP4: of ISO, of CMAF and
// DASH, Apple's M4V, Adobe's F4V, and those of Sony's cameras and players.
func mp4Brands() []string {
	return []string{
		"isom", "iso2", "iso3", "iso4", "iso5", "iso6", "iso7", "iso8", "iso9", "mp41", "mp42", "mp71", "avc1", "hvc1", "av01",
		"mmp4", "cmfc", "cmf2", "dash", "M4V ", "M4VH", "M4VP", "F4V ", "f4v ", "MSNV", "XAVC",
	}
}

// otherBrand tells a brand that mimetype knows to be something else.
func otherBrand(head []byte) bool { return !detect(head).Is(string(KindMP4)) }

// brandsOf reads the ftyp box: the brand, then the compatible ones.
func brandsOf(head []byte) []string {
	const first = 16 // the box's head, the brand, its version
	// A text that has "ftyp" at that place does not begin with 0.
	if len(head) < 12 || head[0] != 0 || string(head[4:8]) != "ftyp" {
		return nil
	}
	brands := []string{string(head[8:12])}
	end := min(int64(binary.BigEndian.Uint32(head)), int64(len(head)), first+4*maxBrands)
	for at := int64(first); at+4 <= end; at += 4 {
		brands = append(brands, string(head[at:at+4]))
	}
	return brands
}
