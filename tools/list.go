package tools

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"nemotron-mcp/internal/jobs"
)

const defaultLimit = 20

var listSpec = spec{
	name: "queue_list", title: "List jobs",
	description: "Your jobs, newest first, and today's spending. For when a request_id was lost.",
	readOnly:    true, idempotent: true,
}

// ListInput is the input of queue_list.
type ListInput struct {
	State  string `json:"state,omitempty" jsonschema:"enum=all,enum=running,enum=finished,default=all" jsonschema_description:"Which jobs."`
	Limit  *int   `json:"limit,omitempty" jsonschema:"minimum=1,maximum=100,default=20" jsonschema_description:"Most jobs."`
	Cursor string `json:"cursor,omitempty" jsonschema:"maxLength=64" jsonschema_description:"From next_cursor."`
}

// List is the output of queue_list.
type List struct {
	Jobs          []ListedJob `json:"jobs" jsonschema_description:"Newest first."`
	NextCursor    string      `json:"next_cursor,omitempty" jsonschema_description:"Next page."`
	SpentTodayUSD float64     `json:"spent_today_usd" jsonschema_description:"Since 00:00 UTC."`
	DayCapUSD     float64     `json:"day_cap_usd,omitempty" jsonschema_description:"Limit."`
}

// ListedJob is one row of queue_list.
type ListedJob struct {
	RequestID string   `json:"request_id,omitempty" jsonschema_description:"fal's id."`
	Status    string   `json:"status" jsonschema_description:"State."`
	Prompt    string   `json:"prompt" jsonschema_description:"First 80 characters."`
	CreatedAt string   `json:"created_at" jsonschema_description:"UTC."`
	EndedAt   string   `json:"ended_at,omitempty" jsonschema_description:"UTC."`
	Usage     *Usage   `json:"usage,omitempty" jsonschema_description:"Tokens."`
	CostUSD   *float64 `json:"cost_usd,omitempty" jsonschema_description:"Estimate."`
	Note      string   `json:"note,omitempty" jsonschema_description:"Next step."`
}

func (s *service) list(ctx context.Context, in ListInput) (List, error) {
	if in.Cursor != "" && uuid.Validate(in.Cursor) != nil {
		return List{}, &jobs.Error{
			Code: jobs.InvalidInput, Message: "cursor: is not a next_cursor of queue_list's",
			Action: "Leave it out to start from the newest job.",
		}
	}
	q := jobs.Query{Caller: CallerFrom(ctx), Before: in.Cursor, Limit: defaultLimit}
	if in.State != "all" {
		q.State = in.State
	}
	if in.Limit != nil {
		q.Limit = *in.Limit
	}
	page, next, spent, err := s.jobs.List(ctx, q)
	if err != nil {
		return List{}, err
	}
	out := List{Jobs: make([]ListedJob, 0, len(page)), NextCursor: next, SpentTodayUSD: spent, DayCapUSD: s.jobs.DayCap(q.Caller)}
	for _, j := range page {
		row := ListedJob{
			RequestID: j.RequestID, Status: string(shownStatus(j.Status)), Prompt: j.Preview,
			CreatedAt: j.Created.UTC().Format(time.RFC3339), Usage: newUsage(j.Usage), CostUSD: newCost(j),
		}
		if !j.Ended.IsZero() {
			row.EndedAt = j.Ended.UTC().Format(time.RFC3339)
		}
		if j.Failure != nil {
			row.Note = fmt.Sprintf("%s. %s", j.Failure.Code, j.Failure.Action)
		}
		out.Jobs = append(out.Jobs, row)
	}
	return out, nil
}

func (l List) text() string {
	var b strings.Builder
	for _, j := range l.Jobs {
		fmt.Fprintf(&b, "%s %s %s %q", j.CreatedAt, j.Status, orNone(j.RequestID), j.Prompt)
		if j.Usage != nil && j.CostUSD != nil {
			fmt.Fprintf(&b, " %d+%d tokens about $%.6f", j.Usage.InputTokens, j.Usage.OutputTokens, *j.CostUSD)
		}
		if j.Note != "" {
			b.WriteString(" " + j.Note)
		}
		b.WriteByte('\n')
	}
	if len(l.Jobs) == 0 {
		b.WriteString("No jobs.\n")
	}
	if l.NextCursor != "" {
		fmt.Fprintf(&b, "More with cursor %s\n", l.NextCursor)
	}
	fmt.Fprintf(&b, "Spent today (UTC): about $%.6f", l.SpentTodayUSD)
	if l.DayCapUSD > 0 {
		fmt.Fprintf(&b, " of $%.6f", l.DayCapUSD)
	}
	return b.String()
}

func orNone(id string) string {
	if id == "" {
		return "(no request_id)"
	}
	return id
}
