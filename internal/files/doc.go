// Package files is the gate for everything a caller may name: paths, globs,
// URLs, data URIs and base64.
//
// It promises:
//
//   - A path is read only inside a folder that the operator allowed. It is
//     walked element by element through os.Root, no element and no symbolic
//     link's target may be named like a secret, and the judgement falls on the
//     open descriptor, from which alone is read. So what was checked is what
//     is read, whatever is swapped meanwhile. What belongs to the server is
//     never read, by whatever name (see Folders.Forbid).
//   - A URL is fetched over http or https only, each hop's address judged after
//     name resolution and before a byte is sent. Nothing is stored.
//   - Everything read is bounded, and every wait ends with its context.
//   - A refusal is an *Error with text for the one who must act on it. It never
//     tells whether a file outside the allowed folders exists, and characters
//     that can't be seen are made visible in it.
//
// Symbolic links are followed where they stay inside their folder. Mount points
// inside an allowed folder are part of it.
package files
