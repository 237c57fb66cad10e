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
		there := func(usd float64, at time.Time, caller string) []Job { return []Job{row(1, counts(usd, at, caller))} }
		next := func(usd float64) Job { return row(2, counts(usd, noon, me)) }
		all, own := DayCaps{All: 0.3}, DayCaps{Caller: 0.3}
		for _, tc := range []struct {
			name string
			caps DayCaps
			rows []Job // that are there
			next Job
			over *OverCapError
		}{
			{"equal", all, there(0.1, noon, me), next(0.2), nil},
			{"one nano above", all, there(0.1, noon, me), next(0.200000001), &OverCapError{0.1, 0.3, false}},
			{"of other callers too", all, there(0.3, noon, "other"), next(0.000000001), &OverCapError{0.3, 0.3, false}},
			{"alone above", all, nil, next(0.300000001), &OverCapError{0, 0.3, false}},
			{"alone equal", all, nil, next(0.3), nil},
			{"what costs nothing, where all is spent", all, there(0.3, noon, me), next(0), nil},
			{"another day's", all, there(0.3, noon.Add(-12*time.Hour-1), me), next(0.3), nil},
			{"the day's first moment", all, there(0.3, noon.Add(-12*time.Hour), me), next(0.1), &OverCapError{0.3, 0.3, false}},
			{"the day's last moment", all, there(0.3, noon, me), row(2, counts(0.1, noon.Add(12*time.Hour-1), me)), &OverCapError{0.3, 0.3, false}},
			{"no cap", DayCaps{}, there(9, noon, me), next(9), nil},
			{"the caller's, equal", own, there(0.1, noon, me), next(0.2), nil},
			{"the caller's, one nano above", own, there(0.1, noon, me), next(0.200000001), &OverCapError{0.1, 0.3, true}},
			{"the caller's, and another has spent it", own, there(0.3, noon, "other"), next(0.3), nil},
			{"the caller's, on another day", own, there(0.3, noon.Add(-12*time.Hour-1), me), next(0.3), nil},
			{"of the one without a name", own, there(0.3, noon, ""), row(2, counts(0.1, noon, "")), &OverCapError{0.3, 0.3, true}},
			{"the one without a name has spent it", own, there(0.3, noon, ""), next(0.3), nil},
			{"both, and only all is above", DayCaps{0.3, 0.2}, there(0.2, noon, "other"), next(0.2), &OverCapError{0.2, 0.3, false}},
			{"both, and only the caller's is above", DayCaps{0.3, 0.2}, there(0.1, noon, me), next(0.2), &OverCapError{0.1, 0.2, true}},
			{"both above", DayCaps{0.3, 0.2}, []Job{row(1, counts(0.2, noon, me)), row(3, counts(0.1, noon, "other"))}, next(0.1), &OverCapError{0.2, 0.2, true}},
			{"both equal", DayCaps{0.3, 0.2}, []Job{row(1, counts(0.1, noon, me)), row(3, counts(0.1, noon, "other"))}, next(0.1), nil},
		} {
			m := open(t)
			insert(t, m, tc.rows...)
			err := m.Insert(t.Context(), tc.next, tc.caps)
			var over *OverCapError
			errors.As(err, &over)
			if diff := cmp.Diff(tc.over, over); diff != "" || (err == nil) != (over == nil) {
				t.Errorf("%s: %v (-want +got):\n%s", tc.name, err, diff)
			}
			if _, found := m.Find(t.Context(), tc.next.ID); (found == nil) != (err == nil) {
				t.Errorf("%s: the row is there: %v, though Insert said %v", tc.name, found == nil, err)
			}
		}
	})
}

func TestLedgerDayCapFollowsWhatIsSettled(t *testing.T) {
	eachLedger(t, func(t *testing.T, open func(*testing.T) Ledger) {
		for _, caps := range []DayCaps{{All: 1}, {Caller: 1}, {All: 1, Caller: 1}} {
			m := open(t)
			insert(t, m, row(1, func(j *Job) { j.CountedUSD = 1 }))
			next := row(2, func(j *Job) { j.CountedUSD = 0.75 })
			if err := m.Insert(t.Context(), next, caps); err == nil {
				t.Fatalf("above the cap %+v", caps)
			}
			change(t, m, 1, func(j *Job) { j.CountedUSD = 0.25 })
			if err := m.Insert(t.Context(), next, caps); err != nil {
				t.Errorf("%+v, after the settlement: %v", caps, err)
			}
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
	if err := z.Insert(t.Context(), row(1), DayCaps{}); !errors.Is(err, fail) {
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
