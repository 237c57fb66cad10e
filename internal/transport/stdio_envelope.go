package transport

import (
	"bytes"
	"encoding/json"
	"iter"
	"strconv"
	"unicode/utf8"

	"github.com/mark3labs/mcp-go/mcp"
)

const (
	maxMethod = 256  // bytes; mcp-go repeats an unknown method in its answer
	maxID     = 1024 // bytes, as sent
)

// idKey tells whether two ids are the same: 1 and "1" are not, "a" and "\u0061"
// are.
type idKey struct {
	text   string
	number int64
	isText bool
}

// requestID is an id as it was sent, and what it means. raw is nil where there
// is none.
type requestID struct {
	raw []byte
	key idKey
}

// envelope is a message taken apart. Its slices belong to the line it was
// read from.
type envelope struct {
	id        requestID
	method    string
	rawMethod []byte
	params    []byte // an object, or nil

	response bool   // the host's answer to a request of the server
	result   []byte // of a response; nil where fault is not
	fault    []byte // the error of a response
}

// fault is why a message is refused. With code 0 it gets no answer.
type fault struct {
	id      []byte // nil: null
	code    int
	message string
}

func tooLong(limit int) *fault {
	return invalid(nil, "the message is longer than "+strconv.Itoa(limit)+" bytes")
}

func invalid(id []byte, message string) *fault {
	return &fault{id: id, code: mcp.INVALID_REQUEST, message: message}
}

// parseEnvelope checks a line far more strictly than mcp-go does, which takes
// "METHOD" for "method" and the last of two equal keys.
func parseEnvelope(line []byte) (envelope, *fault) {
	if !utf8.Valid(line) {
		return envelope{}, &fault{code: mcp.PARSE_ERROR, message: "the message is not valid UTF-8"}
	}
	if !json.Valid(line) {
		return envelope{}, &fault{code: mcp.PARSE_ERROR, message: "the message is not valid JSON, or nested too deeply"}
	}
	line = bytes.Trim(line, " \t\r\n")
	switch line[0] {
	case '{':
	case '[':
		return envelope{}, invalid(nil, "batches are not supported: send one message a line")
	default:
		return envelope{}, invalid(nil, "the message is not a JSON object")
	}
	f, repeated := takeFields(line)
	return f.check(repeated)
}

// fields are the raw values of a message's members; nil where absent.
type fields struct {
	version, id, method, params, result, fault []byte
}

func takeFields(object []byte) (f fields, repeated string) {
	for key, value := range members(object) {
		var field *[]byte
		switch key {
		case "jsonrpc":
			field = &f.version
		case "id":
			field = &f.id
		case "method":
			field = &f.method
		case "params":
			field = &f.params
		case "result":
			field = &f.result
		case "error":
			field = &f.fault
		default:
			continue
		}
		if *field != nil {
			repeated = key
		}
		*field = value
	}
	return f, repeated
}

func (f *fields) check(repeated string) (envelope, *fault) {
	if f.method == nil && (f.result != nil || f.fault != nil) {
		return f.response(repeated), nil
	}
	e := envelope{rawMethod: f.method}
	if f.id != nil {
		var ok bool
		if e.id, ok = parseID(f.id); !ok || repeated == "id" {
			return e, invalid(nil, "id must be a string of at most "+strconv.Itoa(maxID)+" bytes or a 64-bit integer, given once")
		}
	}
	if repeated != "" {
		return e, invalid(e.id.raw, "the key "+repeated+" is given twice")
	}
	if version, ok := parseString(f.version); !ok || version != mcp.JSONRPC_VERSION {
		return e, invalid(e.id.raw, `jsonrpc must be "2.0"`)
	}
	if f.result != nil || f.fault != nil {
		return e, invalid(e.id.raw, "a message has either a method or a result")
	}
	var ok bool
	if e.method, ok = parseString(f.method); !ok || e.method == "" || len(e.method) > maxMethod {
		return e, invalid(e.id.raw, "method must be a string of 1 to "+strconv.Itoa(maxMethod)+" bytes")
	}
	return e.withParams(f.params)
}

// response returns what can't be told apart without an id: it answers nothing.
func (f *fields) response(repeated string) envelope {
	e := envelope{response: true}
	version, _ := parseString(f.version)
	if repeated != "" || version != mcp.JSONRPC_VERSION || f.id == nil || f.result != nil && f.fault != nil {
		return e
	}
	id, ok := parseID(f.id)
	if !ok {
		return e
	}
	e.id, e.result, e.fault = id, f.result, f.fault
	return e
}

func (e envelope) withParams(params []byte) (envelope, *fault) {
	switch {
	case params == nil || params[0] == 'n':
		return e, nil
	case params[0] == '{':
		e.params = params
		return e, nil
	case e.id.raw == nil:
		return e, &fault{}
	default:
		return e, &fault{id: e.id.raw, code: mcp.INVALID_PARAMS, message: "params must be an object"}
	}
}

// canonical returns the message as mcp-go gets it, in memory of its own.
func (e *envelope) canonical() []byte {
	const frame = len(`{"jsonrpc":"2.0","id":,"method":,"params":}`)
	b := make([]byte, 0, frame+len(e.id.raw)+len(e.rawMethod)+len(e.params))
	b = append(b, `{"jsonrpc":"2.0",`...)
	if e.id.raw != nil {
		b = append(b, `"id":`...)
		b = append(b, e.id.raw...)
		b = append(b, ',')
	}
	b = append(b, `"method":`...)
	b = append(b, e.rawMethod...)
	if e.params != nil {
		b = append(b, `,"params":`...)
		b = append(b, e.params...)
	}
	return append(b, '}')
}

// canonicalResponse is canonical of a response with an id.
func (e *envelope) canonicalResponse() []byte {
	name, value := `"result":`, e.result
	if e.fault != nil {
		name, value = `"error":`, e.fault
	}
	const frame = len(`{"jsonrpc":"2.0","id":,"result":}`)
	b := make([]byte, 0, frame+len(e.id.raw)+len(value))
	b = append(b, `{"jsonrpc":"2.0","id":`...)
	b = append(b, e.id.raw...)
	b = append(b, ',')
	b = append(b, name...)
	b = append(b, value...)
	return append(b, '}')
}

// parseID takes a valid JSON value. A number must be written as an integer:
// what 1.0 or 1e3 is the same as depends on the reader.
func parseID(raw []byte) (requestID, bool) {
	if len(raw) > maxID {
		return requestID{}, false
	}
	if raw[0] == '"' {
		text, ok := parseString(raw)
		return requestID{raw: raw, key: idKey{text: text, isText: true}}, ok
	}
	number, err := strconv.ParseInt(string(raw), 10, 64)
	return requestID{raw: raw, key: idKey{number: number}}, err == nil
}

// parseString takes a valid JSON value, or nil.
func parseString(raw []byte) (string, bool) {
	if len(raw) == 0 || raw[0] != '"' {
		return "", false
	}
	if inner := raw[1 : len(raw)-1]; bytes.IndexByte(inner, '\\') < 0 {
		return string(inner), true
	}
	var s string
	err := json.Unmarshal(raw, &s)
	return s, err == nil
}

// members yields the keys and the raw values of a valid JSON object, in their
// order and with repetitions.
func members(object []byte) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		i := skipSpace(object, 1)
		for object[i] == '"' {
			end := skipString(object, i)
			key, _ := parseString(object[i:end])
			start := skipSpace(object, skipSpace(object, end)+1)
			end = skipValue(object, start)
			if !yield(key, object[start:end]) {
				return
			}
			i = skipSpace(object, end)
			if object[i] == '}' {
				return
			}
			i = skipSpace(object, i+1)
		}
	}
}

// member returns the raw value of one key of a valid JSON value; false where
// that is no object, or has the key not once.
func member(value []byte, key string) (raw []byte, ok bool) {
	if len(value) == 0 || value[0] != '{' {
		return nil, false
	}
	for k, v := range members(value) {
		if k != key {
			continue
		}
		if raw != nil {
			return nil, false
		}
		raw = v
	}
	return raw, raw != nil
}

// items yields the raw values of a valid JSON array.
func items(array []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		i := skipSpace(array, 1)
		for array[i] != ']' {
			end := skipValue(array, i)
			if !yield(array[i:end]) {
				return
			}
			i = skipSpace(array, end)
			if array[i] == ',' {
				i = skipSpace(array, i+1)
			}
		}
	}
}

// The skip functions return the index after what starts at i, in valid JSON.

func skipSpace(b []byte, i int) int {
	for b[i] == ' ' || b[i] == '\t' || b[i] == '\r' || b[i] == '\n' {
		i++
	}
	return i
}

func skipString(b []byte, i int) int {
	for i++; ; i++ {
		i += bytes.IndexByte(b[i:], '"')
		escapes := 0
		for b[i-1-escapes] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			return i + 1
		}
	}
}

func skipValue(b []byte, i int) int {
	depth := 0
	for ; ; i++ {
		switch b[i] {
		case '"':
			i = skipString(b, i) - 1
		case '{', '[':
			depth++
			continue
		case '}', ']':
			depth--
		default:
			if depth == 0 {
				return skipScalar(b, i)
			}
			continue
		}
		if depth == 0 {
			return i + 1
		}
	}
}

func skipScalar(b []byte, i int) int {
	for ; ; i++ {
		switch b[i] {
		case ',', '}', ']', ' ', '\t', '\r', '\n':
			return i
		}
	}
}
