package uploads

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nemotron-mcp/falclient"
	"nemotron-mcp/internal/falsim"
	"nemotron-mcp/internal/files"
	"nemotron-mcp/internal/jobs"
)

func TestStorageFailures(t *testing.T) {
	t.Parallel()
	const restURL, update = "check FAL_REST_URL (--rest-url)", "this server is up to date"
	page := map[string]string{"Content-Type": "text/html"}
	for _, tc := range []struct {
		name      string
		fault     falsim.Fault
		code      jobs.Code
		retryable bool
		action    string
	}{
		{"initiate 500", falsim.Fault{Step: falsim.StepInitiate, Status: 500}, jobs.UpstreamUnavailable, true, "Try again in a minute."},
		{"initiate 400", falsim.Fault{Step: falsim.StepInitiate, Status: 400}, jobs.UpstreamInvalid, false, restURL},
		{"initiate 401", falsim.Fault{Step: falsim.StepInitiate, Status: 401}, jobs.AuthFailed, false, "FAL_KEY"},
		{"initiate 403", falsim.Fault{Step: falsim.StepInitiate, Status: 403}, jobs.AuthFailed, false, "FAL_KEY"},
		{"initiate 404", falsim.Fault{Step: falsim.StepInitiate, Status: 404}, jobs.UpstreamInvalid, false, "operator"},
		{"initiate 413", falsim.Fault{Step: falsim.StepInitiate, Status: 413}, jobs.FileInvalid, false, "Name a smaller file."},
		{"initiate 422", falsim.Fault{Step: falsim.StepInitiate, Status: 422}, jobs.UpstreamInvalid, false, restURL},
		{
			"initiate 429",
			falsim.Fault{Step: falsim.StepInitiate, Status: 429, Headers: map[string]string{"Retry-After": "7"}},
			jobs.RateLimited, true, "Try again in 7s.",
		},
		{
			"initiate locked",
			falsim.Fault{Step: falsim.StepInitiate, Status: 403, Body: `{"detail":"User is locked. Reason: Exhausted balance."}`},
			jobs.BalanceExhausted, false, "https://fal.ai/dashboard/billing",
		},
		{
			"initiate redirected",
			falsim.Fault{Step: falsim.StepInitiate, Status: 302, Headers: map[string]string{"Location": "https://evil.example/"}},
			jobs.UpstreamInvalid, false, restURL,
		},
		{
			"initiate page",
			falsim.Fault{Step: falsim.StepInitiate, Kind: falsim.Respond, Status: 200, Headers: page, Body: "<html>"},
			jobs.UpstreamInvalid, true, "proxy",
		},
		{
			"initiate foreign",
			falsim.Fault{
				Step: falsim.StepInitiate, Kind: falsim.Respond, Status: 200,
				Body: `{"upload_url":"https://evil.example/a?Signature=x","file_url":"https://v3.fal.media/a"}`,
			},
			jobs.UpstreamInvalid, false, restURL,
		},
		{"initiate null", falsim.Fault{Step: falsim.StepInitiate, Kind: falsim.NullBody}, jobs.UpstreamInvalid, true, "proxy"},
		{"initiate cut", falsim.Fault{Step: falsim.StepInitiate, Kind: falsim.TruncateBody}, jobs.UpstreamInvalid, true, "proxy"},
		{"initiate reset", falsim.Fault{Step: falsim.StepInitiate, Kind: falsim.ResetAfterRead}, jobs.UpstreamUnavailable, true, "Try again in a minute."},
		{"initiate hanging", falsim.Fault{Step: falsim.StepInitiate, Kind: falsim.Hang}, jobs.UpstreamUnavailable, true, "Try again in a minute."},
		{"PUT 403", falsim.Fault{Step: falsim.StepPut, Status: 403}, jobs.UpstreamInvalid, false, update},
		{"PUT 404", falsim.Fault{Step: falsim.StepPut, Status: 404}, jobs.UpstreamInvalid, false, update},
		{"PUT 413", falsim.Fault{Step: falsim.StepPut, Status: 413}, jobs.FileInvalid, false, "Name a smaller file."},
		{"PUT 500", falsim.Fault{Step: falsim.StepPut, Status: 500}, jobs.UpstreamUnavailable, true, "Try again in a minute."},
		{"PUT reset", falsim.Fault{Step: falsim.StepPut, Kind: falsim.ResetAfterRead}, jobs.UpstreamUnavailable, true, "Try again in a minute."},
		{"PUT hanging", falsim.Fault{Step: falsim.StepPut, Kind: falsim.Hang}, jobs.UpstreamUnavailable, true, "Try again in a minute."},
		{"PUT page", falsim.Fault{Step: falsim.StepPut, Kind: falsim.Respond, Status: 200, Headers: page, Body: "<html>"}, jobs.UpstreamInvalid, true, "proxy"},
		{"initiate of parts 500", falsim.Fault{Step: falsim.StepInitiateMultipart, Status: 500}, jobs.UpstreamUnavailable, true, "Try again in a minute."},
		{"part 403", falsim.Fault{Step: falsim.StepPart, Nth: 2, Status: 403}, jobs.UpstreamInvalid, false, update},
		{"part 500", falsim.Fault{Step: falsim.StepPart, Nth: 2, Status: 500}, jobs.UpstreamUnavailable, true, "Try again in a minute."},
		{"complete 400", falsim.Fault{Step: falsim.StepComplete, Status: 400}, jobs.UpstreamInvalid, false, restURL},
		{"complete 500", falsim.Fault{Step: falsim.StepComplete, Status: 500}, jobs.UpstreamUnavailable, true, "Try again in a minute."},
		{"complete reset", falsim.Fault{Step: falsim.StepComplete, Kind: falsim.ResetAfterRead}, jobs.UpstreamUnavailable, true, "Try again in a minute."},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				data := []byte("hello")
				if tc.fault.Step == falsim.StepInitiateMultipart || tc.fault.Step == falsim.StepPart || tc.fault.Step == falsim.StepComplete {
					data = make([]byte, 11<<20)
				}
				f := &fetcher{give: always(data, "")}
				r := newRig(t, rigOptions{fetcher: f, script: falsim.Script{Faults: []falsim.Fault{tc.fault}}})
				_, err := r.FromURL(t.Context(), address, Options{})
				fault := wantFault(t, err, tc.code, tc.action)
				if fault.Retryable != tc.retryable || (fault.RetryAfter > 0) != (tc.code == jobs.RateLimited) {
					t.Errorf("%+v", fault)
				}
				if strings.Contains(fault.Message, "Signature") || strings.Contains(fault.Message, "evil") || strings.Contains(fault.Message, "secret") {
					t.Errorf("the message tells a URL: %s", fault.Message)
				}
				f.wantClosed(t, 1)
				if r.sim.Stats().Faults == 0 || r.sim.Stats().KeyOnPublicURL != 0 || r.ledger.keeps() != 0 || len(r.flights) != 0 {
					t.Errorf("%+v, %d remembered, %d flights", r.sim.Stats(), r.ledger.keeps(), len(r.flights))
				}
				r.sim.SetScript(falsim.Script{})
				f.give = always([]byte("hello"), "")
				up, err := r.FromURL(t.Context(), address, Options{})
				must(t, err)
				r.stored(up)
			})
		})
	}
}

func TestTroubleThatPasses(t *testing.T) {
	t.Parallel()
	for _, step := range []falsim.Step{falsim.StepInitiate, falsim.StepPut} {
		t.Run(string(step), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, rigOptions{script: falsim.Script{Faults: []falsim.Fault{{Step: step, Status: 503, Times: 2}}}})
				up := r.sent(r.decode("data:,hello", Options{}), Options{})
				if have := r.stored(up); have.SHA256 != sumOf([]byte("hello")) || r.sim.Stats().Faults != 2 {
					t.Errorf("stored %+v", have)
				}
			})
		})
	}
}

func TestWithoutAKeyOrAStorage(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		o    rigOptions
		code jobs.Code
		part string
	}{
		{"no key", rigOptions{noKey: true}, jobs.AuthFailed, "FAL_KEY"},
		{"no storage", rigOptions{noStorage: true}, jobs.UpstreamUnavailable, "FAL_REST_URL"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			f := &fetcher{give: always([]byte("hello"), "")}
			tc.o.fetcher = f
			r := newRig(t, tc.o)
			r.file("a.png", pngOf(t, 3, 2))
			large := "data:image/png;base64," + base64Of(append(pngOf(t, 3, 2), noise(1, smallURI)...))
			for name, call := range map[string]func(ctx context.Context) error{
				"file":    func(ctx context.Context) error { _, err := r.File(ctx, r.folders, "a.png", Options{}); return err },
				"missing": func(ctx context.Context) error { _, err := r.File(ctx, r.folders, "missing", Options{}); return err },
				"base64":  func(context.Context) error { _, err := r.Base64("aGVsbG8=", Options{}); return err },
				"URL":     func(ctx context.Context) error { _, err := r.FromURL(ctx, address, Options{}); return err },
				"medium": func(ctx context.Context) error {
					_, err := r.Medium(ctx, r.allowed, "image_url", "a.png")
					return err
				},
				"large data URI": func(ctx context.Context) error {
					_, err := r.Medium(ctx, r.allowed, "image_url", large)
					return err
				},
			} {
				t.Log(name)
				wantFault(t, call(t.Context()), tc.code, tc.part)
			}
			r.wantSilence()
			if f.fetched.Load() != 0 {
				t.Error("fetched")
			}
			m, err := r.Medium(t.Context(), r.allowed, "image_url", "data:;base64,"+base64Of(pngOf(t, 3, 2)))
			if tc.o.noKey {
				wantFault(t, err, tc.code, tc.part)
			} else if err != nil || !strings.HasPrefix(m.URL, "data:image/png;base64,") {
				t.Errorf("a small data URI needs no storage: %+v, %v", m, err)
			}
			// What fal fetches needs neither here.
			if m := r.medium("image_url", "https://example.com/a.png"); m.URL == "" {
				t.Error("no URL")
			}
		})
	}
}

func TestALedgerThatFails(t *testing.T) {
	t.Parallel()
	broken := errors.New("the disk is full")
	for _, tc := range []struct {
		name        string
		read, write error
		puts        int
		log         string
	}{
		{"to read", broken, nil, 2, "can't tell what was uploaded before"},
		{"to write", nil, broken, 2, "does not remember an upload"},
		{"at nothing", nil, nil, 1, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			large := noise(1, heldFetch+1)
			r := newRig(t, rigOptions{fetcher: &fetcher{give: always(large, "")}})
			r.ledger.unreadable, r.ledger.unwritable = tc.read, tc.write
			for range 2 {
				r.stored(r.sent(r.decode("data:,hello", Options{}), Options{}))
			}
			r.wantSent(tc.puts)
			for range 2 {
				up, err := r.FromURL(t.Context(), address, Options{})
				must(t, err)
				r.stored(up)
			}
			r.wantSent(2 * tc.puts)
			log := r.log.String()
			if warned := strings.Contains(log, `"level":"warn"`); warned != (tc.log != "") || !strings.Contains(log, tc.log) ||
				warned && !strings.Contains(log, "the disk is full") {
				t.Errorf("log: %s", log)
			}
		})
	}
}

func TestLogLines(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{fetcher: &fetcher{give: always(noise(1, heldFetch+1), "")}})
	opts := Options{Caller: "ana"}
	up := r.sent(r.open(r.file("payroll.txt", []byte("the content")), opts), opts)
	r.sent(r.open("payroll.txt", opts), opts)
	fetched, err := r.FromURL(t.Context(), "https://example.com/private?token=secret", opts)
	must(t, err)
	r.ledger.unreadable, r.ledger.unwritable = errors.New("disk"), errors.New("disk")
	other := r.sent(r.decode("data:,more", Options{}), Options{Name: "payroll.txt"})
	log := r.log.String()
	for _, line := range []string{`"caller":"ana","bytes":11,"content_type":"text/plain; charset=utf-8"`, `"message":"uploaded"`} {
		if !strings.Contains(log, line) {
			t.Errorf("no %s in: %s", line, log)
		}
	}
	if n := strings.Count(log, `"message":"uploaded"`); n != 3 {
		t.Errorf("%d uploads in: %s", n, log)
	}
	for _, secret := range []string{"http", "://", "payroll", "a.bin", "private", "secret", "s3cret", "key-id", "the content", r.dir, up.SHA256, up.URL, fetched.URL, other.URL} {
		if strings.Contains(log, secret) {
			t.Errorf("%q is in: %s", secret, log)
		}
	}
}

// The ledger is told of what was sent although the call has ended since.
func TestTheEndOfACallIsNoReasonToForget(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	strict := &obedient{r.ledger}
	r.cfg.Ledger = strict
	r.keep(ctx, falclient.Uploaded{URL: "https://v3.fal.media/a", Size: 1, SHA256: "x", ContentType: "text/plain", ExpiresAt: time.Now().Add(time.Hour)}, "a", Options{}, time.Now())
	cancel()
	r.keep(ctx, falclient.Uploaded{URL: "https://v3.fal.media/b", Size: 2, SHA256: "y", ContentType: "text/plain", ExpiresAt: time.Now().Add(time.Hour)}, "b", Options{}, time.Now())
	if n := r.ledger.keeps(); n != 2 {
		t.Errorf("kept %d", n)
	}
}

// obedient is a ledger that does nothing for a context that has ended.
type obedient struct{ *ledger }

func (o *obedient) KeepUpload(ctx context.Context, u jobs.Upload) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return o.ledger.KeepUpload(ctx, u)
}

func TestFailure(t *testing.T) {
	t.Parallel()
	gone := errors.New("the user went home")
	ended, cancel := context.WithCancelCause(t.Context())
	cancel(gone)
	fault := &files.Error{Code: files.CodeNotAllowed, Message: `"a" is élan`, Action: "Ask."}
	told := &jobs.Error{Code: jobs.Internal, Message: "x", Action: "y"}
	for _, tc := range []struct {
		name string
		ctx  context.Context
		err  error
		want string
	}{
		{"none", t.Context(), nil, "<nil>"},
		{"none after the end", ended, nil, "<nil>"},
		{"the end", ended, fault, gone.Error()},
		{"told already", t.Context(), fmt.Errorf("wrapped: %w", told), "wrapped: INTERNAL: x"},
		{"a file's", t.Context(), fmt.Errorf("wrapped: %w", fault), `FILE_NOT_ALLOWED: "a" is élan.`},
		{"a source's", t.Context(), &falclient.SourceError{Err: falclient.ErrSourceChanged}, "FILE_INVALID: The file changed while it was read."},
		{"an invalid upload", t.Context(), fmt.Errorf("%w: its name", falclient.ErrInvalidUpload), "FILE_INVALID: Not a valid upload: its name."},
		{"no storage", t.Context(), falclient.ErrNoStorage, "UPSTREAM_UNAVAILABLE: No upload API is configured for this queue, so no file can be sent."},
		{"no key", t.Context(), falclient.ErrNoKey, "AUTH_FAILED: No usable fal key is configured, so nothing was sent."},
		{"a refusal", t.Context(), &falclient.APIError{Op: "upload", StatusCode: http.StatusTeapot}, "UPSTREAM_INVALID: fal upload: HTTP 418"},
	} {
		if got := fmt.Sprint(failure(tc.ctx, tc.err)); got != tc.want {
			t.Errorf("%s: got %s, want %s", tc.name, got, tc.want)
		}
	}
	if got := Failure(gone); !errors.Is(got, gone) || Failure(nil) != nil {
		t.Errorf("got %v", got)
	}
	wantFault(t, Failure(fmt.Errorf("wrapped: %w", fault)), jobs.FileNotAllowed, `"a" is élan. Ask. Nothing was sent.`)
	if got := wantFault(t, inField("image_url", told), jobs.Internal, "image_url: x."); told.Message != "x" || got.Action != "y" {
		t.Errorf("changed in place: %+v", told)
	}
	if got := inField("image_url", gone); !errors.Is(got, gone) || inField("x", nil) != nil {
		t.Errorf("got %v", got)
	}
}
