package jobs

import (
	"context"
	"time"
)

// createUploads is a step of migrations.
const createUploads = `CREATE TABLE uploads (
		caller       TEXT NOT NULL,
		storage      TEXT NOT NULL,
		size         INTEGER NOT NULL,
		sha256       TEXT NOT NULL,
		content_type TEXT NOT NULL,
		file_name    TEXT NOT NULL,
		url          TEXT NOT NULL,
		created      INTEGER NOT NULL,
		expires      INTEGER NOT NULL,
		PRIMARY KEY (caller, storage, size, sha256, content_type)
	) WITHOUT ROWID;
	CREATE INDEX uploads_expiry ON uploads (expires);`

// uploadColumns is what an upload is read from.
const uploadColumns = `caller, storage, size, sha256, content_type, file_name, url, created, expires`

// UploadsOfSize implements UploadLedger.
func (s *SQLite) UploadsOfSize(_ context.Context, caller, storage string, size int64, beyond time.Time) ([]Upload, error) {
	// +expires: by the primary key, not through all that live.
	return s.uploads(`SELECT `+uploadColumns+` FROM uploads WHERE caller = ? AND storage = ? AND size = ? AND +expires > ?
		ORDER BY +expires DESC, sha256 DESC, content_type DESC LIMIT ?`, caller, storage, size, nanos(later(beyond)), uploadsOfSize)
}

func (s *SQLite) uploads(query string, args ...any) (all []Upload, err error) {
	err = s.each(query, args, func(from scanner) error {
		var u Upload
		var created, expires int64
		err := from.Scan(&u.Caller, &u.Storage, &u.Size, &u.SHA256, &u.ContentType, &u.FileName, &u.URL, &created, &expires)
		u.Created, u.ExpiresAt = fromNanos(created), fromNanos(expires)
		all = append(all, u)
		return err
	})
	return all, err
}

// KeepUpload implements UploadLedger.
func (s *SQLite) KeepUpload(_ context.Context, u Upload) error {
	u, ok := u.toKeep(time.Now())
	if !ok {
		return nil
	}
	_, err := s.exec(`INSERT INTO uploads (`+uploadColumns+`) VALUES (`+questions(9)+`)
		ON CONFLICT (caller, storage, size, sha256, content_type) DO UPDATE SET
			file_name = excluded.file_name, url = excluded.url, created = excluded.created, expires = excluded.expires
		WHERE excluded.expires > uploads.expires`,
		u.Caller, u.Storage, u.Size, u.SHA256, u.ContentType, u.FileName, u.URL, nanos(u.Created), nanos(u.ExpiresAt))
	return err
}

// soundUploads reads where both trees of the table begin.
func (s *SQLite) soundUploads() error {
	_, err := s.uploads(`SELECT ` + uploadColumns + ` FROM uploads INDEXED BY uploads_expiry ORDER BY expires LIMIT 1`)
	return err
}

// pruneUploads deletes those that have expired.
func (s *SQLite) pruneUploads(ctx context.Context) error {
	now := nanos(time.Now())
	for more := true; more && ctx.Err() == nil; {
		deleted, err := s.exec(`DELETE FROM uploads WHERE (caller, storage, size, sha256, content_type) IN
			(SELECT caller, storage, size, sha256, content_type FROM uploads WHERE expires <= ? ORDER BY expires LIMIT ?)`, now, pruneStep)
		if err != nil {
			return err
		}
		if deleted > 0 {
			s.dropped.Store(true)
		}
		more = deleted == pruneStep
	}
	return nil
}
