package falclient_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nemotron-mcp/falclient"
)

func TestAPIErrorIs(t *testing.T) {
	t.Parallel()
	all := map[string]error{
		"unauthorized": falclient.ErrUnauthorized, "locked": falclient.ErrLocked, "not found": falclient.ErrNotFound,
		"rate": falclient.ErrRateLimited, "unfinished": falclient.ErrUnfinished, "redirected": falclient.ErrRedirected,
		"key": falclient.ErrNoKey, "large": falclient.ErrTooLarge, "id": falclient.ErrInvalidID,
	}
	for _, tc := range []struct {
		name string
		err  falclient.APIError
		is   string
	}{
		{"401", falclient.APIError{StatusCode: 401, Message: "invalid key credentials"}, "unauthorized"},
		{"403", falclient.APIError{StatusCode: 403, Message: "forbidden"}, "unauthorized"},
		{"403 exhausted", falclient.APIError{StatusCode: 403, Message: "User is locked. Reason: Exhausted balance."}, "locked"},
		{"403 payment method", falclient.APIError{StatusCode: 403, Message: "Please add a Payment method"}, "locked"},
		{"403 budget", falclient.APIError{StatusCode: 403, Message: "User budget exceeded"}, "locked"},
		{"402", falclient.APIError{StatusCode: 402, Message: "payment required"}, "locked"},
		{"401 that speaks of a lock", falclient.APIError{StatusCode: 401, Message: "locked"}, "unauthorized"},
		{"404", falclient.APIError{StatusCode: 404}, "not found"},
		{"429", falclient.APIError{StatusCode: 429}, "rate"},
		{"result in progress", falclient.APIError{Op: "result", StatusCode: 400, Message: "Request is still in progress"}, "unfinished"},
		{"result 400", falclient.APIError{Op: "result", StatusCode: 400, Message: "bad"}, ""},
		{"cancel in progress", falclient.APIError{Op: "cancel", StatusCode: 400, Message: "in progress"}, ""},
		{"308", falclient.APIError{StatusCode: 308}, "redirected"},
		{"500", falclient.APIError{StatusCode: 500, Message: "locked, balance, in progress"}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			for name, target := range all {
				if got := errors.Is(&tc.err, target); got != (name == tc.is) {
					t.Errorf("matches %q: %v", target, got)
				}
			}
		})
	}
}

func TestErrorTexts(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		err  error
		want string
	}{
		{&falclient.APIError{Op: "status", StatusCode: 503}, "fal status: HTTP 503"},
		{
			&falclient.APIError{Op: "result", StatusCode: 422, Type: "missing", Message: "prompt: required", RequestID: "abc"},
			"fal result: HTTP 422 missing: prompt: required (request abc)",
		},
		{&falclient.ConnectError{Op: "submit", Host: "h", Err: io.EOF}, "fal submit: no connection to h: EOF"},
		{&falclient.SubmitUnknownError{Endpoint: "a/b", Err: io.EOF}, "fal submit to a/b: sent, but without a readable answer: EOF"},
		{&falclient.ResponseError{Op: "stream", StatusCode: 200, Err: io.EOF}, "fal stream: unreadable answer (HTTP 200): EOF"},
	} {
		if got := tc.err.Error(); got != tc.want {
			t.Errorf("got %q, want %q", got, tc.want)
		}
	}
	for _, err := range []error{
		&falclient.ConnectError{Err: io.EOF}, &falclient.SubmitUnknownError{Err: io.EOF}, &falclient.ResponseError{Err: io.EOF},
	} {
		if !errors.Is(err, io.EOF) {
			t.Errorf("%T hides its cause", err)
		}
	}
}

const (
	hookSecret = "wh-s3cr3t-0123456789"
	hook       = "https://me.example/hook?token=" + hookSecret
	prompt     = "PRIVATE PROMPT"
)

// echoes are answers that throw back what they were sent, whole, on each path
// where net/http or this package makes an error of it.
func echoes() map[string]string {
	all := testKey + " " + hook + " " + url.QueryEscape(hook) + " \x1b[31m\u202e"
	page := func(status, header, body string) string {
		return fmt.Sprintf("HTTP/1.1 %s\r\nX-Fal-Error-Type: %s\r\nX-Fal-Request-Id: %s\r\n%sContent-Length: %d\r\n\r\n%s",
			status, testKey, "5ec4e7deadbeef5ec4e7deadbeef0001", header, len(body), body)
	}
	escaped := strings.ReplaceAll(all, "\x1b", `\u001b`)
	detail := `{"detail":"` + escaped + `","error_type":"` + escaped + `","status":"` + escaped + `"}`
	list := `{"detail":[{"loc":["body","` + escaped + `"],"msg":"` + escaped + `","type":"` + escaped + `","input":{"prompt":"` + prompt + `"},"ctx":{"a":"` + prompt + `"}}]}`
	m := map[string]string{
		"status line":         "HTTP/1.1 " + all + "\r\n\r\n",
		"not HTTP":            all + "\r\n\r\n",
		"header line":         "HTTP/1.1 200 OK\r\n" + all + "\r\n\r\n",
		"header name":         "HTTP/1.1 200 OK\r\nA b " + all + ": x\r\n\r\n",
		"content length":      "HTTP/1.1 200 OK\r\nContent-Length: " + testKey + "\r\n\r\n",
		"transfer encoding":   "HTTP/1.1 200 OK\r\nTransfer-Encoding: " + testKey + "\r\n\r\n",
		"trailer":             "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-A\r\n\r\n2\r\n{}\r\n0\r\n" + all + "\r\n\r\n",
		"chunk":               "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + all + "\r\n\r\n",
		"gzip":                page("200 OK", "Content-Encoding: gzip\r\n", all),
		"200 not JSON":        page("200 OK", "", all),
		"200 JSON in a field": page("200 OK", "", `{"request_id":"`+escaped+`","status":7}`),
		"302":                 page("302 Found", "Location: https://evil.example/?"+url.QueryEscape(all)+"\r\n", ""),
		"stream":              page("200 OK", "Content-Type: text/event-stream\r\n", "data: "+all+"\n\n"),
	}
	for _, status := range []int{307, 400, 401, 403, 404, 408, 422, 429, 500, 502, 503, 504} {
		line := fmt.Sprint(status, " ", testKey)
		m[fmt.Sprint(status, " text")] = page(line, "", detail)
		m[fmt.Sprint(status, " list")] = page(line, "", list)
		m[fmt.Sprint(status, " page")] = page(line, "", "<html>"+all+prompt)
	}
	return m
}

// chain is an error with all that can be unwrapped from it.
func chain(err error) string {
	if err == nil {
		return ""
	}
	s := fmt.Sprintf("%v|%+v|", err, err)
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range many.Unwrap() {
			s += chain(e)
		}
	}
	return s + chain(errors.Unwrap(err))
}

func TestErrorsLeakNothing(t *testing.T) {
	t.Parallel()
	calls := map[string]func(context.Context, *falclient.Client) error{
		"submit": func(ctx context.Context, c *falclient.Client) error {
			_, err := c.Submit(ctx, vision, map[string]any{"prompt": prompt}, falclient.SubmitOptions{WebhookURL: hook, MaxWait: time.Hour})
			return err
		},
		"status": func(ctx context.Context, c *falclient.Client) error {
			_, err := c.Status(ctx, vision, testID, true)
			return err
		},
		"result": func(ctx context.Context, c *falclient.Client) error {
			_, err := c.Result(ctx, vision, testID)
			return err
		},
		"cancel": func(ctx context.Context, c *falclient.Client) error {
			_, err := c.Cancel(ctx, vision, testID)
			return err
		},
		"watch": func(ctx context.Context, c *falclient.Client) error {
			ctx, cancel := context.WithTimeout(ctx, time.Minute)
			defer cancel()
			_, err := c.Watch(ctx, vision, testID, nil)
			return err
		},
	}
	for name, raw := range echoes() {
		for op, call := range calls {
			t.Run(name+", "+op, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					c, _ := bubble(t, func(w http.ResponseWriter, _ *http.Request) {
						conn, _, err := http.NewResponseController(w).Hijack()
						if err != nil {
							t.Error(err)
							return
						}
						_, _ = io.WriteString(conn, raw)
						_ = conn.Close()
					})
					err := call(t.Context(), c)
					// A cancel takes any 2xx, and a result any object.
					if err == nil && op != "cancel" && (op != "result" || name != "200 JSON in a field") {
						t.Error("no error")
					}
					text := chain(err)
					for what, secret := range map[string]string{
						"the key": testKey, "the key's half": "5ec4e7deadbeef", "the escaped key": url.QueryEscape(testKey),
						"the webhook's secret": hookSecret, "the prompt": prompt, "ESC": "\x1b", "a direction": "\u202e",
					} {
						// A webhook is known to the call that names it.
						if strings.Contains(text, secret) && (op == "submit" || secret != hookSecret) {
							t.Errorf("%s is in %q", what, text)
						}
					}
					if len(text) > 64<<10 {
						t.Errorf("the error has %d bytes", len(text))
					}
				})
			})
		}
	}
}
