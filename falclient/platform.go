package falclient

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

const (
	// DefaultPlatformURL is fal's platform API, which has no backup host.
	DefaultPlatformURL = "https://api.fal.ai/v1"

	// pageSize is the most that fal puts on a page, and maxPriced the most
	// endpoints that it prices at once.
	pageSize  = 100
	maxPriced = 50

	maxListPages = 50
	maxRows      = 1000     // on one page
	maxListed    = 64 << 20 // bytes of a list after which no page is asked for
	maxCursor    = 4096

	// maxUnitPrice is far above any price of fal's.
	maxUnitPrice = 1000
)

// Conditions of the platform API that callers tell apart with errors.Is.
var (
	ErrNoPlatform = errors.New("no platform URL is configured")
	// ErrTruncated comes with what was read. What is not in it may exist.
	ErrTruncated = errors.New("fal's list goes on beyond what was read of it")
)

// PastRequest is a request that fal took, finished or not.
type PastRequest struct {
	RequestID string // well-formed as ValidRequestID says
	Endpoint  string // the full id, sub-path included
	// Sent, Started and Ended are UTC, and zero where fal did not tell: Ended
	// until the request has ended.
	Sent, Started, Ended time.Time
	StatusCode           int // of the model's answer; 0 until the request has ended
	// Input and Output are what was submitted and answered, as fal keeps it: the
	// same JSON, not the same bytes. nil where fal keeps no payloads.
	Input, Output json.RawMessage
}

// HistoryQuery says which requests to list.
type HistoryQuery struct {
	Endpoint Endpoint // with its sub-path, as it was submitted to
	// Start and End bound the time, to the second, End rounded up. A zero Start
	// is fal's default, 24 hours ago (90 days with a RequestID); a zero End is now.
	Start, End time.Time
	RequestID  string // only this request; empty for all
}

// Requests lists the requests of an endpoint that fal took from the account of
// the key, each once, in fal's order. fal promises no moment by which a request
// appears there, so that an absence proves little.
//
// It reads at most 50 pages of 100 requests, and none after 64 MiB; beyond that, or
// where fal's paging leads nowhere, it returns what it read and an error that
// matches ErrTruncated. Rows without a usable request id are left out. Other
// errors are *APIError, *ConnectError, *ResponseError, ErrInvalidID, ErrNoKey,
// ErrNoPlatform or ctx's.
func (c *Client) Requests(ctx context.Context, q HistoryQuery) ([]PastRequest, error) {
	if err := q.Endpoint.check(); err != nil {
		return nil, err
	}
	query := url.Values{
		"endpoint_id": {q.Endpoint.String()}, "expand": {"payloads"}, "limit": {strconv.Itoa(pageSize)},
	}
	if q.RequestID != "" {
		if !ValidRequestID(q.RequestID) {
			return nil, ErrInvalidID
		}
		query.Set("request_id", q.RequestID)
	}
	if !q.Start.IsZero() {
		query.Set("start", q.Start.UTC().Format(time.RFC3339))
	}
	if !q.End.IsZero() {
		// fal leaves the end itself out.
		query.Set("end", q.End.UTC().Add(time.Second-1).Format(time.RFC3339))
	}
	var found []PastRequest
	at := map[string]int{}
	err := c.list(ctx, "requests", "/models/requests/by-endpoint", query, func(l *listing) bool {
		for _, row := range l.Items {
			id := c.clean.id(string(row.RequestID))
			if id == "" {
				continue
			}
			r := row.request(id, c.clean)
			// fal's cursors count pages, so that a new request pushes others to
			// the next page; what was read later is newer.
			if i, twice := at[id]; twice {
				found[i] = r
				continue
			}
			at[id] = len(found)
			found = append(found, r)
		}
		return l.Items != nil
	})
	if err != nil && !errors.Is(err, ErrTruncated) {
		return nil, err
	}
	return found, err
}

// UnitPrice is what fal asks for a unit of an endpoint's work.
type UnitPrice struct {
	Endpoint string
	USD      float64 // for one Unit, 0 to 1000
	Unit     string  // fal's free text, such as "1000 tokens", bounded and printable
}

// Prices asks what fal charges the account of the key for 1 to 50 endpoints.
// Endpoints without a price are missing from the answer, unless fal knows none
// of that name: that is an error that matches ErrNotFound. A price in another
// currency, or that is no price, is a *ResponseError. Other errors are those of
// Requests.
func (c *Client) Prices(ctx context.Context, endpoints ...Endpoint) ([]UnitPrice, error) {
	if len(endpoints) == 0 || len(endpoints) > maxPriced {
		return nil, fmt.Errorf("fal prices: asked for %d endpoints, must be 1 to %d", len(endpoints), maxPriced)
	}
	asked := map[string]bool{}
	for _, e := range endpoints {
		if err := e.check(); err != nil {
			return nil, err
		}
		asked[e.String()] = true
	}
	query := url.Values{}
	for _, e := range endpoints {
		query.Add("endpoint_id", e.String())
	}
	var rows []wirePrice
	err := c.list(ctx, "prices", "/models/pricing", query, func(l *listing) bool {
		rows = append(rows, l.Prices...)
		return l.Prices != nil
	})
	if err != nil {
		return nil, err
	}
	var prices []UnitPrice
	for _, row := range rows {
		if !asked[string(row.EndpointID)] {
			continue
		}
		usd, err := row.usd()
		if err != nil {
			return nil, &ResponseError{Op: "prices", StatusCode: http.StatusOK, Err: err}
		}
		prices = append(prices, UnitPrice{Endpoint: string(row.EndpointID), USD: usd, Unit: c.clean.text(string(row.Unit))})
	}
	return prices, nil
}

// list reads a list of the platform API page by page. take reports false where
// a page lacks the list.
func (c *Client) list(ctx context.Context, op, path string, query url.Values, take func(*listing) bool) error {
	if c.key == "" {
		return ErrNoKey
	}
	if c.platform == nil {
		return ErrNoPlatform
	}
	followed := map[string]bool{}
	size := 0
	for range maxListPages {
		var l listing
		err := c.repeat(ctx, op, -1, repeatVerdict, func() error {
			b, err := c.page(ctx, op, path+"?"+query.Encode())
			if err != nil {
				return err
			}
			size += len(b)
			l = listing{}
			if json.Unmarshal(b, &l) != nil || !take(&l) {
				return &ResponseError{Op: op, StatusCode: http.StatusOK, Err: errors.New("not a list")}
			}
			return nil
		})
		if err != nil {
			return ended(ctx, err)
		}
		next := string(l.NextCursor)
		more := next != ""
		if l.HasMore != nil {
			more = *l.HasMore
		}
		if !more {
			return nil
		}
		if next == "" || len(next) > maxCursor || followed[next] || size > maxListed {
			break
		}
		followed[next] = true
		query.Set("cursor", next)
	}
	return fmt.Errorf("fal %s: %w", op, ErrTruncated)
}

// page makes one request to the platform API.
func (c *Client) page(ctx context.Context, op, path string) ([]byte, error) {
	ctx, done := context.WithTimeout(ctx, resultTimeout)
	defer done()
	resp, err := c.send(ctx, c.platform, call{op: op, method: http.MethodGet, path: path, header: c.plain, clean: c.clean}, new(transit))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode/100 != 2 {
		return nil, apiError(c.clean, op, "", resp)
	}
	b, err := readBody(c.clean, resp, maxBody)
	if err != nil {
		return nil, &ResponseError{Op: op, StatusCode: resp.StatusCode, Err: err}
	}
	return b, nil
}

// listing is a page of any list of the platform API.
type listing struct {
	Items      rows[wireRequest] `json:"items"`
	Prices     rows[wirePrice]   `json:"prices"`
	NextCursor cursor            `json:"next_cursor"`
	HasMore    *bool             `json:"has_more"`
}

// cursor is text, or null at the end. Anything else fails the page: to take it
// for the end would hide the rest.
type cursor string

// rows counts while it reads, because a page of empty rows takes fifty times
// its size in memory.
type rows[T any] []T

func (r *rows[T]) UnmarshalJSON(b []byte) error {
	d := json.NewDecoder(bytes.NewReader(b))
	if first, err := d.Token(); err != nil || first != json.Delim('[') {
		return errors.New("not a list")
	}
	*r = rows[T]{}
	for d.More() {
		var row T
		if len(*r) == maxRows {
			return errors.New("more rows than a page may have")
		}
		if err := d.Decode(&row); err != nil {
			return err
		}
		*r = append(*r, row)
	}
	return nil
}

type wireRequest struct {
	RequestID  plainText       `json:"request_id"`
	EndpointID plainText       `json:"endpoint_id"`
	SentAt     looseTime       `json:"sent_at"`
	StartedAt  looseTime       `json:"started_at"`
	EndedAt    looseTime       `json:"ended_at"`
	StatusCode looseInt        `json:"status_code"`
	Input      json.RawMessage `json:"json_input"`
	Output     json.RawMessage `json:"json_output"`
}

func (w wireRequest) request(id string, clean cleaner) PastRequest {
	r := PastRequest{
		RequestID: id, Endpoint: clean.text(string(w.EndpointID)),
		Sent: time.Time(w.SentAt), Started: time.Time(w.StartedAt), Ended: time.Time(w.EndedAt),
		Input: payload(w.Input), Output: payload(w.Output),
	}
	if w.StatusCode.value != nil {
		r.StatusCode = *w.StatusCode.value
	}
	return r
}

func payload(raw json.RawMessage) json.RawMessage {
	if string(raw) == "null" {
		return nil
	}
	return raw
}

// looseTime is zero where the text is no time. One without a zone is UTC.
type looseTime time.Time

func (v *looseTime) UnmarshalJSON(b []byte) error {
	var s string
	if json.Unmarshal(b, &s) != nil {
		return nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05"} {
		if t, err := time.Parse(layout, s); err == nil {
			*v = looseTime(t.UTC())
			return nil
		}
	}
	return nil
}

type wirePrice struct {
	EndpointID plainText       `json:"endpoint_id"`
	UnitPrice  json.RawMessage `json:"unit_price"`
	Unit       plainText       `json:"unit"`
	Currency   plainText       `json:"currency"`
}

func (w wirePrice) usd() (float64, error) {
	if w.Currency != "USD" {
		return 0, errors.New("a price that is not in USD")
	}
	// A JSON number has no NaN; the comparison refuses it all the same.
	usd, err := strconv.ParseFloat(string(w.UnitPrice), 64)
	if err != nil || !(usd >= 0 && usd <= maxUnitPrice) {
		return 0, fmt.Errorf("a unit price that is not within 0 and %d", maxUnitPrice)
	}
	return usd, nil
}
