package metrics

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// query parses the part of PromQL that the dashboard uses, and checks it
// against samples: metrics, labels and the values that are asked for exist, and
// functions get what they are for. What it does not know it refuses.
type query struct {
	tokens []string
	known  map[string][]sample // by name
}

// value is what a part of a query gives.
type value struct {
	kind    string // scalar, vector or range
	counter bool   // the bare count, which says little before rate
	labels  map[string]bool
}

var tokens = regexp.MustCompile(`^(?:[a-zA-Z_:][\w:]*|"(?:[^"\\]|\\.)*"|[0-9]+(?:\.[0-9]+)?|\[[^\[\]]*\]|=~|!~|!=|[-+*/(){},=])`)

var span = regexp.MustCompile(`^\[(?:[0-9]+[smhd]|\$__rate_interval|\$__range)\]$`)

// checkQuery tells the labels of what the query gives.
func checkQuery(expr string, known map[string][]sample) (labels []string, err error) {
	q := &query{known: known}
	for rest := strings.TrimSpace(expr); rest != ""; {
		token := tokens.FindString(rest)
		if token == "" {
			return nil, fmt.Errorf("not PromQL: %s", rest)
		}
		q.tokens = append(q.tokens, token)
		rest = strings.TrimSpace(rest[len(token):])
	}
	// The parser gives up by panicking with an error, which ends here.
	defer func() {
		if failed := recover(); failed != nil {
			err = failed.(error)
		}
	}()
	v := q.sum()
	if len(q.tokens) > 0 {
		return nil, fmt.Errorf("unexpected %q", q.tokens[0])
	}
	if v.kind == "range" || v.counter {
		return nil, errors.New("a count or a range is shown bare, without rate or increase")
	}
	return slices.Sorted(maps.Keys(v.labels)), nil
}

func (q *query) fail(format string, args ...any) { panic(fmt.Errorf(format, args...)) }

func (q *query) peek() string {
	if len(q.tokens) == 0 {
		return ""
	}
	return q.tokens[0]
}

func (q *query) next() string {
	token := q.peek()
	if token == "" {
		q.fail("unexpected end")
	}
	q.tokens = q.tokens[1:]
	return token
}

func (q *query) expect(want string) {
	if got := q.next(); got != want {
		q.fail("%q where %q has to be", got, want)
	}
}

func (q *query) sum() value { return q.binary(q.product, "+", "-") }

func (q *query) product() value { return q.binary(q.operand, "*", "/") }

func (q *query) binary(operand func() value, operators ...string) value {
	left := operand()
	for slices.Contains(operators, q.peek()) {
		operator := q.next()
		right := operand()
		switch {
		case left.kind == "range" || right.kind == "range" || left.counter || right.counter:
			q.fail("%s with a count or a range", operator)
		case left.kind == "scalar":
			left = right
		case right.kind == "vector" && !maps.Equal(left.labels, right.labels):
			q.fail("%s between vectors of different labels", operator)
		}
	}
	return left
}

func (q *query) operand() value {
	token := q.next()
	switch {
	case token == "(":
		v := q.sum()
		q.expect(")")
		return v
	case token[0] >= '0' && token[0] <= '9':
		return value{kind: "scalar"}
	case !isName(strings.ReplaceAll(token, ":", "_")):
		q.fail("unexpected %q", token)
	}
	switch token {
	case "sum", "count", "max", "min", "avg":
		return q.aggregate(token)
	case "rate", "increase", "histogram_quantile", "time":
		return q.call(token)
	}
	return q.selector(token)
}

func (q *query) aggregate(name string) value {
	by := map[string]bool{}
	if q.peek() == "by" {
		q.next()
		q.expect("(")
		for {
			by[q.next()] = true
			if q.peek() != "," {
				break
			}
			q.next()
		}
		q.expect(")")
	}
	q.expect("(")
	v := q.sum()
	q.expect(")")
	if v.kind != "vector" || v.counter {
		q.fail("%s of no vector, or of a bare count", name)
	}
	for label := range by {
		if !v.labels[label] {
			q.fail("grouped by %q, which no sample has", label)
		}
	}
	return value{kind: "vector", labels: by}
}

func (q *query) call(name string) value {
	var args []value
	q.expect("(")
	for q.peek() != ")" {
		args = append(args, q.sum())
		if q.peek() != ")" {
			q.expect(",")
		}
	}
	q.expect(")")
	switch {
	case name == "time" && len(args) == 0:
		return value{kind: "scalar"}
	case (name == "rate" || name == "increase") && len(args) == 1 && args[0].kind == "range" && args[0].counter:
		return value{kind: "vector", labels: args[0].labels}
	case name == "histogram_quantile" && len(args) == 2 && args[0].kind == "scalar" && args[1].kind == "vector" && args[1].labels["le"]:
		labels := maps.Clone(args[1].labels)
		delete(labels, "le")
		return value{kind: "vector", labels: labels}
	}
	q.fail("%s does not take this", name)
	return value{}
}

// selector reads a metric with its matchers and range. Prometheus gives every
// sample the labels job and instance.
func (q *query) selector(name string) value {
	samples := q.known[name]
	if len(samples) == 0 {
		q.fail("no metric %s", name)
	}
	v := value{kind: "vector", labels: map[string]bool{"job": true, "instance": true}, counter: samples[0].kind != "GAUGE"}
	for label := range samples[0].labels {
		v.labels[label] = true
	}
	if q.peek() == "{" {
		q.next()
		for q.peek() != "}" {
			q.matcher(name, samples, v.labels)
			if q.peek() != "}" {
				q.expect(",")
			}
		}
		q.expect("}")
	}
	if strings.HasPrefix(q.peek(), "[") {
		if given := q.next(); !span.MatchString(given) {
			q.fail("%s is no range", given)
		}
		v.kind = "range"
	}
	return v
}

func (q *query) matcher(name string, samples []sample, labels map[string]bool) {
	label, operator, quoted := q.next(), q.next(), q.next()
	if !labels[label] {
		q.fail("%s has no label %q", name, label)
	}
	if !slices.Contains([]string{"=", "!=", "=~", "!~"}, operator) || quoted[0] != '"' {
		q.fail("%s %s is no matcher", operator, quoted)
	}
	if operator == "=~" || operator == "!~" {
		return
	}
	for _, s := range samples {
		if s.labels[label] == strings.Trim(quoted, `"`) {
			return
		}
	}
	q.fail("no sample of %s has %s=%s", name, label, quoted)
}

func TestQueriesAreChecked(t *testing.T) {
	t.Parallel()
	known := map[string][]sample{
		"c_total":    {{"c_total", "COUNTER", map[string]string{"op": "submit"}, 1}},
		"h_bucket":   {{"h_bucket", "HISTOGRAM", map[string]string{"le": "1", "tool": "a"}, 1}},
		"g":          {{"g", "GAUGE", map[string]string{"status": "x"}, 1}},
		"plain_gaug": {{"plain_gaug", "GAUGE", nil, 1}},
	}
	cases := map[string]struct{ expr, labels, fails string }{
		"gauge":                {expr: `g{job=~"$job"}`, labels: "instance job status"},
		"rate":                 {expr: `sum by (op) (rate(c_total{op="submit", job=~"$job"}[$__rate_interval]))`, labels: "op"},
		"quantile":             {expr: `histogram_quantile(0.5, sum by (le, tool) (rate(h_bucket[5m])))`, labels: "tool"},
		"scalar first":         {expr: `time() - g`, labels: "instance job status"},
		"sums divided":         {expr: `sum(rate(c_total[1h])) / sum(rate(c_total[1h])) * (100 + 1)`},
		"unknown metric":       {expr: `nope`, fails: "no metric nope"},
		"unknown function":     {expr: `rat(c_total[5m])`, fails: "no metric rat"},
		"unknown label":        {expr: `g{nope="x"}`, fails: `no label "nope"`},
		"unknown value":        {expr: `g{status="y"}`, fails: `status="y"`},
		"unknown group":        {expr: `sum by (nope) (g)`, fails: `grouped by "nope"`},
		"label was summed up":  {expr: `sum by (status) (sum(g))`, fails: `grouped by "status"`},
		"bare counter":         {expr: `c_total`, fails: "bare"},
		"bare range":           {expr: `g[5m]`, fails: "bare"},
		"sum of counters":      {expr: `sum(c_total)`, fails: "bare count"},
		"rate of a gauge":      {expr: `rate(g[5m])`, fails: "rate does not take this"},
		"rate without range":   {expr: `rate(c_total)`, fails: "rate does not take this"},
		"quantile without le":  {expr: `histogram_quantile(0.5, sum(rate(h_bucket[5m])))`, fails: "histogram_quantile does not"},
		"no range":             {expr: `rate(c_total[soon])`, fails: "[soon] is no range"},
		"unlike vectors":       {expr: `g - plain_gaug`, fails: "different labels"},
		"open parenthesis":     {expr: `sum(g`, fails: "unexpected end"},
		"surplus parenthesis":  {expr: `sum(g))`, fails: `unexpected ")"`},
		"open brace":           {expr: `g{`, fails: "unexpected end"},
		"unquoted value":       {expr: `g{status=x}`, fails: "no matcher"},
		"no operand":           {expr: `g +`, fails: "unexpected end"},
		"empty":                {expr: ``, fails: "unexpected end"},
		"what is not PromQL":   {expr: `g ; drop`, fails: "not PromQL"},
		"two metrics":          {expr: `g g`, fails: `unexpected "g"`},
		"matchers not divided": {expr: `g{job="a" status="x"}`, fails: "no sample of g has job"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			labels, err := checkQuery(c.expr, known)
			if c.fails != "" {
				if err == nil || !strings.Contains(err.Error(), c.fails) {
					t.Errorf("got %v, want an error with %q", err, c.fails)
				}
				return
			}
			if err != nil || strings.Join(labels, " ") != c.labels {
				t.Errorf("got %v %v, want %s", labels, err, c.labels)
			}
		})
	}
}
