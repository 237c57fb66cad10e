package tools

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/mark3labs/mcp-go/mcp"

	"nemotron-mcp/internal/falsim"
	"nemotron-mcp/internal/jobs"
	"nemotron-mcp/internal/redact"
)

// content is one of a resource's.
type content struct {
	URI, MIMEType, Text string
	Meta                map[string]Job `json:"_meta"`
}

func (r *rig) read(caller, uri string, d *Delivery) ([]content, rpc) {
	r.t.Helper()
	a := r.rpcAs(caller, d, "resources/read", map[string]any{"uri": uri})
	var got struct{ Contents []content }
	if a.code == 0 {
		must(r.t, json.Unmarshal(a.result, &got))
	}
	return got.Contents, a
}

type resourceList struct {
	Resources []struct {
		URI, Name, Title, Description string
		Annotations                   struct{ LastModified time.Time }
	}
	NextCursor string
}

func (r *rig) resources(caller, cursor string) resourceList {
	r.t.Helper()
	a := r.rpcAs(caller, new(Delivery), "resources/list", map[string]any{"cursor": cursor})
	if a.code != 0 {
		r.t.Fatalf("%d %s", a.code, a.text)
	}
	var list resourceList
	must(r.t, json.Unmarshal(a.result, &list))
	return list
}

func (r *rig) complete(caller, prefix string) mcp.Completion {
	r.t.Helper()
	a := r.rpcAs(caller, new(Delivery), "completion/complete", map[string]any{
		"ref": map[string]any{"type": "ref/resource", "uri": jobsTemplate}, "argument": map[string]any{"name": "request_id", "value": prefix},
	})
	var got struct{ Completion mcp.Completion }
	must(r.t, json.Unmarshal(a.result, &got))
	return got.Completion
}

func (r *rig) generateAs(caller, args string) string {
	r.t.Helper()
	return r.callWith(WithCaller(r.t.Context(), caller), "nemotron_generate", args).job(r.t).RequestID
}

func TestReadJob(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("A line of the answer.\n", 9000)
	beyond := strings.Repeat("語", maxResource/3+10)
	for name, tt := range map[string]struct {
		script falsim.Script
		args   string
		want   string
		trace  string
		parts  []string // of the text, where it is not the answer alone
	}{
		"an answer":              {resultOf(t, "Hello."), `{"prompt":"Hi"}`, "Hello.", "", nil},
		"of many pages":          {resultOf(t, long), `{"prompt":"Hi"}`, long, "", nil},
		"behind a trace":         {resultOf(t, "hm</think>Yes."), `{"prompt":"Hi","reasoning_mode":"think"}`, "Yes.", "hm", nil},
		"the trace not wanted":   {resultOf(t, "hm</think>Yes."), `{"prompt":"Hi","reasoning_mode":"think","include_reasoning":false}`, "Yes.", "", nil},
		"an echoed secret":       {resultOf(t, "The key is "+keySecret+"."), `{"prompt":"Hi"}`, "The key is " + redact.Mask + ".", "", nil},
		"more than a read":       {resultOf(t, beyond), `{"prompt":"Hi"}`, "", "", []string{"語", "[Cut at ", "offset "}},
		"one that failed":        {falsim.Script{Faults: []falsim.Fault{{Step: falsim.StepJob, Error: "The runner has left", ErrorType: "runner_disconnected"}}}, `{"prompt":"Hi","wait_seconds":0}`, "", "", []string{"JOB_FAILED: ", "The runner has left", "[FAILED; "}},
		"one that is unfinished": {falsim.Script{RunTime: time.Hour}, `{"prompt":"Hi","wait_seconds":0}`, "", "", []string{"Not finished. Call queue_status", "[IN_"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, rigOptions{script: tt.script}, func(t *testing.T, r *rig) {
				id := r.generateAs("", tt.args)
				time.Sleep(time.Minute) // of the bubble's clock: the job ends, if it does
				asked := r.sim.Stats().Requests
				got, failed := r.read("", jobsPrefix+id, new(Delivery))
				if failed.code != 0 || len(got) == 0 || got[0].URI != jobsPrefix+id || got[0].Meta["nemotron/job"].RequestID != id {
					t.Fatalf("%d %s: %.500v", failed.code, failed.text, got)
				}
				if tt.parts == nil && got[0].Text != tt.want {
					t.Errorf("%d bytes, not %d: %.300s", len(got[0].Text), len(tt.want), got[0].Text)
				}
				wantIn(t, got[0].Text, tt.parts...)
				if len(got) == 2 != (tt.trace != "") || len(got) == 2 && (got[1].Text != tt.trace || got[1].URI != jobsPrefix+id+"#reasoning") {
					t.Errorf("%+v", got)
				}
				if next := got[0].Meta["nemotron/job"].NextOffset; next > 0 {
					rest, n := pages(t, r, r.call("queue_status", fmt.Sprintf(`{"request_id":%q,"offset":%d}`, id, next)).job(t))
					if head := got[0].Text[:strings.Index(got[0].Text, "\n\n[Cut")]; head+rest != beyond || n < 1 {
						t.Errorf("%d and %d bytes, not %d", len(head), len(rest), len(beyond))
					}
				} else if now := r.sim.Stats().Requests; now != asked && !strings.HasPrefix(name, "one that is unfinished") {
					t.Errorf("fal was asked: %+v, then %+v", asked, now)
				}
			})
		})
	}
}

// TestReadingIsNoDelivery: hosts prefetch resources, so whatever became of what
// was read, --store=metadata keeps the answer until a tool has delivered it.
func TestReadingIsNoDelivery(t *testing.T) {
	t.Parallel()
	inBubble(t, rigOptions{script: falsim.Script{RunTime: time.Second, Output: "Late."}, metadataOnly: true}, func(t *testing.T, r *rig) {
		id := r.generateAs("", `{"prompt":"Hi","wait_seconds":0}`)
		time.Sleep(time.Minute)
		for _, delivered := range []bool{false, true, true} {
			var d Delivery
			got, failed := r.read("", jobsPrefix+id, &d)
			if failed.code != 0 || got[0].Text != "Late." {
				t.Fatalf("%s %+v", failed.text, got)
			}
			if delivered {
				d.Delivered()
			} else {
				d.Dropped()
			}
		}
		// Nor does the next identical call pay anew.
		var d Delivery
		again := r.callWith(WithDelivery(r.t.Context(), &d), "nemotron_generate", `{"prompt":"Hi"}`).job(t)
		if again.RequestID != id || again.Output != "Late." {
			t.Errorf("the same call got %+v", again)
		}
		d.Dropped()
		if got, _ := r.read("", jobsPrefix+id, new(Delivery)); got[0].Text != "Late." {
			t.Errorf("%+v", got)
		}
		if status := r.call("queue_status", fmt.Sprintf(`{"request_id":%q}`, id)).job(t); status.Output != "Late." {
			t.Errorf("queue_status: %+v", status)
		}
		got, _ := r.read("", jobsPrefix+id, new(Delivery))
		wantIn(t, got[0].Text, "was delivered before and is not kept", "--store=metadata")
		if list := r.resources("", ""); len(list.Resources) != 1 || !strings.Contains(list.Resources[0].Description, "not kept") {
			t.Errorf("%+v", list)
		}
	})
}

func TestResourcesAreTheCallersOwn(t *testing.T) {
	t.Parallel()
	inBubble(t, rigOptions{script: falsim.Script{Output: "For Ann."}}, func(t *testing.T, r *rig) {
		id := r.generateAs("ann", `{"prompt":"Ann's  own\nwords"}`)
		if list := r.resources("ann", ""); len(list.Resources) != 1 || list.Resources[0].URI != jobsPrefix+id ||
			list.Resources[0].Title != "Ann's own words" || list.Resources[0].Annotations.LastModified.IsZero() {
			t.Errorf("Ann's list: %+v", list)
		}
		if c := r.complete("ann", id[:3]); !slices.Equal(c.Values, []string{id}) || c.Total != 1 {
			t.Errorf("Ann's completion: %+v", c)
		}
		if got, _ := r.read("ann", jobsPrefix+id, new(Delivery)); len(got) != 1 || got[0].Text != "For Ann." {
			t.Errorf("Ann reads %+v", got)
		}
		for _, other := range []string{"bob", ""} {
			if list := r.resources(other, ""); len(list.Resources) != 0 {
				t.Errorf("%q lists %+v", other, list)
			}
			if c := r.complete(other, ""); len(c.Values) != 0 || c.HasMore {
				t.Errorf("%q completes %+v", other, c)
			}
			if got, failed := r.read(other, jobsPrefix+id, new(Delivery)); failed.code != mcp.RESOURCE_NOT_FOUND || got != nil {
				t.Errorf("%q reads %+v %+v", other, got, failed)
			}
		}
	})
}

// TestTitlesArePlain: a prompt can't control the list that shows it, nor hide a
// secret from the mask.
func TestTitlesArePlain(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ prompt, want string }{
		"a terminal's controls": {"\x1b[31mred\x07\u009b0m", "[31mred0m"},
		"changes of direction":  {"a\u202egnp.exe\u202c \u2066b\u2069\u200f", "agnp.exe b"},
		"what hides":            {"a\u200b\u00ad\ufeff\u3164\U000e0041\U000e0100b", "ab"},
		"line ends":             {"one\r\n\ttwo\u2028three\u00a0four", "one two three four"},
		"accents and emoji":     {"Zürich 語 é 🎉", "Zürich 語 é 🎉"},
		"a secret in disguise":  {keySecret[:3] + "\u200b" + keySecret[3:], redact.Mask},
		"nothing that is seen":  {"\u200b\x1b", "Job of "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, rigOptions{script: falsim.Script{Output: "Yes."}}, func(t *testing.T, r *rig) {
				args, err := json.Marshal(map[string]string{"prompt": tt.prompt})
				must(t, err)
				r.generateAs("", string(args))
				list := r.resources("", "")
				if len(list.Resources) != 1 {
					t.Fatalf("%+v", list)
				}
				title := list.Resources[0].Title
				if strings.HasPrefix(tt.want, "Job of") {
					title = title[:min(len(title), len(tt.want))]
				}
				if title != tt.want {
					t.Errorf("%q, not %q", title, tt.want)
				}
			})
		})
	}
}

func TestManyResources(t *testing.T) {
	t.Parallel()
	const finished = 120
	inBubble(t, rigOptions{script: falsim.Script{Output: "Yes."}}, func(t *testing.T, r *rig) {
		var want []string
		for i := range finished {
			want = append(want, jobsPrefix+r.generateAs("", fmt.Sprintf(`{"prompt":"Question %d"}`, i)))
		}
		slices.Reverse(want)
		var got []string
		for cursor, pages := "", 0; ; pages++ {
			list := r.resources("", cursor)
			for _, res := range list.Resources {
				got = append(got, res.URI)
			}
			if cursor = list.NextCursor; cursor == "" || pages > 10 {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%d resources, not %d from the newest on", len(got), len(want))
		}
		if c := r.complete("", ""); len(c.Values) != maxCompletions || !c.HasMore || c.Total != finished {
			t.Errorf("%d values of %d, more %v", len(c.Values), c.Total, c.HasMore)
		}
	})
}

// finishedRows is a ledger of so many finished jobs.
type finishedRows struct {
	*jobs.Memory
	n int
}

func (f finishedRows) List(_ context.Context, q jobs.Query) ([]jobs.Job, error) {
	var page []jobs.Job
	for i := f.n; i > 0 && len(page) < q.Limit; i-- {
		id := fmt.Sprintf("00000000-0000-7000-8000-%012d", i)
		if q.Before == "" || id < q.Before {
			page = append(page, jobs.Job{ID: id, RequestID: fmt.Sprint("r-", i), Status: jobs.Completed})
		}
	}
	return page, nil
}

// TestCompletionIsBounded: of a ledger that is too long to be looked through no
// total is told, only that there is more.
func TestCompletionIsBounded(t *testing.T) {
	t.Parallel()
	inBubble(t, rigOptions{ledger: finishedRows{jobs.NewMemory(), 5000}}, func(t *testing.T, r *rig) {
		if c := r.complete("", "r-1"); len(c.Values) != 0 || !c.HasMore || c.Total != 0 {
			t.Errorf("beyond what is looked at: %+v", c)
		}
		if c := r.complete("", "R-4999"); !slices.Equal(c.Values, []string{"r-4999"}) || !c.HasMore || c.Total != 0 {
			t.Errorf("%+v", c)
		}
	})
}

type unreadable struct{ *jobs.Memory }

func (unreadable) List(context.Context, jobs.Query) ([]jobs.Job, error) {
	return nil, errors.New("disk " + keySecret + " is broken")
}

type panicking struct{ *jobs.Memory }

func (panicking) List(context.Context, jobs.Query) ([]jobs.Job, error) { panic("boom " + keySecret) }

func (panicking) ByRequest(context.Context, string, string) (jobs.Job, error) {
	panic("boom " + keySecret)
}

func TestResourcesThatFail(t *testing.T) {
	t.Parallel()
	completion := map[string]any{"ref": map[string]any{"type": "ref/resource", "uri": jobsTemplate}, "argument": map[string]any{"name": "request_id", "value": ""}}
	for name, tt := range map[string]struct {
		ledger jobs.Ledger
		method string
		params map[string]any
		code   int
		want   string
	}{
		"an unknown id":     {nil, "resources/read", map[string]any{"uri": jobsPrefix + unknownID}, mcp.RESOURCE_NOT_FOUND, unknownID},
		"no id":             {nil, "resources/read", map[string]any{"uri": jobsPrefix}, mcp.RESOURCE_NOT_FOUND, "not found"},
		"an encoded path":   {nil, "resources/read", map[string]any{"uri": jobsPrefix + "..%2f..%2fetc"}, mcp.RESOURCE_NOT_FOUND, "not found"},
		"a hostile id":      {nil, "resources/read", map[string]any{"uri": jobsPrefix + "\x1b[31m\u202eabc\x00\u200b"}, mcp.RESOURCE_NOT_FOUND, `Resource not found: "nemotron://jobs/\x1b[31m\u202eabc\x00\u200b".`},
		"a query":           {nil, "resources/read", map[string]any{"uri": jobsPrefix + unknownID + "?a=b"}, mcp.RESOURCE_NOT_FOUND, "Resource not found"},
		"an id too long":    {nil, "resources/read", map[string]any{"uri": jobsPrefix + strings.Repeat("a", 129)}, mcp.RESOURCE_NOT_FOUND, "Resource not found"},
		"another scheme":    {nil, "resources/read", map[string]any{"uri": "file:///etc/passwd"}, mcp.RESOURCE_NOT_FOUND, "not found"},
		"a long one":        {nil, "resources/read", map[string]any{"uri": jobsPrefix + strings.Repeat("a", 1<<20)}, mcp.RESOURCE_NOT_FOUND, "not found"},
		"a secret":          {nil, "resources/read", map[string]any{"uri": jobsPrefix + keySecret}, mcp.RESOURCE_NOT_FOUND, redact.Mask},
		"a wrong cursor":    {nil, "resources/list", map[string]any{"cursor": "?"}, mcp.INVALID_PARAMS, "leave it out"},
		"another's cursor":  {nil, "resources/list", map[string]any{"cursor": "bm8gY3Vyc29y"}, mcp.INVALID_PARAMS, "leave it out"},
		"a broken list":     {unreadable{jobs.NewMemory()}, "resources/list", map[string]any{}, mcp.INTERNAL_ERROR, "The ledger can't be read"},
		"a broken complete": {unreadable{jobs.NewMemory()}, "completion/complete", completion, mcp.INTERNAL_ERROR, "The ledger can't be read"},
		"a list's panic":    {panicking{jobs.NewMemory()}, "resources/list", map[string]any{}, mcp.INTERNAL_ERROR, "INTERNAL"},
		"a read's panic":    {panicking{jobs.NewMemory()}, "resources/read", map[string]any{"uri": jobsPrefix + unknownID}, mcp.INTERNAL_ERROR, "INTERNAL"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, rigOptions{ledger: tt.ledger}, func(t *testing.T, r *rig) {
				a := r.rpc(tt.method, tt.params)
				if a.code != tt.code || len(a.text) > 500 || strings.Contains(a.text, "boom") {
					t.Errorf("%d, not %d: %.600s", a.code, tt.code, a.text)
				}
				wantIn(t, a.text, tt.want)
				if strings.ContainsFunc(a.text, func(r rune) bool { return !unicode.IsPrint(r) }) {
					t.Errorf("raw characters are told: %q", a.text)
				}
				if strings.Contains(name, "panic") {
					wantIn(t, r.log.String(), "a handler panicked")
				}
				wantNotIn(t, r.log.String(), keySecret)
			})
		})
	}
}
