package redact_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"nemotron-mcp/internal/redact"
)

// encodings lists what text looks like in every form that the package promises
// to mask, by names for the report. The forms are made by the standard
// library's encoders, not by the package.
func encodings(text string) map[string]string {
	query := url.QueryEscape(text)
	var percent strings.Builder
	for i := range len(text) {
		fmt.Fprintf(&percent, "%%%02X", text[i])
	}
	once := map[string]string{
		"raw": text, "path": url.PathEscape(text), "query": query,
		"component":  strings.ReplaceAll(query, "+", "%20"),
		"percent":    percent.String(),
		"percentLow": strings.ToLower(percent.String()),
		"hex":        hex.EncodeToString([]byte(text)),
		"hexUpper":   fmt.Sprintf("%X", text),
	}
	for name, enc := range map[string]*base64.Encoding{
		"base64": base64.StdEncoding, "base64url": base64.URLEncoding,
		"base64raw": base64.RawStdEncoding, "base64urlraw": base64.RawURLEncoding,
	} {
		once[name] = enc.EncodeToString([]byte(text))
		once[name+"InQuery"] = url.QueryEscape(once[name])
	}
	all := map[string]string{"quoted": strconv.Quote(text), "quotedASCII": strconv.QuoteToASCII(text)}
	for name, s := range once {
		all[name] = s
		all[name+"InJSON"] = mustJSON(s)
		all[name+"InPlainJSON"] = plainJSON(s)
		all[name+"InJSONInJSON"] = mustJSON(mustJSON(s))
		all[name+"InPlainJSONInJSON"] = mustJSON(plainJSON(s))
		all[name+"InSlashedJSON"] = strings.ReplaceAll(mustJSON(s), "/", `\/`)
	}
	return all
}

func plainJSON(s string) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		panic(err)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// FuzzRedact: whatever the secret and the text around it, no form of it is
// left, and masking again changes nothing.
func FuzzRedact(f *testing.F) {
	for _, seed := range [][3]string{
		{falKey, "Key ", ""},
		{keySecret, "u:", "\n"},
		{awkward, "<", ">"},
		{"secret", "", ""},
		{"aaaaaa", "aaa", "aaaa"},
		{"a/b+c=d&e", "/", "%2F"},
		{"]x[red", "]x[red", "]x[red"},
		{"x[reda", "x", "[reda"},
		{"\xff\xfe\xfd\xfc\xfb\xfa", "\xff", "\xff"},
		{"\x00\x01\x02\x03\x7f\u2028", "\\", "\\"},
		{"ünïcödé€", "é", "\u0301"},
		{`\\\\\\`, `\`, `"`},
		{"%41%42", "%", "%"},
		{"abcabc", "abc", "ab"},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	f.Fuzz(func(t *testing.T, secret, before, behind string) {
		secret = strings.TrimSpace(secret)
		if len(secret) < redact.MinSecret || len(secret) > 100 || len(before)+len(behind) > 1000 {
			t.Skip()
		}
		r := redact.New(secret)
		alone := encodings(secret)
		for name, text := range encodings(before + secret + behind) {
			masked := r.String(text)
			if r.String(masked) != masked {
				t.Errorf("%s: masked again: %q", name, r.String(masked))
			}
			if string(r.Bytes([]byte(text))) != masked {
				t.Errorf("%s: Bytes and String differ", name)
			}
			for form, leak := range alone {
				leak = strings.Trim(leak, `"=`)
				if len(leak) >= redact.MinSecret && !strings.Contains(redact.Mask, leak) && strings.Contains(masked, leak) {
					t.Errorf("%s: %q shows the secret's form %s, %q", name, masked, form, leak)
				}
			}
		}
		for name, text := range alone {
			if strings.Contains(redact.Mask, strings.Trim(text, `"=`)) {
				continue
			}
			if masked := r.String(text); !strings.Contains(masked, redact.Mask) {
				t.Errorf("%s: %q passed as it is", name, masked)
			}
		}
	})
}
