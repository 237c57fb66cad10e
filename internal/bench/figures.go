package main

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// median is the middle of the samples, or the mean of the two in the middle; 0
// where there are none.
func median[T time.Duration | float64](samples []T) T {
	sorted := slices.Sorted(slices.Values(samples))
	n := len(sorted)
	switch {
	case n == 0:
		return 0
	case n%2 == 1:
		return sorted[n/2]
	}
	return (sorted[n/2-1] + sorted[n/2]) / 2
}

// percentile is the smallest sample that at least p % of the samples do not
// exceed; 0 where there are none. p is 1 to 100.
func percentile[T cmp.Ordered](samples []T, p int) T {
	var none T
	if len(samples) == 0 {
		return none
	}
	sorted := slices.Sorted(slices.Values(samples))
	return sorted[(len(sorted)*p+99)/100-1]
}

// atMost and atLeast return what to warn of where a figure misses its goal,
// empty where it does not.
func atMost(what string, got, goal float64, unit string) string {
	if got <= goal {
		return ""
	}
	return fmt.Sprintf("%s: %.2f%s is above the goal of %.2f%s", what, got, unit, goal, unit)
}

func atLeast(what string, got, goal float64, unit string) string {
	if got >= goal {
		return ""
	}
	return fmt.Sprintf("%s: %.2f%s is below the goal of %.2f%s", what, got, unit, goal, unit)
}

// warn tells of the goals that were missed. Most are no failure, because
// machines differ; a run on a machine of the release decides.
func warn(missed ...string) {
	for _, m := range missed {
		if m != "" {
			fmt.Println("WARNING goal missed:", m)
		}
	}
}
