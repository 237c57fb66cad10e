package redact

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"unsafe"
)

// Mask stands where a secret stood. It needs no escaping in JSON.
const Mask = "[redacted]"

// MinSecret is the length in bytes below which a secret is ignored: masking
// shorter texts would destroy what is not secret.
const MinSecret = 6

// A Redactor masks secrets. It is safe for concurrent use. A nil Redactor is
// usable and masks nothing; the zero value knows no secrets yet.
type Redactor struct {
	mu      sync.Mutex // guards secrets, and the order of stores to matcher
	secrets []string
	matcher atomic.Pointer[matcher]
}

// New returns a Redactor of the given secrets; see Add.
func New(secrets ...string) *Redactor {
	r := new(Redactor)
	r.Add(secrets...)
	return r
}

// Add makes further secrets known, for all calls that start after it returns.
// White space around a secret is no part of it. Secrets shorter than
// MinSecret, and parts of the word Mask itself, are ignored. On a nil
// Redactor it does nothing.
func (r *Redactor) Add(secrets ...string) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	before := len(r.secrets)
	for _, secret := range secrets {
		secret = strings.TrimSpace(secret)
		_, behind, _ := strings.Cut(secret, ":")
		for _, s := range []string{secret, strings.TrimSpace(behind)} {
			if len(s) >= MinSecret && !slices.Contains(r.secrets, s) {
				r.secrets = append(r.secrets, s)
			}
		}
	}
	if len(r.secrets) == before {
		return
	}
	r.matcher.Store(newMatcher(r.secrets))
}

// Holds reports whether a secret stands in b, in whatever form.
func (r *Redactor) Holds(b []byte) bool { return !bytes.Equal(r.Bytes(b), b) }

// String returns s with every secret replaced by Mask. It returns s itself,
// without allocating, where there is none.
func (r *Redactor) String(s string) string {
	m := r.current()
	if m == nil || !m.matches(s) {
		return s
	}
	return m.mask(s)
}

// Bytes returns b with every secret replaced by Mask: b itself where there is
// none, else a new slice. It never changes b.
func (r *Redactor) Bytes(b []byte) []byte {
	m := r.current()
	if m == nil {
		return b
	}
	// The string is b itself: it is read only here, and b can't change
	// meanwhile but by a race of the caller's.
	s := unsafe.String(unsafe.SliceData(b), len(b))
	if !m.matches(s) {
		return b
	}
	return []byte(m.mask(s))
}

func (r *Redactor) current() *matcher {
	if r == nil {
		return nil
	}
	return r.matcher.Load()
}

// Writer returns a writer that masks each Write on its own and hands it to w
// in one piece. Secrets that are added later are masked too. It is as safe
// for concurrent use as w.
func (r *Redactor) Writer(w io.Writer) io.Writer {
	return &writer{redactor: r, out: w}
}

type writer struct {
	redactor *Redactor
	out      io.Writer
}

// Write reports len(p) on success, whatever the masked text's length.
func (w *writer) Write(p []byte) (int, error) {
	masked := w.redactor.Bytes(p)
	n, err := w.out.Write(masked)
	if err == nil && n < len(masked) {
		err = io.ErrShortWrite
	}
	if err != nil {
		return min(n, len(p)), err
	}
	return len(p), nil
}
