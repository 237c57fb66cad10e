package jobs

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nemotron-mcp/internal/falsim"
)

// dayCapped sets the caps of each caller's day and of all together.
func dayCapped(each, all float64) func(*Options) {
	return func(o *Options) { o.MaxCostPerDay, o.MaxCostPerDayTotal, o.OneCaller = each, all, false }
}

func of(caller string, req Request) Request {
	req.Caller = caller
	return req
}

// countedBy is what each caller's rows count.
func (f *house) countedBy() map[string]float64 {
	counted := map[string]float64{}
	for _, row := range f.rows() {
		counted[row.Caller] += row.CountedUSD
	}
	return counted
}

// TestCallersCapsHoldAcrossProcesses makes calls of three callers at once in two
// processes.
func TestCallersCapsHoldAcrossProcesses(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const fit, all = 3, 8
		each, total := (fit+0.5)*worst, (all+0.5)*worst
		f := newHouse(t, falsim.Script{RunTime: 10 * time.Second})
		members := []*member{f.join(dayCapped(each, total)), f.join(dayCapped(each, total))}
		var calls []*pending
		for n := range 30 {
			req := of([]string{"ann", "bob", "cy"}[n%3], prompt(fmt.Sprint(n%10), time.Minute))
			calls = append(calls, members[n%2].start(req))
		}
		synctest.Wait()
		counted := f.countedBy()
		if spent := f.spent(); spent > total || len(f.rows()) != all {
			t.Errorf("%d rows count $%v, and the cap is $%v", len(f.rows()), spent, total)
		}
		for caller, spent := range counted {
			if spent > each {
				t.Errorf("%s's rows count $%v, and the cap is $%v", caller, spent, each)
			}
		}
		own, shared := 0, 0
		for n, call := range calls {
			job, err := call.wait()
			members[n%2].m.Settle(job, ToldAll)
			if err == nil {
				continue
			}
			if code(err) != BudgetExceeded || job.ID != "" {
				t.Fatalf("%v", err)
			}
			if strings.Contains(err.Error(), "your own cap") {
				own++
			} else {
				shared++
			}
		}
		// Three jobs of each of three callers are one more than all may have.
		if own+shared != 30-all || own == 0 || shared == 0 {
			t.Errorf("%d calls were refused for the caller's cap and %d for that of all", own, shared)
		}
		members[0].count(all, all)
	})
}

// TestDayCapWords says which cap it was, and nothing of what others spend.
func TestDayCapWords(t *testing.T) {
	t.Parallel()
	const ann, unnamed = "ann", ""
	for _, tc := range []struct {
		name, caller string
		each, all    float64 // caps, in worst cases of a call
		others, own  int     // calls made before
		want         []string
		not          []string
	}{
		{
			name: "the caller's own", caller: ann, each: 1.5, all: 9, others: 1, own: 1,
			want: []string{
				fmt.Sprintf("$%.6f of your own cap for the day of $%.6f is left ($%.6f is spent or reserved by your calls", worst/2, 1.5*worst, worst),
				"higher --max-cost-per-day.",
			},
		},
		{
			name: "that of all, by others", caller: ann, each: 9, all: 2.5, others: 2,
			want: []string{"server's cap for the day, which all callers share, is used up", "--max-cost-per-day-total."}, not: []string{"$"},
		},
		{
			name: "that of all, by the caller", caller: ann, all: 2.5, own: 2,
			want: []string{"all callers share, is used up", "--max-cost-per-day-total."}, not: []string{"$"},
		},
		{name: "another's is reached", caller: ann, each: 2.5, all: 4.5, others: 2, own: 1},
		{name: "no cap", caller: ann, others: 2, own: 2},
		{
			name: "one without a name: each is all", caller: unnamed, each: 2.5, others: 1, own: 1,
			want: []string{fmt.Sprintf("$%.6f of the day's cap of $%.6f is left", worst/2, 2.5*worst), "--max-cost-per-day."},
		},
		{
			name: "one without a name: that of all is the lower", caller: unnamed, each: 9, all: 2.5, others: 1, own: 1,
			want: []string{"is used up", "--max-cost-per-day-total."}, not: []string{"$"},
		},
		{
			name: "one without a name: that of all is the higher", caller: unnamed, each: 2.5, all: 9, others: 1, own: 1,
			want: []string{"of the day's cap of", "--max-cost-per-day."},
		},
		{
			name: "one without a name: only that of all", caller: unnamed, all: 1.5, own: 1,
			want: []string{"is used up", "--max-cost-per-day-total."}, not: []string{"$"},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				time.Sleep(time.Minute) // of the day
				f := newHouse(t, falsim.Script{QueueDelay: time.Hour})
				m := f.join(dayCapped(tc.each*worst, tc.all*worst))
				before := func(caller string, n int) {
					for i := range n {
						m.m.Settle(m.generate(of(caller, prompt(fmt.Sprint(i), 0))), ToldAll)
					}
				}
				before("bob", tc.others)
				before(tc.caller, tc.own)
				next := of(tc.caller, prompt("n", 0))
				checked := m.m.Check(t.Context(), next)
				job, err := m.m.Generate(t.Context(), next, nil)
				m.m.Settle(job, ToldAll)
				if fmt.Sprint(checked) != fmt.Sprint(err) {
					t.Errorf("Check says %v, and Generate %v", checked, err)
				}
				if len(tc.want) == 0 {
					if err != nil {
						t.Error(err)
					}
					return
				}
				e, ok := err.(*Error)
				if !ok || e.Code != BudgetExceeded || e.RetryAfter != 24*time.Hour-time.Minute || !strings.Contains(e.Action, "2000-01-02T00:00:00Z") {
					t.Fatalf("%v", err)
				}
				text := e.Message + " " + e.Action
				for _, want := range tc.want {
					if !strings.Contains(text, want) {
						t.Errorf("%q does not say %q", text, want)
					}
				}
				for _, not := range tc.not {
					if strings.Contains(text, not) {
						t.Errorf("%q says %q", text, not)
					}
				}
				if len(f.rows()) != tc.others+tc.own {
					t.Errorf("%d rows", len(f.rows()))
				}
			})
		})
	}
}

func TestDayCapOfACaller(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name                string
		each, all           float64
		ofAnn, ofTheUnnamed float64
	}{
		{"none", 0, 0, 0, 0},
		{"each", 2, 0, 2, 2},
		{"all", 0, 3, 0, 3},
		{"both", 2, 3, 2, 2},
		{"both, the other way", 3, 2, 3, 2},
	} {
		m := New(nil, NewMemory(), Options{MaxCostPerDay: tc.each, MaxCostPerDayTotal: tc.all})
		if ann, unnamed := m.DayCap("ann"), m.DayCap(""); ann != tc.ofAnn || unnamed != tc.ofTheUnnamed {
			t.Errorf("%s: %v and %v, want %v and %v", tc.name, ann, unnamed, tc.ofAnn, tc.ofTheUnnamed)
		}
		must(t, m.Close(t.Context()))
	}
}

// A caller's cap starts anew with the day, and what is settled makes room.
func TestCallersCapIsSettledAndStartsAnew(t *testing.T) {
	bubble(t, func(t *testing.T) {
		time.Sleep(24*time.Hour - time.Minute)
		f := newHouse(t, falsim.Script{RunTime: 10 * time.Second, Usage: &falsim.Usage{InputTokens: 100, OutputTokens: 200}})
		m := f.join(dayCapped(worst, 0))
		ask := func(caller, text string) error {
			job, err := m.m.Generate(t.Context(), of(caller, prompt(text, 0)), nil)
			m.m.Settle(job, ToldAll)
			return err
		}
		must(t, ask("ann", "a"), ask("bob", "a"))
		if err := ask("ann", "b"); code(err) != BudgetExceeded {
			t.Errorf("while the first is reserved: %v", err)
		}
		time.Sleep(20 * time.Second)
		if got := f.countedBy(); math.Abs(got["ann"]-0.003) > 1e-9 {
			t.Errorf("settled: %v", got)
		}
		if err := ask("ann", "b"); code(err) != BudgetExceeded {
			t.Errorf("the rest is too little: %v", err)
		}
		time.Sleep(40 * time.Second)
		must(t, ask("ann", "b"))
	})
}
