package jobs

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"unicode/utf8"

	"nemotron-mcp/falclient"
)

// identify completes what is sent and gives the hash of it, and that of all
// that makes two calls the same.
func (m *Manager) identify(req *Request) (sent, same string, err error) {
	if m.opts.SafetyChecker != nil {
		req.Input.EnableSafetyChecker = m.opts.SafetyChecker
	}
	_, err = falclient.ParseEndpoint(req.Endpoint)
	if err == nil {
		sent, err = sentHash(req.Endpoint, req.Input)
	}
	if err == nil {
		same, err = inputHash(sent, *req)
	}
	if err != nil {
		return "", "", &Error{Code: Internal, Message: err.Error()}
	}
	return sent, same, nil
}

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

// inputHash identifies everything that makes two calls the same. A medium is
// what its bytes are: they may have been uploaded to another place the last time.
func inputHash(sent string, req Request) (string, error) {
	same := req.Input
	for _, a := range req.Attachments {
		if field := mediaField(&same, a.Field); field != nil && a.SHA256 != "" {
			*field = "sha256:" + a.SHA256
		}
	}
	if same != req.Input {
		var err error
		if sent, err = sentHash(req.Endpoint, same); err != nil {
			return "", err
		}
	}
	h := sha256.Sum256([]byte(sent + "\x00" + req.WebhookURL))
	return hex.EncodeToString(h[:]), nil
}

// mediaField is the field of that name; nil where it is not a medium's.
func mediaField(in *falclient.NemotronInput, name string) *string {
	switch name {
	case "image_url":
		return &in.ImageURL
	case "video_url":
		return &in.VideoURL
	case "audio_url":
		return &in.AudioURL
	}
	return nil
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

// masked are attachments without a secret in their paths.
func (m *Manager) masked(all []Attachment) []Attachment {
	if m.opts.Mask == nil {
		return all
	}
	all = slices.Clone(all)
	for i := range all {
		all[i].Path = m.opts.Mask(all[i].Path)
	}
	return all
}
