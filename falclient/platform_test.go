package falclient_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nemotron-mcp/falclient"
	"nemotron-mcp/internal/falsim"
)

var nemotron = falclient.Endpoint{Owner: "nvidia", Alias: "nemotron-3-nano-omni"}

// platformCalls are the two questions, with a good answer each.
var platformCalls = []struct {
	op, good string
	call     func(context.Context, *falclient.Client) error
}{
	{"requests", `{"items":[]}`, func(ctx context.Context, c *falclient.Client) error {
		_, err := c.Requests(ctx, falclient.HistoryQuery{Endpoint: vision})
		return err
	}},
	{"prices", `{"prices":[]}`, func(ctx context.Context, c *falclient.Client) error {
		_, err := c.Prices(ctx, vision)
		return err
	}},
}

// platform makes a client whose platform API is answered by f.
func platform(t *testing.T, f roundTripper) *falclient.Client {
	t.Helper()
	return newClient(t, falclient.Config{PlatformURL: "https://platform.example/v1/", Transport: f})
}

func answer(status int, body string) (*http.Response, error) {
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}, nil
}

func TestRequests(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 8, 2, 10, 0, 0, 999, time.FixedZone("", 7200))
	base := url.Values{"endpoint_id": {vision.String()}, "expand": {"payloads"}, "limit": {"100"}}
	with := func(pairs ...string) url.Values {
		q := url.Values{}
		for k, v := range base {
			q[k] = v
		}
		for i := 0; i < len(pairs); i += 2 {
			q.Set(pairs[i], pairs[i+1])
		}
		return q
	}
	at := func(s int) time.Time { return time.Date(2026, 8, 2, 8, 0, s, 0, time.UTC) }
	for _, tc := range []struct {
		name  string
		query falclient.HistoryQuery
		pages []string
		asked []url.Values
		want  []falclient.PastRequest
	}{
		{"none", falclient.HistoryQuery{}, []string{`{"items":[],"next_cursor":null,"has_more":false}`}, []url.Values{base}, nil},
		{
			"a finished one",
			falclient.HistoryQuery{Start: start, End: start, RequestID: "a"},
			[]string{`{"items":[{"request_id":"a","endpoint_id":"nvidia/nemotron-3-nano-omni/vision","sent_at":"2026-08-02T08:00:01Z","started_at":"2026-08-02T10:00:02+02:00",` +
				`"ended_at":"2026-08-02T08:00:03.5","status_code":200,"duration":2.5,"json_input":{"prompt":"hi"},"json_output":{"output":"x"},"new":[1]}]}`},
			[]url.Values{with("request_id", "a", "start", "2026-08-02T08:00:00Z", "end", "2026-08-02T08:00:01Z")},
			[]falclient.PastRequest{{
				RequestID: "a", Endpoint: vision.String(), Sent: at(1), Started: at(2), Ended: at(3).Add(time.Second / 2),
				StatusCode: 200, Input: json.RawMessage(`{"prompt":"hi"}`), Output: json.RawMessage(`{"output":"x"}`),
			}},
		},
		{
			"without payloads and times",
			falclient.HistoryQuery{End: at(5)},
			[]string{`{"items":[{"request_id":"a","json_input":null,"json_output":null,"ended_at":null,"status_code":null},{"request_id":"b","sent_at":"soon","status_code":"x"}]}`},
			[]url.Values{with("end", "2026-08-02T08:00:05Z")},
			[]falclient.PastRequest{{RequestID: "a"}, {RequestID: "b"}},
		},
		{
			"ids that are none",
			falclient.HistoryQuery{},
			[]string{`{"items":[{"request_id":"../x"},{"request_id":7},{},null,{"request_id":"5ec4e7deadbeef5ec4e7deadbeef0001"},{"request_id":"ok"}]}`},
			[]url.Values{base},
			[]falclient.PastRequest{{RequestID: "ok"}},
		},
		{
			"pages; the newer of two rows counts",
			falclient.HistoryQuery{},
			[]string{
				`{"items":[{"request_id":"a"},{"request_id":"b"}],"next_cursor":"M&=","has_more":true}`,
				`{"items":[{"request_id":"a","status_code":200},{"request_id":"c"}],"next_cursor":"3"}`,
				`{"items":[{"request_id":"d"}],"next_cursor":"4","has_more":false}`,
			},
			[]url.Values{base, with("cursor", "M&="), with("cursor", "3")},
			[]falclient.PastRequest{{RequestID: "a", StatusCode: 200}, {RequestID: "b"}, {RequestID: "c"}, {RequestID: "d"}},
		},
		{
			"hostile texts",
			falclient.HistoryQuery{},
			[]string{`{"items":[{"request_id":"a","endpoint_id":"\u001b[31m` + testKey + `"}]}`},
			[]url.Values{base},
			[]falclient.PastRequest{{RequestID: "a", Endpoint: `\x1b[31m[redacted]`}},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var asked []url.Values
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method != "GET" || r.URL.Path != "/v1/models/requests/by-endpoint" || r.Header.Get("Authorization") != "Key "+testKey || r.Header.Get("User-Agent") != "test/1" {
					t.Errorf("asked %s %s with %v", r.Method, r.URL, r.Header)
				}
				asked = append(asked, r.URL.Query())
				bodyOf(w, 200, tc.pages[min(len(asked), len(tc.pages))-1])
			}))
			t.Cleanup(srv.Close)
			c := newClient(t, falclient.Config{PlatformURL: srv.URL + "/v1", UserAgent: "test/1"})
			tc.query.Endpoint = vision
			got, err := c.Requests(t.Context(), tc.query)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			for _, r := range got {
				if r.Started.Location() != time.UTC {
					t.Errorf("started at %v, want it in UTC", r.Started)
				}
			}
			if diff := cmp.Diff(tc.asked, asked); diff != "" {
				t.Errorf("asked (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPrices(t *testing.T) {
	t.Parallel()
	one := func(price, currency string) string {
		return `{"prices":[{"endpoint_id":"nvidia/nemotron-3-nano-omni/vision","unit_price":` + price + `,"unit":"1000 tokens","currency":` + currency + `}]}`
	}
	for _, tc := range []struct {
		name, body string
		want       []falclient.UnitPrice // nil for a *ResponseError
	}{
		{"one", one("0.006", `"USD"`), []falclient.UnitPrice{{vision.String(), 0.006, "1000 tokens"}}},
		{"free", one("0", `"USD"`), []falclient.UnitPrice{{vision.String(), 0, "1000 tokens"}}},
		{"the highest", one("1e3", `"USD"`), []falclient.UnitPrice{{vision.String(), 1000, "1000 tokens"}}},
		{
			"both, and one not asked for",
			`{"prices":[{"endpoint_id":"fal-ai/flux","unit_price":-1,"unit":"image","currency":"EUR"},` +
				`{"endpoint_id":"nvidia/nemotron-3-nano-omni","unit_price":0.01,"unit":"\u001b` + testKey + `","currency":"USD","new":1},` + one("0.006", `"USD"`)[11:],
			[]falclient.UnitPrice{{nemotron.String(), 0.01, `\x1b[redacted]`}, {vision.String(), 0.006, "1000 tokens"}},
		},
		{"none", `{"prices":[]}`, []falclient.UnitPrice{}},
		{"negative", one("-0.006", `"USD"`), nil},
		{"absurd", one("1000.01", `"USD"`), nil},
		{"infinite", one("1e999", `"USD"`), nil},
		{"a word", one(`"NaN"`, `"USD"`), nil},
		{"null", one("null", `"USD"`), nil},
		{"missing", strings.Replace(one("1", `"USD"`), "unit_price", "price", 1), nil},
		{"euros", one("0.006", `"EUR"`), nil},
		{"no currency", one("0.006", `null`), nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			n := 0
			c := platform(t, func(r *http.Request) (*http.Response, error) {
				n++
				want := url.Values{"endpoint_id": {vision.String(), nemotron.String()}}
				if r.Method != "GET" || r.URL.Path != "/v1/models/pricing" || !cmp.Equal(want, r.URL.Query()) {
					t.Errorf("asked %s %s", r.Method, r.URL)
				}
				return answer(200, tc.body)
			})
			got, err := c.Prices(t.Context(), vision, nemotron)
			if tc.want == nil {
				if !errors.As(err, new(*falclient.ResponseError)) || got != nil {
					t.Errorf("got %v, %v; want a *ResponseError", got, err)
				}
			} else if err != nil || len(got) != len(tc.want) || (len(got) > 0 && !cmp.Equal(tc.want, got)) {
				t.Errorf("got %v, %v; want %v", got, err, tc.want)
			}
			if n != 1 {
				t.Errorf("%d requests", n)
			}
		})
	}
	c := platform(t, func(r *http.Request) (*http.Response, error) {
		if r.URL.Query().Get("cursor") == "" {
			return answer(200, strings.TrimSuffix(one("0.005", `"USD"`), "}")+`,"has_more":true,"next_cursor":"2"}`)
		}
		return answer(200, one("0.006", `"USD"`))
	})
	if got, err := c.Prices(t.Context(), vision); err != nil || len(got) != 2 || got[0].USD != 0.005 {
		t.Errorf("over two pages: %v, %v", got, err)
	}
}

// The point of it all: fal took a submission, and the answer was lost.
func TestLostSubmissionIsFound(t *testing.T) {
	t.Parallel()
	sim := falsim.New(falsim.Script{RunTime: time.Hour, Faults: []falsim.Fault{
		{Step: falsim.StepSubmit, Kind: falsim.ResetAfterRead, PromptContains: "taken", Accept: true},
		{Step: falsim.StepSubmit, Kind: falsim.ResetAfterRead, PromptContains: "refused"},
	}})
	queue, err := sim.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sim.Close() })
	c := newClient(t, falclient.Config{QueueURL: queue, PlatformURL: sim.PlatformURL()})
	began := time.Now()
	for _, prompt := range []string{"taken <1>", "refused"} {
		_, err := c.Submit(t.Context(), nemotron, map[string]any{"prompt": prompt, "max_tokens": 7}, falclient.SubmitOptions{})
		if !errors.As(err, new(*falclient.SubmitUnknownError)) {
			t.Fatalf("%s: %v, want *SubmitUnknownError", prompt, err)
		}
	}
	found, err := c.Requests(t.Context(), falclient.HistoryQuery{Endpoint: nemotron, Start: began, End: time.Now()})
	if err != nil || len(found) != 1 {
		t.Fatalf("found %+v, %v; want one", found, err)
	}
	var input map[string]any
	if err := json.Unmarshal(found[0].Input, &input); err != nil || !cmp.Equal(input, map[string]any{"prompt": "taken <1>", "max_tokens": 7.0}) {
		t.Errorf("its input is %s, %v", found[0].Input, err)
	}
	if r := found[0]; r.Sent.Before(began.Add(-time.Second)) || r.Endpoint != nemotron.String() || !r.Ended.IsZero() || r.StatusCode != 0 || r.Output != nil {
		t.Errorf("found %+v", r)
	}
	if st, err := c.Status(t.Context(), nemotron, found[0].RequestID, false); err != nil || st.State != falclient.InProgress {
		t.Errorf("its status: %+v, %v", st, err)
	}
	other, err := c.Requests(t.Context(), falclient.HistoryQuery{Endpoint: vision, Start: began})
	if err != nil || len(other) != 0 {
		t.Errorf("found %+v, %v at another endpoint", other, err)
	}
	prices, err := c.Prices(t.Context(), nemotron, vision)
	if want := []falclient.UnitPrice{{nemotron.String(), 0.01, "1000 tokens"}, {vision.String(), 0.006, "1000 tokens"}}; err != nil || !cmp.Equal(want, prices) {
		t.Errorf("prices %v, %v", prices, err)
	}
	unknown := falclient.Endpoint{Owner: "nvidia", Alias: "nothing"}
	if _, err := c.Prices(t.Context(), nemotron, unknown); !errors.Is(err, falclient.ErrNotFound) {
		t.Errorf("an unknown endpoint: %v, want ErrNotFound", err)
	}
}
