// Package redact masks the secrets known to the process in text that leaves
// it: logs, errors and results.
//
// A secret is masked in every form in which it travels: raw, in base64
// (standard and URL alphabet, padded or not, at any offset inside a longer
// encoded text) and in hex; each of these also escaped, in JSON, in JSON inside
// JSON (four deep), in Go's quoting, in URLs (twice encoded too), whatever the
// encoder chooses to escape. Of a key "<id>:<secret>" the part behind the colon
// is a secret of its own; the id is none.
//
// Only what is in one piece is found: a secret that is split over two Writes,
// or over two strings, is not masked. Base64 or hex of anything that is itself
// encoded passes, and so do HTML entities. The characters at either end of a
// base64 text that mix a secret with its neighbours stay; they tell at most
// 4 bits of it each.
package redact
