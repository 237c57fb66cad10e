package falclient

import (
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// apiError reads a refusal, whatever its shape: fal's two JSON forms
// ({"detail": …}), {"status": …}, the platform API's {"error": {…}}, or a page.
func apiError(clean cleaner, op, id string, resp *http.Response) *APIError {
	e := &APIError{
		Op: op, StatusCode: resp.StatusCode, RequestID: id,
		RetryAfter: retryAfter(resp.Header, time.Now()),
		Type:       clean.text(resp.Header.Get("X-Fal-Error-Type")),
	}
	if id == "" {
		e.RequestID = clean.id(resp.Header.Get("X-Fal-Request-Id"))
	}
	b, err := readBody(clean, resp, maxErrorBody)
	if err != nil {
		e.Message = http.StatusText(resp.StatusCode) + " (its text could not be read)"
		return e
	}
	var wire struct {
		Detail    json.RawMessage `json:"detail"`
		Status    looseText       `json:"status"`
		ErrorType looseText       `json:"error_type"`
		Error     json.RawMessage `json:"error"`
	}
	if json.Unmarshal(b, &wire) != nil {
		e.Message = http.StatusText(resp.StatusCode)
		return e
	}
	text, kind := detail(wire.Detail)
	if text == "" {
		text, kind = detail(wire.Error)
	}
	e.Structured = text != "" || wire.Status != "" || wire.ErrorType != ""
	for _, t := range []string{string(wire.ErrorType), kind, string(wire.Status)} {
		if t != "" {
			e.Type = clean.text(t)
			break
		}
	}
	e.Message = clean.text(text)
	if e.Message == "" {
		e.Message = http.StatusText(resp.StatusCode)
	}
	return e
}

// detail reads fal's detail: a string, an object, or a list of {loc, msg,
// type}. What the caller sent stands in "input" there and is left alone.
func detail(raw json.RawMessage) (text, kind string) {
	type item struct {
		Loc     looseField `json:"loc"`
		Msg     plainText  `json:"msg"`
		Message plainText  `json:"message"`
		Type    plainText  `json:"type"`
	}
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s, ""
	}
	var items []item
	if json.Unmarshal(raw, &items) != nil {
		var one item
		if json.Unmarshal(raw, &one) != nil {
			return "", ""
		}
		items = []item{one}
	}
	var parts []string
	for _, it := range items {
		msg := string(it.Msg) + string(it.Message)
		if it.Loc != "" && it.Loc != "body" {
			msg = string(it.Loc) + ": " + msg
		}
		if msg != "" {
			parts = append(parts, msg)
		}
		if kind == "" {
			kind = string(it.Type)
		}
	}
	return strings.Join(parts, "; "), kind
}

// The loose types accept what they can use and ignore the rest, because fal's
// documents, specifications and traffic disagree about these fields, and a
// surprise in a detail must not lose a job.
type (
	looseInt   struct{ value *int }
	looseFloat float64
	looseText  string // text, or an error's shape, of which the message counts
	plainText  string
	looseField string // the last name in a list of names and indices
	looseLog   Log
)

func (v *looseInt) UnmarshalJSON(b []byte) error {
	f, err := strconv.ParseFloat(string(b), 64)
	if err == nil && f >= 0 && f <= math.MaxInt32 {
		n := int(f)
		v.value = &n
	}
	return nil
}

func (v *looseFloat) UnmarshalJSON(b []byte) error {
	f, err := strconv.ParseFloat(string(b), 64)
	// The bound keeps the product with a second inside a Duration.
	if err == nil && f >= 0 && f < 1e9 {
		*v = looseFloat(f)
	}
	return nil
}

func (v *looseText) UnmarshalJSON(b []byte) error {
	var s string
	if json.Unmarshal(b, &s) == nil {
		*v = looseText(s)
		return nil
	}
	if text, _ := detail(b); text != "" {
		*v = looseText(text)
	}
	return nil
}

// plainText does not look inside what is no string, as looseText does: nested
// messages would be read again at each of their levels.
func (v *plainText) UnmarshalJSON(b []byte) error {
	_ = json.Unmarshal(b, (*string)(v))
	return nil
}

func (v *looseField) UnmarshalJSON(b []byte) error {
	var path []plainText
	if json.Unmarshal(b, &path) == nil && len(path) > 0 {
		*v = looseField(path[len(path)-1])
	}
	return nil
}

func (v *looseLog) UnmarshalJSON(b []byte) error {
	if json.Unmarshal(b, &v.Message) == nil {
		return nil
	}
	var wire struct {
		Message   looseText `json:"message"`
		Timestamp looseText `json:"timestamp"`
	}
	if json.Unmarshal(b, &wire) == nil {
		v.Message, v.Timestamp = string(wire.Message), string(wire.Timestamp)
	}
	return nil
}
