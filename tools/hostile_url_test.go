package tools

import (
	"strings"
	"testing"
	"time"

	"nemotron-mcp/internal/jobs"
)

// TestHostileURLs holds that no URL that leads, or could lead, to a private
// address is fetched or given to fal.
func TestHostileURLs(t *testing.T) {
	t.Parallel()
	const notAllowed, invalid = jobs.FileNotAllowed, jobs.FileInvalid
	tests := []struct {
		name, url string
		code      jobs.Code
	}{
		{"loopback", "https://127.0.0.1/x.png", notAllowed},
		{"the whole of it", "https://127.1.2.3/x.png", notAllowed},
		{"decimal", "https://2130706433/x.png", notAllowed},
		{"hex", "https://0x7f000001/x.png", notAllowed},
		{"hex in parts", "https://0x7f.0.0.1/x.png", notAllowed},
		{"octal", "https://0177.0.0.1/x.png", notAllowed},
		{"short", "https://127.1/x.png", notAllowed},
		{"zero", "https://0/x.png", notAllowed},
		{"unspecified", "https://0.0.0.0/x.png", notAllowed},
		{"IPv6 loopback", "https://[::1]/x.png", notAllowed},
		{"IPv6 unspecified", "https://[::]/x.png", notAllowed},
		{"mapped", "https://[::ffff:127.0.0.1]/x.png", notAllowed},
		{"mapped, in hex", "https://[::ffff:7f00:1]/x.png", notAllowed},
		{"NAT64", "https://[64:ff9b::7f00:1]/x.png", notAllowed},
		{"6to4", "https://[2002:7f00:1::]/x.png", notAllowed},
		{"unique local", "https://[fd00::1]/x.png", notAllowed},
		{"link-local", "https://[fe80::1]/x.png", notAllowed},
		{"with a zone", "https://[fe80::1%25eth0]/x.png", notAllowed},
		{"metadata", "https://169.254.169.254/latest/meta-data/", notAllowed},
		{"metadata by name", "https://metadata.google.internal/x", notAllowed},
		{"private", "https://10.0.0.1/x.png", notAllowed},
		{"private too", "https://192.168.1.1/x.png", notAllowed},
		{"and too", "https://172.16.0.1/x.png", notAllowed},
		{"carrier's", "https://100.64.0.1/x.png", notAllowed},
		{"by name", "https://localhost/x.png", notAllowed},
		{"by name with a dot", "https://LOCALHOST./x.png", notAllowed},
		{"below it", "https://a.localhost/x.png", notAllowed},
		{"userinfo", "https://user:pass@example.com/x.png", notAllowed},
		{"userinfo that looks like a host", "https://example.com@127.0.0.1/x.png", notAllowed},
		{"a file", "file:///etc/passwd", notAllowed},
		{"gopher", "gopher://example.com/x", notAllowed},
		{"ftp", "ftp://example.com/x.png", notAllowed},
		{"loopback over http", "http://127.0.0.1/x.png", notAllowed},
		{"a storage that is not ours", "http://localhost:8080/files/b/x/y.png", notAllowed},
		{"no host", "https:///x.png", invalid},
		{"a space", "https://exa mple.com/x.png", invalid},
		{"CR LF", "https://example.com/x\r\nHost: evil", invalid},
		{"a backslash", `https://example.com\@127.0.0.1/x.png`, invalid},
		{"invisible", "https://exam\u200bple.com/x.png", invalid},
		{"9,000 characters", "https://example.com/" + strings.Repeat("a", 9000), invalid},
	}
	fields := []struct {
		tool string
		args func(url string) []any
	}{
		{"nemotron_generate", func(u string) []any { return []any{"prompt", "Hi", "image_url", u} }},
		{"upload_file", func(u string) []any { return []any{"url", u} }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, field := range fields {
				inBubble(t, rigOptions{}, func(t *testing.T, r *rig) {
					began := time.Now()
					a := r.call(field.tool, args(t, field.args(tt.url)...))
					if took := time.Since(began); took != 0 {
						t.Errorf("refused after %v", took)
					}
					wantRefused(t, a, tt.code, "URL", "Nothing was sent.")
					wantNotIn(t, a.text+r.log.String(), "pass@", "meta-data")
					r.wantNothing()
				})
			}
		})
	}
}

// TestHttpForFal holds that plain http is fetched by upload_file only.
func TestHttpForFal(t *testing.T) {
	t.Parallel()
	inBubble(t, rigOptions{fetcher: &oneFile{content: []byte("hello")}}, func(t *testing.T, r *rig) {
		a := r.call("nemotron_generate", `{"prompt":"Hi","image_url":"http://example.com/x.png"}`)
		wantRefused(t, a, jobs.FileNotAllowed, `scheme is "http"`, "have upload_file fetch it")
		r.wantNothing()
		if up := r.upload(`{"url":"http://example.com/x.png"}`); up.SizeBytes != 5 {
			t.Errorf("%+v", up)
		}
	})
}
