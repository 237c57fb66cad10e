package jobs

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

const storage = "https://rest.fal.ai"

// upload is the n-th of files of one size, which live an hour.
func upload(n int, change ...func(*Upload)) Upload {
	u := Upload{
		Caller: me, Storage: storage, SHA256: fmt.Sprintf("%064x", n), Size: 10, ContentType: "image/png", FileName: "a.png",
		URL: fmt.Sprint("url-", n), Created: time.Now(), ExpiresAt: time.Now().Add(time.Hour),
	}
	for _, c := range change {
		c(&u)
	}
	return u
}

func lives(d time.Duration) func(*Upload) {
	return func(u *Upload) { u.ExpiresAt = time.Now().Add(d) }
}

// at is an upload's URL, by which tests tell two of the same bytes apart.
func at(url string) func(*Upload) { return func(u *Upload) { u.URL = url } }

func keep(t *testing.T, l UploadLedger, uploads ...Upload) {
	t.Helper()
	for _, u := range uploads {
		if err := l.KeepUpload(t.Context(), u); err != nil {
			t.Fatalf("KeepUpload %s: %v", u.URL, err)
		}
	}
}

// found are the URLs of the uploads of 10 bytes that live beyond then.
func found(t *testing.T, l UploadLedger, beyond time.Time) string {
	t.Helper()
	return urls(t, l, me, storage, 10, beyond)
}

func urls(t *testing.T, l UploadLedger, caller, storage string, size int64, beyond time.Time) string {
	t.Helper()
	all, err := l.UploadsOfSize(t.Context(), caller, storage, size, beyond)
	if err != nil {
		t.Fatalf("UploadsOfSize: %v", err)
	}
	var urls []string
	for _, u := range all {
		urls = append(urls, u.URL)
	}
	return strings.Join(urls, " ")
}

// eachUploadLedger runs a test over each implementation, at a time of its own.
func eachUploadLedger(t *testing.T, f func(t *testing.T, open func(*testing.T) UploadLedger)) {
	eachLedger(t, func(t *testing.T, open func(*testing.T) Ledger) {
		synctest.Test(t, func(t *testing.T) {
			f(t, func(t *testing.T) UploadLedger { return open(t).(UploadLedger) })
		})
	})
}

func TestUploadsOfSize(t *testing.T) {
	eachUploadLedger(t, func(t *testing.T, open func(*testing.T) UploadLedger) {
		l := open(t)
		now := time.Now()
		keep(t, l,
			upload(1), upload(2, lives(3*time.Hour)), upload(3, lives(2*time.Hour)),
			upload(4, func(u *Upload) { u.Caller = "other" }),
			upload(5, func(u *Upload) { u.Storage = "http://127.0.0.1" }),
			upload(6, func(u *Upload) { u.Size = 11 }),
			upload(7, func(u *Upload) { u.Caller, u.Storage = "", "" }))
		for _, tc := range []struct {
			name, caller, storage string
			size                  int64
			beyond                time.Time
			want                  string
		}{
			{"those that live longest first", me, storage, 10, now, "url-2 url-3 url-1"},
			{"any that lives", me, storage, 10, time.Time{}, "url-2 url-3 url-1"},
			{"until a moment before one expires", me, storage, 10, now.Add(time.Hour - 1), "url-2 url-3 url-1"},
			{"the moment at which one expires", me, storage, 10, now.Add(time.Hour), "url-2 url-3"},
			{"about to expire", me, storage, 10, now.Add(time.Hour + 1), "url-2 url-3"},
			{"beyond them all", me, storage, 10, now.Add(4 * time.Hour), ""},
			{"beyond all time", me, storage, 10, time.Unix(math.MaxInt64/2, 0), ""},
			{"another caller's", "other", storage, 10, now, "url-4"},
			{"a caller's who has none", "nobody", storage, 10, now, ""},
			{"another storage's", me, "http://127.0.0.1", 10, now, "url-5"},
			{"a storage that is new", me, "https://rest.fal.ai/", 10, now, ""},
			{"another size", me, storage, 11, now, "url-6"},
			{"a size that is new", me, storage, 1, now, ""},
			{"the one caller of a server that knows none", "", "", 10, now, "url-7"},
		} {
			if got := urls(t, l, tc.caller, tc.storage, tc.size, tc.beyond); got != tc.want {
				t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
			}
		}
	})
}

func TestKeepUpload(t *testing.T) {
	eachUploadLedger(t, func(t *testing.T, open func(*testing.T) UploadLedger) {
		jpeg := func(u *Upload) { u.ContentType = "image/jpeg" }
		long := func(n int) func(*Upload) {
			return func(u *Upload) {
				u.URL = ""
				u.FileName = strings.Repeat("x", n-len(me+storage+u.SHA256+u.ContentType))
			}
		}
		for _, tc := range []struct {
			name string
			kept []Upload
			want string
		}{
			{"nothing", nil, ""},
			{"the same twice", []Upload{upload(1), upload(1)}, "url-1"},
			{"the later one expires later", []Upload{upload(1, at("a")), upload(1, at("b"), lives(time.Hour+1))}, "b"},
			{"it expires earlier", []Upload{upload(1, at("a")), upload(1, at("b"), lives(time.Hour-1))}, "a"},
			{"both expire together", []Upload{upload(1, at("a")), upload(1, at("b"))}, "a"},
			{"it moves up", []Upload{upload(1), upload(2, lives(2*time.Hour)), upload(1, lives(3*time.Hour))}, "url-1 url-2"},
			{"two content types", []Upload{upload(1, at("a")), upload(1, at("b"), jpeg, lives(2*time.Hour))}, "b a"},
			{"one of two content types is replaced", []Upload{upload(1, at("a")), upload(1, at("b"), jpeg), upload(1, at("c"), lives(2*time.Hour))}, "c b"},
			{"another caller's is not", []Upload{upload(1), upload(1, func(u *Upload) { u.Caller = "other" }, lives(2*time.Hour))}, "url-1"},
			{"nor another storage's", []Upload{upload(1), upload(1, func(u *Upload) { u.Storage = "other" }, lives(2*time.Hour))}, "url-1"},
			{"those that expire together", []Upload{upload(2), upload(1), upload(3), upload(1, at("png"), jpeg)}, "url-3 url-2 url-1 png"},
			{"in whatever order they came", []Upload{upload(1, at("png"), jpeg), upload(1), upload(3), upload(2)}, "url-3 url-2 url-1 png"},
			{"expired centuries ago", []Upload{upload(1, func(u *Upload) { u.ExpiresAt = time.Date(1500, 1, 1, 0, 0, 0, 0, time.UTC) })}, ""},
			{"expired", []Upload{upload(1, lives(0)), upload(2, lives(-time.Hour)), upload(3, lives(1))}, "url-3"},
			{"an expired one replaces none", []Upload{upload(1, at("a")), upload(1, at("b"), lives(-1))}, "a"},
			{"not known when it expires", []Upload{upload(1, func(u *Upload) { u.ExpiresAt = time.Time{} })}, ""},
			{"after all that the ledger can tell", []Upload{
				upload(1, func(u *Upload) { u.ExpiresAt = time.Date(3000, 1, 1, 0, 0, 0, 0, time.UTC) }), upload(2),
			}, "url-1 url-2"},
			{"longer texts than any", []Upload{upload(1, long(maxUploadText+1)), upload(2)}, "url-2"},
			{"the longest", []Upload{upload(1, long(maxUploadText-3), at("url"))}, "url"},
		} {
			l := open(t)
			keep(t, l, tc.kept...)
			if got := found(t, l, time.Now()); got != tc.want {
				t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
			}
		}
	})
}

func TestUploadsExpire(t *testing.T) {
	eachUploadLedger(t, func(t *testing.T, open func(*testing.T) UploadLedger) {
		l := open(t)
		begun := time.Now()
		keep(t, l, upload(1), upload(2, lives(2*time.Hour)))
		for _, want := range []string{"url-2 url-1", "url-2", ""} {
			if got := found(t, l, begun); got != want {
				t.Errorf("after %v: %q, want %q", time.Since(begun), got, want)
			}
			time.Sleep(time.Hour)
		}
		keep(t, l, upload(1, at("again")))
		if got := found(t, l, begun); got != "again" {
			t.Errorf("uploaded again: %q", got)
		}
	})
}

func TestUploadIsKeptWhole(t *testing.T) {
	eachUploadLedger(t, func(t *testing.T, open func(*testing.T) UploadLedger) {
		l := open(t)
		east := time.FixedZone("east", 14*3600)
		one := Upload{
			Caller: "me\x00\xff", Storage: "'; --", SHA256: "0f", Size: math.MaxInt64, ContentType: "a/b; c=\"d\"", FileName: "é\x00.png",
			URL: "https://v3b.fal.media/x?y=z", Created: time.Now().Add(1).In(east), ExpiresAt: time.Now().Add(time.Hour + 2).In(east),
		}
		other := one
		other.FileName, other.URL, other.Created, other.ExpiresAt = "b", "c", one.Created.Add(3), one.ExpiresAt.Add(4)
		for _, want := range []Upload{one, other} { // the other replaces the one
			keep(t, l, want)
			got, err := l.UploadsOfSize(t.Context(), want.Caller, want.Storage, want.Size, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]Upload{want}, got); diff != "" {
				t.Errorf("read back (-want +got):\n%s", diff)
			}
			if got[0].Created.Location() != time.UTC || got[0].ExpiresAt.Location() != time.UTC {
				t.Error("times are not in UTC")
			}
		}
	})
}

func TestManyUploadsOfASize(t *testing.T) {
	eachUploadLedger(t, func(t *testing.T, open func(*testing.T) UploadLedger) {
		l := open(t)
		const most = 1000
		const many = most + 2
		for n := range many {
			keep(t, l, upload(n, lives(time.Hour+time.Duration(n))))
		}
		got := strings.Fields(found(t, l, time.Now()))
		var want []string
		for n := many - 1; len(want) < most; n-- {
			want = append(want, fmt.Sprint("url-", n))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%d found, from %v to %v", len(got), got[:min(1, len(got))], got[max(0, len(got)-1):])
		}
	})
}

// Of uploads of the same bytes that end in any order, the one that lives longest
// stays.
func TestUploadsAreKeptAtOnce(t *testing.T) {
	eachUploadLedger(t, func(t *testing.T, open func(*testing.T) UploadLedger) {
		l := open(t)
		const uploaders, each = 8, 25
		var work sync.WaitGroup
		for w := range uploaders {
			work.Go(func() {
				for n := range each {
					u := upload(1, at(fmt.Sprint(w, "-", n)), lives(time.Hour+time.Duration(w*n)))
					if err := l.KeepUpload(context.Background(), u); err != nil {
						t.Errorf("KeepUpload: %v", err)
					}
					if _, err := l.UploadsOfSize(context.Background(), me, storage, 10, time.Now()); err != nil {
						t.Errorf("UploadsOfSize: %v", err)
					}
				}
			})
		}
		work.Wait()
		if got, want := found(t, l, time.Now()), fmt.Sprint(uploaders-1, "-", each-1); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	})
}

func TestMemoryForgetsUploads(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := NewMemory()
		for n := range memoryUploads {
			keep(t, m, upload(n, func(u *Upload) { u.Size = int64(n) }, lives(time.Hour+time.Duration(n))))
		}
		there := func(n int) bool { return urls(t, m, me, storage, int64(n), time.Now()) != "" }
		keep(t, m, upload(memoryUploads, lives(2*time.Hour)), upload(memoryUploads+1, lives(time.Minute)))
		if there(0) || !there(1) || !there(memoryUploads-1) || found(t, m, time.Now()) != fmt.Sprint("url-", memoryUploads, " url-10") {
			t.Error("not the soonest to expire made room")
		}
		if len(m.uploads) != memoryUploads {
			t.Errorf("%d uploads are kept", len(m.uploads))
		}
		time.Sleep(2*time.Hour - 1)
		keep(t, m, upload(1))
		if len(m.uploads) != 2 {
			t.Errorf("%d uploads are kept when all but two have expired", len(m.uploads))
		}
	})
}

func TestLazyWithoutUploads(t *testing.T) {
	t.Parallel()
	fail := errors.New("no folder")
	for _, tc := range []struct {
		name   string
		opened Ledger
		err    error
	}{
		{"one that keeps no uploads", struct{ Ledger }{NewMemory()}, nil},
		{"one that can't be opened", nil, fail},
	} {
		z := NewLazy(func() (Ledger, error) { return tc.opened, tc.err })
		err := z.KeepUpload(t.Context(), upload(1))
		all, err2 := z.UploadsOfSize(t.Context(), me, storage, 10, time.Now())
		if !errors.Is(err, tc.err) || !errors.Is(err2, tc.err) || len(all) > 0 {
			t.Errorf("%s: %v; %v, %v", tc.name, err, all, err2)
		}
	}
}
