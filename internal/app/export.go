package app

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"strconv"
	"strings"
	"time"

	"nemotron-mcp/internal/jobs"
)

type jobsExportCommand struct {
	Since  moment `help:"Only jobs of that last time (24h) or since a date (2006-01-02)." placeholder:"TIME"`
	Format string `help:"jsonl: a row a line, as it is; csv: for spreadsheets, with ' before what they would take for a formula." enum:"jsonl,csv" default:"jsonl"`
}

// exportPage is how many rows are listed at once; outputs are read one by one.
const exportPage = 100

// Run writes the rows one after the other, so that memory holds one output.
func (c *jobsExportCommand) Run(s *session) error {
	head := func() error {
		if c.Format != "csv" {
			return nil
		}
		_, err := s.Out.Write(csvLine(csvHead()))
		return err
	}
	return s.onLedger(head, func(h *house) error {
		if err := head(); err != nil {
			return err
		}
		return c.each(s.ctx, h, func(job jobs.Job) error {
			if c.Format == "csv" {
				return h.print(s.Out, csvLine(h.csvCells(job)))
			}
			line, err := encode(job, "")
			if err != nil {
				return err
			}
			return h.print(s.Out, line)
		})
	})
}

func (c *jobsExportCommand) each(ctx context.Context, h *house, write func(jobs.Job) error) error {
	q := jobs.Query{Everyone: true, Since: c.Since.at, Limit: exportPage}
	for {
		page, next, _, err := h.jobs.List(ctx, q)
		if err != nil {
			return err
		}
		for _, listed := range page {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			job, err := h.jobs.Find(ctx, listed.ID)
			var f *jobs.Error
			if errors.As(err, &f) && f.Code == jobs.JobNotFound {
				continue // deleted meanwhile: it had become too old
			}
			if err != nil {
				return err
			}
			if err := write(shown(job)); err != nil {
				return err
			}
		}
		if next == "" {
			return nil
		}
		q.Before = next
	}
}

// csvHead names the columns.
func csvHead() []string {
	return []string{
		"id", "request_id", "caller", "host", "endpoint", "status", "created", "submitted", "started", "ended",
		"input_tokens", "output_tokens", "cost_usd", "counted_usd", "finish_reason", "error_code", "error_message", "prompt", "output",
	}
}

// csvCells are a row's values in the order of csvHead. They are masked one by
// one: in the line, the quotes of a secret that has any are doubled.
func (h *house) csvCells(job jobs.Job) []string {
	var in, out, cost, code, message string
	if job.Usage != nil {
		in, out = strconv.Itoa(job.Usage.InputTokens), strconv.Itoa(job.Usage.OutputTokens)
		cost = amount(job.CostUSD)
	}
	if job.Failure != nil {
		code, message = string(job.Failure.Code), job.Failure.Message
	}
	cells := []string{
		job.ID, job.RequestID, job.Caller, job.Host, job.Endpoint, string(job.Status),
		stamp(job.Created), stamp(job.Submitted), stamp(job.Started), stamp(job.Ended),
		in, out, cost, amount(job.CountedUSD), job.FinishReason, code, message, job.Preview, job.Output,
	}
	for i, cell := range cells {
		cells[i] = noFormula(h.secrets.String(cell))
	}
	return cells
}

// noFormula keeps a spreadsheet from running what a prompt or an answer begins
// with.
func noFormula(cell string) string {
	if cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
		return "'" + cell
	}
	return cell
}

func csvLine(cells []string) []byte {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	_ = w.Write(cells) // to memory
	w.Flush()
	return b.Bytes()
}

func amount(usd float64) string { return strconv.FormatFloat(usd, 'f', -1, 64) }

func stamp(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return at.UTC().Format(time.RFC3339Nano)
}
