package metrics

import (
	"fmt"
	"math"
	"slices"
	"strconv"
)

// Counter is a family of sums that only go up. It is safe for concurrent use.
type Counter struct{ sets *sets[float64] }

// Counter declares a family of counters. A label set is on the page once it was
// added to; one without labels always is.
func (r *Registry) Counter(name, help string, labels ...string) *Counter {
	c := &Counter{newSets[float64](name, labels)}
	r.add(family{name, help, "counter", func(page []byte) []byte {
		for _, set := range c.sets.snapshot() {
			page = appendFloat(page, name, set.pairs, set.value)
		}
		return page
	}}, labels)
	return c
}

// Add adds to the counter of these label values, in the order of the labels.
// Adding 0 puts it on the page. What is below 0 or not finite is left out.
func (c *Counter) Add(amount float64, values ...string) {
	if amount >= 0 && amount <= math.MaxFloat64 {
		c.sets.update(values, func(sum *float64) { *sum += amount })
	}
}

// Gauge declares a family of values that are asked for whenever a page is
// written: read calls set for each label set, with the values in the order of
// the labels. What is set twice adds up; a family of which nothing is set is
// left out. read must return soon and may be called concurrently.
func (r *Registry) Gauge(name, help string, labels []string, read func(set func(value float64, values ...string))) {
	labels = slices.Clone(labels)
	r.add(family{name, help, "gauge", func(page []byte) []byte {
		now := &sets[float64]{name: name, labels: labels, byKey: map[string]*set[float64]{}}
		read(func(value float64, values ...string) {
			now.update(values, func(sum *float64) { *sum += value })
		})
		for _, set := range now.snapshot() {
			page = appendFloat(page, name, set.pairs, set.value)
		}
		return page
	}}, labels)
}

// maxBuckets bounds the buckets of a histogram, without +Inf.
const maxBuckets = 20

// Histogram is a family of distributions. It is safe for concurrent use.
type Histogram struct {
	bounds []float64
	sets   *sets[distribution]
}

type distribution struct {
	counts [maxBuckets + 1]uint64 // by bucket, not cumulative; +Inf is behind the last bound
	sum    float64
}

// Histogram declares a family of histograms with 1 to 20 buckets, given by
// their upper bounds in seconds, rising and finite. The bucket +Inf comes by
// itself. A label set is on the page once something was observed in it; one
// without labels always is.
func (r *Registry) Histogram(name, help string, bounds []float64, labels ...string) *Histogram {
	checkBounds(name, bounds)
	h := &Histogram{slices.Clone(bounds), newSets[distribution](name, labels)}
	les := make([]string, 0, len(bounds)+1)
	for _, bound := range bounds {
		les = append(les, `le="`+strconv.FormatFloat(bound, 'g', -1, 64)+`"`)
	}
	les = append(les, `le="+Inf"`)
	r.add(family{name, help, "histogram", func(page []byte) []byte {
		for _, set := range h.sets.snapshot() {
			page = set.value.append(page, name, set.pairs, les)
		}
		return page
	}}, labels)
	return h
}

func checkBounds(name string, bounds []float64) {
	if len(bounds) == 0 || len(bounds) > maxBuckets {
		panic(fmt.Sprintf("metrics: %s has %d buckets, not 1 to %d", name, len(bounds), maxBuckets))
	}
	last := math.Inf(-1)
	for _, bound := range bounds {
		if !(bound > last) || math.IsInf(bound, 0) { // the negation also holds for NaN
			panic(fmt.Sprintf("metrics: the buckets of %s do not rise", name))
		}
		last = bound
	}
}

// Observe adds a length in seconds to the histogram of these label values, in
// the order of the labels. What is below 0 or not finite is left out.
func (h *Histogram) Observe(seconds float64, values ...string) {
	if !(seconds >= 0 && seconds <= math.MaxFloat64) {
		return
	}
	bucket, _ := slices.BinarySearch(h.bounds, seconds) // the first bound that is not below it
	h.sets.update(values, func(d *distribution) {
		d.counts[bucket]++
		d.sum += seconds
	})
}

func (d *distribution) append(page []byte, name, pairs string, les []string) []byte {
	comma := ""
	if pairs != "" {
		comma = ","
	}
	var count uint64
	for i, le := range les {
		count += d.counts[i]
		page = appendCount(page, name+"_bucket", pairs+comma+le, count)
	}
	page = appendFloat(page, name+"_sum", pairs, d.sum)
	return appendCount(page, name+"_count", pairs, count)
}
