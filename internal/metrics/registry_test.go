package metrics

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestGoldenPage(t *testing.T) {
	t.Parallel()
	var r Registry
	calls := r.Counter("calls_total", "Calls,\nby \\ \"tool\".", "tool", "outcome")
	r.Counter("idle_total", "Never added to.")
	r.Counter("unseen_total", "No label set yet.", "tool")
	waits := r.Histogram("wait_seconds", "Waits.", []float64{0.5, 1, 25}, "tool")
	r.Gauge("jobs", "Jobs.", []string{"status"}, func(set func(float64, ...string)) {
		set(2, "IN_QUEUE")
		set(math.Inf(1), "FAILED")
		set(math.NaN(), "COMPLETED")
		set(1, "IN_QUEUE")
	})
	r.Gauge("absent", "Not known here.", nil, func(func(float64, ...string)) {})
	calls.Add(1e21, "b", "ok")
	calls.Add(1, "a", "ok")
	calls.Add(0.25, "a", "ok")
	calls.Add(0, "a", "say \"C:\\\"\n")
	waits.Observe(0.5, "a")
	waits.Observe(0.75, "a")
	waits.Observe(100, "a")

	want := `# HELP calls_total Calls,\nby \\ "tool".
# TYPE calls_total counter
calls_total{tool="a",outcome="ok"} 1.25
calls_total{tool="a",outcome="say \"C:\\\"\n"} 0
calls_total{tool="b",outcome="ok"} 1e+21
# HELP idle_total Never added to.
# TYPE idle_total counter
idle_total 0
# HELP jobs Jobs.
# TYPE jobs gauge
jobs{status="COMPLETED"} NaN
jobs{status="FAILED"} +Inf
jobs{status="IN_QUEUE"} 3
# HELP wait_seconds Waits.
# TYPE wait_seconds histogram
wait_seconds_bucket{tool="a",le="0.5"} 1
wait_seconds_bucket{tool="a",le="1"} 2
wait_seconds_bucket{tool="a",le="25"} 2
wait_seconds_bucket{tool="a",le="+Inf"} 3
wait_seconds_sum{tool="a"} 101.25
wait_seconds_count{tool="a"} 3
`
	page := r.appendPage(nil)
	if diff := cmp.Diff(want, string(page)); diff != "" {
		t.Errorf("the page (-want +got):\n%s", diff)
	}
	parse(t, page)
}

var hostile = map[string]string{
	"empty":              "",
	"quotes":             `"} 1` + "\n" + `evil_total{a="b`,
	"newlines":           "\n\n# TYPE x counter\nx 1\n",
	"carriage return":    "a\r\nb\rc",
	"backslashes":        `\`,
	"backslash n":        `\n`,
	"backslash at quote": `\"`,
	"many backslashes":   strings.Repeat(`\`, 99) + `"`,
	"braces":             `{},="`,
	"NUL":                "a\x00b",
	"invalid UTF-8":      "a\xff\xfeb",
	"only invalid":       "\xff",
	"cut rune":           "\xe2\x82",
	"surrogate":          "\xed\xa0\x80",
	"bidirectional":      "\u202eabc\u2066",
	"line separator":     "a\u2028b\u0085c",
	"emoji":              "\U0001f680",
	"long":               strings.Repeat("x", 100_000),
	"long in runes":      strings.Repeat("€", 100),
	"long and invalid":   strings.Repeat("\xffa", 100_000),
}

// kept is what has to be read back for a value.
func kept(value string) string {
	return strings.ToValidUTF8(value[:min(len(value), maxValue)], "\uFFFD")
}

// checkHostile writes a value in every place and reads it back.
func checkHostile(t *testing.T, value string) {
	t.Helper()
	var r Registry
	r.Counter("c_total", "C.", "a", "b").Add(1, value, "x"+value)
	r.Histogram("h_seconds", "H.", []float64{1}, "a").Observe(1, value)
	r.Gauge("g", "G.", []string{"a"}, func(set func(float64, ...string)) { set(1, value) })
	samples := parse(t, r.appendPage(nil))
	if len(samples) != 6 {
		t.Errorf("%d samples, want 6", len(samples))
	}
	for _, s := range samples {
		if s.labels["a"] != kept(value) {
			t.Errorf("%s: read back %q, want %q", s.name, s.labels["a"], kept(value))
		}
		if b, ok := s.labels["b"]; ok && b != kept("x"+value) {
			t.Errorf("%s: read back %q, want %q", s.name, b, kept("x"+value))
		}
	}
}

func TestHostileLabelValues(t *testing.T) {
	t.Parallel()
	for name, value := range hostile {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			checkHostile(t, value)
		})
	}
}

func FuzzLabelValue(f *testing.F) {
	for _, value := range hostile {
		f.Add(value)
	}
	f.Fuzz(checkHostile)
}

func TestValuesThatReadAlikeAreOneSet(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", maxValue)
	cases := map[string]struct{ one, other []string }{
		"cut":            {[]string{long + "1", ""}, []string{long + "2", ""}},
		"invalid UTF-8":  {[]string{"a\xff", ""}, []string{"a\xfe", ""}},
		"replaced":       {[]string{"\xff", ""}, []string{"\uFFFD", ""}},
		"cut in a label": {[]string{"a", long + "1"}, []string{"a", long + "2"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var r Registry
			counter := r.Counter("c_total", "C.", "a", "b")
			counter.Add(1, c.one...)
			counter.Add(2, c.other...)
			samples := parse(t, r.appendPage(nil))
			if len(samples) != 1 || samples[0].value != 3 {
				t.Errorf("got %v, want one sample of 3", samples)
			}
		})
	}
}

func TestValuesThatJoinAlikeStayApart(t *testing.T) {
	t.Parallel()
	var r Registry
	counter := r.Counter("c_total", "C.", "a", "b")
	for _, pair := range [][]string{{"x", "y"}, {"xy", ""}, {"", "xy"}, {"x\xff", "y"}, {"x", "\xffy"}, {`x",b="y`, ""}} {
		counter.Add(1, pair...)
	}
	if samples := parse(t, r.appendPage(nil)); len(samples) != 6 {
		t.Errorf("got %v, want six samples", samples)
	}
}

func TestAllAddsUpUnderLoad(t *testing.T) {
	t.Parallel()
	const goroutines, rounds = 64, 200
	var r Registry
	counter := r.Counter("c_total", "C.", "tool")
	plain := r.Counter("plain_total", "P.")
	histogram := r.Histogram("h_seconds", "H.", []float64{1, 2}, "tool")
	var wg sync.WaitGroup
	for i := range goroutines {
		wg.Go(func() {
			tool := fmt.Sprint(i % 4)
			for round := range rounds {
				counter.Add(0.5, tool)
				plain.Add(2)
				histogram.Observe(float64(round%4), tool) // 0 and 1 are in the first bucket, 2 in the second
				if round%100 == 0 {
					ask(t, &r, http.MethodGet)
				}
			}
		})
	}
	wg.Wait()
	want := map[string]float64{"plain_total{}": goroutines * rounds * 2}
	for i := range 4 {
		label := fmt.Sprintf(`tool="%d"`, i)
		each := float64(goroutines * rounds / 4)
		want["c_total{"+label+"}"] = each / 2
		want[`h_seconds_bucket{le="1", `+label+"}"] = each / 2
		want[`h_seconds_bucket{le="2", `+label+"}"] = each * 3 / 4
		want[`h_seconds_bucket{le="+Inf", `+label+"}"] = each
		want["h_seconds_count{"+label+"}"] = each
		want["h_seconds_sum{"+label+"}"] = each / 4 * (0 + 1 + 2 + 3)
	}
	if diff := cmp.Diff(want, values(t, r.appendPage(nil))); diff != "" {
		t.Errorf("the sums (-want +got):\n%s", diff)
	}
}

func TestBucketsAreCumulative(t *testing.T) {
	t.Parallel()
	var r Registry
	bounds := []float64{0.001, 0.5, 1, 2.5, 1000}
	h := r.Histogram("h_seconds", "H.", bounds)
	random := rand.New(rand.NewPCG(1, 2))
	observed := []float64{0, 0.001, 0.5, math.Nextafter(0.5, 1), 2.5, 1000, math.Nextafter(1000, 2000), 1e300}
	for range 500 {
		observed = append(observed, math.Exp(random.Float64()*20-10))
	}
	want := map[string]float64{"h_seconds_count{}": float64(len(observed)), `h_seconds_bucket{le="+Inf"}`: float64(len(observed))}
	for _, bound := range bounds {
		want[fmt.Sprintf(`h_seconds_bucket{le="%g"}`, bound)] = 0
	}
	for _, seconds := range observed {
		h.Observe(seconds)
		want["h_seconds_sum{}"] += seconds
		for _, bound := range bounds {
			if seconds <= bound {
				want[fmt.Sprintf(`h_seconds_bucket{le="%g"}`, bound)]++
			}
		}
	}
	if diff := cmp.Diff(want, values(t, r.appendPage(nil))); diff != "" {
		t.Errorf("the buckets (-want +got):\n%s", diff)
	}
}

func TestLabelSetsAreBounded(t *testing.T) {
	t.Parallel()
	const asked = 3 * maxSets
	var r Registry
	counter := r.Counter("c_total", "C.", "a", "b")
	named := r.Counter("named_total", "N.", "a")
	histogram := r.Histogram("h_seconds", "H.", []float64{1}, "a")
	r.Gauge("g", "G.", []string{"a"}, func(set func(float64, ...string)) {
		for i := range asked {
			set(1, fmt.Sprint(i))
		}
	})
	named.Add(1, "other") // a set of that name that was there before is the same set
	for i := range asked {
		counter.Add(1, fmt.Sprint(i), "b")
		named.Add(1, fmt.Sprint(i))
		histogram.Observe(1, fmt.Sprint(i))
	}
	counter.Add(1, "0", "b") // a known set stays reachable
	count, sum := map[string]int{}, map[string]float64{}
	for _, s := range parse(t, r.appendPage(nil)) {
		count[s.name]++
		sum[s.name] += s.value
	}
	wantCount := map[string]int{
		"c_total": maxSets + 1, "named_total": maxSets, "g": maxSets + 1,
		"h_seconds_sum": maxSets + 1, "h_seconds_count": maxSets + 1, "h_seconds_bucket": 2 * (maxSets + 1),
	}
	wantSum := map[string]float64{
		"c_total": asked + 1, "named_total": asked + 1, "g": asked,
		"h_seconds_sum": asked, "h_seconds_count": asked, "h_seconds_bucket": 2 * asked,
	}
	if diff := cmp.Diff(wantCount, count); diff != "" {
		t.Errorf("the label sets (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(wantSum, sum); diff != "" {
		t.Errorf("the sums (-want +got):\n%s", diff)
	}
	all := values(t, r.appendPage(nil))
	if got := all[`c_total{a="other", b="other"}`]; got != asked-maxSets {
		t.Errorf("the other set has %v, want %d", got, asked-maxSets)
	}
	if got := all[`c_total{a="0", b="b"}`]; got != 2 {
		t.Errorf("the first set has %v, want 2", got)
	}
}
