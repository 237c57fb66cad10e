package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMedian(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name    string
		samples []float64
		want    float64
	}{
		{"none", nil, 0},
		{"one", []float64{3}, 3},
		{"odd, unsorted", []float64{9, 1, 5}, 5},
		{"even", []float64{4, 1, 3, 2}, 2.5},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := median(c.samples); got != c.want {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
}

func TestPercentile(t *testing.T) {
	t.Parallel()
	ten := []int{10, 9, 8, 7, 6, 5, 4, 3, 2, 1}
	cases := []struct {
		name    string
		samples []int
		p, want int
	}{
		{"none", nil, 95, 0},
		{"one", []int{7}, 95, 7},
		{"p95 of ten is the largest", ten, 95, 10},
		{"p90 of ten", ten, 90, 9},
		{"p1", ten, 1, 1},
		{"p100", ten, 100, 10},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := percentile(c.samples, c.p); got != c.want {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
}

func TestFlightFails(t *testing.T) {
	t.Parallel()
	good := flown{calls: 2, answered: 2, bills: 2, status: []time.Duration{100 * time.Millisecond}, kibPerCall: 100}
	cases := []struct {
		name   string
		change func(*flown)
		want   string // empty: no error
	}{
		{"all goals met, just", func(*flown) {}, ""},
		{"memory unknown", func(f *flown) { f.kibPerCall = 0 }, ""},
		{"unanswered, told by its first error", func(f *flown) { f.answered, f.failure = 1, errors.New("first") }, "1 of 2 calls were not answered; the first: first"},
		{"a bill too many", func(f *flown) { f.bills = 3 }, "3 bills for 2 calls"},
		{"a bill too few", func(f *flown) { f.bills = 1 }, "1 bills for 2 calls"},
		{"slow queue_status", func(f *flown) { f.status[0] += time.Millisecond }, "queue_status at p95"},
		{"queue_status never asked", func(f *flown) { f.status = nil }, "not measured"},
		{"much memory", func(f *flown) { f.kibPerCall = 101 }, "memory a call"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := good
			f.status = append([]time.Duration(nil), good.status...)
			c.change(&f)
			err := f.check()
			if c.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}
