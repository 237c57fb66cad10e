package falsim

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

const (
	historyPath = "/v1/models/requests/by-endpoint"
	pricingPath = "/v1/models/pricing"
)

// past asks for the history; pairs are parameters besides the endpoint.
func past(t *testing.T, s *Server, pairs ...string) list {
	t.Helper()
	q := url.Values{"endpoint_id": {appRoot}}
	for i := 0; i < len(pairs); i += 2 {
		q.Set(pairs[i], pairs[i+1])
	}
	w := ask(t, s, "GET", historyPath+"?"+q.Encode(), "")
	var l list
	if err := json.Unmarshal(w.Body.Bytes(), &l); w.Code != 200 || err != nil || l.Items == nil {
		t.Fatalf("history answered %d %s", w.Code, w.Body)
	}
	return l
}

func ids(l list) string {
	var all []string
	for _, p := range l.Items {
		all = append(all, p.RequestID)
	}
	return strings.Join(all, " ")
}

// A request appears once it is accepted, and grows as it goes on.
func TestHistoryOfOneRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := New(Script{QueueDelay: time.Minute, RunTime: time.Minute, HistoryDelay: 30 * time.Second, Output: "out"})
		start := time.Now().UTC()
		in := `{"prompt":"a <b>"}`
		id := submit(t, s, in)
		if l := past(t, s); len(l.Items) != 0 {
			t.Errorf("at once: %+v", l.Items)
		}
		want := pastRequest{RequestID: id, EndpointID: appRoot, SentAt: start}
		check := func(name string, pairs ...string) {
			t.Helper()
			l := past(t, s, pairs...)
			if diff := cmp.Diff(list{Items: []pastRequest{want}}, l); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}
		time.Sleep(30 * time.Second)
		check("queued")
		time.Sleep(30 * time.Second)
		want.StartedAt = start.Add(time.Minute)
		check("running")
		time.Sleep(time.Minute)
		took := 120.0
		want.EndedAt, want.StatusCode, want.Duration = start.Add(2*time.Minute), 200, &took
		check("ended")
		want.JSONInput = json.RawMessage(`{"prompt":"a \u003cb\u003e"}`)
		want.JSONOutput = json.RawMessage(ask(t, s, "GET", jobPath(id), "").Body.Bytes())
		check("with payloads", "expand", "payloads")
	})
}

// Each way for an answer to get lost leaves the request in the history where it
// was accepted, and nowhere where it was not.
func TestHistoryOfLostAnswers(t *testing.T) {
	t.Parallel()
	for _, kind := range []Kind{ResetAfterRead, CloseAfterAccept, TruncateBody, EmptyBody, Respond} {
		for _, accept := range []bool{true, false} {
			t.Run(fmt.Sprint(kind, accept), func(t *testing.T) {
				t.Parallel()
				s, client, base := local(t, Script{Faults: []Fault{{Step: StepSubmit, Kind: kind, Accept: accept}}})
				if resp, err := post(t.Context(), client, base+chat, hello); err == nil {
					resp.Body.Close()
				}
				want := 0
				if accept || kind == TruncateBody {
					want = 1
				}
				l := past(t, s, "expand", "payloads")
				if len(l.Items) != want || s.Stats().Accepted != want {
					t.Fatalf("found %+v, want %d", l.Items, want)
				}
				if want == 1 && string(l.Items[0].JSONInput) != hello {
					t.Errorf("input %s", l.Items[0].JSONInput)
				}
			})
		}
	}
}

func TestHistoryPayloads(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, header string
		discard      bool
		kept         bool
	}{
		{"by default", "", false, true},
		{"account off", "", true, false},
		{"request off", "0", false, false},
		{"account off, request on", "1", true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := New(Script{DiscardPayloads: c.discard})
			submit(t, s, hello, "X-Fal-Store-IO", c.header)
			p := past(t, s, "expand", "payloads").Items[0]
			if (p.JSONInput != nil) != c.kept || (p.JSONOutput != nil) != c.kept {
				t.Errorf("input %s, output %s", p.JSONInput, p.JSONOutput)
			}
			if p := past(t, s).Items[0]; p.JSONInput != nil || p.JSONOutput != nil {
				t.Errorf("not asked for: input %s, output %s", p.JSONInput, p.JSONOutput)
			}
		})
	}
	s := New(Script{Faults: []Fault{{Step: StepJob, Body: "<html>"}}})
	submit(t, s, hello)
	if p := past(t, s, "expand", "payloads").Items[0]; p.JSONOutput != nil || p.StatusCode != 500 {
		t.Errorf("an output that is not JSON: %+v", p)
	}
}

func TestHistoryFilters(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := New(Script{RunTime: time.Hour, Faults: []Fault{
			{Step: StepJob, PromptContains: "broken", ErrorType: "runner_disconnected"},
			{Step: StepJob, Kind: Stuck, PromptContains: "stuck"},
		}})
		begin := time.Now().UTC()
		names := map[string]string{}
		for _, name := range []string{"good", "broken", "", "cancelled"} {
			in, _ := json.Marshal(map[string]string{"prompt": name})
			names[submit(t, s, string(in))] = name
			time.Sleep(time.Minute)
		}
		for id, name := range names {
			if name == "cancelled" {
				ask(t, s, "PUT", jobPath(id)+"/cancel", "")
			}
		}
		time.Sleep(2 * time.Hour)
		names[submit(t, s, `{"prompt":"stuck"}`)] = "stuck"
		vision := ask(t, s, "POST", chat+"/vision", `{"prompt":"x","image_url":"`+tinyPNG+`"}`)
		names[object(t, vision.Body.Bytes())["request_id"].(string)] = "vision"
		for id, name := range names {
			if name == "" {
				names[id] = "refused"
			}
		}
		after := func(d time.Duration) string { return begin.Add(d).Format(time.RFC3339) }
		check := func(want string, pairs ...string) {
			t.Helper()
			var got []string
			for _, p := range past(t, s, pairs...).Items {
				got = append(got, names[p.RequestID])
			}
			if strings.Join(got, " ") != want {
				t.Errorf("%v: %q, want %q", pairs, strings.Join(got, " "), want)
			}
		}
		check("stuck broken good cancelled refused")
		check("stuck good broken cancelled refused", "sort_by", "duration")
		check("good", "status", "success")
		check("cancelled refused", "status", "user_error")
		check("broken", "status", "error")
		check("vision", "endpoint_id", appRoot+"/vision")
		check("stuck vision broken good cancelled refused", "endpoint_id", appRoot+"/vision,"+appRoot)
		check("", "endpoint_id", "fal-ai/flux")
		check("broken refused", "start", after(time.Minute), "end", after(3*time.Minute))
		for id, name := range names {
			if name == "good" {
				check("good", "request_id", id)
				defer check("good", "request_id", id) // 90 days where the id is given
			}
		}
		check("", "request_id", "x")
		time.Sleep(25 * time.Hour)
		check("")
		check("stuck broken good cancelled refused", "start", after(0))
		check("stuck broken good cancelled refused", "start", begin.Format(time.DateOnly))
	})
}

func TestHistoryPages(t *testing.T) {
	t.Parallel()
	s := New(Script{})
	var all []string
	for range 101 {
		all = append(all, submit(t, s, hello))
	}
	for _, c := range []struct {
		limit string
		pages []int
	}{{"", []int{50, 50, 1}}, {"100", []int{100, 1}}, {"40", []int{40, 40, 21}}} {
		seen, cursor := map[string]bool{}, ""
		for i, n := range c.pages {
			l := past(t, s, "limit", c.limit, "cursor", cursor)
			last := i == len(c.pages)-1
			if len(l.Items) != n || l.HasMore == last || (l.NextCursor == nil) != last {
				t.Fatalf("limit %q, page %d: %d requests, more %v", c.limit, i, len(l.Items), l.HasMore)
			}
			for _, p := range l.Items {
				seen[p.RequestID] = true
			}
			if !last {
				cursor = *l.NextCursor
			}
		}
		if len(seen) != len(all) {
			t.Errorf("limit %q: %d requests", c.limit, len(seen))
		}
	}
	if l := past(t, s, "cursor", "Mg=="); len(l.Items) != 50 || ids(l) == ids(past(t, s)) {
		t.Error("fal's cursor for page 2 does not give page 2")
	}
	if l := past(t, s, "cursor", "OTk="); len(l.Items) != 0 || l.HasMore {
		t.Errorf("page 99: %+v", l)
	}
}

func TestPlatformPrices(t *testing.T) {
	t.Parallel()
	s := New(Script{})
	for _, query := range []string{
		"?endpoint_id=" + appRoot + "&endpoint_id=" + appRoot + "/audio",
		"?endpoint_id=" + appRoot + "," + appRoot + "/audio",
	} {
		w := ask(t, s, "GET", pricingPath+query, "")
		want := `{"prices":[{"endpoint_id":"` + appRoot + `","unit_price":0.01,"unit":"1000 tokens","currency":"USD"},` +
			`{"endpoint_id":"` + appRoot + `/audio","unit_price":0.006,"unit":"1000 tokens","currency":"USD"}],"next_cursor":null,"has_more":false}`
		if w.Code != 200 || w.Body.String() != want {
			t.Errorf("%s: %d %s", query, w.Code, w.Body)
		}
	}
	if r := s.Stats().Requests; r.Prices != 2 || r.History != 0 || r.Other != 0 {
		t.Errorf("counted %+v", r)
	}
}

func TestPlatformRefusals(t *testing.T) {
	t.Parallel()
	s := New(Script{Key: "k"})
	many := strings.Repeat("a/b,", 51)
	for _, c := range []struct {
		method, path, query, key string
		status                   int
		kind                     string
	}{
		{"GET", historyPath, "endpoint_id=a/b", "Key other", 401, "authorization_error"},
		{"GET", pricingPath, "endpoint_id=a/b", "Bearer k", 401, "authorization_error"},
		{"GET", pricingPath, "endpoint_id=a/b", "", 401, "authorization_error"},
		{"GET", historyPath, "", "Key k", 400, "validation_error"},
		{"GET", historyPath, "endpoint_id=,", "Key k", 400, "validation_error"},
		{"GET", historyPath, "endpoint_id=" + many, "Key k", 400, "validation_error"},
		{"GET", historyPath, "endpoint_id=a/b&limit=101", "Key k", 400, "validation_error"},
		{"GET", historyPath, "endpoint_id=a/b&limit=0", "Key k", 400, "validation_error"},
		{"GET", historyPath, "endpoint_id=a/b&cursor=x", "Key k", 400, "validation_error"},
		{"GET", historyPath, "endpoint_id=a/b&cursor=LTE=", "Key k", 400, "validation_error"},
		{"GET", historyPath, "endpoint_id=a/b&start=today", "Key k", 400, "validation_error"},
		{"GET", historyPath, "endpoint_id=a/b&end=1754000000", "Key k", 400, "validation_error"},
		{"GET", historyPath, "endpoint_id=a/b&status=failed", "Key k", 400, "validation_error"},
		{"GET", historyPath, "endpoint_id=a/b&expand=billing", "Key k", 400, "validation_error"},
		{"GET", historyPath, "endpoint_id=a/b&sort_by=name", "Key k", 400, "validation_error"},
		{"GET", pricingPath, "", "Key k", 400, "validation_error"},
		{"GET", pricingPath, "endpoint_id=a/b", "Key k", 404, "not_found"},
		{"GET", "/v1/models", "", "Key k", 404, "not_found"},
		{"POST", "/v1/models", "", "Key k", 404, "not_found"},
		{"POST", pricingPath, "endpoint_id=" + appRoot, "Key k", 405, "validation_error"},
	} {
		w := ask(t, s, c.method, c.path+"?"+c.query, "", "Authorization", c.key)
		var body struct {
			Error struct{ Type, Message string }
		}
		if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || w.Code != c.status || body.Error.Type != c.kind || body.Error.Message == "" {
			t.Errorf("%s %s?%s: %d %s", c.method, c.path, c.query, w.Code, w.Body)
		}
	}
	if st := s.Stats(); st.AuthFailures != 3 || st.Requests.History != 13 || st.Requests.Prices != 5 || st.Requests.Other != 2 {
		t.Errorf("counted %+v", st)
	}
}

func TestPlatformFaults(t *testing.T) {
	t.Parallel()
	s := New(Script{Faults: []Fault{
		{Step: StepHistory, Times: 1, Status: 503, Body: "<html>"},
		{Step: StepPrices, Nth: 2, Kind: NullBody},
	}})
	var got []string
	for range 2 {
		for _, path := range []string{historyPath, pricingPath} {
			w := ask(t, s, "GET", path+"?endpoint_id="+appRoot, "")
			got = append(got, fmt.Sprint(w.Code, " ", w.Body.String()[:4]))
		}
	}
	if diff := cmp.Diff([]string{"503 <htm", `200 {"pr`, `200 {"it`, "200 null"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestPlatformURL(t *testing.T) {
	t.Parallel()
	if u := New(Script{}).PlatformURL(); u != "" {
		t.Errorf("before the start: %q", u)
	}
	s, client, base := local(t, Script{})
	if s.PlatformURL() != base+"/v1" {
		t.Errorf("got %q", s.PlatformURL())
	}
	resp, err := send(t.Context(), client, "GET", s.PlatformURL()+"/models/pricing?endpoint_id="+appRoot, "")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Errorf("answered %d", resp.StatusCode)
	}
}
