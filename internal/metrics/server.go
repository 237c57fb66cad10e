package metrics

import (
	"net/http"
	"runtime"
	"strconv"
	"sync/atomic"
	"time"
)

// Server is this server's metrics. It is safe for concurrent use; make it with
// [New]. No method keeps what it is given beyond the label values, of which 128
// bytes count.
type Server struct {
	registry Registry
	gauges   atomic.Pointer[Gauges]

	toolCalls, jobsEnded, tokens, cost *Counter
	falRequests, falRetries            *Counter
	uploads, uploadBytes, httpRequests *Counter

	toolSeconds, queueSeconds, inferenceSeconds, httpSeconds *Histogram
}

// Gauges are the functions that tell the present state. They are called for
// each page, maybe concurrently, and must return soon. One that is nil leaves
// its family out.
type Gauges struct {
	Jobs          func() map[string]int // the jobs that are watched, by status
	CallsInFlight func() int
	Sessions      func() int
	Connections   func() int
}

// JobFacts are what is counted of a job that has ended.
type JobFacts struct {
	Endpoint, Caller, Status string
	QueueTime, InferenceTime time.Duration // 0: not known, and not in the histograms
	InputTokens              int
	OutputTokens             int
	CostUSD                  float64
}

const prefix = "nemotron_mcp_"

// New makes the metrics of a server of that version, all at zero. Caller is ""
// in all of them where the server does not know its callers apart.
func New(version string) *Server { return newServer(version, thisProcess()) }

// ServeHTTP answers GET and HEAD with the metrics as Prometheus reads them.
func (m *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { m.registry.ServeHTTP(w, r) }

// Gauges sets the functions of the gauges, in place of the former ones.
func (m *Server) Gauges(g Gauges) { m.gauges.Store(&g) }

// ToolCall counts a call that was answered. The outcome is ok or the code of
// its error.
func (m *Server) ToolCall(tool, caller, outcome string, took time.Duration) {
	m.toolCalls.Add(1, tool, caller, outcome)
	m.toolSeconds.Observe(took.Seconds(), tool)
}

// JobEnded counts a job that has ended. It is to be called once for each.
func (m *Server) JobEnded(j JobFacts) {
	m.jobsEnded.Add(1, j.Endpoint, j.Caller, j.Status)
	m.tokens.Add(float64(j.InputTokens), j.Endpoint, j.Caller, "input")
	m.tokens.Add(float64(j.OutputTokens), j.Endpoint, j.Caller, "output")
	m.cost.Add(j.CostUSD, j.Endpoint, j.Caller)
	if j.QueueTime > 0 {
		m.queueSeconds.Observe(j.QueueTime.Seconds())
	}
	if j.InferenceTime > 0 {
		m.inferenceSeconds.Observe(j.InferenceTime.Seconds())
	}
}

// FalRequest counts a request to fal: op is what it was for (submit, status,
// stream, result, cancel, upload), outcome is ok, refused (answered with 4xx)
// or failed, and retry tells that the same had been tried before.
func (m *Server) FalRequest(op, outcome string, retry bool) {
	m.falRequests.Add(1, op, outcome)
	again := 0.0
	if retry {
		again = 1
	}
	m.falRetries.Add(again, op) // 0 too: a rate needs the value before the first
}

// Upload counts a file for fal's storage: sent, reused (it was there already)
// or failed. Bytes are its size and count where it was sent.
func (m *Server) Upload(outcome string, bytes int64) {
	m.uploads.Add(1, outcome)
	if outcome == "sent" {
		m.uploadBytes.Add(float64(bytes))
	}
}

// HTTPRequest counts an HTTP request that was answered. The path is that of the
// route that answered it, and "" where none did: what a client makes up does
// not belong there. Took is below 0 for a stream, whose length is the client's
// choice and not in the histogram.
func (m *Server) HTTPRequest(path, method string, status int, took time.Duration) {
	if path == "" {
		path = "other"
	}
	m.httpRequests.Add(1, path, knownMethod(method), knownStatus(status))
	m.httpSeconds.Observe(took.Seconds(), path)
}

func knownMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
		http.MethodDelete, http.MethodConnect, http.MethodOptions, http.MethodTrace:
		return method
	}
	return "other"
}

func knownStatus(status int) string {
	if status < 100 || status > 599 {
		return "other"
	}
	return strconv.Itoa(status)
}

func newServer(version string, p process) *Server {
	m := new(Server)
	m.declareWork()
	m.declareTraffic()
	m.declareState()
	p.declare(&m.registry)
	m.registry.Gauge(prefix+"build_info", "Always 1; the labels tell the build.", []string{"version", "goversion"},
		func(set func(float64, ...string)) { set(1, version, runtime.Version()) })
	return m
}

// A call may wait for a job, and a job for minutes in fal's queue; the rest of
// a call takes milliseconds.
var (
	callBounds = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600, 1800}
	jobBounds  = []float64{.05, .1, .25, .5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600}
	httpBounds = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300}
)

func (m *Server) declareWork() {
	r := &m.registry
	m.toolCalls = r.Counter(prefix+"tool_calls_total", "Tool calls answered, by outcome: ok or the code of the error.", "tool", "caller", "outcome")
	m.toolSeconds = r.Histogram(prefix+"tool_call_seconds", "How long tool calls took.", callBounds, "tool")
	m.jobsEnded = r.Counter(prefix+"jobs_ended_total", "Jobs that ended, by last status.", "endpoint", "caller", "status")
	m.queueSeconds = r.Histogram(prefix+"job_queue_seconds", "How long jobs waited in fal's queue.", jobBounds)
	m.inferenceSeconds = r.Histogram(prefix+"job_inference_seconds", "How long jobs ran, as fal tells.", jobBounds)
	m.tokens = r.Counter(prefix+"tokens_total", "Tokens of ended jobs, by direction: input or output.", "endpoint", "caller", "direction")
	m.cost = r.Counter(prefix+"cost_usd_total", "Cost of ended jobs in US dollars.", "endpoint", "caller")
}

func (m *Server) declareTraffic() {
	r := &m.registry
	m.falRequests = r.Counter(prefix+"fal_requests_total", "Requests to fal, by outcome: ok, refused or failed.", "op", "outcome")
	m.falRetries = r.Counter(prefix+"fal_retries_total", "Requests to fal that repeated an earlier one.", "op")
	m.uploads = r.Counter(prefix+"uploads_total", "Files for fal's storage, by outcome: sent, reused or failed.", "outcome")
	for _, outcome := range []string{"sent", "reused", "failed"} {
		m.uploads.Add(0, outcome)
	}
	m.uploadBytes = r.Counter(prefix+"upload_bytes_total", "Bytes of the files sent to fal's storage.")
	m.httpRequests = r.Counter(prefix+"http_requests_total", "HTTP requests answered.", "path", "method", "status")
	m.httpSeconds = r.Histogram(prefix+"http_request_seconds", "How long HTTP requests took, streams left out.", httpBounds, "path")
}

func (m *Server) declareState() {
	m.registry.Gauge(prefix+"jobs", "Jobs that are watched, by status.", []string{"status"}, func(set func(float64, ...string)) {
		if g := m.gauges.Load(); g != nil && g.Jobs != nil {
			for status, count := range g.Jobs() {
				set(float64(count), status)
			}
		}
	})
	m.gauge("calls_in_flight", "Requests in flight, over both protocols.", func(g *Gauges) func() int { return g.CallsInFlight })
	m.gauge("sessions", "Open MCP sessions.", func(g *Gauges) func() int { return g.Sessions })
	m.gauge("connections", "Open connections.", func(g *Gauges) func() int { return g.Connections })
}

func (m *Server) gauge(name, help string, of func(*Gauges) func() int) {
	m.registry.Gauge(prefix+name, help, nil, func(set func(float64, ...string)) {
		g := m.gauges.Load()
		if g == nil {
			return
		}
		if read := of(g); read != nil {
			set(float64(read()))
		}
	})
}
