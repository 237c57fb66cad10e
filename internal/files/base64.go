package files

import (
	"encoding/base64"
	"net/url"
	"strings"
)

const actBase64 = "Send the whole content as base64, or as a data URI (data:image/png;base64,…)."

// DecodeBase64 decodes base64 or a data URI of at most limit bytes, and returns
// the content type that the data URI claims, as it stands there, or "". It takes
// the standard and the URL alphabet, with padding or without, and white space
// anywhere; anything else is an *Error, as is empty content. What is too long is
// refused before anything is decoded.
func DecodeBase64(text string, limit int64) (data []byte, claimed string, err error) {
	text = strings.TrimSpace(text)
	if len(text) < 5 || !strings.EqualFold(text[:5], "data:") {
		data, err = decodeBase64(text, limit)
		return data, "", err
	}
	head, body, found := strings.Cut(text[5:], ",")
	if !found {
		return nil, "", invalid(actBase64, "the data URI has no comma")
	}
	if len(head) > 1024 {
		return nil, "", invalid(actBase64, "the data URI's head is too long")
	}
	claimed = strings.TrimSpace(head)
	encoded := false
	if i := strings.LastIndex(claimed, ";"); i >= 0 && strings.EqualFold(strings.TrimSpace(claimed[i+1:]), "base64") {
		claimed, encoded = strings.TrimSpace(claimed[:i]), true
	}
	if strings.ContainsFunc(claimed, func(r rune) bool { return r < ' ' || r > '~' }) {
		return nil, "", invalid(actBase64, "the data URI's content type holds characters that none may have")
	}
	// Three characters stand for one byte at most.
	if unescaped := int64(len(body) - 2*strings.Count(body, "%")); !encoded && unescaped > limit {
		return nil, "", tooLong(limit)
	}
	if strings.Contains(body, "%") {
		if body, err = url.PathUnescape(body); err != nil {
			return nil, "", invalid(actBase64, "the data URI has a broken percent escape")
		}
	}
	if encoded {
		data, err = decodeBase64(body, limit)
		return data, claimed, err
	}
	if body == "" {
		return nil, "", empty()
	}
	return []byte(body), claimed, nil
}

func empty() *Error { return invalid("Send some content.", "the content is empty") }

func tooLong(limit int64) *Error {
	return invalid("Send less, or name a file's path.", "the content is longer than the limit of %d bytes", limit)
}

func decodeBase64(text string, limit int64) ([]byte, error) {
	kept, fault := scanBase64(text)
	if fault != nil {
		return nil, fault
	}
	if kept == 0 {
		return nil, empty()
	}
	if int64(kept)/4*3+int64(kept%4*3/4) > limit {
		return nil, tooLong(limit)
	}
	compact := make([]byte, 0, kept)
	for i := 0; i < len(text) && len(compact) < kept; i++ {
		switch c := text[i]; {
		case space(c):
		case c == '-':
			compact = append(compact, '+')
		case c == '_':
			compact = append(compact, '/')
		default:
			compact = append(compact, c)
		}
	}
	n, err := base64.RawStdEncoding.Strict().Decode(compact, compact)
	if err != nil {
		return nil, invalid(actBase64, "the base64 is cut off or damaged at its end")
	}
	return compact[:n], nil
}

// scanBase64 counts the digits and finds every fault but that of the last one.
func scanBase64(text string) (digits int, fault *Error) {
	padding, standard, urlSafe := 0, false, false
	for i := range len(text) {
		c := text[i]
		switch {
		case space(c):
			continue
		case c == '=':
			padding++
			continue
		case c == '+' || c == '/':
			standard = true
		case c == '-' || c == '_':
			urlSafe = true
		case isLetter(c) || '0' <= c && c <= '9':
		default:
			return 0, invalid(actBase64, "the content is not base64: byte %d is 0x%02x", i, c)
		}
		if padding > 0 {
			return 0, invalid(actBase64, "the base64 goes on after its padding")
		}
		digits++
	}
	switch {
	case standard && urlSafe:
		return 0, invalid(actBase64, "the base64 mixes two alphabets")
	case digits%4 == 1, padding > 0 && (digits+padding)%4 != 0, padding > 2:
		return 0, invalid(actBase64, "the base64 is cut off or has bad padding")
	}
	return digits, nil
}

func space(c byte) bool { return c == ' ' || c == '\n' || c == '\r' || c == '\t' }
