package page

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"nemotron-mcp/falclient"
	"nemotron-mcp/internal/jobs"
	"nemotron-mcp/internal/redact"
	"nemotron-mcp/tools"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secret = "k3y-id:k3y-very-secret"

// noFal is a fal that nobody may ask.
type noFal struct {
	t *testing.T
	jobs.Fal
}

func (f noFal) Status(context.Context, falclient.Endpoint, string, bool) (falclient.Status, error) {
	f.t.Error("fal is asked for a status")
	return falclient.Status{}, errors.New("not to be asked")
}

func (f noFal) Watch(context.Context, falclient.Endpoint, string, func(falclient.Status)) (falclient.Status, error) {
	f.t.Error("a job is watched")
	return falclient.Status{}, errors.New("not to be asked")
}

// house is a page over a ledger in memory.
type house struct {
	t      *testing.T
	ledger *jobs.Memory
	page   *Handler
	log    strings.Builder
}

func newHouse(t *testing.T, rows ...jobs.Job) *house {
	t.Helper()
	h := &house{t: t, ledger: jobs.NewMemory()}
	manager := jobs.New(noFal{t: t}, h.ledger, jobs.Options{MaxCostPerDay: 2})
	t.Cleanup(func() { _ = manager.Close(context.Background()) })
	h.page = New(Config{Jobs: manager, Secrets: redact.New(secret), Version: "1.2.3", Log: zerolog.New(&h.log)})
	for _, row := range rows {
		if err := h.ledger.Insert(t.Context(), row, jobs.DayCaps{}); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

// job is a row that has ended, the n-th of its caller's.
func job(caller string, n int) jobs.Job {
	at := time.Now().UTC().Truncate(time.Second)
	return jobs.Job{
		ID: fmt.Sprintf("0190-%s-%04d", caller, n), RequestID: fmt.Sprintf("req-%s-%04d", caller, n), Caller: caller,
		Host: "host", Endpoint: falclient.Nemotron, Preview: fmt.Sprintf("%s's prompt %d", caller, n), InputSize: 12,
		Status: jobs.Completed, Created: at, Submitted: at, Started: at.Add(time.Second), Ended: at.Add(3 * time.Second),
		Output: fmt.Sprintf("%s's answer %d", caller, n), FinishReason: "stop",
		Usage: &falclient.Usage{InputTokens: 10, OutputTokens: 5}, CostUSD: 0.00015, CountedUSD: 0.00015, InferenceTime: 2 * time.Second,
	}
}

func with(j jobs.Job, change func(*jobs.Job)) jobs.Job {
	change(&j)
	return j
}

func (h *house) ask(method, path, caller string) *http.Response {
	h.t.Helper()
	r := httptest.NewRequestWithContext(tools.WithCaller(h.t.Context(), caller), method, path, nil)
	w := httptest.NewRecorder()
	h.page.ServeHTTP(w, r)
	return w.Result()
}

func (h *house) get(path, caller string) (status int, body string) {
	h.t.Helper()
	res := h.ask(http.MethodGet, path, caller)
	var b strings.Builder
	if err := res.Write(&b); err != nil {
		h.t.Fatal(err)
	}
	_, body, _ = strings.Cut(b.String(), "\r\n\r\n")
	return res.StatusCode, body
}

func read[T any](h *house, path, caller string) (value T) {
	h.t.Helper()
	res := h.ask(http.MethodGet, path, caller)
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "application/json" {
		h.t.Fatalf("%s: %s %v", path, res.Status, res.Header)
	}
	if err := json.NewDecoder(res.Body).Decode(&value); err != nil {
		h.t.Fatalf("%s: %v", path, err)
	}
	return value
}

// TestCallersAreApart: neither list, sums nor one job show what is another's.
func TestCallersAreApart(t *testing.T) {
	t.Parallel()
	callers := []string{"alice", "bob", ""}
	var rows []jobs.Job
	for i, caller := range callers {
		for n := range i + 1 {
			rows = append(rows, job(caller, n))
		}
	}
	h := newHouse(t, rows...)
	for i, caller := range callers {
		l := read[listing](h, "/api/jobs", caller)
		if len(l.Jobs) != i+1 || l.Caller != caller || l.Version != "1.2.3" {
			t.Errorf("%q: %+v", caller, l)
		}
		for _, row := range l.Jobs {
			if !strings.HasPrefix(row.Prompt, caller+"'s") {
				t.Errorf("%q sees %+v", caller, row)
			}
		}
		if want := 0.00015 * float64(i+1); l.SpentTodayUSD != want && fmt.Sprintf("%.9f", l.SpentTodayUSD) != fmt.Sprintf("%.9f", want) {
			t.Errorf("%q has spent %v, not %v", caller, l.SpentTodayUSD, want)
		}
		u := read[report](h, "/api/usage", caller)
		if len(u.Rows) != 1 || u.Rows[0].Jobs != i+1 || u.DayCapUSD != 2 {
			t.Errorf("%q: %+v", caller, u)
		}
		for _, row := range rows {
			for _, id := range []string{row.ID, row.RequestID} {
				for _, more := range []string{"", "?part=output", "/output"} {
					status, body := h.get("/api/jobs/"+id+more, caller)
					want := map[bool]int{true: 200, false: 404}[row.Caller == caller]
					if status != want || strings.Contains(body, "answer") != (want == 200) {
						t.Errorf("%q asks for %s%s: %d %s", caller, id, more, status, body)
					}
				}
			}
		}
	}
}

// TestSameRequestOfTwoCallers: each is shown their own row of it.
func TestSameRequestOfTwoCallers(t *testing.T) {
	t.Parallel()
	ledger, err := jobs.OpenSQLite(t.TempDir(), false, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	h := newHouse(t)
	manager := jobs.New(noFal{t: t}, ledger, jobs.Options{})
	t.Cleanup(func() { _ = manager.Close(context.Background()) })
	h.page.Jobs = manager
	for _, caller := range []string{"alice", "bob"} {
		if err := ledger.Insert(t.Context(), with(job(caller, 0), func(j *jobs.Job) { j.RequestID = "same" }), jobs.DayCaps{}); err != nil {
			t.Fatal(err)
		}
	}
	for _, caller := range []string{"alice", "bob"} {
		if d := read[details](h, "/api/jobs/same", caller); d.Output.Text != caller+"'s answer 0" {
			t.Errorf("%s sees %+v", caller, d)
		}
	}
	if status, body := h.get("/api/jobs/same", "carol"); status != 404 {
		t.Errorf("carol sees %s", body)
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	var rows []jobs.Job
	for n := range 130 {
		rows = append(rows, job("me", n))
	}
	three := 3
	rows[10].Status, rows[10].QueuePosition, rows[10].Usage = jobs.InQueue, &three, nil
	rows[20].Status, rows[20].Usage = jobs.Submitting, nil
	rows[30].Status, rows[30].Failure = jobs.Failed, &jobs.Error{Code: jobs.JobFailed, Message: "Out of memory", Action: "Ask for less."}
	rows[40].Status, rows[40].Failure = jobs.Unknown, &jobs.Error{Code: jobs.SubmitUnknown, Message: "Nobody knows"}
	h := newHouse(t, rows...)
	for _, tc := range []struct {
		query string
		n     int
		next  bool
	}{
		{"", 50, true},
		{"?limit=100", 100, true},
		{"?limit=1", 1, true},
		{"?state=all&limit=100", 100, true},
		{"?state=running", 2, false},
		{"?state=finished&limit=100", 100, true},
		{"?state=unknown", 1, false},
		{"?limit=100&cursor=" + rows[40].ID, 40, false},
		{"?cursor=0", 0, false},
	} {
		l := read[listing](h, "/api/jobs"+tc.query, "me")
		if len(l.Jobs) != tc.n || (l.NextCursor != "") != tc.next {
			t.Errorf("%s: %d jobs, next %q", tc.query, len(l.Jobs), l.NextCursor)
		}
	}
	seen := map[string]row{}
	for cursor := ""; ; {
		l := read[listing](h, "/api/jobs?limit=7&cursor="+cursor, "me")
		for _, r := range l.Jobs {
			if _, twice := seen[r.ID]; twice || r.ID == "" {
				t.Errorf("%q is listed twice", r.ID)
			}
			seen[r.ID] = r
		}
		if cursor = l.NextCursor; cursor == "" {
			break
		}
	}
	if len(seen) != len(rows) {
		t.Errorf("%d jobs of %d", len(seen), len(rows))
	}
	if r := seen[rows[10].ID]; r.Status != "IN_QUEUE" || r.QueuePosition == nil || *r.QueuePosition != 3 || r.CostUSD != nil {
		t.Errorf("queued: %+v", r)
	}
	if r := seen[rows[20].ID]; r.Status != "IN_QUEUE" {
		t.Errorf("submitting: %+v", r)
	}
	if r := seen[rows[30].ID]; r.Error == nil || *r.Error != (failure{"JOB_FAILED", "Out of memory", "Ask for less."}) {
		t.Errorf("failed: %+v", r)
	}
	if r := seen[rows[0].ID]; r.Usage == nil || *r.Usage != (tokens{10, 5}) || *r.CostUSD != 0.00015 || r.QueueSeconds != 1 || r.InferenceSeconds != 2 {
		t.Errorf("completed: %+v", r)
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	h := newHouse(t, job("me", 0))
	for path, want := range map[string]int{
		"/api/jobs?state=done":                         400,
		"/api/jobs?limit=0":                            400,
		"/api/jobs?limit=101":                          400,
		"/api/jobs?limit=x":                            400,
		"/api/jobs?limit=1e9":                          400,
		"/api/jobs?cursor=" + strings.Repeat("0", 65):  400,
		"/api/usage?days=0":                            400,
		"/api/usage?days=91":                           400,
		"/api/usage?days=-1":                           400,
		"/api/jobs/req-me-0000?offset=-1":              400,
		"/api/jobs/req-me-0000?offset=9999999999":      400,
		"/api/jobs/req-me-0000?part=prompt":            400,
		"/api/jobs/req-me-0000?part=output&pieces=0":   400,
		"/api/jobs/req-me-0000?part=output&pieces=17":  400,
		"/api/jobs/req-me-0001":                        404,
		"/api/jobs/":                                   404,
		"/api/jobs/req-me-0000/prompt":                 404,
		"/api":                                         404,
		"/static/page.js":                              404,
		"/api/jobs/req-me-0000?part=output&offset=999": 200,
	} {
		status, body := h.get(path, "me")
		if status != want || (want == 200) != !strings.HasPrefix(body, `{"error":"`) {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	if h.log.Len() > 0 {
		t.Errorf("what a reader did wrong is in the log: %s", h.log.String())
	}
}

// TestHostileText: what a prompt, an answer or a name holds stays a text, whole,
// and holds no secret.
func TestHostileText(t *testing.T) {
	t.Parallel()
	hostile := "<script>alert(1)</script><img src=x onerror=alert(1)>\x00\x1b[2J\u202egnp.exe\u2066\r\n\"'&" + "\xff" + secret
	h := newHouse(t, with(job("me", 0), func(j *jobs.Job) {
		j.Preview, j.Host, j.Output, j.FinishReason = hostile, hostile, hostile, hostile
		j.Attachments = []jobs.Attachment{{Field: "files", Path: hostile}}
		j.Logs = []falclient.Log{{Message: hostile}}
		j.Status, j.Failure = jobs.Failed, &jobs.Error{Code: jobs.JobFailed, Message: hostile, Action: hostile}
	}))
	want := strings.NewReplacer("\xff", "\uFFFD", secret, "[redacted]").Replace(hostile)
	for _, path := range []string{"/api/jobs", "/api/usage", "/api/jobs/req-me-0000", "/api/jobs/req-me-0000?part=output"} {
		_, body := h.get(path, "me")
		if strings.ContainsAny(body, "<>\x00\x1b") || strings.Contains(body, "very-secret") {
			t.Errorf("%s: %s", path, body)
		}
	}
	d := read[details](h, "/api/jobs/req-me-0000", "me")
	for name, got := range map[string]string{
		"prompt": d.Prompt, "host": d.Host, "answer": d.Output.Text, "path": d.Attachments[0].Path, "log": d.Logs[0].Message, "error": d.Error.Message,
	} {
		if got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	res := h.ask(http.MethodGet, "/api/jobs/req-me-0000/output", "me")
	if res.Header.Get("Content-Type") != "text/plain; charset=utf-8" || !regexp.MustCompile(`^attachment; filename="answer-[\w-]+\.txt"$`).MatchString(res.Header.Get("Content-Disposition")) {
		t.Errorf("the whole answer: %v", res.Header)
	}
	if _, body := h.get("/api/jobs/req-me-0000/output", "me"); body != strings.ReplaceAll(hostile, secret, "[redacted]") {
		t.Errorf("the whole answer: %q", body)
	}
}

// TestLongAnswer: it comes in pieces that make the whole, and no piece ends in a
// secret.
func TestLongAnswer(t *testing.T) {
	t.Parallel()
	answer := strings.Repeat("é", jobs.PageSize/2-5) + secret + strings.Repeat("0123456789 ünd\n", 5<<20/16)
	whole := strings.ReplaceAll(answer, secret, "[redacted]")
	h := newHouse(t, with(job("me", 0), func(j *jobs.Job) { j.Output = "<think>first\nthen</think>\n" + answer; j.Thinking = true }))
	d := read[details](h, "/api/jobs/req-me-0000", "me")
	if d.Reasoning == nil || d.Reasoning.Text != "first\nthen" || d.Output.Bytes != len(whole) || len(d.Output.Text) > jobs.PageSize {
		t.Fatalf("reasoning %+v, %d bytes of %d", d.Reasoning, len(d.Output.Text), d.Output.Bytes)
	}
	got := d.Output.Text
	for next, pieces := d.Output.NextOffset, 1; next > 0; pieces = pieces%maxPieces + 1 {
		p := read[part](h, fmt.Sprintf("/api/jobs/req-me-0000?part=output&offset=%d&pieces=%d", next, pieces), "me")
		if len(p.Text) > pieces*jobs.PageSize || p.NextOffset > 0 && len(p.Text) < pieces*jobs.PageSize*9/10 || p.Text == "" {
			t.Fatalf("%d bytes at %d", len(p.Text), next)
		}
		got, next = got+p.Text, p.NextOffset
	}
	if got != whole {
		t.Errorf("the pieces have %d bytes, the answer %d", len(got), len(whole))
	}
	if _, body := h.get("/api/jobs/req-me-0000/output", "me"); body != "<think>first\nthen</think>\n"+whole {
		t.Errorf("all that was written: %d bytes", len(body))
	}
}

func TestLogsAreBounded(t *testing.T) {
	t.Parallel()
	h := newHouse(t, with(job("me", 0), func(j *jobs.Job) {
		for n := range 1000 {
			j.Logs = append(j.Logs, falclient.Log{Message: fmt.Sprint(n, " ", strings.Repeat("ü", 5000))})
		}
	}))
	d := read[details](h, "/api/jobs/req-me-0000", "me")
	if len(d.Logs) != maxLogs || !strings.HasPrefix(d.Logs[maxLogs-1].Message, "999 ") {
		t.Fatalf("%d lines", len(d.Logs))
	}
	if m := d.Logs[0].Message; len(m) > maxLogMessage+3 || !strings.HasSuffix(m, "ü…") {
		t.Errorf("a line of %d bytes: %q", len(m), m[len(m)-8:])
	}
}

// TestReadingIsNotDelivering: to look at a job changes nothing of it.
func TestReadingIsNotDelivering(t *testing.T) {
	t.Parallel()
	h := newHouse(t, job("me", 0), with(job("me", 1), func(j *jobs.Job) { j.Status, j.Usage = jobs.InProgress, nil }),
		with(job("me", 2), func(j *jobs.Job) { j.Output, j.OutputDropped, j.Delivered, j.Preview = "", true, true, "" }))
	before, _ := h.ledger.Find(t.Context(), "req-me-0000")
	for _, path := range []string{"/", "/api/jobs", "/api/usage", "/api/jobs/req-me-0000", "/api/jobs/req-me-0000/output", "/api/jobs/req-me-0001"} {
		h.get(path, "me")
	}
	after, _ := h.ledger.Find(t.Context(), "req-me-0000")
	if before.Delivered || after.Delivered || after.Output != before.Output || after.WaitedBy != before.WaitedBy {
		t.Errorf("%+v became %+v", before, after)
	}
	if d := read[details](h, "/api/jobs/req-me-0002", "me"); !d.NotKept || !d.Delivered || d.Output.Bytes != 0 {
		t.Errorf("metadata only: %+v", d)
	}
}

// TestManyHosts: a client that calls itself something else each time makes no
// long answer.
func TestManyHosts(t *testing.T) {
	t.Parallel()
	var rows []jobs.Job
	for n := range 300 {
		rows = append(rows, with(job("me", n), func(j *jobs.Job) {
			if n >= 50 {
				j.Host = fmt.Sprint("made up ", n)
			}
			if n%2 == 1 {
				j.Endpoint = falclient.NemotronVision
			}
		}))
	}
	u := read[report](newHouse(t, rows...), "/api/usage?days=90", "me")
	hosts, jobs, cost := map[string]int{}, 0, 0.0
	for _, row := range u.Rows {
		hosts[row.Host] += row.Jobs
		jobs += row.Jobs
		cost += row.CostUSD
	}
	if len(u.Rows) > 2*(maxHosts+1) || len(hosts) != maxHosts+1 || hosts["host"] != 50 || hosts[otherHosts] != 245 {
		t.Errorf("%d rows: %v", len(u.Rows), hosts)
	}
	if jobs != 300 || fmt.Sprintf("%.6f", cost) != "0.045000" {
		t.Errorf("%d jobs for $%v", jobs, cost)
	}
}

// broken is a ledger that can't be read.
type broken struct{ Jobs }

func (broken) List(context.Context, jobs.Query) ([]jobs.Job, string, float64, error) {
	return nil, "", 0, errors.New("disk error at /home/someone")
}

func TestLedgerCannotBeRead(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.page.Jobs = broken{h.page.Jobs}
	status, body := h.get("/api/jobs", "me")
	if status != http.StatusServiceUnavailable || strings.Contains(body, "someone") || !strings.Contains(body, "the server's log says why") {
		t.Errorf("%d %s", status, body)
	}
	if !strings.Contains(h.log.String(), "disk error at /home/someone") {
		t.Errorf("the log: %s", h.log.String())
	}
}

// TestFiles: the page is one document with one style and one program, all of
// them this server's, and has nothing that its policy forbids.
func TestFiles(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for path, want := range map[string]struct{ kind, text string }{
		"/": {"text/html", document}, "/page.css": {"text/css", style}, "/page.js": {"text/javascript", program},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
		w := httptest.NewRecorder()
		h.page.ServeHTTP(w, r)
		if got := w.Header().Get("Content-Type"); got != want.kind+"; charset=utf-8" || w.Code != 200 || w.Body.String() != want.text || want.text == "" {
			t.Errorf("%s: %d %s", path, w.Code, got)
		}
	}
	if n := len(document) + len(style) + len(program); n > 44<<10 {
		t.Errorf("the files have %d bytes", n)
	}
	for name, pattern := range map[string]string{
		"an outside resource": `https?://[^w]|https?://w[^w]|//cdn`, "an inline style": `\sstyle=`, "an inline handler": `\son\w+=`,
		"HTML out of a text": `innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|eval\(|new Function`, "an import": `@import|\bimport\b`,
	} {
		for file, text := range map[string]string{"index.html": document, "page.css": style, "page.js": program} {
			if found := regexp.MustCompile(pattern).FindString(text); found != "" {
				t.Errorf("%s has %s: %q", file, name, found)
			}
		}
	}
}
