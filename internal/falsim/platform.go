package falsim

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// platformPath is where the platform API begins, fal's https://api.fal.ai/v1.
const platformPath = "/v1"

// maxAsked is how many endpoints fal takes at once.
const maxAsked = 50

// unitPrices is fal's public price list for the family, in USD per 1000 tokens.
var unitPrices = map[string]float64{
	appRoot:             0.01,
	appRoot + "/vision": 0.006,
	appRoot + "/video":  0.006,
	appRoot + "/audio":  0.006,
}

func routePlatform(path string) target {
	switch path {
	case "/models/requests/by-endpoint":
		return target{step: StepHistory, method: "GET", platform: true}
	case "/models/pricing":
		return target{step: StepPrices, method: "GET", platform: true}
	}
	return target{step: stepOther, platform: true}
}

// refusal is an error in the shape of the API that was asked.
func (c *call) refusal(status int, msg string) answer {
	if !c.platform {
		return detail(status, msg)
	}
	kind := "validation_error"
	switch status {
	case 401, 403:
		kind = "authorization_error"
	case 404:
		kind = "not_found"
	}
	return jsonAnswer(status, map[string]any{"error": map[string]string{"type": kind, "message": msg}})
}

// list is a page of the platform API.
type list struct {
	Items      []pastRequest `json:"items,omitzero"`
	Prices     []unitPrice   `json:"prices,omitzero"`
	NextCursor *string       `json:"next_cursor"`
	HasMore    bool          `json:"has_more"`
}

type pastRequest struct {
	RequestID  string          `json:"request_id"`
	EndpointID string          `json:"endpoint_id"`
	SentAt     time.Time       `json:"sent_at"`
	StartedAt  time.Time       `json:"started_at,omitzero"`
	EndedAt    time.Time       `json:"ended_at,omitzero"`
	StatusCode int             `json:"status_code,omitempty"`
	Duration   *float64        `json:"duration,omitempty"` // seconds from sent_at
	JSONInput  json.RawMessage `json:"json_input,omitempty"`
	JSONOutput json.RawMessage `json:"json_output,omitempty"`
}

type unitPrice struct {
	EndpointID string  `json:"endpoint_id"`
	UnitPrice  float64 `json:"unit_price"`
	Unit       string  `json:"unit"`
	Currency   string  `json:"currency"`
}

func (s *Server) platform(c *call) answer {
	query := c.r.URL.Query()
	asked := commaSeparated(query, "endpoint_id")
	if len(asked) == 0 || len(asked) > maxAsked {
		return c.refusal(400, "endpoint_id: between 1 and 50 endpoint ids are required")
	}
	if c.step == StepPrices {
		return c.prices(asked)
	}
	f, msg := readFilter(query, time.Now())
	if msg != "" {
		return c.refusal(400, msg)
	}
	f.endpoints = asked
	// Payloads can be large, so they are put into JSON without the lock.
	return jsonAnswer(200, f.page(s.history(f)))
}

func (c *call) prices(asked []string) answer {
	l := list{Prices: []unitPrice{}}
	for _, id := range asked {
		price, ok := unitPrices[id]
		if !ok {
			return c.refusal(404, "Endpoint "+strconv.Quote(id)+" not found")
		}
		l.Prices = append(l.Prices, unitPrice{id, price, "1000 tokens", "USD"})
	}
	return jsonAnswer(200, l)
}

// commaSeparated reads a list parameter, which may be repeated as well.
func commaSeparated(query url.Values, name string) []string {
	var all []string
	for _, v := range query[name] {
		for part := range strings.SplitSeq(v, ",") {
			if part != "" {
				all = append(all, part)
			}
		}
	}
	return all
}

// filter is a question to the history.
type filter struct {
	endpoints   []string
	start, end  time.Time // a zero end is none
	requestID   string
	status      string
	payloads    bool
	byDuration  bool
	limit, from int // from counts requests
}

// readFilter gives fal's defaults to what was not asked; msg tells what can't be.
func readFilter(query url.Values, now time.Time) (f filter, msg string) {
	f = filter{start: now.Add(-24 * time.Hour), requestID: query.Get("request_id"), limit: 50}
	if f.requestID != "" {
		f.start = now.AddDate(0, 0, -90)
	}
	if !readTime(query.Get("start"), &f.start) || !readTime(query.Get("end"), &f.end) {
		return f, "start and end: must be ISO 8601"
	}
	switch f.status = query.Get("status"); f.status {
	case "", "success", "error", "user_error":
	default:
		return f, "status: must be success, error or user_error"
	}
	switch query.Get("sort_by") {
	case "", "ended_at":
	case "duration":
		f.byDuration = true
	default:
		return f, "sort_by: must be ended_at or duration"
	}
	for _, name := range commaSeparated(query, "expand") {
		if name != "payloads" {
			return f, "expand: must be payloads"
		}
		f.payloads = true
	}
	if v := query.Get("limit"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 || n > 100 {
			return f, "limit: must be between 1 and 100"
		}
		f.limit = n
	}
	if v := query.Get("cursor"); v != "" {
		page, err := base64.StdEncoding.DecodeString(v)
		n, err2 := strconv.Atoi(string(page))
		if err != nil || err2 != nil || n < 1 || n > maxJobs {
			return f, "cursor: invalid"
		}
		f.from = (n - 1) * f.limit
	}
	return f, ""
}

func readTime(v string, t *time.Time) bool {
	if v == "" {
		return true
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if parsed, err := time.Parse(layout, v); err == nil {
			*t = parsed
			return true
		}
	}
	return false
}

// history gives the requests that the filter lets through, as fal sorts them:
// what has not ended first, then the latest end, or the longest, first.
func (s *Server) history(f filter) []pastRequest {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.settle(now)
	found := []pastRequest{}
	for _, j := range s.order {
		if now.Before(j.listedAt) || !f.wants(j) {
			continue
		}
		found = append(found, j.past(now, f.payloads))
	}
	slices.SortStableFunc(found, func(a, b pastRequest) int {
		if f.byDuration && a.Duration != nil && b.Duration != nil {
			return cmp.Compare(*b.Duration, *a.Duration)
		}
		switch {
		case a.EndedAt.IsZero() && !b.EndedAt.IsZero():
			return -1
		case b.EndedAt.IsZero() && !a.EndedAt.IsZero():
			return 1
		}
		return cmp.Or(b.EndedAt.Compare(a.EndedAt), b.SentAt.Compare(a.SentAt))
	})
	return found
}

func (f filter) wants(j *job) bool {
	if !slices.Contains(f.endpoints, j.endpoint) || (f.requestID != "" && j.id != f.requestID) {
		return false
	}
	if j.submitted.Before(f.start) || (!f.end.IsZero() && !j.submitted.Before(f.end)) {
		return false
	}
	return f.status == "" || (j.phase == completed && f.status == statusGroup(j.outcome.status))
}

func statusGroup(code int) string {
	switch code / 100 {
	case 2:
		return "success"
	case 4:
		return "user_error"
	}
	return "error"
}

func (j *job) past(now time.Time, payloads bool) pastRequest {
	p := pastRequest{RequestID: j.id, EndpointID: j.endpoint, SentAt: j.submitted.UTC()}
	if due(j.startAt, now) {
		p.StartedAt = j.startAt.UTC()
	}
	payloads = payloads && j.keepsPayloads
	if payloads {
		p.JSONInput = j.input
	}
	if j.phase != completed {
		return p
	}
	took := j.endAt.Sub(j.submitted).Seconds()
	p.EndedAt, p.StatusCode, p.Duration = j.endAt.UTC(), j.outcome.status, &took
	if payloads && json.Valid(j.outcome.body) {
		p.JSONOutput = j.outcome.body
	}
	return p
}

// keepsPayloads tells whether fal stores input and output of a submission: its
// header wins over the account's setting.
func keepsPayloads(header string, discard bool) bool {
	return header == "1" || (header != "0" && !discard)
}

// page cuts the filter's page out. fal's cursor is the number of a page.
func (f filter) page(found []pastRequest) list {
	from := min(f.from, len(found))
	to := min(from+f.limit, len(found))
	l := list{Items: found[from:to], HasMore: to < len(found)}
	if l.HasMore {
		next := base64.StdEncoding.EncodeToString([]byte(strconv.Itoa(to/f.limit + 1)))
		l.NextCursor = &next
	}
	return l
}
