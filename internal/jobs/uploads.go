package jobs

import (
	"cmp"
	"context"
	"math"
	"slices"
	"time"
)

const (
	// uploadsOfSize bounds what one look-up finds. Images and recordings of one
	// format can share their size by the hundred.
	uploadsOfSize = 1000
	// memoryUploads is how many the ledger in memory keeps.
	memoryUploads = 10_000
	// maxUploadText bounds the texts of one, in bytes: the URL comes from fal.
	maxUploadText = 8 << 10
)

// Upload is a file in fal's storage that the ledger remembers. Whoever has its
// URL can read it.
type Upload struct {
	Caller      string // who sent it; callers do not learn of each other's
	Storage     string // base URL of the upload API that took it: files of another are others
	SHA256      string // hex
	Size        int64  // bytes
	ContentType string
	FileName    string
	URL         string
	// Created and ExpiresAt are kept to the nanosecond, within the years 1678 to
	// 2261, and come back in UTC. Where ExpiresAt is zero, nobody knows how long
	// the file lives, and it is not kept.
	Created, ExpiresAt time.Time
}

// UploadLedger keeps uploads until they expire. Implementations are safe for
// concurrent use, and end each call within seconds by themselves.
type UploadLedger interface {
	// UploadsOfSize returns the caller's uploads of that many bytes to a storage
	// that live beyond that moment, those that live longest first, at most 1000.
	// One that has expired is never among them.
	UploadsOfSize(ctx context.Context, caller, storage string, size int64, beyond time.Time) ([]Upload, error)
	// KeepUpload remembers one. Beside another of the same caller, storage, size,
	// SHA256 and content type, the one that expires later is kept, of two that
	// expire together the first. One that has expired, or whose texts take more
	// than 8 KiB, is not kept, which is no error.
	KeepUpload(ctx context.Context, u Upload) error
}

// toKeep is an upload as ledgers keep it, and whether it is to be kept. Its times
// have no monotonic reading, whose clock stands still while the machine sleeps.
func (u Upload) toKeep(now time.Time) (Upload, bool) {
	u.Created, u.ExpiresAt = fromNanos(nanos(u.Created)), fromNanos(nanos(u.ExpiresAt))
	text := len(u.Caller) + len(u.Storage) + len(u.SHA256) + len(u.ContentType) + len(u.FileName) + len(u.URL)
	return u, text <= maxUploadText && nanos(u.ExpiresAt) > nanos(now)
}

// sameFile reports whether one takes the other's place.
func (u *Upload) sameFile(v *Upload) bool {
	return u.Size == v.Size && u.SHA256 == v.SHA256 && u.ContentType == v.ContentType && u.Caller == v.Caller && u.Storage == v.Storage
}

// byLife orders uploads from the soonest to expire to the last, in any ledger
// alike.
func byLife(a, b Upload) int {
	return cmp.Or(a.ExpiresAt.Compare(b.ExpiresAt), cmp.Compare(a.SHA256, b.SHA256), cmp.Compare(a.ContentType, b.ContentType))
}

// later is the later of that moment and now.
func later(beyond time.Time) time.Time {
	return fromNanos(max(nanos(beyond), nanos(time.Now())))
}

// nanos is a moment in Unix nanoseconds, or about the nearest that can be told
// so.
func nanos(at time.Time) int64 {
	const limit = math.MaxInt64 / int64(time.Second)
	switch s := at.Unix(); {
	case s < -limit:
		return math.MinInt64
	case s >= limit:
		return math.MaxInt64
	}
	return at.UnixNano()
}

func fromNanos(n int64) time.Time { return time.Unix(0, n).UTC() }

// UploadsOfSize implements UploadLedger.
func (m *Memory) UploadsOfSize(_ context.Context, caller, storage string, size int64, beyond time.Time) ([]Upload, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	beyond = later(beyond)
	var found []Upload
	for i := len(m.uploads) - 1; i >= 0 && len(found) < uploadsOfSize; i-- {
		u := m.uploads[i]
		if !u.ExpiresAt.After(beyond) {
			break
		}
		if u.Size == size && u.Caller == caller && u.Storage == storage {
			found = append(found, u)
		}
	}
	return found, nil
}

// KeepUpload implements UploadLedger. Beyond 10,000 the soonest to expire go.
func (m *Memory) KeepUpload(_ context.Context, u Upload) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	u, ok := u.toKeep(now)
	if !ok {
		return nil
	}
	if i := slices.IndexFunc(m.uploads, func(v Upload) bool { return v.sameFile(&u) }); i >= 0 {
		if !u.ExpiresAt.After(m.uploads[i].ExpiresAt) {
			return nil
		}
		m.uploads = slices.Delete(m.uploads, i, i+1)
	}
	at, _ := slices.BinarySearchFunc(m.uploads, u, byLife)
	m.uploads = slices.Insert(m.uploads, at, u)
	over := max(0, len(m.uploads)-memoryUploads)
	for over < len(m.uploads) && nanos(m.uploads[over].ExpiresAt) <= nanos(now) {
		over++
	}
	m.uploads = slices.Delete(m.uploads, 0, over)
	return nil
}

// UploadsOfSize implements UploadLedger.
func (z *Lazy) UploadsOfSize(ctx context.Context, caller, storage string, size int64, beyond time.Time) ([]Upload, error) {
	l, err := z.get()
	if err != nil {
		return nil, err
	}
	if uploads, ok := l.(UploadLedger); ok {
		return uploads.UploadsOfSize(ctx, caller, storage, size, beyond)
	}
	return nil, nil
}

// KeepUpload implements UploadLedger; one that keeps no uploads lets it go.
func (z *Lazy) KeepUpload(ctx context.Context, u Upload) error {
	l, err := z.get()
	if err != nil {
		return err
	}
	if uploads, ok := l.(UploadLedger); ok {
		return uploads.KeepUpload(ctx, u)
	}
	return nil
}
