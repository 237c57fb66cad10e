package metrics

import (
	"maps"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// exercised is a server of which every family has samples, on any system.
func exercised() *Server {
	m := newServer("v1.2.3", linux())
	m.ToolCall("nemotron_generate", "alice", "ok", 2*time.Second)
	m.ToolCall("nemotron_generate", "bob", "RATE_LIMITED", time.Millisecond)
	m.JobEnded(JobFacts{
		Endpoint: "fal-ai/nemotron", Caller: "alice", Status: "COMPLETED", CostUSD: 0.25,
		QueueTime: time.Second, InferenceTime: 3 * time.Second, InputTokens: 100, OutputTokens: 20,
	})
	m.FalRequest("submit", "failed", false)
	m.FalRequest("submit", "ok", true)
	m.FalRequest("cancel", "refused", false)
	m.Upload("sent", 1000)
	m.Upload("reused", 500)
	m.HTTPRequest("/mcp", http.MethodPost, http.StatusOK, 20*time.Millisecond)
	m.Gauges(Gauges{
		Jobs:          func() map[string]int { return map[string]int{"IN_QUEUE": 2, "IN_PROGRESS": 1} },
		CallsInFlight: func() int { return 3 },
		Sessions:      func() int { return 4 },
		Connections:   func() int { return 5 },
	})
	return m
}

// work are the samples of a page that are not of the process, buckets left out.
func work(t *testing.T, m *Server) map[string]float64 {
	t.Helper()
	all := values(t, ask(t, m, http.MethodGet).Body.Bytes())
	maps.DeleteFunc(all, func(name string, _ float64) bool {
		return !strings.HasPrefix(name, prefix) || strings.Contains(name, "_bucket{")
	})
	return all
}

func TestServerCounts(t *testing.T) {
	t.Parallel()
	want := map[string]float64{
		`nemotron_mcp_build_info{goversion="` + runtime.Version() + `", version="v1.2.3"}`: 1,
		`nemotron_mcp_calls_in_flight{}`:                                                                3,
		`nemotron_mcp_connections{}`:                                                                    5,
		`nemotron_mcp_cost_usd_total{caller="alice", endpoint="fal-ai/nemotron"}`:                       0.25,
		`nemotron_mcp_fal_requests_total{op="cancel", outcome="refused"}`:                               1,
		`nemotron_mcp_fal_requests_total{op="submit", outcome="failed"}`:                                1,
		`nemotron_mcp_fal_requests_total{op="submit", outcome="ok"}`:                                    1,
		`nemotron_mcp_fal_retries_total{op="cancel"}`:                                                   0,
		`nemotron_mcp_fal_retries_total{op="submit"}`:                                                   1,
		`nemotron_mcp_http_request_seconds_count{path="/mcp"}`:                                          1,
		`nemotron_mcp_http_request_seconds_sum{path="/mcp"}`:                                            0.02,
		`nemotron_mcp_http_requests_total{method="POST", path="/mcp", status="200"}`:                    1,
		`nemotron_mcp_job_inference_seconds_count{}`:                                                    1,
		`nemotron_mcp_job_inference_seconds_sum{}`:                                                      3,
		`nemotron_mcp_job_queue_seconds_count{}`:                                                        1,
		`nemotron_mcp_job_queue_seconds_sum{}`:                                                          1,
		`nemotron_mcp_jobs_ended_total{caller="alice", endpoint="fal-ai/nemotron", status="COMPLETED"}`: 1,
		`nemotron_mcp_jobs{status="IN_PROGRESS"}`:                                                       1,
		`nemotron_mcp_jobs{status="IN_QUEUE"}`:                                                          2,
		`nemotron_mcp_sessions{}`:                                                                       4,
		`nemotron_mcp_tokens_total{caller="alice", direction="input", endpoint="fal-ai/nemotron"}`:      100,
		`nemotron_mcp_tokens_total{caller="alice", direction="output", endpoint="fal-ai/nemotron"}`:     20,
		`nemotron_mcp_tool_call_seconds_count{tool="nemotron_generate"}`:                                2,
		`nemotron_mcp_tool_call_seconds_sum{tool="nemotron_generate"}`:                                  2.001,
		`nemotron_mcp_tool_calls_total{caller="alice", outcome="ok", tool="nemotron_generate"}`:         1,
		`nemotron_mcp_tool_calls_total{caller="bob", outcome="RATE_LIMITED", tool="nemotron_generate"}`: 1,
		`nemotron_mcp_upload_bytes_total{}`:                                                             1000,
		`nemotron_mcp_uploads_total{outcome="failed"}`:                                                  0,
		`nemotron_mcp_uploads_total{outcome="reused"}`:                                                  1,
		`nemotron_mcp_uploads_total{outcome="sent"}`:                                                    1,
	}
	if diff := cmp.Diff(want, work(t, exercised())); diff != "" {
		t.Errorf("the samples (-want +got):\n%s", diff)
	}
}

func TestServerKinds(t *testing.T) {
	t.Parallel()
	for _, s := range parse(t, ask(t, exercised(), http.MethodGet).Body.Bytes()) {
		want := "GAUGE"
		switch {
		case strings.HasSuffix(s.name, "_total"):
			want = "COUNTER"
		case strings.HasPrefix(s.name, prefix) && strings.Contains(s.name, "_seconds_"):
			want = "HISTOGRAM"
		}
		if s.kind != want {
			t.Errorf("%s is a %s, want a %s", s, s.kind, want)
		}
	}
}

func TestServerEdges(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		do   func(m *Server)
		want map[string]float64
		none string // begins no sample
	}{
		"times of a job that are not known": {
			do:   func(m *Server) { m.JobEnded(JobFacts{Endpoint: "e", Status: "FAILED"}) },
			want: map[string]float64{"nemotron_mcp_job_queue_seconds_count{}": 0, "nemotron_mcp_job_inference_seconds_count{}": 0},
		},
		"a job without caller, tokens and cost is counted": {
			do: func(m *Server) { m.JobEnded(JobFacts{Endpoint: "e", Status: "FAILED"}) },
			want: map[string]float64{
				`nemotron_mcp_jobs_ended_total{caller="", endpoint="e", status="FAILED"}`: 1,
				`nemotron_mcp_tokens_total{caller="", direction="output", endpoint="e"}`:  0,
				`nemotron_mcp_cost_usd_total{caller="", endpoint="e"}`:                    0,
			},
		},
		"a failed upload has no bytes": {
			do:   func(m *Server) { m.Upload("failed", 1000) },
			want: map[string]float64{`nemotron_mcp_uploads_total{outcome="failed"}`: 1, "nemotron_mcp_upload_bytes_total{}": 0},
		},
		"a stream is counted and not timed": {
			do:   func(m *Server) { m.HTTPRequest("/sse", http.MethodGet, 200, -1) },
			want: map[string]float64{`nemotron_mcp_http_requests_total{method="GET", path="/sse", status="200"}`: 1},
			none: "nemotron_mcp_http_request_seconds",
		},
		"what a client makes up is other": {
			do:   func(m *Server) { m.HTTPRequest("", "BREW", 7, time.Second) },
			want: map[string]float64{`nemotron_mcp_http_requests_total{method="other", path="other", status="other"}`: 1},
		},
		"no gauges": {do: func(*Server) {}, none: "nemotron_mcp_sessions"},
		"gauges that are nil": {
			do:   func(m *Server) { m.Gauges(Gauges{Sessions: func() int { return 2 }}) },
			want: map[string]float64{"nemotron_mcp_sessions{}": 2},
			none: "nemotron_mcp_connections",
		},
		"jobs that are nil": {do: func(m *Server) { m.Gauges(Gauges{}) }, none: "nemotron_mcp_jobs{"},
		"the last gauges hold": {
			do: func(m *Server) {
				m.Gauges(Gauges{Sessions: func() int { return 1 }, Connections: func() int { return 1 }})
				m.Gauges(Gauges{Sessions: func() int { return 9 }})
			},
			want: map[string]float64{"nemotron_mcp_sessions{}": 9},
			none: "nemotron_mcp_connections",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := New("v1")
			c.do(m)
			got := work(t, m)
			for sample, want := range c.want {
				if value, ok := got[sample]; !ok || value != want {
					t.Errorf("%s is %v (there: %t), want %v", sample, value, ok, want)
				}
			}
			for sample := range got {
				if c.none != "" && strings.HasPrefix(sample, c.none) {
					t.Errorf("%s is on the page", sample)
				}
			}
		})
	}
}

func TestServerUnderLoad(t *testing.T) {
	t.Parallel()
	m := New("v1")
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for range 20 {
				m.ToolCall("t", "c", "ok", time.Second)
				m.JobEnded(JobFacts{Endpoint: "e", Caller: "c", Status: "COMPLETED", InputTokens: 3})
				m.FalRequest("submit", "ok", true)
				m.Upload("sent", 2)
				m.HTTPRequest("/mcp", http.MethodPost, 200, time.Second)
			}
			m.Gauges(Gauges{Sessions: func() int { return 1 }})
			ask(t, m, http.MethodGet)
		})
	}
	wg.Wait()
	const done = 64 * 20
	got := work(t, m)
	for sample, want := range map[string]float64{
		`nemotron_mcp_tool_calls_total{caller="c", outcome="ok", tool="t"}`:          done,
		`nemotron_mcp_tokens_total{caller="c", direction="input", endpoint="e"}`:     3 * done,
		`nemotron_mcp_fal_retries_total{op="submit"}`:                                done,
		`nemotron_mcp_upload_bytes_total{}`:                                          2 * done,
		`nemotron_mcp_http_requests_total{method="POST", path="/mcp", status="200"}`: done,
		`nemotron_mcp_sessions{}`:                                                    1,
	} {
		if got[sample] != want {
			t.Errorf("%s is %v, want %v", sample, got[sample], want)
		}
	}
}

func TestCountingAllocatesNothing(t *testing.T) {
	m := New("v1")
	job := JobFacts{Endpoint: "e", Caller: "c", Status: "COMPLETED", QueueTime: 1, InferenceTime: 1}
	count := func() {
		m.ToolCall("nemotron_generate", "alice", "ok", 1)
		m.JobEnded(job)
		m.FalRequest("submit", "ok", false)
		m.Upload("sent", 1)
		m.HTTPRequest("/mcp", http.MethodPost, http.StatusOK, 1)
	}
	count()
	// strconv.Itoa of a status makes one; nothing else may.
	if allocs := testing.AllocsPerRun(100, count); allocs > 1 {
		t.Errorf("%v allocations, want at most 1", allocs)
	}
}
