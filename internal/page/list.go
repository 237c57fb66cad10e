package page

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"nemotron-mcp/internal/jobs"
)

const (
	defaultLimit, maxLimit = 50, 100
	defaultDays, maxDays   = 14, 90
	maxCursor              = 64
	// maxHosts is how many programs are told apart in the usage: a client can
	// call itself what it likes.
	maxHosts = 6
)

// listing is the answer of /api/jobs.
type listing struct {
	Version       string  `json:"version"`
	Caller        string  `json:"caller,omitempty"`
	Jobs          []row   `json:"jobs"` // the newest first
	NextCursor    string  `json:"next_cursor,omitempty"`
	SpentTodayUSD float64 `json:"spent_today_usd"` // with the worst case of what is not settled
	DayCapUSD     float64 `json:"day_cap_usd,omitempty"`
}

// row is a job as it is listed.
type row struct {
	ID               string     `json:"id"`
	RequestID        string     `json:"request_id,omitempty"`
	Status           string     `json:"status"`
	QueuePosition    *int       `json:"queue_position,omitempty"`
	CancelRequested  bool       `json:"cancel_requested,omitempty"`
	Prompt           string     `json:"prompt"` // its first characters
	Endpoint         string     `json:"endpoint"`
	Host             string     `json:"host,omitempty"`
	CreatedAt        time.Time  `json:"created_at"`
	StartedAt        *time.Time `json:"started_at,omitempty"`
	EndedAt          *time.Time `json:"ended_at,omitempty"`
	QueueSeconds     float64    `json:"queue_seconds,omitempty"`
	InferenceSeconds float64    `json:"inference_seconds,omitempty"`
	Usage            *tokens    `json:"usage,omitempty"`
	CostUSD          *float64   `json:"cost_usd,omitempty"`
	CountedUSD       float64    `json:"counted_usd"`
	Error            *failure   `json:"error,omitempty"`
}

type tokens struct {
	Input  int `json:"input_tokens"`
	Output int `json:"output_tokens"`
}

type failure struct {
	Code    string `json:"code"`
	Message string `json:"message,omitempty"`
	Action  string `json:"action,omitempty"`
}

func newRow(j jobs.Job) row {
	r := row{
		ID: j.ID, RequestID: j.RequestID, Status: string(j.Status), CancelRequested: j.CancelRequested && !j.Status.Finished(),
		Prompt: j.Preview, Endpoint: j.Endpoint, Host: j.Host,
		CreatedAt: j.Created.UTC(), StartedAt: moment(j.Started), EndedAt: moment(j.Ended),
		QueueSeconds: j.QueueTime().Seconds(), InferenceSeconds: j.InferenceTime.Seconds(), CountedUSD: j.CountedUSD,
	}
	if j.Status == jobs.Submitting { // never shown
		r.Status = string(jobs.InQueue)
	}
	if j.Status == jobs.InQueue {
		r.QueuePosition = j.QueuePosition
	}
	if j.Usage != nil {
		r.Usage, r.CostUSD = &tokens{j.Usage.InputTokens, j.Usage.OutputTokens}, &j.CostUSD
	}
	if f := j.Failure; f != nil {
		r.Error = &failure{string(f.Code), f.Message, f.Action}
	}
	return r
}

func moment(at time.Time) *time.Time {
	if at.IsZero() {
		return nil
	}
	at = at.UTC()
	return &at
}

// list serves GET /api/jobs?state=&cursor=&limit=.
func (h *Handler) list(r *http.Request) (any, error) {
	asked := r.URL.Query()
	q := jobs.Query{Caller: callerOf(r), Before: asked.Get("cursor")}
	switch state := asked.Get("state"); state {
	case "", "all":
	case "running", "finished", "unknown":
		q.State = state
	default:
		return nil, invalid("state must be all, running, finished or unknown.")
	}
	if len(q.Before) > maxCursor {
		return nil, invalid("cursor must be a next_cursor of this list.")
	}
	var err error
	if q.Limit, err = number(asked.Get("limit"), "limit", defaultLimit, 1, maxLimit); err != nil {
		return nil, err
	}
	page, next, spent, err := h.Jobs.List(r.Context(), q)
	if err != nil {
		return nil, err
	}
	l := listing{
		Version: h.Version, Caller: q.Caller, Jobs: make([]row, len(page)), NextCursor: next,
		SpentTodayUSD: spent, DayCapUSD: h.Jobs.DayCap(q.Caller),
	}
	for i, j := range page {
		l.Jobs[i] = newRow(j)
	}
	return l, nil
}

// number reads a parameter.
func number(text, name string, absent, least, most int) (int, error) {
	if text == "" {
		return absent, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		return 0, invalid(fmt.Sprintf("%s must be a number from %d to %d.", name, least, most))
	}
	return n, nil
}

// report is the answer of /api/usage.
type report struct {
	Today     string  `json:"today"` // the UTC day
	Days      int     `json:"days"`
	Rows      []usage `json:"rows"` // the newest day first
	DayCapUSD float64 `json:"day_cap_usd,omitempty"`
}

// usage is what the caller's jobs of a day took on one endpoint and from one host.
type usage struct {
	Day          string  `json:"day"`
	Endpoint     string  `json:"endpoint"`
	Host         string  `json:"host"`
	Jobs         int     `json:"jobs"`
	InputTokens  int     `json:"input_tokens"`
	OutputTokens int     `json:"output_tokens"`
	CostUSD      float64 `json:"cost_usd"`
	CountedUSD   float64 `json:"counted_usd"` // with the worst case of what is not settled
}

// usage serves GET /api/usage?days=.
func (h *Handler) usage(r *http.Request) (any, error) {
	days, err := number(r.URL.Query().Get("days"), "days", defaultDays, 1, maxDays)
	if err != nil {
		return nil, err
	}
	now := time.Now().UTC()
	all, err := h.Jobs.Usage(r.Context(), now.AddDate(0, 0, 1-days))
	if err != nil {
		return nil, err
	}
	caller := callerOf(r)
	return report{now.Format(time.DateOnly), days, own(all, caller), h.Jobs.DayCap(caller)}, nil
}

// otherHosts stands for those beyond maxHosts.
const otherHosts = "(others)"

// own are a caller's rows. Of the hosts those with the most jobs are told apart.
func own(all []jobs.UsageRow, caller string) []usage {
	count := map[string]int{}
	for _, r := range all {
		if r.Caller == caller {
			count[r.Host] += r.Jobs
		}
	}
	shown := most(count, maxHosts)
	rows := []usage{}
	folded := map[[2]string]int{} // day and endpoint → where in rows the other hosts are
	for _, r := range all {
		if r.Caller != caller {
			continue
		}
		u := usage{r.Day, r.Endpoint, r.Host, r.Jobs, r.InputTokens, r.OutputTokens, r.CostUSD, r.CountedUSD}
		if shown[r.Host] {
			rows = append(rows, u)
			continue
		}
		key := [2]string{r.Day, r.Endpoint}
		at, known := folded[key]
		if !known {
			folded[key] = len(rows)
			u.Host = otherHosts
			rows = append(rows, u)
			continue
		}
		rows[at].add(u)
	}
	return rows
}

// most are the n names that count most. It takes them out of count.
func most(count map[string]int, n int) map[string]bool {
	found := map[string]bool{}
	for len(count) > 0 && len(found) < n {
		best, top := "", -1
		for name, c := range count {
			if c > top || c == top && name < best {
				best, top = name, c
			}
		}
		found[best] = true
		delete(count, best)
	}
	return found
}

func (u *usage) add(more usage) {
	u.Jobs += more.Jobs
	u.InputTokens += more.InputTokens
	u.OutputTokens += more.OutputTokens
	u.CostUSD += more.CostUSD
	u.CountedUSD += more.CountedUSD
}
