package schema

import (
	"bytes"
	"encoding/json"
	"iter"
	"strconv"
	"unicode/utf8"
)

// The functions here walk JSON that json.Valid has passed, without copying:
// arguments of many megabytes are taken apart in one pass, and what nobody
// asked for is skipped, not built.

// kindOf names the JSON type of a value that encoding/json decoded.
func kindOf(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case string:
		return "string"
	case float64, json.Number:
		return "number"
	case []any:
		return "array"
	default:
		return "object"
	}
}

// rawKind names the JSON type of a value by its first byte.
func rawKind(raw []byte) string {
	switch raw[0] {
	case '{':
		return "object"
	case '[':
		return "array"
	case '"':
		return "string"
	case 't', 'f':
		return "boolean"
	case 'n':
		return "null"
	default:
		return "number"
	}
}

// members yields the names and values of a valid JSON object, in its order and
// with duplicates.
func members(object []byte) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		rest := skipSpace(object[1:])
		for rest[0] != '}' {
			end := valueEnd(rest)
			name := text(rest[:end])
			rest = skipSpace(skipSpace(rest[end:])[1:])
			end = valueEnd(rest)
			if !yield(name, rest[:end]) {
				return
			}
			rest = skipComma(rest[end:])
		}
	}
}

// elements yields the elements of a valid JSON array.
func elements(array []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		rest := skipSpace(array[1:])
		for rest[0] != ']' {
			end := valueEnd(rest)
			if !yield(rest[:end]) {
				return
			}
			rest = skipComma(rest[end:])
		}
	}
}

// text decodes a valid JSON string.
func text(raw []byte) string {
	if inner := raw[1 : len(raw)-1]; bytes.IndexByte(inner, '\\') < 0 && utf8.Valid(inner) {
		return string(inner)
	}
	var s string
	_ = json.Unmarshal(raw, &s) // a valid string can't fail
	return s
}

// valueEnd returns the length of the valid JSON value that b starts with.
func valueEnd(b []byte) int {
	switch b[0] {
	case '"':
		return stringEnd(b)
	case '{', '[':
		return containerEnd(b)
	}
	for i, c := range b {
		switch c {
		case ',', '}', ']', ' ', '\t', '\r', '\n':
			return i
		}
	}
	return len(b)
}

func stringEnd(b []byte) int {
	for i := 1; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(b)
}

func containerEnd(b []byte) int {
	depth := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			i += stringEnd(b[i:]) - 1
		case '{', '[':
			depth++
		case '}', ']':
			depth--
			if depth == 0 {
				return i + 1
			}
		}
	}
	return len(b)
}

func skipSpace(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t' || b[0] == '\r' || b[0] == '\n') {
		b = b[1:]
	}
	return b
}

func skipComma(b []byte) []byte {
	b = skipSpace(b)
	if b[0] == ',' {
		b = skipSpace(b[1:])
	}
	return b
}

// isNumberLiteral reports whether s is a number as JSON spells it.
func isNumberLiteral(s string) bool {
	return s != "" && (s[0] == '-' || '0' <= s[0] && s[0] <= '9') && json.Valid([]byte(s)) &&
		s[len(s)-1] != ' ' && s[len(s)-1] != '\t' && s[len(s)-1] != '\r' && s[len(s)-1] != '\n'
}

// isInt64Literal reports whether s is a whole number of JSON without fraction
// or exponent that fits an int64.
func isInt64Literal(s string) bool {
	_, err := strconv.ParseInt(s, 10, 64)
	return err == nil && s[0] != '+'
}
