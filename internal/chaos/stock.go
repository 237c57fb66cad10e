package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"nemotron-mcp/falclient"
	"nemotron-mcp/internal/falsim"
	"nemotron-mcp/internal/jobs"
)

// maxTold bounds how many violations are printed.
const maxTold = 20

// stock compares what fal has done with what the ledger says.
type stock struct {
	rows     []jobs.Job
	byID     map[string]jobs.Job // rows with a request_id
	accepted []falsim.JobInfo
	past     map[string]falclient.PastRequest

	bills, adopted             int
	byStatus                   map[jobs.Status]int
	counted, expected          float64
	wrong                      []string
	outputs, released, charged int
}

func (k *stock) violation(format string, args ...any) {
	k.wrong = append(k.wrong, fmt.Sprintf(format, args...))
}

func (s *storm) takeStock(ctx context.Context, ledger jobs.Ledger, fal *falclient.Client, found []jobs.Reconciled) (*stock, error) {
	k := &stock{
		byID: map[string]jobs.Job{}, past: map[string]falclient.PastRequest{}, byStatus: map[jobs.Status]int{},
		accepted: s.sim.Jobs(), bills: s.sim.Bills(),
	}
	endpoint, err := falclient.ParseEndpoint(falclient.Nemotron)
	if err != nil {
		return nil, err
	}
	past, err := fal.Requests(ctx, falclient.HistoryQuery{Endpoint: endpoint})
	if err != nil {
		return nil, fmt.Errorf("fal's history: %w", err)
	}
	for _, p := range past {
		k.past[p.RequestID] = p
	}
	if err := k.readRows(ctx, ledger); err != nil {
		return nil, err
	}
	for _, f := range found {
		if f.Finding == jobs.FoundTaken {
			k.adopted++
		} else if f.Finding != jobs.FoundNone {
			k.violation("row %s: reconciling found it %s", f.Job.ID, f.Finding)
		}
	}
	k.paidOnce()
	k.nothingLost()
	k.hostsWereRight(s.calls)
	if err := k.spending(ctx, ledger); err != nil {
		return nil, err
	}
	return k, k.err()
}

// readRows reads all rows, with their outputs.
func (k *stock) readRows(ctx context.Context, ledger jobs.Ledger) error {
	for q := (jobs.Query{Everyone: true, Limit: 500}); ; {
		page, err := ledger.List(ctx, q)
		if err != nil {
			return err
		}
		if len(page) == 0 {
			return nil
		}
		for _, listed := range page {
			row, err := ledger.Find(ctx, listed.ID)
			if err != nil {
				return err
			}
			k.rows = append(k.rows, row)
			k.byStatus[row.Status]++
			if row.RequestID == "" {
				continue
			}
			if other, twice := k.byID[row.RequestID]; twice {
				k.violation("rows %s and %s both have request %s", row.ID, other.ID, row.RequestID)
			}
			k.byID[row.RequestID] = row
		}
		q.Before = page[len(page)-1].ID
	}
}

// paidOnce: fal has taken one job at most for each call, and each has its row.
func (k *stock) paidOnce() {
	byPrompt := map[string]string{}
	for _, job := range k.accepted {
		var input struct{ Prompt string }
		if err := json.Unmarshal(job.Input, &input); err != nil {
			k.violation("request %s has no input: %v", job.RequestID, err)
		}
		if other, twice := byPrompt[input.Prompt]; twice {
			k.violation("paid twice: %q is %s and %s", input.Prompt, other, job.RequestID)
		}
		byPrompt[input.Prompt] = job.RequestID
		if _, ok := k.byID[job.RequestID]; !ok {
			k.violation("request %s, which fal has taken for %q, is in no row", job.RequestID, input.Prompt)
		}
	}
	for id, row := range k.byID {
		if _, ok := k.past[id]; !ok {
			k.violation("row %s names request %s, which fal does not have", row.ID, id)
		}
	}
}

// nothingLost: each job has ended in the ledger as at fal, its output included.
func (k *stock) nothingLost() {
	for _, job := range k.accepted {
		row, ok := k.byID[job.RequestID]
		if !ok {
			continue // told by paidOnce
		}
		past := k.past[job.RequestID]
		want := jobs.Failed
		switch {
		case job.Cancelled:
			want = jobs.Cancelled
		case past.StatusCode == 200:
			want = jobs.Completed
		}
		if row.Status != want {
			k.violation("request %s (%q) is %s in the ledger and %s at fal (cancel requested: %t): %v", job.RequestID, row.Preview, row.Status, want, job.CancelRequested, row.Failure)
			continue
		}
		if want != jobs.Completed {
			continue
		}
		out, err := falclient.ParseNemotron(falclient.Result{Body: past.Output})
		if err != nil {
			k.violation("request %s: fal's history has no output: %v", job.RequestID, err)
			continue
		}
		k.outputs++
		if row.Output != out.Output || row.Usage == nil || *row.Usage != out.Usage {
			k.violation("request %s has %q (%+v) in the ledger and %q (%+v) at fal", job.RequestID, row.Output, row.Usage, out.Output, out.Usage)
		}
	}
}

// hostsWereRight: what a host was told is what is so.
func (k *stock) hostsWereRight(calls map[string]*told) {
	for prompt, t := range calls {
		if t.request == "" {
			continue
		}
		row, ok := k.byID[t.request]
		if !ok {
			k.violation("the host of %q was given request %s, which is in no row", prompt, t.request)
			continue
		}
		if t.done && row.Output != t.output {
			k.violation("the host of %q was told %q, and the ledger has %q", prompt, t.output, row.Output)
		}
	}
}

// spending: what the day counts is what its jobs cost, and the worst case of
// those that may be billed all the same.
func (k *stock) spending(ctx context.Context, ledger jobs.Ledger) error {
	oldest := time.Now()
	for _, row := range k.rows {
		oldest = row.Created
		k.expected += k.due(row)
	}
	usage, err := ledger.Usage(ctx, oldest)
	if err != nil {
		return err
	}
	for _, u := range usage {
		k.counted += u.CountedUSD
	}
	if math.Abs(k.counted-k.expected) > 1e-9 {
		k.violation("the day counts $%.9f, and its jobs come to $%.9f", k.counted, k.expected)
	}
	return nil
}

// due is what a job should count, by what fal has done.
func (k *stock) due(row jobs.Job) float64 {
	prices := jobs.DefaultPrices()
	past, taken := k.past[row.RequestID]
	worst := k.worstCase(row)
	switch {
	case row.Status == jobs.Unknown:
		k.charged++
		return worst
	case !taken:
		k.released++
		return 0
	case row.Status == jobs.Completed:
		out, err := falclient.ParseNemotron(falclient.Result{Body: past.Output})
		if err != nil {
			return math.NaN()
		}
		return prices.Cost(row.Endpoint, out.Usage)
	case row.Status == jobs.Cancelled && (!past.Started.IsZero() || row.CountedUSD != 0):
		// Billed by fal; or not, and the server that knew was killed.
		k.charged++
		return worst
	}
	k.released++
	return 0
}

// worstCase is what was reserved, which can be told from the row itself: each
// prompt is short and each job has the default max_tokens.
func (k *stock) worstCase(row jobs.Job) float64 {
	return jobs.DefaultPrices().WorstCase(row.Endpoint, falclient.NemotronInput{Prompt: strings.Repeat("x", row.InputSize)})
}

func (k *stock) err() error {
	if len(k.wrong) == 0 {
		return nil
	}
	told := k.wrong[:min(len(k.wrong), maxTold)]
	return errors.New(fmt.Sprint(len(k.wrong), " violations:\n  ") + strings.Join(told, "\n  "))
}

func (k *stock) String() string {
	if k == nil {
		return ""
	}
	return fmt.Sprintf(`fal               took %d jobs, billed %d
ledger            %d rows: %d COMPLETED, %d FAILED, %d CANCELLED, %d UNKNOWN; %d have a request_id
reconciled        %d UNKNOWN were found at fal
outputs           %d, each as fal gave it
spending          $%.6f counted, $%.6f due: %d jobs at their worst case, %d at nothing
violations        %d
`, len(k.accepted), k.bills, len(k.rows), k.byStatus[jobs.Completed], k.byStatus[jobs.Failed], k.byStatus[jobs.Cancelled],
		k.byStatus[jobs.Unknown], len(k.byID), k.adopted, k.outputs, k.counted, k.expected, k.charged, k.released, len(k.wrong))
}
