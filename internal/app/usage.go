package app

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"nemotron-mcp/internal/jobs"
)

type usageCommand struct {
	Days          int  `help:"How many UTC days, today included; the ledger keeps 30." default:"30"`
	JSON          bool `name:"json" help:"Print JSON on a terminal too; elsewhere it always is one JSON object."`
	RefreshPrices bool `help:"Ask fal for the prices and keep them for the estimates to come."`
}

// maxDays is what --days may say; more would be nothing more.
const maxDays = 3650

// usageReport is the document that the command prints.
type usageReport struct {
	Rows  []jobs.UsageRow `json:"rows"` // the newest day first
	Total usageTotal      `json:"total"`
	// CountedTodayUSD is what today's jobs count against the cap.
	CountedTodayUSD float64 `json:"counted_today_usd"`
	DayCapUSD       float64 `json:"day_cap_usd,omitempty"`
}

type usageTotal struct {
	Jobs         int     `json:"jobs"`
	InputTokens  int     `json:"input_tokens"`
	OutputTokens int     `json:"output_tokens"`
	CostUSD      float64 `json:"cost_usd"`
	CountedUSD   float64 `json:"counted_usd"`
}

// Run prints what the jobs of all callers took.
func (c *usageCommand) Run(s *session) error {
	if c.RefreshPrices {
		return c.refreshPrices(s)
	}
	if c.Days < 1 || c.Days > maxDays {
		return &configError{fmt.Sprintf("--days is %d", c.Days), fmt.Sprintf("Give 1 to %d.", maxDays)}
	}
	now := time.Now().UTC()
	asTable := isTerminal(s.Out) && !c.JSON
	empty := func() error {
		if asTable {
			return nil
		}
		b, err := encode(report(nil, now, s.opts.dayCap(nil)), "  ")
		if err != nil {
			return err
		}
		_, err = s.Out.Write(b)
		return err
	}
	return s.onLedger(empty, func(h *house) error {
		rows, err := h.jobs.Usage(s.ctx, now.AddDate(0, 0, 1-c.Days))
		if err != nil {
			return err
		}
		r := report(rows, now, s.opts.dayCap(rows))
		if asTable {
			return h.print(s.Out, h.usageTable(r))
		}
		return h.printJSON(s.Out, r)
	})
}

// dayCap is the cap on what all of these rows count in a day, in USD; 0 is none.
// Where callers have names, --max-cost-per-day is each one's.
func (o *Options) dayCap(rows []jobs.UsageRow) float64 {
	each, all := float64(o.MaxCostPerDay), float64(o.MaxCostPerDayTotal)
	named := slices.ContainsFunc(rows, func(row jobs.UsageRow) bool { return row.Caller != "" })
	if named || each == 0 || all > 0 && all < each {
		return all
	}
	return each
}

// report sums up in billionths of a dollar, so that the total is that of the
// rows.
func report(rows []jobs.UsageRow, now time.Time, dayCap float64) usageReport {
	r := usageReport{Rows: rows, DayCapUSD: dayCap}
	if rows == nil {
		r.Rows = []jobs.UsageRow{}
	}
	var cost, counted, today float64
	for _, row := range rows {
		r.Total.Jobs += row.Jobs
		r.Total.InputTokens += row.InputTokens
		r.Total.OutputTokens += row.OutputTokens
		cost += math.Round(row.CostUSD * 1e9)
		counted += math.Round(row.CountedUSD * 1e9)
		if row.Day == now.Format(time.DateOnly) {
			today += math.Round(row.CountedUSD * 1e9)
		}
	}
	r.Total.CostUSD, r.Total.CountedUSD, r.CountedTodayUSD = cost/1e9, counted/1e9, today/1e9
	return r
}

func (h *house) usageTable(r usageReport) []byte {
	if len(r.Rows) == 0 {
		return []byte("No jobs.\n")
	}
	callers := false
	for _, row := range r.Rows {
		callers = callers || row.Caller != ""
	}
	line := func(day, endpoint, host, caller string, numbers ...string) []string {
		cells := []string{day, endpoint, host}
		if callers {
			cells = append(cells, caller)
		}
		return append(cells, numbers...)
	}
	cells := [][]string{line("DAY (UTC)", "ENDPOINT", "HOST", "CALLER", "JOBS", "IN", "OUT", "COST")}
	for _, row := range r.Rows {
		cells = append(cells, line(row.Day, h.cell(row.Endpoint, 0), h.cell(row.Host, hostWidth), h.cell(row.Caller, hostWidth),
			strconv.Itoa(row.Jobs), strconv.Itoa(row.InputTokens), strconv.Itoa(row.OutputTokens), dollars(row.CostUSD)))
	}
	t := r.Total
	cells = append(cells, line("total", "", "", "", strconv.Itoa(t.Jobs), strconv.Itoa(t.InputTokens), strconv.Itoa(t.OutputTokens), dollars(t.CostUSD)))
	text := table(cells)
	if r.DayCapUSD > 0 {
		text = fmt.Appendf(text, "Today %s of the cap of %s is spent or reserved.\n", dollars(r.CountedTodayUSD), dollars(r.DayCapUSD))
	}
	return text
}
