package metrics

import (
	"math"
	"net/http"
	"slices"
	"strconv"
	"testing"
)

func TestServe(t *testing.T) {
	t.Parallel()
	var r Registry
	r.Counter("c_total", "C.").Add(3)
	page := string(r.appendPage(nil))
	cases := []struct {
		method string
		status int
		body   string
	}{
		{http.MethodGet, http.StatusOK, page},
		{http.MethodHead, http.StatusOK, ""},
		{http.MethodPost, http.StatusMethodNotAllowed, "only GET and HEAD\n"},
		{http.MethodPut, http.StatusMethodNotAllowed, "only GET and HEAD\n"},
		{http.MethodDelete, http.StatusMethodNotAllowed, "only GET and HEAD\n"},
		{http.MethodOptions, http.StatusMethodNotAllowed, "only GET and HEAD\n"},
		{"BREW", http.StatusMethodNotAllowed, "only GET and HEAD\n"},
	}
	for _, c := range cases {
		t.Run(c.method, func(t *testing.T) {
			t.Parallel()
			answer := ask(t, &r, c.method)
			if answer.Code != c.status || answer.Body.String() != c.body {
				t.Errorf("got %d %q, want %d %q", answer.Code, answer.Body, c.status, c.body)
			}
			want := map[string]string{
				"Content-Type": "text/plain; version=0.0.4; charset=utf-8", "Content-Length": strconv.Itoa(len(page)),
				"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Allow": "",
			}
			if c.status != http.StatusOK {
				want = map[string]string{"Allow": "GET, HEAD"}
			}
			for name, value := range want {
				if got := answer.Header().Get(name); got != value {
					t.Errorf("%s is %q, want %q", name, got, value)
				}
			}
		})
	}
}

func TestOrderIsStable(t *testing.T) {
	t.Parallel()
	names := []string{"b_total", "a_total", "d_total", "c_total"}
	tools := []string{"z", "y", "a b", "a", "", "ä", `"`}
	build := func(names, tools []string) string {
		var r Registry
		for _, name := range names {
			counter := r.Counter(name, "C.", "tool")
			for _, tool := range tools {
				counter.Add(1, tool)
			}
		}
		first := string(r.appendPage(nil))
		if again := string(r.appendPage(nil)); again != first {
			t.Errorf("two pages differ:\n%s\n%s", first, again)
		}
		return first
	}
	one := build(names, tools)
	slices.Reverse(names)
	slices.Reverse(tools)
	if other := build(names, tools); other != one {
		t.Errorf("the order depends on who came first:\n%s\n%s", one, other)
	}
}

func TestWhatIsNoAmountIsLeftOut(t *testing.T) {
	t.Parallel()
	for name, amount := range map[string]float64{
		"negative": -1, "NaN": math.NaN(), "infinite": math.Inf(1), "minus infinite": math.Inf(-1),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var r Registry
			counter := r.Counter("c_total", "C.")
			histogram := r.Histogram("h_seconds", "H.", []float64{1})
			counter.Add(2)
			counter.Add(amount)
			histogram.Observe(2)
			histogram.Observe(amount)
			got := values(t, r.appendPage(nil))
			if got["c_total{}"] != 2 || got["h_seconds_sum{}"] != 2 || got["h_seconds_count{}"] != 1 {
				t.Errorf("got %v, want what was there before", got)
			}
		})
	}
}

func TestTheMostThatIsAllowed(t *testing.T) {
	t.Parallel()
	var r Registry
	r.Counter("aZ:_09", "C.", "aZ_09", "_", "Z").Add(1, "x", "y", "z")
	r.Histogram("most_seconds", "M.", rising(maxBuckets)).Observe(maxBuckets)
	got := values(t, r.appendPage(nil))
	if got[`aZ:_09{Z="z", _="y", aZ_09="x"}`] != 1 || got["most_seconds_sum{}"] != maxBuckets {
		t.Errorf("got %v", got)
	}
}

func TestADeclarationIsKept(t *testing.T) {
	t.Parallel()
	var r Registry
	labels, bounds := []string{"a"}, []float64{1}
	counter := r.Counter("c_total", "C.", labels...)
	histogram := r.Histogram("h_seconds", "H.", bounds, labels...)
	r.Gauge("g", "G.", labels, setOne)
	labels[0], bounds[0] = "changed", 9
	counter.Add(1, "x")
	histogram.Observe(5, "x")
	for _, s := range parse(t, r.appendPage(nil)) {
		if s.labels["a"] != "x" || s.labels["le"] == "1" && s.value != 0 {
			t.Errorf("%s is %v after its slices were changed", s, s.value)
		}
	}
}

func TestMistakesPanic(t *testing.T) {
	t.Parallel()
	cases := map[string]func(r *Registry){
		"no name":              func(r *Registry) { r.Counter("", "C.") },
		"name with a dash":     func(r *Registry) { r.Counter("a-b", "C.") },
		"name with a digit":    func(r *Registry) { r.Counter("1a", "C.") },
		"name beyond ASCII":    func(r *Registry) { r.Counter("ä", "C.") },
		"name with an @":       func(r *Registry) { r.Counter("a@", "C.") },
		"name with a line":     func(r *Registry) { r.Counter("a\nb", "C.") },
		"name that is taken":   func(r *Registry) { r.Gauge("taken_total", "C.", nil, nil) },
		"label with a colon":   func(r *Registry) { r.Counter("c", "C.", "a:b") },
		"reserved label":       func(r *Registry) { r.Counter("c", "C.", "__name__") },
		"label of buckets":     func(r *Registry) { r.Histogram("h", "H.", []float64{1}, "le") },
		"label given twice":    func(r *Registry) { r.Counter("c", "C.", "a", "a") },
		"too few values":       func(r *Registry) { r.Counter("c", "C.", "a", "b").Add(1, "x") },
		"too many values":      func(r *Registry) { r.Counter("c", "C.").Add(1, "x") },
		"no buckets":           func(r *Registry) { r.Histogram("h", "H.", nil) },
		"too many buckets":     func(r *Registry) { r.Histogram("h", "H.", rising(maxBuckets+1)) },
		"buckets that fall":    func(r *Registry) { r.Histogram("h", "H.", []float64{2, 1}) },
		"buckets that repeat":  func(r *Registry) { r.Histogram("h", "H.", []float64{1, 1}) },
		"bucket that is NaN":   func(r *Registry) { r.Histogram("h", "H.", []float64{1, math.NaN()}) },
		"bucket that is +Inf":  func(r *Registry) { r.Histogram("h", "H.", []float64{1, math.Inf(1)}) },
		"histogram's few":      func(r *Registry) { r.Histogram("h", "H.", []float64{1}, "a").Observe(1) },
		"gauge's surplus":      func(r *Registry) { r.Gauge("g", "G.", nil, setOne); r.appendPage(nil) },
		"label that is empty":  func(r *Registry) { r.Counter("c", "C.", "") },
		"label with a newline": func(r *Registry) { r.Counter("c", "C.", "a\n") },
	}
	for name, mistake := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var r Registry
			r.Counter("taken_total", "T.")
			defer func() {
				if recover() == nil {
					t.Error("it was accepted")
				}
			}()
			mistake(&r)
		})
	}
}

func rising(count int) []float64 {
	bounds := make([]float64, count)
	for i := range bounds {
		bounds[i] = float64(i)
	}
	return bounds
}

func setOne(set func(float64, ...string)) { set(1, "x") }
