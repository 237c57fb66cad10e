// Package uploads brings what a caller names, a file, a URL, a data URI or
// base64, to fal's storage.
//
// It promises: everything is judged before a byte of it is sent; the same bytes
// give the same URL while it lives, also after a restart, and are not sent
// twice; what is fetched from a URL is streamed through and stored nowhere.
// Every error is the context's cause or a *jobs.Error for the one who must act.
package uploads
