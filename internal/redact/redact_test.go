package redact_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"nemotron-mcp/internal/redact"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	keyID     = "0f8fad5b-d9cb-469f-a165-70867728950e"
	keySecret = "9f86d081884c7d659a2feaa0c55ad015"
	falKey    = keyID + ":" + keySecret
	awkward   = `p@ss"w/o\r+d <&>é=%'` + "\n" + `x`
)

func mustJSON(v any) string {
	doc, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(doc)
}

func TestStringMasks(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, secret, text, want string }{
		{"raw", falKey, "Key " + falKey + ".", "Key [redacted]."},
		{"the part behind the colon", falKey, "s=" + keySecret, "s=[redacted]"},
		{"not the id alone", falKey, "id=" + keyID, "id=" + keyID},
		{"upper case of a hex key", falKey, strings.ToUpper(falKey), "[redacted]"},
		{"upper case of its secret", falKey, strings.ToUpper(keySecret), "[redacted]"},
		{"twice in a row", "secret1", "secret1secret1", "[redacted]"},
		{"one behind another", "secret1", "secret1 secret1", "[redacted] [redacted]"},
		{"alone", "secret1", "secret1", "[redacted]"},
		{"at both ends", "secret1", "secret1--secret1", "[redacted]--[redacted]"},
		{"cut short", "secret1", "secret", "secret"},
		{"overlapping itself", "abcabca", "xabcabcabcax", "x[redacted]x"},
		{"a word with capitals keeps its case", "Secret1", "secret1 SECRET1", "secret1 SECRET1"},
		{"white space around it", " secret1\n", "secret1", "[redacted]"},
		{"too short", "abcde", "abcde", "abcde"},
		{"too short behind the colon", "username:abcde", "abcde username:abcde", "abcde [redacted]"},
		{"in a path", falKey, "/" + url.PathEscape(falKey) + "/", "/[redacted]/"},
		{"in a query", falKey, "?k=" + url.QueryEscape(falKey) + "&a=b", "?k=[redacted]&a=b"},
		{"in a query, lower case", falKey, "?k=" + strings.ReplaceAll(falKey, ":", "%3a"), "?k=[redacted]"},
		{"in a query inside a query", falKey, "?u=" + url.QueryEscape(url.QueryEscape(falKey)), "?u=[redacted]"},
		{"with a space in a query", "pass word", "k=pass+word", "k=[redacted]"},
		{"JSON in a query", `pass"word`, url.QueryEscape(mustJSON(`pass"word`)), "%22[redacted]%22"},
		{"ends in a backslash, in JSON", `secret\`, mustJSON("secret\\\nx"), `"[redacted]\nx"`},
		{"ends in a backslash, in JSON in JSON", `secret\`, mustJSON(mustJSON("secret\\\nx")), `"\"[redacted]\\nx\""`},
		{"wholly percent-encoded", "secret", "%73%65%63%72%65%74", "[redacted]"},
		{"base64", falKey, "Basic " + base64.StdEncoding.EncodeToString([]byte(falKey)), "Basic [redacted]"},
		{"base64 without padding", falKey, base64.RawStdEncoding.EncodeToString([]byte(falKey)), "[redacted]"},
		{"base64 with its padding", keySecret, base64.StdEncoding.EncodeToString([]byte(keySecret)) + ".", "[redacted]."},
		{"space behind the colon", "token: secret1", "secret1", "[redacted]"},
		{"hex", falKey, hex.EncodeToString([]byte(falKey)), "[redacted]"},
		{"hex, upper case", falKey, fmt.Sprintf("%X", falKey), "[redacted]"},
		{"awkward raw", awkward, "<" + awkward + ">", "<[redacted]>"},
		{"awkward in JSON", awkward, mustJSON(awkward), `"[redacted]"`},
		{"awkward in JSON in JSON", awkward, mustJSON(mustJSON(awkward)), `"\"[redacted]\""`},
		{"awkward, quoted by Go", awkward, fmt.Sprintf("%q", awkward), `"[redacted]"`},
		{"awkward in a query", awkward, url.QueryEscape(awkward), "[redacted]"},
		{"awkward in a path", awkward, url.PathEscape(awkward), "[redacted]"},
		{"slashes escaped in JSON", "a/b/c/d", `"a\/b\/c\/d"`, `"[redacted]"`},
		{"HTML escaped in JSON", "<secret&1>", `"\u003csecret\u00261\u003e"`, `"[redacted]"`},
		{"HTML escaped in JSON, upper case", "<secret&1>", `"\u003Csecret\u00261\u003E"`, `"[redacted]"`},
		{"ASCII only JSON", "sécret\U0001F511", `"s\u00e9cret\ud83d\udd11"`, `"[redacted]"`},
		{"invalid UTF-8 in JSON", "secret\xff1", mustJSON("secret\xff1"), `"[redacted]"`},
		{"invalid UTF-8 mended", "secret\xff1", "secret\uFFFD1", "[redacted]"},
		{"base64 of slashes in JSON", "\xff\xff\xff\xff\xff\xff", `\/\/\/\/\/\/\/\/`, "[redacted]"},
		{"base64 in a query", "\xfb\xef\xbe\xfb\xef\xbe", url.QueryEscape("++++++++"), "[redacted]"},
		{"a part of the mask", "redact", "redact [redacted]", "redact [redacted]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := redact.New(tt.secret)
			if got := r.String(tt.text); got != tt.want {
				t.Errorf("String(%q) = %q, want %q", tt.text, got, tt.want)
			}
			if got := string(r.Bytes([]byte(tt.text))); got != tt.want {
				t.Errorf("Bytes(%q) = %q, want %q", tt.text, got, tt.want)
			}
		})
	}
}

// TestBase64Offsets: "Key <secret>" and "user:<secret>" in base64 give the
// secret away at another offset than the secret alone.
func TestBase64Offsets(t *testing.T) {
	t.Parallel()
	r := redact.New(keySecret)
	for prefix := range 7 {
		for suffix := range 4 {
			text := strings.Repeat("u", prefix) + keySecret + strings.Repeat("z", suffix)
			for _, enc := range []*base64.Encoding{
				base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding,
			} {
				masked := r.String(enc.EncodeToString([]byte(text)))
				left := strings.Replace(masked, redact.Mask, "", 1)
				// What depends on the secret alone is masked, no less.
				first, last := (8*prefix+5)/6, 8*(prefix+len(keySecret))/6
				if most := enc.EncodedLen(len(text)) - (last - first); masked == left || len(left) > most {
					t.Errorf("%d before, %d behind: %d characters left of %q: %q", prefix, suffix, len(left), text, masked)
				}
			}
		}
	}
}

// TestLongRuns: no text takes time that grows with its square; these would
// take minutes instead of milliseconds.
func TestLongRuns(t *testing.T) {
	t.Parallel()
	const size = 128 << 10
	for _, unit := range []string{`\`, "%5C", "%5c", "%255C", `\u`, `\ud800`, "%", "%25", "+", "a", `a\`, `\\"`} {
		t.Run(unit, func(t *testing.T) {
			t.Parallel()
			r := redact.New(`aaaaaa\a"\\é a`, `\"\"\"`, "%%%%%%", "\ufffd\ufffd\ufffd")
			text := strings.Repeat(unit, size/len(unit))
			start := time.Now()
			if masked := r.String(text + "\n"); !strings.HasSuffix(masked, "\n") {
				t.Errorf("the end is gone: %q", masked[max(0, len(masked)-40):])
			}
			if took := time.Since(start); took > 10*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

// TestMasksUnionOfOverlaps: no tail of a secret stays where two overlap.
func TestMasksUnionOfOverlaps(t *testing.T) {
	t.Parallel()
	r := redact.New("abcdefgh", "efghijkl", "cdefgh1234567890", "longsecret", "longsec")
	for text, want := range map[string]string{
		"-abcdefghijkl-":       "-[redacted]-",
		"-abcdefgh1234567890-": "-[redacted]-",
		"-abcdefgh-efghijkl-":  "-[redacted]-[redacted]-",
		"-longsecret-longsec-": "-[redacted]-[redacted]-",
	} {
		if got := r.String(text); got != want {
			t.Errorf("String(%q) = %q, want %q", text, got, want)
		}
	}
}

// TestMatchMadeByMasking: a mask beside other text can look like a secret.
func TestMatchMadeByMasking(t *testing.T) {
	t.Parallel()
	r := redact.New("secret1", "x[reda")
	for text, want := range map[string]string{
		"xsecret1":       "[redacted]cted]",
		"xxxxxxxsecret1": "[redacted]", // would take more passes than there are
	} {
		if got := r.String(text); got != want {
			t.Errorf("String(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestNilAndEmpty(t *testing.T) {
	t.Parallel()
	var none *redact.Redactor
	none.Add("secret1")
	for name, r := range map[string]*redact.Redactor{"nil": none, "zero": new(redact.Redactor), "empty": redact.New("", "a")} {
		var out bytes.Buffer
		if n, err := r.Writer(&out).Write([]byte("secret1")); n != 7 || err != nil {
			t.Errorf("%s: Write = %d, %v", name, n, err)
		}
		if got := out.String() + r.String("secret1") + string(r.Bytes([]byte("secret1"))); got != "secret1secret1secret1" {
			t.Errorf("%s: masked: %q", name, got)
		}
	}
}

func TestBytesLeavesItsInput(t *testing.T) {
	t.Parallel()
	r := redact.New("secret1")
	b := []byte("a secret1 b")
	if got := string(r.Bytes(b)); got != "a [redacted] b" || string(b) != "a secret1 b" {
		t.Errorf("Bytes = %q, its input now %q", got, b)
	}
	clean := []byte("nothing here")
	if got := r.Bytes(clean); &got[0] != &clean[0] {
		t.Error("a text without secrets was copied")
	}
}

func TestNoAllocationWithoutMatch(t *testing.T) {
	r := redact.New(falKey)
	s := strings.Repeat("nothing to hide ", 64)
	b := []byte(s)
	if n := testing.AllocsPerRun(100, func() {
		_ = r.String(s)
		_ = r.Bytes(b)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// shortWriter takes limit bytes, then fails with err.
type shortWriter struct {
	limit int
	err   error
}

func (w shortWriter) Write(p []byte) (int, error) { return min(w.limit, len(p)), w.err }

func TestWriter(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for _, tt := range []struct {
		name    string
		out     io.Writer
		text    string
		n       int
		wantErr error
	}{
		{"masked longer", io.Discard, "secret", 6, nil},
		{"masked shorter", io.Discard, "a secret that is long", 21, nil},
		{"fails", shortWriter{0, broken}, "secret", 0, broken},
		{"fails behind the input's length", shortWriter{9, broken}, "secret", 6, broken},
		{"short", shortWriter{3, nil}, "secret", 3, io.ErrShortWrite},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			n, err := redact.New("secret", "secret that is long").Writer(tt.out).Write([]byte(tt.text))
			if n != tt.n || !errors.Is(err, tt.wantErr) {
				t.Errorf("Write = %d, %v; want %d, %v", n, err, tt.n, tt.wantErr)
			}
		})
	}
}

// TestZerolog: what the log writes is masked and stays JSON.
func TestZerolog(t *testing.T) {
	t.Parallel()
	for _, secret := range []string{falKey, awkward, "del\x7f\x01ete", "bad\xff\xfeutf8\xc3"} {
		var out bytes.Buffer
		r := redact.New()
		log := zerolog.New(r.Writer(&out))
		r.Add(secret) // known only after the logger was made
		log.Info().Str("raw", secret).Bytes("bytes", []byte(secret)).Hex("hex", []byte(secret)).
			Err(fmt.Errorf("Get %q: Key %s", "https://x/?k="+url.QueryEscape(secret), secret)).
			RawJSON("doc", []byte(mustJSON(map[string]string{"k": secret}))).
			Interface("any", map[string]string{"k": mustJSON(secret)}).Msg(secret)
		var event map[string]any
		if err := json.Unmarshal(out.Bytes(), &event); err != nil {
			t.Fatalf("%v: %s", err, out.Bytes())
		}
		want := map[string]any{
			"level": "info", "raw": redact.Mask, "bytes": redact.Mask, "hex": redact.Mask, "message": redact.Mask,
			"error": `Get "https://x/?k=[redacted]": Key [redacted]`,
			"doc":   map[string]any{"k": redact.Mask}, "any": map[string]any{"k": `"[redacted]"`},
		}
		if got, want := mustJSON(event), mustJSON(want); got != want {
			t.Errorf("%q:\ngot  %s\nwant %s", secret, got, want)
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	r := redact.New("secret0")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			secret := fmt.Sprintf("secret%d", i)
			r.Add(secret)
			if got := r.String("a " + secret + " secret0"); got != "a [redacted] [redacted]" {
				t.Errorf("String = %q", got)
			}
		})
	}
	wg.Wait()
}

func BenchmarkString(b *testing.B) {
	r := redact.New(falKey)
	for _, bench := range []struct{ name, text string }{
		{"Prose64KiB", strings.Repeat("The quick brown fox jumps over it. ", 1900)},
		{"Hex64KiB", strings.Repeat("680fda550caaef2a956d7c488180d9f0", 2048)},
		{"JSONInJSON64KiB", strings.Repeat(`{\"id\":\"0f8f\",\"text\":\"9f86 a\\nb\"}`, 1800)},
		{"URLEncoded64KiB", strings.Repeat("0f8fad5b%3A9f86d08%20%22a%22", 2340)},
		{"Match64KiB", strings.Repeat("The quick brown fox jumps over it. ", 950) + falKey + strings.Repeat("The quick brown fox jumps over it. ", 950)},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.SetBytes(int64(len(bench.text)))
			b.ReportAllocs()
			for b.Loop() {
				_ = r.String(bench.text)
			}
		})
	}
	b.Run("Short64KiB", func(b *testing.B) {
		r := redact.New("secret")
		text := strings.Repeat("The quick brown fox jumps over it. ", 1900)
		b.SetBytes(int64(len(text)))
		for b.Loop() {
			_ = r.String(text)
		}
	})
}

func BenchmarkNew(b *testing.B) {
	for name, secret := range map[string]string{"FalKey": falKey, "Awkward": awkward} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_ = redact.New(secret)
			}
		})
	}
}
