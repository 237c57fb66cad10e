package falclient

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"testing"
)

func TestCleanText(t *testing.T) {
	t.Parallel()
	const hook = "https://me.example/hook?token=s3cr3t-t0ken"
	_, half, _ := strings.Cut(key, ":")
	for _, tc := range []struct{ name, in, want string }{
		{"plain", "It's fine: 100 % é 漢字 😀", "It's fine: 100 % é 漢字 😀"},
		{"new lines stay", "a\nb", "a\nb"},
		{"carriage return, tab, NUL", "a\rb\tc\x00", `a\rb\tc\x00`},
		{"ANSI", "\x1b[31mred\x1b[0m \u009b2J", `\x1b[31mred\x1b[0m \u009b2J`},
		{"direction", "\u202eevil\u2066\u200f", `\u202eevil\u2066\u200f`},
		{"invisible", "a\u200bb\ufeffc\u00add", `a\u200bb\ufeffc\u00add`},
		{"fillers and selectors", "\u3164\ufe0f\U000e0100\u115f", `\u3164\ufe0f\U000e0100\u115f`},
		{"tags", "\U000e0041", `\U000e0041`},
		{"separators", "a\u2028b\u00a0", `a\u2028b\u00a0`},
		{"not UTF-8", "a\xff", "a\ufffd"},
		{"key", "<" + key + ">" + key, "<[redacted]>[redacted]"},
		{"key in a query", url.QueryEscape(key), masked},
		{"key's half", half, masked},
		{"webhook", "at " + hook, "at [redacted]"},
		{"webhook in a query", url.QueryEscape(hook), masked},
		{"webhook's query", "token=s3cr3t-t0ken", masked},
		{"a key cut by the limit", strings.Repeat("x", maxMessage-5) + key, strings.Repeat("x", maxMessage-5) + "[reda…"},
		{"exactly the limit", strings.Repeat("é", maxMessage), strings.Repeat("é", maxMessage)},
		{"beyond the limit", strings.Repeat("é", maxMessage+1), strings.Repeat("é", maxMessage) + "…"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if got := newCleaner(key, hook).text(tc.in); got != tc.want {
				t.Errorf("got  %q\nwant %q", got, tc.want)
			}
		})
	}
	if got := newCleaner("", "").text("abc"); got != "abc" {
		t.Errorf("without secrets: %q", got)
	}
	if got := newCleaner(`a"b\c`, "").text(fmt.Sprintf("%q", `x a"b\c y`)); got != `"x [redacted] y"` {
		t.Errorf("quoted: %q", got)
	}
	// What is masked is the secret, not what resembles it.
	encoded := base64.StdEncoding.EncodeToString([]byte("harmless"))
	if got := newCleaner(key, hook).text(encoded); got != encoded {
		t.Errorf("got %q", got)
	}
}

type told struct{ code int }

func (told) Error() string { return "told" }

func TestCleanError(t *testing.T) {
	t.Parallel()
	cause := fmt.Errorf("parse %q: %w, %w", key, context.DeadlineExceeded, told{7})
	err := newCleaner(key, "").error(cause)
	if got := err.Error(); got != `parse "[redacted]": context deadline exceeded, told` {
		t.Errorf("got %q", got)
	}
	var as told
	if !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &as) || as.code != 7 || errors.Is(err, io.EOF) {
		t.Error("the cause is not seen")
	}
	if errors.Unwrap(err) != nil {
		t.Error("the cause can be printed")
	}
}
