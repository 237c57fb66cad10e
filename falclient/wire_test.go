package falclient

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

const key = "0f1e2d3c-aaaa-bbbb-cccc-000011112222:5ec4e7deadbeef5ec4e7deadbeef0001"

func answer(status int, header map[string]string, body string) *http.Response {
	h := http.Header{}
	for k, v := range header {
		h.Set(k, v)
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body))}
}

func TestAPIError(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		status int
		header map[string]string
		body   string
		want   APIError
	}{
		{
			name: "a string", status: 401, body: `{"detail":"invalid key credentials"}`,
			want: APIError{Message: "invalid key credentials", Structured: true},
		},
		{
			name: "a list; the first type counts, input and ctx do not surface", status: 422,
			body: `{"detail":[{"loc":["body","image_url"],"msg":"too small","type":"image_too_small","url":"https://docs","ctx":{"min_height":16},"input":{"prompt":"PRIVATE"}},` +
				`{"loc":["body","top_p",0],"msg":"too big","type":"less_than","input":"PRIVATE"}]}`,
			want: APIError{Message: "image_url: too small; too big", Type: "image_too_small", Structured: true},
		},
		{
			name: "a list about the whole body", status: 422, body: `{"detail":[{"loc":["body"],"msg":"bad","type":"x"}]}`,
			want: APIError{Message: "bad", Type: "x", Structured: true},
		},
		{
			name: "an object", status: 422, body: `{"detail":{"msg":"bad","type":"y"}}`,
			want: APIError{Message: "bad", Type: "y", Structured: true},
		},
		{
			name: "the platform's, header and body", status: 503, header: map[string]string{"X-Fal-Error-Type": "other"},
			body: `{"detail":"gone","error_type":"runner_disconnected"}`,
			want: APIError{Message: "gone", Type: "runner_disconnected", Structured: true},
		},
		{
			name: "the type in the header only", status: 504, header: map[string]string{"X-Fal-Error-Type": "startup_timeout"},
			body: `{"detail":"late"}`, want: APIError{Message: "late", Type: "startup_timeout", Structured: true},
		},
		{
			name: "a status", status: 404, body: `{"status":"NOT_FOUND"}`,
			want: APIError{Message: "Not Found", Type: "NOT_FOUND", Structured: true},
		},
		{
			name: "the platform API's", status: 404, body: `{"error":{"type":"not_found","message":"no such model"}}`,
			want: APIError{Message: "no such model", Type: "not_found", Structured: true},
		},
		{name: "a page", status: 502, body: "<html>nginx</html>", want: APIError{Message: "Bad Gateway"}},
		{name: "nothing", status: 500, want: APIError{Message: "Internal Server Error"}},
		{name: "null", status: 500, body: "null", want: APIError{Message: "Internal Server Error"}},
		{name: "a list at the top", status: 500, body: "[1]", want: APIError{Message: "Internal Server Error"}},
		{name: "detail a number", status: 500, body: `{"detail":7}`, want: APIError{Message: "Internal Server Error"}},
		{name: "detail a list of numbers", status: 500, body: `{"detail":[1,2]}`, want: APIError{Message: "Internal Server Error"}},
		{name: "JSON of somebody else's", status: 500, body: `{"message":"oops"}`, want: APIError{Message: "Internal Server Error"}},
		{
			name: "larger than an error may be", status: 500, body: `{"detail":"` + strings.Repeat("a", maxErrorBody) + `"}`,
			want: APIError{Message: "Internal Server Error (its text could not be read)"},
		},
		{
			name: "Retry-After and fal's id", status: 429, body: `{"detail":"slow"}`,
			header: map[string]string{"Retry-After": "9", "X-Fal-Request-Id": "abc"},
			want:   APIError{Message: "slow", Structured: true, RetryAfter: 9 * time.Second, RequestID: "abc"},
		},
		{
			name: "an id that is none", status: 500, body: `{"detail":"x"}`, header: map[string]string{"X-Fal-Request-Id": "../x"},
			want: APIError{Message: "x", Structured: true},
		},
		{
			name: "the key's secret half as an id", status: 500, body: `{"detail":"x"}`,
			header: map[string]string{"X-Fal-Request-Id": "5ec4e7deadbeef5ec4e7deadbeef0001"},
			want:   APIError{Message: "x", Structured: true},
		},
		{
			name: "the key in message and type", status: 401, body: `{"detail":"bad key ` + key + `","error_type":"` + key + `"}`,
			want: APIError{Message: "bad key [redacted]", Type: "[redacted]", Structured: true},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			tc.want.Op, tc.want.StatusCode = "submit", tc.status
			got := apiError(newCleaner(key, ""), "submit", "", answer(tc.status, tc.header, tc.body))
			if diff := cmp.Diff(tc.want, *got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseStatus(t *testing.T) {
	t.Parallel()
	three := 3
	for _, tc := range []struct {
		name, body string
		want       Status
	}{
		{"queued", `{"status":"IN_QUEUE","request_id":"x","queue_position":3}`, Status{State: InQueue, QueuePosition: &three}},
		{"position a float", `{"status":"IN_QUEUE","queue_position":3.0}`, Status{State: InQueue, QueuePosition: &three}},
		{"position missing", `{"status":"IN_QUEUE"}`, Status{State: InQueue}},
		{"position null", `{"status":"IN_QUEUE","queue_position":null}`, Status{State: InQueue}},
		{"position a word", `{"status":"IN_QUEUE","queue_position":"soon"}`, Status{State: InQueue}},
		{"position negative", `{"status":"IN_QUEUE","queue_position":-1}`, Status{State: InQueue}},
		{"position huge", `{"status":"IN_QUEUE","queue_position":1e300}`, Status{State: InQueue}},
		{"logs null", `{"status":"IN_PROGRESS","logs":null,"unknown":{"a":[1]}}`, Status{State: InProgress}},
		{
			"logs of two kinds", `{"status":"COMPLETED","logs":[{"timestamp":"2024","message":"a","labels":{}},"b",7,{"message":{"x":1}}],"metrics":{"inference_time":3.7}}`,
			Status{State: Completed, Logs: []Log{{Message: "a", Timestamp: "2024"}, {Message: "b"}, {}, {}}, InferenceTime: 3700 * time.Millisecond},
		},
		{"metrics null", `{"status":"COMPLETED","metrics":{"inference_time":null}}`, Status{State: Completed}},
		{"inference beyond a Duration", `{"status":"COMPLETED","metrics":{"inference_time":1e10}}`, Status{State: Completed}},
		{"failed", `{"status":"COMPLETED","error":"gone","error_type":"runner_disconnected"}`, Status{State: Completed, Error: "gone", ErrorType: "runner_disconnected"}},
		{"error an object", `{"status":"COMPLETED","error":{"message":"gone"}}`, Status{State: Completed, Error: "gone"}},
		{"error null", `{"status":"COMPLETED","error":null}`, Status{State: Completed}},
		{"a word nobody knows", `{"status":"PAUSED"}`, Status{State: "PAUSED"}},
		{"escapes in it", `{"status":"COMPLETED","error":"\u001b[2J\u202e","logs":["\u001b[31mred"]}`, Status{State: Completed, Error: `\x1b[2J\u202e`, Logs: []Log{{Message: `\x1b[31mred`}}}},
		{"the key in it", `{"status":"COMPLETED","error":"` + key + `","logs":["` + key + `"]}`, Status{State: Completed, Error: masked, Logs: []Log{{Message: masked}}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, err := parseStatus(newCleaner(key, ""), "status", []byte(tc.body))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	for name, body := range map[string]string{
		"empty": "", "null": "null", "list": "[]", "HTML": "<html>", "no status": "{}", "status null": `{"status":null}`,
		"status a number": `{"status":` + strings.Repeat("7", 9000) + `}`, "cut": `{"status":"IN_Q`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := parseStatus(newCleaner(key, ""), "status", []byte(body))
			if err == nil || len(err.Error()) > 200 {
				t.Errorf("error is %.300v", err)
			}
		})
	}
}

// Errors nested in errors are not read level by level: 9,000 levels would be
// read 9,000 times.
func TestNestedErrorIsReadOnce(t *testing.T) {
	t.Parallel()
	const levels = 4000
	deep := strings.Repeat(`{"msg":`, levels) + `"` + strings.Repeat("a", 64<<10) + `"` + strings.Repeat("}", levels)
	began := time.Now()
	_, err := parseStatus(newCleaner(key, ""), "status", []byte(`{"status":"COMPLETED","error":`+deep+`}`))
	if took := time.Since(began); err != nil || took > 2*time.Second {
		t.Errorf("took %v, %v", took, err)
	}
}

func bounded(t *testing.T, what, s string, runes int) {
	t.Helper()
	// A rune that is escaped becomes ten characters at most.
	if n := utf8.RuneCountInString(s); n > 10*runes+1 {
		t.Errorf("%s has %d runes", what, n)
	}
	if strings.ContainsAny(s, "\x1b\u202e\u2066\u200b\x00\r") || !utf8.ValidString(s) {
		t.Errorf("%s holds what can't be printed: %q", what, s)
	}
	if strings.Contains(s, key) {
		t.Errorf("%s holds the key", what)
	}
}

func FuzzParseStatus(f *testing.F) {
	for _, s := range []string{
		`{"status":"IN_QUEUE","queue_position":3}`, `{"status":"COMPLETED","logs":[{"message":"a"},"b",{}],"metrics":{"inference_time":3.7},"error":{"msg":["x"]}}`,
		"", "null", `{"status":"\u001b[2J\u202e"}`, `{"status":"` + key + `"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		st, err := parseStatus(newCleaner(key, ""), "status", b)
		if err != nil {
			bounded(t, "the error", err.Error(), 50)
			return
		}
		if st.State == "" || st.InferenceTime < 0 || (st.QueuePosition != nil && *st.QueuePosition < 0) {
			t.Errorf("got %+v", st)
		}
		for _, s := range []string{string(st.State), st.Error, st.ErrorType} {
			bounded(t, "a field", s, maxMessage)
		}
		for _, l := range st.Logs {
			bounded(t, "a log line", l.Message, maxLogLine)
			bounded(t, "a log time", l.Timestamp, maxMessage)
		}
	})
}

func FuzzAPIError(f *testing.F) {
	f.Add(422, "x", "3", "id", []byte(`{"detail":[{"loc":["body","a"],"msg":"m","type":"t","input":1}]}`))
	f.Add(401, "\x1b[0m", "-1", "../", []byte(`{"detail":"\u202e`+key+`"}`))
	f.Add(502, key, "Fri, 31 Dec 9999 23:59:59 GMT", "abc", []byte("<html>"))
	f.Fuzz(func(t *testing.T, status int, kind, wait, id string, body []byte) {
		e := apiError(newCleaner(key, ""), "result", "", answer(status, map[string]string{
			"X-Fal-Error-Type": kind, "Retry-After": wait, "X-Fal-Request-Id": id,
		}, string(body)))
		bounded(t, "the message", e.Message, maxMessage)
		bounded(t, "the type", e.Type, maxMessage)
		bounded(t, "the error", e.Error(), 2*maxMessage+200)
		if e.RequestID != "" && !ValidRequestID(e.RequestID) {
			t.Errorf("request id %q", e.RequestID)
		}
		if e.RetryAfter < 0 || e.RetryAfter > 365*24*time.Hour {
			t.Errorf("Retry-After is %v", e.RetryAfter)
		}
	})
}
