package redact

import (
	"encoding/base64"
	"encoding/hex"
	"strings"
	"unicode/utf8"
)

// forms returns the texts that give secret away, without escapes: those are
// undone while matching.
func forms(secret string) []string {
	lower := hex.EncodeToString([]byte(secret))
	texts := []string{secret, lower, strings.ToUpper(lower)}
	if isHex(secret) {
		texts = append(texts, strings.ToUpper(secret), strings.ToLower(secret))
	}
	if !utf8.ValidString(secret) {
		texts = append(texts, string([]rune(secret))) // as most encoders mend it
	}
	return append(texts, base64Forms(secret)...)
}

// isHex reports whether secret is hex digits, perhaps grouped as in a UUID or
// a fal key: its case then carries nothing.
func isHex(secret string) bool {
	return strings.Trim(secret, "0123456789abcdefABCDEF-:") == ""
}

// base64Forms returns the encodings of secret alone, and for each offset that
// it can have in a longer text the characters which depend on it only.
func base64Forms(secret string) []string {
	var texts []string
	for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
		padded := enc.EncodeToString([]byte(secret))
		texts = append(texts, padded, strings.TrimRight(padded, "="))
		for offset := range 3 {
			encoded := enc.WithPadding(base64.NoPadding).EncodeToString([]byte(strings.Repeat("\x00", offset) + secret))
			first := (8*offset + 5) / 6
			last := 8 * (offset + len(secret)) / 6
			texts = append(texts, encoded[first:last])
		}
	}
	return texts
}
