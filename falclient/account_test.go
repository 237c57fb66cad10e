package falclient_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"nemotron-mcp/falclient"
	"nemotron-mcp/internal/falsim"
)

const lockedBody = `{"detail":"User is locked. Reason: Exhausted balance. Top up your balance at fal.ai/dashboard/billing."}`

// statusPath is where fal is asked about a request of version 4 of UUIDs.
const statusPath = "/nvidia/nemotron-3-nano-omni/requests/"

func TestCheckKey(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		answers []string // "STATUS BODY", one each try
		is      error    // nil where the key is accepted
		as      any
	}{
		{name: "fal knows no such request", answers: []string{`404 {"status":"NOT_FOUND"}`}},
		{name: "fal knows one", answers: []string{`200 {"status":"COMPLETED"}`}},
		{name: "after trouble", answers: []string{"503 <html>", "502 ", `404 {"status":"NOT_FOUND"}`}},
		{name: "refused", answers: []string{`401 {"detail":"invalid key credentials"}`}, is: falclient.ErrUnauthorized},
		{name: "without access", answers: []string{`403 {"detail":"no"}`}, is: falclient.ErrUnauthorized},
		{name: "locked", answers: []string{"403 " + lockedBody}, is: falclient.ErrLocked},
		{name: "redirected", answers: []string{"307 "}, is: falclient.ErrRedirected},
		{name: "a page that knows nothing", answers: []string{"404 <html>Not Found</html>"}, as: new(*falclient.ResponseError)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				asked := 0
				c := newClient(t, falclient.Config{QueueURL: "https://queue.example", Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
					id, ok := strings.CutPrefix(r.URL.Path, statusPath)
					if r.Method != http.MethodGet || !ok || len(strings.TrimSuffix(id, "/status")) != 36 || id[14] != '4' || r.Header.Get("Authorization") != "Key "+testKey {
						t.Errorf("asked %s %s", r.Method, r.URL)
					}
					status, body, _ := strings.Cut(tc.answers[min(asked, len(tc.answers)-1)], " ")
					asked++
					return answer(int(status[0]-'0')*100+int(status[1]-'0')*10+int(status[2]-'0'), body)
				})})
				err := c.CheckKey(t.Context())
				switch {
				case tc.is == nil && tc.as == nil && err != nil:
					t.Errorf("not accepted: %v", err)
				case tc.is != nil && !errors.Is(err, tc.is), tc.as != nil && !errors.As(err, tc.as):
					t.Errorf("got %T %v, want %v", err, err, tc.is)
				}
				if tc.as == nil && asked != len(tc.answers) {
					t.Errorf("asked %d times, want %d", asked, len(tc.answers))
				}
			})
		})
	}
}

func TestAccount(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		status int
		body   string
		want   falclient.Account
		err    string // a part of it; empty for none
	}{
		{name: "open", status: 200, body: `{"user_id":"u","is_locked":false,"lock_reason":null}`},
		{name: "locked", status: 200, body: `{"is_locked":true,"lock_reason":"Exhausted balance"}`, want: falclient.Account{Locked: true, LockReason: "Exhausted balance"}},
		{name: "hostile", status: 200, body: `{"is_locked":true,"lock_reason":"\u001b[31m` + testKey + `"}`, want: falclient.Account{Locked: true, LockReason: `\x1b[31m[redacted]`}},
		{name: "without the answer", status: 200, body: `{"user_id":"u"}`, err: "does not say"},
		{name: "null", status: 200, body: `null`, err: "does not say"},
		{name: "a page", status: 200, body: `<html>`, err: "does not say"},
		{name: "no such question", status: 404, body: `{"detail":"Not Found"}`, err: "HTTP 404: Not Found"},
		{name: "not for this key", status: 401, body: `{"detail":"invalid key credentials"}`, err: "HTTP 401"},
		{name: "redirected", status: 302, err: "HTTP 302"},
		{name: "too large", status: 200, body: `{"is_locked":false,"x":"` + strings.Repeat("x", 64<<10) + `"}`, err: "larger than the limit"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := newClient(t, falclient.Config{RESTURL: "https://rest.example/", Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
					if r.Method != http.MethodGet || r.URL.String() != "https://rest.example/billing/user_details" || r.Header.Get("Authorization") != "Key "+testKey {
						t.Errorf("asked %s %s", r.Method, r.URL)
					}
					return answer(tc.status, tc.body)
				})})
				got, err := c.Account(t.Context())
				if diff := cmp.Diff(tc.want, got); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				if tc.err == "" && err != nil || tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)) {
					t.Errorf("error %v, want %q", err, tc.err)
				}
				if err != nil && strings.Contains(err.Error(), testKey) {
					t.Error("the key is in the error")
				}
			})
		})
	}
}

// What can't be asked is not sent anywhere.
func TestProbesWithoutSettings(t *testing.T) {
	t.Parallel()
	never := roundTripper(func(r *http.Request) (*http.Response, error) {
		t.Errorf("asked %s", r.URL)
		return answer(200, "{}")
	})
	keyless, err := falclient.New(falclient.Config{Transport: never})
	if err != nil {
		t.Fatal(err)
	}
	defer keyless.Close()
	if err := keyless.CheckKey(t.Context()); !errors.Is(err, falclient.ErrNoKey) {
		t.Errorf("CheckKey: %v", err)
	}
	if _, err := keyless.Account(t.Context()); !errors.Is(err, falclient.ErrNoKey) {
		t.Errorf("Account: %v", err)
	}
	if _, err := newClient(t, falclient.Config{QueueURL: "https://queue.example", Transport: never}).Account(t.Context()); !errors.Is(err, falclient.ErrNoStorage) {
		t.Errorf("Account: %v", err)
	}
}

// TestProbesBillNothing asks the simulator.
func TestProbesBillNothing(t *testing.T) {
	t.Parallel()
	sim := falsim.New(falsim.Script{Key: testKey, Locked: true})
	url, err := sim.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer sim.Close()
	cfg := falclient.Config{QueueURL: url, RESTURL: sim.RESTURL(), PlatformURL: sim.PlatformURL()}
	c := newClient(t, cfg)
	if err := c.CheckKey(t.Context()); err != nil {
		t.Errorf("CheckKey: %v", err)
	}
	if a, err := c.Account(t.Context()); err != nil || a != (falclient.Account{Locked: true, LockReason: "Exhausted balance"}) {
		t.Errorf("Account: %+v, %v", a, err)
	}
	for _, r := range c.Reach(t.Context()) {
		if r.Err != nil || r.Latency <= 0 || r.First <= 0 || r.Date.IsZero() || r.StatusCode != 404 || "http://"+r.Host != url {
			t.Errorf("Reach: %+v", r)
		}
	}
	cfg.Key = "another"
	if err := newClient(t, cfg).CheckKey(t.Context()); !errors.Is(err, falclient.ErrUnauthorized) {
		t.Errorf("CheckKey with another key: %v", err)
	}
	if s := sim.Stats(); s.Accepted != 0 || s.Requests.Submit != 0 || s.Requests.Status != 2 || s.Requests.Account != 1 || s.Requests.Other != 9 {
		t.Errorf("fal was asked %+v", s)
	}
}

func TestReach(t *testing.T) {
	t.Parallel()
	date := time.Date(2020, 5, 6, 7, 8, 9, 0, time.UTC)
	asked := 0
	reached := make(chan struct{}) // three times
	far := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked++; asked == 3 {
			defer close(reached)
		}
		if r.Header.Get("Authorization") != "" || r.Method != http.MethodGet || r.URL.Path != "/sub/" {
			t.Errorf("asked %s %s with %v", r.Method, r.URL, r.Header)
		}
		w.Header().Set("Date", date.Format(http.TimeFormat))
		w.Header().Set("Location", "http://127.0.0.1:1/")
		w.WriteHeader(http.StatusFound)
	}))
	defer far.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	hang := startRaw(t, func(int64, net.Conn, *http.Request) bool {
		<-reached
		cancel()
		<-t.Context().Done()
		return false
	})
	c := newClient(t, falclient.Config{QueueURL: far.URL + "/sub/", BackupURL: hang.url(), RESTURL: refusedURL(t)})
	got := c.Reach(ctx)
	if len(got) != 3 {
		t.Fatalf("%d hosts: %+v", len(got), got)
	}
	if r := got[0]; r.Role != falclient.RoleQueue || r.Err != nil || r.StatusCode != 302 || !r.Date.Equal(date) || r.At.IsZero() {
		t.Errorf("queue: %+v", r)
	}
	if r := got[1]; r.Role != falclient.RoleBackup || !errors.Is(r.Err, context.Canceled) || errors.As(r.Err, new(*falclient.ConnectError)) {
		t.Errorf("backup: %+v", r)
	}
	if r := got[2]; r.Role != falclient.RoleREST || !errors.As(r.Err, new(*falclient.ConnectError)) {
		t.Errorf("rest: %+v", r)
	}
	if asked != 3 {
		t.Errorf("asked %d times", asked)
	}
}
