package falclient

import (
	"errors"
	"net/url"
	"strconv"
	"strings"
	"unicode"
)

const (
	// maxMessage bounds fal's words in an error, in runes. The input that a
	// validation error echoes would otherwise come along whole.
	maxMessage = 500
	// maxLogLine bounds one line of a model's log, in runes.
	maxLogLine = 4000

	masked = "[redacted]"
)

// cleaner makes text from outside safe to print: bounded, with the secrets
// masked, and with control, invisible and direction-changing characters made
// visible. It is safe for concurrent use.
type cleaner struct{ mask *strings.Replacer }

// newCleaner masks the key and, where there is one, the webhook's URL, which
// often holds a secret of its own. Each is masked as it is, quoted, as net/http
// does with what it can't parse, and as it stands in a query.
func newCleaner(key, webhook string) cleaner {
	secrets := []string{webhook, key}
	if u, err := url.Parse(webhook); err == nil && len(u.RawQuery) >= 8 {
		secrets = append(secrets, u.RawQuery)
	}
	// The second half of a key is the secret proper.
	if _, half, ok := strings.Cut(key, ":"); ok && len(half) >= 8 {
		secrets = append(secrets, half)
	}
	var pairs []string
	for _, s := range secrets {
		if s == "" {
			continue
		}
		quoted := strconv.Quote(s)
		for _, form := range []string{s, quoted[1 : len(quoted)-1], url.QueryEscape(s), url.PathEscape(s)} {
			pairs = append(pairs, form, masked)
		}
	}
	return cleaner{mask: strings.NewReplacer(pairs...)}
}

// text cleans a message, line a line of a log.
func (c cleaner) text(s string) string { return c.printable(s, maxMessage) }
func (c cleaner) line(s string) string { return c.printable(s, maxLogLine) }

// id passes on a well-formed request id that holds no secret.
func (c cleaner) id(s string) string {
	if !ValidRequestID(s) || c.mask.Replace(s) != s {
		return ""
	}
	return s
}

func (c cleaner) printable(s string, limit int) string {
	if s == "" {
		return ""
	}
	var b strings.Builder
	n := 0
	for _, r := range c.mask.Replace(s[:min(len(s), maxErrorBody)]) {
		if n++; n > limit {
			b.WriteString("…")
			break
		}
		if r == '\n' || (unicode.IsPrint(r) && !invisible(r)) {
			b.WriteRune(r)
			continue
		}
		q := strconv.QuoteRuneToASCII(r)
		b.WriteString(q[1 : len(q)-1])
	}
	return b.String()
}

// invisible names what counts as printable and is not seen: fillers, joiners
// and variation selectors, in which text can be hidden.
func invisible(r rune) bool {
	return unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// error gives an error of net/http's a clean text: these quote what they could
// not parse of an answer. errors.Is and errors.As still see the cause, while
// errors.Unwrap does not, so that nothing prints it by the way.
func (c cleaner) error(err error) error {
	return &cleanError{text: c.text(err.Error()), cause: err}
}

type cleanError struct {
	text  string
	cause error
}

func (e *cleanError) Error() string        { return e.text }
func (e *cleanError) Is(target error) bool { return errors.Is(e.cause, target) }
func (e *cleanError) As(target any) bool   { return errors.As(e.cause, target) }
