package jobs

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"nemotron-mcp/falclient"
)

// sentHash identifies what fal is sent. A default that is written out is the
// same as one that is left out.
func sentHash(endpoint string, input falclient.NemotronInput) (string, error) {
	meant, err := json.Marshal(input.WithDefaults())
	if err != nil {
		return "", fmt.Errorf("encoding the input: %w", err)
	}
	h := sha256.New()
	h.Write([]byte(endpoint + "\x00"))
	h.Write(meant)
	return hex.EncodeToString(h.Sum(nil)), nil
}

// inputHash identifies everything that makes two calls the same.
func inputHash(sent, webhook string) string {
	h := sha256.Sum256([]byte(sent + "\x00" + webhook))
	return hex.EncodeToString(h[:])
}

// preview is a prompt's first characters. Secrets are masked before it is cut:
// the first half of one would not be recognised.
func (m *Manager) preview(prompt string) string {
	const reach = 4 << 10 // longer than any secret and what comes before it
	head := prompt[:min(len(prompt), reach)]
	if m.opts.Mask != nil {
		head = m.opts.Mask(head)
	}
	// A copy, so that the row does not keep the whole prompt alive.
	var b []byte
	n := 0
	for _, r := range head {
		if n++; n > previewLength {
			break
		}
		b = utf8.AppendRune(b, r)
	}
	return string(b)
}
