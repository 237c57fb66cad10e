package jobs

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"nemotron-mcp/falclient"
	"nemotron-mcp/internal/falsim"
)

// worst is what a prompt of one byte can cost.
var worst = DefaultPrices().WorstCase(falclient.Nemotron, falclient.NemotronInput{Prompt: "p"})

func capped(call, day float64) func(*Options) {
	return func(o *Options) { o.MaxCostPerCall, o.MaxCostPerDay = call, day }
}

// TestDayCapHoldsAcrossProcesses makes 20 calls at once in two processes.
func TestDayCapHoldsAcrossProcesses(t *testing.T) {
	bubble(t, func(t *testing.T) {
		time.Sleep(time.Minute) // of the day
		const fit = 7
		most := (fit + 0.5) * worst
		f := newHouse(t, falsim.Script{RunTime: 10 * time.Second, Usage: &falsim.Usage{InputTokens: 10, OutputTokens: 20}})
		members := []*member{f.join(capped(0, most)), f.join(capped(0, most))}
		var calls []*pending
		for n := range 20 {
			calls = append(calls, members[n%2].start(prompt(string(rune('a'+n)), time.Minute)))
		}
		synctest.Wait()
		if spent := f.spent(); spent > most || len(f.rows()) != fit {
			t.Errorf("%d rows count $%v, and the cap is $%v", len(f.rows()), spent, most)
		}
		refused := 0
		for n, call := range calls {
			job, err := call.wait()
			members[n%2].m.Settle(job, ToldAll)
			if err == nil {
				continue
			}
			refused++
			e, ok := err.(*Error)
			if !ok || e.Code != BudgetExceeded || job.ID != "" {
				t.Fatalf("%v", err)
			}
			for _, want := range []string{fmt.Sprintf("up to $%.6f", worst), fmt.Sprintf("$%.6f of your own cap for the day of $%.6f is left", most-fit*worst, most)} {
				if !strings.Contains(e.Message, want) {
					t.Errorf("%q does not say %q", e.Message, want)
				}
			}
			if !strings.Contains(e.Action, "2000-01-02T00:00:00Z (in 23h59m0s)") || e.RetryAfter != 24*time.Hour-time.Minute {
				t.Errorf("it does not say when the cap starts anew: %q, %v", e.Action, e.RetryAfter)
			}
		}
		if refused != 20-fit {
			t.Errorf("%d calls were refused", refused)
		}
		// The reservations were settled with what was used, so that there is room.
		if got, want := f.spent(), fit*0.0003; math.Abs(got-want) > 1e-9 {
			t.Errorf("settled at $%v, want $%v", got, want)
		}
		job, err := members[0].start(prompt("z", time.Minute)).wait()
		if err != nil || job.Status != Completed {
			t.Errorf("after the settlement: %v", err)
		}
		members[0].m.Settle(job, ToldAll)
		members[0].count(fit+1, fit+1)
	})
}

func TestDayCapStartsAnew(t *testing.T) {
	bubble(t, func(t *testing.T) {
		time.Sleep(24*time.Hour - time.Second)
		f := newHouse(t, falsim.Script{RunTime: time.Minute})
		m := f.join(capped(0, worst))
		m.handBack("a")
		if _, err := m.start(prompt("b", 0)).wait(); code(err) != BudgetExceeded || err.(*Error).RetryAfter != time.Second {
			t.Errorf("the same day: %v", err)
		}
		time.Sleep(time.Second)
		m.handBack("b")
		m.count(2, 2)
	})
}

func TestCallCap(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		most    float64
		refused bool
	}{{"equal", worst, false}, {"a billionth too little", worst - 1e-9, true}, {"none", 0, false}} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				f := newHouse(t, falsim.Script{})
				m := f.join(capped(tc.most, 0))
				job, err := m.start(prompt("p", time.Minute)).wait()
				m.m.Settle(job, ToldAll)
				if !tc.refused {
					m.is(job, Completed, "")
					return
				}
				if code(err) != BudgetExceeded || !strings.Contains(err.Error(), fmt.Sprintf("$%.6f", worst)) {
					t.Errorf("Generate: %v", err)
				}
				if len(f.rows()) != 0 || f.sim.Stats().Requests.Submit != 0 {
					t.Error("something was written down or sent")
				}
			})
		})
	}
}

// TestReservation brings a job to each of its ends. What fal may bill stays
// counted.
func TestReservation(t *testing.T) {
	t.Parallel()
	refuse := func(status int, body string) falsim.Script {
		return falsim.Script{Faults: []falsim.Fault{{Step: falsim.StepSubmit, Status: status, Body: body}}}
	}
	ends := func(f falsim.Fault) falsim.Script {
		f.Step, f.Kind = falsim.StepJob, falsim.Fail
		return falsim.Script{RunTime: time.Second, Faults: []falsim.Fault{f}}
	}
	used := &falsim.Usage{InputTokens: 100, OutputTokens: 200}
	for _, tc := range []struct {
		name   string
		script falsim.Script
		act    func(m *member, call *pending)
		status Status
		counts float64
	}{
		{name: "completed", script: falsim.Script{Usage: used}, status: Completed, counts: 0.003},
		{name: "completed, and fal does not tell what it took", script: falsim.Script{Usage: &falsim.Usage{}}, status: Completed, counts: worst},
		{name: "refused with a 422", script: refuse(422, `{"detail":[{"loc":["body"],"msg":"bad","type":"value_error"}]}`), status: Failed},
		{name: "refused with a 400", script: refuse(400, `{"detail":"bad"}`), status: Failed},
		{name: "refused with a 401", script: refuse(401, `{"detail":"no"}`), status: Failed},
		{name: "refused with a 429", script: refuse(429, `{"detail":"slow down"}`), status: Failed},
		{name: "the account is locked", script: falsim.Script{Locked: true}, status: Failed},
		{name: "never sent", status: Failed, act: func(m *member, _ *pending) { m.line.cut() }},
		{name: "failed with a 500", script: ends(falsim.Fault{Status: 500, Error: "boom", ErrorType: "internal_server_error"}), status: Failed},
		{name: "failed with a 422", script: ends(falsim.Fault{Status: 422, Error: "too long", ErrorType: "value_error"}), status: Failed, counts: worst},
		{name: "the answer to the submission was lost", status: Unknown, counts: worst, script: falsim.Script{Faults: []falsim.Fault{
			{Step: falsim.StepSubmit, Kind: falsim.ResetAfterRead, Accept: true},
		}}},
		{name: "cancelled in the queue", script: falsim.Script{QueueDelay: time.Hour}, status: Cancelled, act: func(_ *member, call *pending) { call.stop() }},
		{name: "cancelled while it ran", script: falsim.Script{RunTime: time.Hour}, status: Cancelled, counts: worst, act: func(_ *member, call *pending) {
			time.Sleep(time.Second)
			call.stop()
		}},
		{name: "fal has lost its result, and its history has no copy", status: Failed, counts: worst, script: falsim.Script{DiscardPayloads: true, Faults: []falsim.Fault{
			{Step: falsim.StepResult, Status: 404, Body: `{"detail":"Request not found"}`},
		}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				f := newHouse(t, tc.script)
				m := f.join(capped(0, worst))
				if tc.name == "never sent" {
					m.line.cut()
				}
				call := m.start(prompt("p", 10*time.Minute))
				synctest.Wait()
				if tc.act != nil {
					tc.act(m, call)
				}
				job, _ := call.wait()
				m.m.Settle(job, ToldAll)
				time.Sleep(10 * time.Second)
				row := f.row()
				if row.Status != tc.status || math.Abs(row.CountedUSD-tc.counts) > 1e-12 {
					t.Errorf("%s counts $%v, want %s $%v (%v)", row.Status, row.CountedUSD, tc.status, tc.counts, row.Failure)
				}
				// What is free again can be spent, and only that.
				f.sim.SetScript(falsim.Script{})
				if tc.name == "never sent" {
					return
				}
				_, err := m.m.Generate(t.Context(), prompt("q", time.Minute), nil)
				if (code(err) == BudgetExceeded) != (tc.counts > 0) {
					t.Errorf("the next call: %v", err)
				}
			})
		})
	}
}

func TestRunningJobsReservationIsSettledByTheOneThatTakesOver(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newHouse(t, falsim.Script{RunTime: time.Minute, Usage: &falsim.Usage{InputTokens: 100, OutputTokens: 200}})
		a, b := f.join(capped(0, worst)), f.join(capped(0, worst))
		a.handBack("p")
		a.kill()
		if _, err := b.m.Generate(t.Context(), prompt("q", 0), nil); code(err) != BudgetExceeded {
			t.Errorf("while it runs: %v", err)
		}
		time.Sleep(2 * time.Minute)
		if got := f.spent(); got != 0.003 {
			t.Errorf("settled at $%v", got)
		}
	})
}

// No usage that fits the call costs more than what was reserved for it.
func TestWorstCaseIsTheWorst(t *testing.T) {
	t.Parallel()
	prices := DefaultPrices()
	rapid.Check(t, func(t *rapid.T) {
		endpoint := rapid.SampledFrom([]string{
			falclient.Nemotron, falclient.NemotronVision, falclient.NemotronVideo, falclient.NemotronAudio, "somebody/else",
		}).Draw(t, "endpoint")
		in := falclient.NemotronInput{
			Prompt:       strings.Repeat("x", rapid.IntRange(0, 600_000).Draw(t, "prompt")),
			SystemPrompt: strings.Repeat("y", rapid.IntRange(0, 1000).Draw(t, "system prompt")),
		}
		out := 1024
		if rapid.Bool().Draw(t, "max_tokens given") {
			out = rapid.IntRange(1, contextTokens).Draw(t, "max_tokens")
			in.MaxTokens = &out
		}
		most := len(in.Prompt) + len(in.SystemPrompt) + templateTokens
		if endpoint != falclient.Nemotron {
			most = contextTokens
		}
		u := falclient.Usage{OutputTokens: rapid.IntRange(0, out).Draw(t, "output tokens")}
		u.InputTokens = rapid.IntRange(0, min(most, contextTokens-out)).Draw(t, "input tokens")
		if cost, worst := prices.Cost(endpoint, u), prices.WorstCase(endpoint, in); cost > worst || worst <= 0 {
			t.Fatalf("%+v costs $%v, and the worst case was $%v", u, cost, worst)
		}
	})
}

func TestWorstCase(t *testing.T) {
	t.Parallel()
	tokens := func(n int) *int { return &n }
	for _, tc := range []struct {
		name, endpoint string
		in             falclient.NemotronInput
		want           float64
	}{
		{"a token for each byte", falclient.Nemotron, falclient.NemotronInput{Prompt: "äö", SystemPrompt: "s", MaxTokens: tokens(739)}, 0.01},
		{"max_tokens left out", falclient.Nemotron, falclient.NemotronInput{Prompt: strings.Repeat("x", 720)}, 0.02},
		{"a medium takes the whole context", falclient.NemotronVision, falclient.NemotronInput{MaxTokens: tokens(1)}, 262144 * 0.006 / 1000},
		{"a text longer than the context", falclient.Nemotron, falclient.NemotronInput{Prompt: strings.Repeat("x", 1<<20), MaxTokens: tokens(20_000)}, 262144 * 0.01 / 1000},
		{"more output than the context", falclient.Nemotron, falclient.NemotronInput{Prompt: "x", MaxTokens: tokens(300_000)}, 3},
		{"no price known: the highest", "somebody/else", falclient.NemotronInput{MaxTokens: tokens(1)}, 262144 * 0.01 / 1000},
	} {
		if got := DefaultPrices().WorstCase(tc.endpoint, tc.in); math.Abs(got-tc.want) > 1e-9 {
			t.Errorf("%s: $%v, want $%v", tc.name, got, tc.want)
		}
	}
}
