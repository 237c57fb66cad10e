package app_test

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nemotron-mcp/internal/falsim"
	"nemotron-mcp/internal/jobs"
)

// onLedger are the settings of commands that share a ledger.
func onLedger(t *testing.T, sim *falsim.Server) []string {
	t.Helper()
	return []string{
		"FAL_KEY=" + testKey, "FAL_QUEUE_URL=" + sim.QueueURL(), "FAL_PLATFORM_URL=" + sim.PlatformURL(),
		"NEMOTRON_MCP_STATE_DIR=" + stateDir(t),
	}
}

// output is what a command that succeeds writes; the key is in none of it.
func output(t *testing.T, settings []string, args ...string) string {
	t.Helper()
	out, log, err := command(t, settings, args...)
	if err != nil {
		t.Fatalf("%v: %v: %s%s", args, err, out, log)
	}
	if strings.Contains(out+log, testKey) {
		t.Fatalf("%v: the key is in the output: %s%s", args, out, log)
	}
	return out
}

func decode[T any](t *testing.T, text string) T {
	t.Helper()
	var value T
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return value
}

// TestPagesOfTheLedger: what is listed, exported and summed up are the same
// jobs, also where they are more than a page, with the answers as fal gave them.
func TestPagesOfTheLedger(t *testing.T) {
	t.Parallel()
	const calls = 230 // more than two pages
	const answer = "one \"line\",\r\nand <another> & é\u2028"
	sim := startSimulator(t, falsim.Script{Output: answer, Usage: &falsim.Usage{InputTokens: 7, OutputTokens: 11}})
	settings := onLedger(t, sim)
	p := startProcess(t, sim, true, settings...)
	for id := range calls - 1 {
		p.send(generateLine(id, fmt.Sprint("prompt ", id)))
	}
	for range calls - 1 {
		<-p.lines
	}
	p.end()
	output(t, settings, "call", "nemotron_generate", "prompt=of another host")

	listed := decode[[]jobs.Job](t, output(t, settings, "jobs", "list", "--limit=1000"))
	if len(listed) != calls {
		t.Fatalf("%d jobs are listed, want %d", len(listed), calls)
	}
	lines := strings.Split(strings.TrimSuffix(output(t, settings, "jobs", "export"), "\n"), "\n")
	rows, err := csv.NewReader(strings.NewReader(output(t, settings, "jobs", "export", "--format=csv"))).ReadAll()
	if err != nil || len(lines) != calls || len(rows) != calls+1 {
		t.Fatalf("%d lines and %d rows are exported, want %d and a head: %v", len(lines), len(rows), calls, err)
	}
	var cost, counted float64
	for i, job := range listed {
		exported := decode[jobs.Job](t, lines[i])
		if exported.ID != job.ID || exported.Output != answer || job.Output != "" {
			t.Fatalf("row %d: exported %q with the output %q, listed %q with %q", i, exported.ID, exported.Output, job.ID, job.Output)
		}
		// A CSV reader makes a line feed of the two characters.
		if row := rows[i+1]; row[0] != job.ID || row[len(row)-1] != strings.ReplaceAll(answer, "\r\n", "\n") {
			t.Fatalf("row %d as CSV: %q", i, row)
		}
		if i > 0 && !(job.ID < listed[i-1].ID) {
			t.Fatalf("row %d is newer than the one before", i)
		}
		cost += job.CostUSD
		counted += job.CountedUSD
	}
	usage := decode[struct {
		Rows  []jobs.UsageRow
		Total struct {
			Jobs         int
			InputTokens  int     `json:"input_tokens"`
			OutputTokens int     `json:"output_tokens"`
			CostUSD      float64 `json:"cost_usd"`
			CountedUSD   float64 `json:"counted_usd"`
		}
	}](t, output(t, settings, "usage", "--days=2"))
	total := usage.Total
	if total.Jobs != calls || total.InputTokens != 7*calls || total.OutputTokens != 11*calls {
		t.Errorf("total is %+v, want %d jobs", total, calls)
	}
	if math.Abs(total.CostUSD-cost) > 1e-9 || math.Abs(total.CountedUSD-counted) > 1e-9 || cost == 0 {
		t.Errorf("total is %+v, the jobs cost %v and count %v", total, cost, counted)
	}
	if len(usage.Rows) != 2 {
		t.Errorf("usage is not told by host: %+v", usage.Rows)
	}
	for _, row := range usage.Rows {
		total.Jobs -= row.Jobs
		total.CostUSD -= row.CostUSD
	}
	if total.Jobs != 0 || math.Abs(total.CostUSD) > 1e-9 {
		t.Errorf("the rows do not add up to the total: %+v", usage)
	}
}

// TestSecretsInCSV: CSV doubles the quotes of a key that has some, after which
// nothing would recognise it.
func TestSecretsInCSV(t *testing.T) {
	t.Parallel()
	const key = `test"key"0123456789`
	sim := startSimulator(t, falsim.Script{Output: "it is " + key})
	settings := append(onLedger(t, sim), "FAL_KEY="+key)
	output(t, settings, "call", "nemotron_generate", "prompt=Hi")
	for _, format := range []string{"csv", "jsonl"} {
		out := output(t, settings, "jobs", "export", "--format="+format)
		if !strings.Contains(out, "it is [redacted]") || strings.Contains(out, "0123456789") {
			t.Errorf("%s holds the key: %s", format, out)
		}
	}
}

// TestPriceUnits: fal's unit is free text.
func TestPriceUnits(t *testing.T) {
	t.Parallel()
	cases := []struct {
		price, unit string
		want        float64 // 0 where it is refused
	}{
		{"0.01", "1000 tokens", 0.01},
		{"0.00002", "token", 0.02},
		{"0.00002", "tokens", 0.02},
		{"20", "1M tokens", 0.02},
		{"20", "1m tokens", 0.02},
		{"20", " 1 M Tokens ", 0.02},
		{"0.02", "1K tokens", 0.02},
		{"0.02", "1,000 tokens", 0.02},
		{"20", "1,000,000 tokens", 0.02},
		{"0.1", "3 tokens", 33.3333333333},
		{"0.02", "1.000 tokens", 0},
		{"0.02", "1,5 tokens", 0},
		{"0.02", "0 tokens", 0},
		{"0.02", "-1 tokens", 0},
		{"0.02", "1000 input tokens", 0},
		{"0.02", "tokens per second", 0},
		{"0.02", "seconds", 0},
		{"0.02", "", 0},
		{"0.02", "99999999999999999999 tokens", 0},
		{"0", "1000 tokens", 0},
		{"1", "token", 0}, // $1,000 for 1,000 tokens
		{"1e-320", "1M tokens", 0},
	}
	for _, c := range cases {
		t.Run(c.price+" for "+c.unit, func(t *testing.T) {
			t.Parallel()
			body := fmt.Sprintf(`{"prices":[{"endpoint_id":"nvidia/nemotron-3-nano-omni","unit_price":%s,"unit":%q,"currency":"USD"}]}`, c.price, c.unit)
			sim := startSimulator(t, falsim.Script{Faults: []falsim.Fault{{Step: falsim.StepPrices, Status: http.StatusOK, Body: body}}})
			settings := onLedger(t, sim)
			out, log, err := command(t, settings, "usage", "--refresh-prices")
			if (err == nil) != (c.want != 0) {
				t.Fatalf("%v: %s%s", err, out, log)
			}
			file, err := os.ReadFile(filepath.Join(strings.TrimPrefix(settings[3], "NEMOTRON_MCP_STATE_DIR="), "prices.json"))
			if c.want == 0 {
				if err == nil {
					t.Fatalf("kept: %s", file)
				}
				return
			}
			if err != nil || decode[jobs.Prices](t, string(file))["nvidia/nemotron-3-nano-omni"] != c.want {
				t.Errorf("kept %s, want %v: %v", file, c.want, err)
			}
		})
	}
}

// TestHighestPrice: of several prices the highest is kept, and none where one of
// them can't be read.
func TestHighestPrice(t *testing.T) {
	t.Parallel()
	row := func(price, unit string) string {
		return fmt.Sprintf(`{"endpoint_id":"nvidia/nemotron-3-nano-omni","unit_price":%s,"unit":%q,"currency":"USD"}`, price, unit)
	}
	sim := startSimulator(t, falsim.Script{})
	for body, want := range map[string]string{
		row("30", "1M tokens") + "," + row("20", "1M tokens"): `"new_usd_per_1000_tokens": 0.03`,
		row("30", "1M tokens") + "," + row("2", "image"):      `fal's price is for the unit \"image\"`,
	} {
		sim.SetScript(falsim.Script{Faults: []falsim.Fault{{Step: falsim.StepPrices, Status: http.StatusOK, Body: `{"prices":[` + body + `]}`}}})
		if out, _, _ := command(t, onLedger(t, sim), "usage", "--refresh-prices"); !strings.Contains(out, want) {
			t.Errorf("%s is not in: %s", want, out)
		}
	}
}

// TestCancelWhileAnotherServes: the job of a server that still waits for it is
// cancelled under it, and its call is told.
func TestCancelWhileAnotherServes(t *testing.T) {
	t.Parallel()
	sim := startSimulator(t, falsim.Script{QueueDelay: time.Hour})
	settings := onLedger(t, sim)
	p := startProcess(t, sim, true, settings...)
	p.send(generateLine(1, "Hi"))
	if err := sim.WaitFor(t.Context(), func(s falsim.Stats) bool { return s.Requests.Stream == 1 }); err != nil {
		t.Fatal(err)
	}
	out := output(t, settings, "jobs", "cancel", sim.Jobs()[0].RequestID)
	if !strings.HasPrefix(out, "Cancelled while it was queued; not billed.") {
		t.Errorf("told: %s", out)
	}
	if answer := p.answer("1"); !strings.Contains(answer, "CANCELLED") {
		t.Errorf("the call was answered %s", answer)
	}
	p.end()
	if billed := sim.Stats().Billed; billed != 0 {
		t.Errorf("%d bills", billed)
	}
}
