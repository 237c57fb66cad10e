package tools

import (
	"encoding/base64"
	"testing"

	"nemotron-mcp/internal/jobs"
)

// TestOwnSecrets: what is secret of this server's is given to nobody by way of a
// file, its name, or a URL that others are asked for.
func TestOwnSecrets(t *testing.T) {
	t.Parallel()
	inBubble(t, rigOptions{}, func(t *testing.T, r *rig) {
		r.write("config.json", []byte(`{"env":{"FAL_KEY":"`+key+`"}}`))
		r.write(keySecret+".txt", []byte("text"))
		encoded := base64.StdEncoding.EncodeToString([]byte("text " + keySecret))
		for name, tt := range map[string]struct {
			tool string
			args []any
			code jobs.Code
		}{
			"a file's content": {"nemotron_generate", []any{"prompt", "Hi", "files", []string{"config.json"}}, jobs.FileNotAllowed},
			"a file's name":    {"nemotron_generate", []any{"prompt", "Hi", "files", []string{keySecret + ".txt"}}, jobs.FileNotAllowed},
			"found by a glob":  {"nemotron_generate", []any{"prompt", "Hi", "files", []string{"*.txt"}}, jobs.FileNotAllowed},
			"an image's URL":   {"nemotron_generate", []any{"prompt", "Hi", "image_url", "https://example.com/" + keySecret + ".png"}, jobs.InvalidInput},
			"a webhook":        {"nemotron_generate", []any{"prompt", "Hi", "webhook_url", "https://example.com/?k=" + keySecret}, jobs.InvalidInput},
			"a data URI":       {"nemotron_generate", []any{"prompt", "Hi", "image_url", "data:image/png;base64," + encoded}, jobs.InvalidInput},
		} {
			a := r.call(tt.tool, args(t, tt.args...))
			if a.code() != string(tt.code) {
				t.Errorf("%s: %s", name, a.text)
			}
			wantIn(t, a.text, "secret of this server")
			wantNotIn(t, a.text, keySecret)
		}
		r.wantNothing()
	})
}
