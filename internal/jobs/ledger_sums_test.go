package jobs

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nemotron-mcp/falclient"
)

// The cap holds to a billionth of a dollar, whatever the sums of binary fractions
// come to.
func TestLedgerDayCapIsExact(t *testing.T) {
	eachLedger(t, func(t *testing.T, open func(*testing.T) Ledger) {
		counts := func(usd float64, at time.Time, caller string) func(*Job) {
			return func(j *Job) { j.CountedUSD, j.Created, j.Caller = usd, at, caller }
		}
		for _, tc := range []struct {
			name  string
			cap   float64
			rows  []Job // that are there
			next  Job
			spent float64 // in the refusal; negative where there is none
		}{
			{"equal", 0.3, []Job{row(1, counts(0.1, noon, me))}, row(2, counts(0.2, noon, me)), -1},
			{"one nano above", 0.3, []Job{row(1, counts(0.1, noon, me))}, row(2, counts(0.200000001, noon, me)), 0.1},
			{"of other callers too", 0.3, []Job{row(1, counts(0.3, noon, "other"))}, row(2, counts(0.000000001, noon, me)), 0.3},
			{"alone above", 0.3, nil, row(1, counts(0.300000001, noon, me)), 0},
			{"alone equal", 0.3, nil, row(1, counts(0.3, noon, me)), -1},
			{"what costs nothing, where all is spent", 0.3, []Job{row(1, counts(0.3, noon, me))}, row(2, counts(0, noon, me)), -1},
			{"another day's", 0.3, []Job{row(1, counts(0.3, noon.Add(-12*time.Hour-1), me))}, row(2, counts(0.3, noon, me)), -1},
			{"the day's first moment", 0.3, []Job{row(1, counts(0.3, noon.Add(-12*time.Hour), me))}, row(2, counts(0.1, noon, me)), 0.3},
			{"the day's last moment", 0.3, []Job{row(1, counts(0.3, noon, me))}, row(2, counts(0.1, noon.Add(12*time.Hour-1), me)), 0.3},
			{"no cap", 0, []Job{row(1, counts(9, noon, me))}, row(2, counts(9, noon, me)), -1},
		} {
			m := open(t)
			insert(t, m, tc.rows...)
			err := m.Insert(t.Context(), tc.next, tc.cap)
			var over *OverCapError
			if errors.As(err, &over) != (tc.spent >= 0) || err != nil && (over == nil || over.SpentUSD != tc.spent) {
				t.Errorf("%s: %v", tc.name, err)
			}
			if _, found := m.Find(t.Context(), tc.next.ID); (found == nil) != (err == nil) {
				t.Errorf("%s: the row is there: %v, though Insert said %v", tc.name, found == nil, err)
			}
		}
	})
}

func TestLedgerDayCapFollowsWhatIsSettled(t *testing.T) {
	eachLedger(t, func(t *testing.T, open func(*testing.T) Ledger) {
		m := open(t)
		insert(t, m, row(1, func(j *Job) { j.CountedUSD = 1 }))
		next := row(2, func(j *Job) { j.CountedUSD = 0.75 })
		if err := m.Insert(t.Context(), next, 1); err == nil {
			t.Fatal("above the cap")
		}
		change(t, m, 1, func(j *Job) { j.CountedUSD = 0.25 })
		if err := m.Insert(t.Context(), next, 1); err != nil {
			t.Errorf("after the settlement: %v", err)
		}
	})
}

func TestLedgerSpent(t *testing.T) {
	eachLedger(t, func(t *testing.T, open func(*testing.T) Ledger) {
		m := open(t)
		costs := func(usd float64, at time.Time) func(*Job) {
			return func(j *Job) { j.CountedUSD, j.Created = usd, at }
		}
		insert(t, m,
			row(1, costs(1, noon)),
			row(2, costs(2, noon.Add(-12*time.Hour))),  // the day's first moment
			row(3, costs(4, noon.Add(12*time.Hour-1))), // its last
			row(4, costs(8, noon.Add(12*time.Hour))),   // the next day
			row(5, costs(16, noon), func(j *Job) { j.Caller = "other" }))
		change(t, m, 1, func(j *Job) { j.CountedUSD = 0.5 })
		// A clock of another zone, on which it is already the next day.
		east := time.FixedZone("east", 14*3600)
		for _, tc := range []struct {
			name, caller string
			on           time.Time
			want         float64
		}{
			{"the day", me, noon, 6.5},
			{"the same day, told by another clock", me, noon.In(east), 6.5},
			{"the next day", me, noon.Add(24 * time.Hour), 8},
			{"the day before", me, noon.Add(-24 * time.Hour), 0},
			{"another caller", "other", noon, 16},
		} {
			if got, err := m.Spent(t.Context(), tc.caller, tc.on); err != nil || math.Abs(got-tc.want) > 1e-9 {
				t.Errorf("%s: %v, %v; want %v", tc.name, got, err, tc.want)
			}
		}
	})
}

func TestLedgerUsage(t *testing.T) {
	eachLedger(t, func(t *testing.T, open func(*testing.T) Ledger) {
		m := open(t)
		used := func(endpoint, host, caller string, on time.Time, in, out int, cost, counted float64) func(*Job) {
			return func(j *Job) {
				j.Endpoint, j.Host, j.Caller, j.Created, j.CostUSD, j.CountedUSD = endpoint, host, caller, on, cost, counted
				if in+out > 0 {
					j.Usage = &falclient.Usage{InputTokens: in, OutputTokens: out}
				}
			}
		}
		insert(t, m,
			row(1, used("a", "h", me, noon, 10, 20, 0.1, 0.1)), row(2, used("a", "h", me, noon, 1, 2, 0.2, 0.2)),
			row(3, used("a", "h", me, noon, 0, 0, 0, 0.7)), // not yet known
			row(4, used("a", "h", "other", noon, 5, 5, 0.3, 0.3)), row(5, used("a", "g", me, noon, 5, 5, 0.3, 0.3)),
			row(6, used("b", "h", me, noon, 5, 5, 0.3, 0.3)), row(7, used("a", "h", me, noon.Add(24*time.Hour), 5, 5, 0.3, 0.3)),
			row(8, used("a", "h", me, noon.Add(-24*time.Hour), 5, 5, 0.3, 0.3)))
		got, err := m.Usage(t.Context(), noon.Add(11*time.Hour)) // its day's start counts
		if err != nil {
			t.Fatal(err)
		}
		one := func(on, endpoint, host, caller string) UsageRow {
			return UsageRow{Day: on, Endpoint: endpoint, Host: host, Caller: caller, Jobs: 1, InputTokens: 5, OutputTokens: 5, CostUSD: 0.3, CountedUSD: 0.3}
		}
		want := []UsageRow{
			one("2026-03-02", "a", "h", me), one("2026-03-01", "a", "g", me),
			{Day: "2026-03-01", Endpoint: "a", Host: "h", Caller: me, Jobs: 3, InputTokens: 11, OutputTokens: 22, CostUSD: 0.3, CountedUSD: 1},
			one("2026-03-01", "a", "h", "other"), one("2026-03-01", "b", "h", me),
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("usage (-want +got):\n%s", diff)
		}
	})
}

func TestLazyOpensOnce(t *testing.T) {
	t.Parallel()
	opened, fail := 0, errors.New("no folder")
	z := NewLazy(func() (Ledger, error) {
		if opened++; opened == 1 {
			return nil, fail
		}
		return NewMemory(), nil
	})
	if err := z.Insert(t.Context(), row(1), 0); !errors.Is(err, fail) {
		t.Errorf("the first use: %v", err)
	}
	insert(t, z, row(1))
	if !has(t, z, 1) || opened != 2 {
		t.Errorf("opened %d times", opened)
	}
	if err := z.Close(); err != nil {
		t.Error(err)
	}
	unused := NewLazy(func() (Ledger, error) { return nil, fail })
	if err := unused.Close(); err != nil {
		t.Errorf("Close of one that was never used: %v", err)
	}
	if _, err := unused.Find(t.Context(), "x"); !errors.Is(err, errClosed) {
		t.Errorf("use after Close: %v", err)
	}
}
