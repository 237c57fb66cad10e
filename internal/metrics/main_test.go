package metrics

import (
	"bytes"
	"math"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sample is a line of a page, as a parser that is not ours reads it.
type sample struct {
	name   string
	kind   string // of its family
	labels map[string]string
	value  float64
}

// String is the sample without its value.
func (s sample) String() string {
	names := make(model.LabelSet)
	for name, value := range s.labels {
		names[model.LabelName(name)] = model.LabelValue(value)
	}
	return s.name + names.String()
}

// parse reads a page with the reference parser. Every line must become a
// sample of its own, every family must have its HELP.
func parse(t *testing.T, page []byte) []sample {
	t.Helper()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(page))
	if err != nil {
		t.Fatalf("the page is not valid: %v\n%s", err, page)
	}
	var samples []sample
	for name, family := range families {
		if family.GetHelp() == "" {
			t.Errorf("%s has no HELP", name)
		}
		for _, metric := range family.GetMetric() {
			add := func(suffix, le string, value float64) {
				labels := map[string]string{}
				for _, pair := range metric.GetLabel() {
					labels[pair.GetName()] = pair.GetValue()
				}
				if le != "" {
					labels["le"] = le
				}
				samples = append(samples, sample{name + suffix, family.GetType().String(), labels, value})
			}
			switch {
			case metric.GetCounter() != nil:
				add("", "", metric.GetCounter().GetValue())
			case metric.GetGauge() != nil:
				add("", "", metric.GetGauge().GetValue())
			case metric.GetHistogram() != nil:
				h := metric.GetHistogram()
				for _, bucket := range h.GetBucket() {
					add("_bucket", formatBound(bucket.GetUpperBound()), float64(bucket.GetCumulativeCount()))
				}
				add("_sum", "", h.GetSampleSum())
				add("_count", "", float64(h.GetSampleCount()))
			default:
				t.Errorf("%s has a sample of no kind that is ours", name)
			}
		}
	}
	checkLines(t, page, samples)
	return samples
}

func checkLines(t *testing.T, page []byte, samples []sample) {
	t.Helper()
	lines := 0
	for line := range strings.Lines(string(page)) {
		if !strings.HasPrefix(line, "#") {
			lines++
		}
	}
	if lines != len(samples) {
		t.Errorf("the page has %d lines and was read as %d samples", lines, len(samples))
	}
	seen := map[string]bool{}
	for _, s := range samples {
		if seen[s.String()] {
			t.Errorf("%s is on the page twice", s)
		}
		seen[s.String()] = true
	}
}

func formatBound(bound float64) string {
	if math.IsInf(bound, 1) {
		return "+Inf"
	}
	return strconv.FormatFloat(bound, 'g', -1, 64)
}

// values are the samples of a page by name and labels.
func values(t *testing.T, page []byte) map[string]float64 {
	t.Helper()
	byName := map[string]float64{}
	for _, s := range parse(t, page) {
		byName[s.String()] = s.value
	}
	return byName
}

func ask(t *testing.T, h http.Handler, method string) *httptest.ResponseRecorder {
	t.Helper()
	recorder := httptest.NewRecorder()
	h.ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), method, "/metrics", nil))
	return recorder
}
