package falsim

import (
	"context"
	"encoding/json"
	"time"
)

// Stats counts what happened since the server was made, or since
// [Server.Reset].
type Stats struct {
	// Accepted counts submissions that fal took, answered or not. Each becomes a
	// bill unless it is cancelled in the queue.
	Accepted int `json:"accepted"`
	// Billed counts jobs that started to run, however they ended.
	Billed int `json:"billed"`
	// Completed counts all ended jobs; Failed and Cancelled are part of it.
	Completed int `json:"completed"`
	Failed    int `json:"failed"`
	Cancelled int `json:"cancelled"`
	Queued    int `json:"queued"`
	Running   int `json:"running"`
	// Requests counts requests by step, refused and spoilt ones included.
	Requests Requests `json:"requests"`
	// AuthFailures counts requests answered 401.
	AuthFailures int `json:"auth_failures"`
	// KeyOnPublicURL counts requests that carried an Authorization header to a
	// presigned upload URL or a file URL, where the key must never go.
	KeyOnPublicURL int `json:"key_on_public_url"`
	// Faults counts requests and jobs that a fault was played on.
	Faults      int   `json:"faults"`
	OpenStreams int   `json:"open_streams"`
	Uploads     int   `json:"uploads"`
	UploadBytes int64 `json:"upload_bytes"`
}

// Requests counts requests by step.
type Requests struct {
	Submit            int `json:"submit"`
	Status            int `json:"status"`
	Stream            int `json:"stream"`
	Result            int `json:"result"`
	Cancel            int `json:"cancel"`
	Initiate          int `json:"initiate"`
	Put               int `json:"put"`
	InitiateMultipart int `json:"initiate_multipart"`
	Part              int `json:"part"`
	Complete          int `json:"complete"`
	File              int `json:"file"`
	History           int `json:"history"`
	Prices            int `json:"prices"`
	Account           int `json:"account"`
	Other             int `json:"other"`
}

func (q *Requests) of(step Step) *int {
	switch step {
	case StepSubmit:
		return &q.Submit
	case StepStatus:
		return &q.Status
	case StepStream:
		return &q.Stream
	case StepResult:
		return &q.Result
	case StepCancel:
		return &q.Cancel
	case StepInitiate:
		return &q.Initiate
	case StepPut:
		return &q.Put
	case StepInitiateMultipart:
		return &q.InitiateMultipart
	case StepPart:
		return &q.Part
	case StepComplete:
		return &q.Complete
	case StepFile:
		return &q.File
	case StepHistory:
		return &q.History
	case StepPrices:
		return &q.Prices
	case StepAccount:
		return &q.Account
	}
	return &q.Other
}

// JobInfo describes one accepted submission.
type JobInfo struct {
	RequestID string `json:"request_id"`
	Endpoint  string `json:"endpoint"`
	// State is fal's word: IN_QUEUE, IN_PROGRESS or COMPLETED.
	State     string          `json:"state"`
	Error     string          `json:"error,omitempty"`
	ErrorType string          `json:"error_type,omitempty"`
	Input     json.RawMessage `json:"input"`
	// Media is what the runner was given besides the prompt; nil where there was
	// none or it could not be looked at.
	Media *Media `json:"media,omitempty"`
	// Query is the submission's raw query (fal_webhook, fal_max_queue_length).
	Query string `json:"query,omitempty"`
	// Headers holds the submission's headers of interest, by canonical name;
	// never the key.
	Headers map[string]string `json:"headers,omitempty"`
	// StartedAt and CompletedAt are zero until they have happened.
	SubmittedAt     time.Time `json:"submitted_at"`
	StartedAt       time.Time `json:"started_at,omitzero"`
	CompletedAt     time.Time `json:"completed_at,omitzero"`
	Billed          bool      `json:"billed"`
	CancelRequested bool      `json:"cancel_requested"`
	Cancelled       bool      `json:"cancelled"`
	ResultReads     int       `json:"result_reads"`
}

// Bills gives the number of jobs that started to run and so are paid for; a job
// cancelled in the queue is not among them. Submissions taken are counted in
// [Stats].Accepted.
func (s *Server) Bills() int { return s.Stats().Billed }

// Stats gives the counts as of now.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle(time.Now())
	return s.stats
}

// Jobs describes the jobs still kept, oldest first.
func (s *Server) Jobs() []JobInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.settle(now)
	infos := make([]JobInfo, 0, len(s.order))
	for _, j := range s.order {
		infos = append(infos, j.info(now))
	}
	return infos
}

func (j *job) info(now time.Time) JobInfo {
	in := JobInfo{
		RequestID: j.id, Endpoint: j.endpoint, State: j.phase.String(), Input: j.input, Media: j.media,
		Query: j.query, Headers: j.headers, SubmittedAt: j.submitted, Billed: j.billed,
		CancelRequested: j.cancelRequested, Cancelled: j.cancelled, ResultReads: j.resultReads,
	}
	if due(j.startAt, now) {
		in.StartedAt = j.startAt
	}
	if j.phase == completed {
		in.CompletedAt, in.Error, in.ErrorType = j.endAt, j.outcome.err, j.outcome.errType
	}
	return in
}

// WaitFor returns when ok holds for the counts, or with the context's error. It
// is woken by events; ok must be quick and must not call the server.
func (s *Server) WaitFor(ctx context.Context, ok func(Stats) bool) error {
	for {
		s.mu.Lock()
		s.settle(time.Now())
		st := s.stats
		changed := s.watch()
		var next <-chan time.Time
		var timer *time.Timer
		if len(s.agenda) > 0 {
			timer = time.NewTimer(time.Until(s.agenda[0].at))
			next = timer.C
		}
		s.mu.Unlock()
		met := ok(st)
		if !met {
			select {
			case <-ctx.Done():
			case <-changed:
			case <-next:
			}
		}
		if timer != nil {
			timer.Stop()
		}
		if met {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// watch gives a channel that is closed on the next change. The lock is held.
func (s *Server) watch() <-chan struct{} {
	if s.waiters == nil {
		s.waiters = make(chan struct{})
	}
	return s.waiters
}

// wake tells those who wait that something changed. The lock is held.
func (s *Server) wake() {
	if s.waiters != nil {
		close(s.waiters)
		s.waiters = nil
	}
}
