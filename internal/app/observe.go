package app

import (
	"time"

	"nemotron-mcp/internal/jobs"
	"nemotron-mcp/internal/metrics"
	"nemotron-mcp/internal/transport"
)

// What each part is to tell the metrics; nil, which is nothing, without any.

func (s *session) observeFal() func(op, outcome string, retry bool) {
	if s.metrics == nil {
		return nil
	}
	return s.metrics.FalRequest
}

func (s *session) observeTools() func(tool, caller, outcome string, took time.Duration) {
	if s.metrics == nil {
		return nil
	}
	return s.metrics.ToolCall
}

func (s *session) observeUploads() func(outcome string, bytes int64) {
	if s.metrics == nil {
		return nil
	}
	return s.metrics.Upload
}

func (s *session) observeJobs() func(jobs.Job) {
	if s.metrics == nil {
		return nil
	}
	return func(j jobs.Job) {
		facts := metrics.JobFacts{
			Endpoint: j.Endpoint, Caller: j.Caller, Status: string(j.Status),
			QueueTime: j.QueueTime(), InferenceTime: j.InferenceTime, CostUSD: j.CostUSD,
		}
		if j.Usage != nil {
			facts.InputTokens, facts.OutputTokens = j.Usage.InputTokens, j.Usage.OutputTokens
		}
		s.metrics.JobEnded(facts)
	}
}

// observeState has the metrics tell what is going on.
func (s *session) observeState(h *house, state transport.State) {
	s.metrics.Gauges(metrics.Gauges{
		Jobs: h.jobs.Counts, CallsInFlight: state.InFlight, Sessions: state.Sessions, Connections: state.Connections,
	})
}
