package falsim

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

const (
	maxJSONBody = 32 << 20
	maxJobs     = 100_000
	maxJobBytes = 512 << 20

	// ScriptHeader carries a [Script] as JSON for one submission and the later
	// requests about its job. Its Key and DiscardUploads have no effect.
	ScriptHeader = "X-Falsim-Script"
)

// noted lists the submission headers that [JobInfo] shows.
var noted = [...]string{
	"User-Agent", "X-Fal-Queue-Priority", "X-Fal-Request-Start-Timeout", "X-Fal-Request-Timeout",
	"X-Fal-Store-Io", "X-Fal-No-Retry", "X-Fal-Runner-Hint", "X-Fal-Tags",
	"X-Fal-Object-Lifecycle-Preference", "X-App-Fal-Disable-Fallback",
	"Idempotency-Key", "X-Idempotency-Key",
}

// admit counts the request and refuses it where no handler should see it.
func (s *Server) admit(c *call) (answer, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*s.stats.Requests.of(c.step)++
	s.wake()
	auth := c.r.Header.Get("Authorization")
	switch {
	case c.step == stepOther:
		return c.refusal(404, "Not Found"), false
	case c.r.Method != c.method && !(c.step == StepFile && c.r.Method == http.MethodHead):
		a := c.refusal(405, "Method Not Allowed")
		a.header = map[string]string{"Allow": c.method}
		return a, false
	case c.public():
		if auth == "" {
			return answer{}, true
		}
		s.stats.KeyOnPublicURL++
		if c.step == StepFile {
			return answer{}, true
		}
		return detail(400, "Only one auth mechanism allowed"), false
	}
	if msg := s.refuseKey(auth); msg != "" {
		s.stats.AuthFailures++
		return c.refusal(401, msg), false
	}
	return answer{}, true
}

func (s *Server) refuseKey(auth string) string {
	if strings.HasPrefix(auth, "Bearer ") {
		return "bearer: unable to decode issuer"
	}
	key, ok := strings.CutPrefix(auth, "Key ")
	if !ok || key == "" || (s.plan.Key != "" && key != s.plan.Key) {
		return "invalid key credentials"
	}
	return ""
}

// readSubmission reads the body and the script header of a submission.
func (c *call) readSubmission() (answer, bool) {
	body, err := c.readAll(maxJSONBody)
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return detail(413, "Request body is too large"), false
	}
	if err != nil {
		return detail(400, "Request body could not be read"), false
	}
	if json.Unmarshal(body, &c.input) != nil || c.input == nil {
		return jsonText(422, `{"detail":[{"loc":["body"],"msg":"JSON decode error","type":"json_invalid"}]}`), false
	}
	c.body, c.prompt = body, c.input.text("prompt")
	if h := c.r.Header.Get(ScriptHeader); h != "" {
		var sc Script
		err := json.Unmarshal([]byte(h), &sc)
		if err == nil {
			c.plan, err = newPlan(sc)
		}
		if err != nil {
			return detail(400, ScriptHeader+": "+err.Error()), false
		}
	}
	return answer{}, true
}

// do lets the step take effect and gives its answer. Streams have no answer.
func (s *Server) do(c *call) answer {
	switch c.step {
	case StepSubmit:
		return s.submit(c)
	case StepInitiate, StepInitiateMultipart:
		return s.initiate(c)
	case StepPut, StepPart:
		return s.put(c)
	case StepComplete:
		return s.complete(c)
	case StepFile:
		return s.file(c)
	case StepHistory, StepPrices:
		return s.platform(c)
	case StepAccount:
		return s.account()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.settle(now)
	j := s.find(c, now)
	if j == nil {
		return jsonText(404, `{"status":"NOT_FOUND"}`)
	}
	var a answer
	switch c.step {
	case StepStatus:
		a = j.statusAnswer(now, wantsLogs(c.r))
	case StepResult:
		a = j.resultAnswer()
	default:
		a = s.cancel(j, now)
	}
	a.requestID = j.id
	return a
}

// find gives the job that the call names, unless it is unknown, belongs to
// another app, or was completed longer ago than it is kept. The lock is held.
func (s *Server) find(c *call, now time.Time) *job {
	j := s.jobs[c.id]
	if j == nil || c.endpoint != appRoot {
		return nil
	}
	if j.phase == completed && now.Sub(j.endAt) >= j.retention {
		return nil
	}
	return j
}

func (s *Server) submit(c *call) answer {
	if _, ok := mediaFields[c.endpoint]; !ok {
		return detail(404, "Application \""+c.endpoint+"\" not found")
	}
	query := c.r.URL.Query()
	j := &job{
		id: uuid.NewString(), endpoint: c.endpoint, base: c.base(), input: c.body,
		prompt: c.prompt, headers: notedHeaders(c.r.Header), query: c.r.URL.RawQuery, plan: c.plan,
	}

	p := s.planFor(c)
	valid := s.prepare(j, p, c)

	s.mu.Lock()
	defer s.mu.Unlock()
	if p.Locked {
		return lockedAnswer()
	}
	now := time.Now()
	s.settle(now)
	if limit, err := strconv.Atoi(query.Get("fal_max_queue_length")); err == nil && s.stats.Queued > limit {
		return detail(429, "Queue is longer than fal_max_queue_length")
	}
	if !s.makeRoom() {
		return detail(503, "The simulator holds too many unfinished jobs")
	}
	j.submitted = now
	s.schedule(j, p, valid, c.r.Header)
	s.jobs[j.id] = j
	s.order = append(s.order, j)
	s.kept += j.weight()
	s.stats.Accepted++
	s.stats.Queued++
	s.wake()
	a := j.acceptance()
	s.advance(j, now)
	return a
}

func lockedAnswer() answer {
	return detail(403, "User is locked. Reason: Exhausted balance. Top up your balance at fal.ai/dashboard/billing.")
}

func (s *Server) planFor(c *call) *plan {
	if c.plan != nil {
		return c.plan
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.plan
}

// prepare computes what the runner will answer, without the lock since inputs
// may be large; it is false where the runner will refuse the input.
func (s *Server) prepare(j *job, p *plan, c *call) bool {
	media, faults := validate(j.endpoint, c.input, func(u *url.URL) (*found, bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.storage.fetch(u, c.r.Host, time.Now())
	})
	j.media = media
	if len(faults) > 0 {
		j.outcome = refused(faults)
		return false
	}
	j.outcome = p.run(c.input, media)
	return true
}

// schedule fixes the job's whole course. The lock is held.
func (s *Server) schedule(j *job, p *plan, valid bool, h http.Header) {
	j.positions, j.ignoreCancel = p.QueuePositions, p.IgnoreCancel
	j.listedAt = j.submitted.Add(p.HistoryDelay)
	j.keepsPayloads = keepsPayloads(h.Get("X-Fal-Store-Io"), p.DiscardPayloads)
	j.startAt = j.submitted.Add(p.QueueDelay)
	j.endAt = j.startAt
	if valid {
		// An invalid input is refused before the runner has done any work.
		j.logs, j.endAt = p.Logs, j.startAt.Add(p.runTime(j.outcome))
	}
	if f := p.draw(StepJob, j, j.prompt); f != nil {
		s.stats.Faults++
		if f.kind() == Stuck {
			j.startAt, j.endAt = time.Time{}, time.Time{}
		} else {
			j.outcome = f.failure()
		}
	}
	limit, limited := startTimeout(h)
	if limited && (j.startAt.IsZero() || j.startAt.Sub(j.submitted) > limit) {
		j.startAt, j.endAt = time.Time{}, j.submitted.Add(limit)
		j.outcome = platformFailure("Request timed out before it could be started.", "startup_timeout", 0)
		j.outcome.header["X-Fal-Request-Timeout-Type"] = "user"
	}
	j.retention = p.retentionOf(j.outcome)
}

// startTimeout reads fal's start time-out in seconds; the current header wins
// over the deprecated one, and values fal would not accept are ignored.
func startTimeout(h http.Header) (time.Duration, bool) {
	if d, ok := secondsAbove(h.Get("X-Fal-Request-Start-Timeout"), 0.1); ok {
		return d, true
	}
	return secondsAbove(h.Get("X-Fal-Request-Timeout"), 1)
}

func secondsAbove(v string, low float64) (time.Duration, bool) {
	sec, err := strconv.ParseFloat(v, 64)
	if err != nil || !(sec > low && sec < 1e9) {
		return 0, false
	}
	return time.Duration(sec * float64(time.Second)), true
}

func notedHeaders(h http.Header) map[string]string {
	kept := make(map[string]string, 2)
	for _, name := range noted {
		if v := h.Get(name); v != "" {
			kept[name] = v
		}
	}
	return kept
}

func (j *job) weight() int { return len(j.input) + len(j.outcome.body) + 1024 }

// makeRoom forgets the oldest completed jobs once there are too many. The lock
// is held.
func (s *Server) makeRoom() bool {
	if len(s.order) < maxJobs && s.kept < maxJobBytes {
		return true
	}
	keep := s.order[:0]
	count, weight := len(s.order), s.kept
	for _, j := range s.order {
		if j.phase == completed && (count > maxJobs/2 || weight > maxJobBytes/2) {
			delete(s.jobs, j.id)
			count--
			weight -= j.weight()
			continue
		}
		keep = append(keep, j)
	}
	clear(s.order[len(keep):])
	s.order, s.kept = keep, weight
	return count < maxJobs && weight < maxJobBytes
}

type statusBody struct {
	Status        string          `json:"status"`
	RequestID     string          `json:"request_id"`
	QueuePosition *int            `json:"queue_position,omitempty"`
	Logs          json.RawMessage `json:"logs,omitempty"`
	Metrics       *metrics        `json:"metrics,omitempty"`
	Error         string          `json:"error,omitempty"`
	ErrorType     string          `json:"error_type,omitempty"`
	ResponseURL   string          `json:"response_url"`
	StatusURL     string          `json:"status_url"`
	CancelURL     string          `json:"cancel_url"`
	Padding       string          `json:"padding,omitempty"`
}

type metrics struct {
	InferenceTime *float64 `json:"inference_time,omitempty"` // seconds
}

type logBody struct {
	Timestamp string   `json:"timestamp"`
	Message   string   `json:"message"`
	Level     string   `json:"level,omitempty"`
	Source    string   `json:"source,omitempty"`
	Labels    struct{} `json:"labels"`
}

func (j *job) urls() statusBody {
	root := j.base + "/" + appRoot + "/requests/" + j.id
	return statusBody{RequestID: j.id, ResponseURL: root, StatusURL: root + "/status", CancelURL: root + "/cancel"}
}

func (j *job) acceptance() answer {
	b := j.urls()
	b.Status = queued.String()
	pos := j.positionAt(j.submitted)
	b.QueuePosition = &pos
	a := jsonAnswer(200, b)
	a.requestID = j.id
	return a
}

// statusAt gives what status tells at t, with the log lines from number
// firstLog on where logs are asked for.
func (j *job) statusAt(t time.Time, logs bool, firstLog int) statusBody {
	b := j.urls()
	p := j.phaseAt(t)
	b.Status = p.String()
	if p == queued {
		pos := j.positionAt(t)
		b.QueuePosition = &pos
		return b
	}
	b.Logs = json.RawMessage("null")
	if logs {
		b.Logs = j.logsJSON(firstLog, j.logsAt(t))
	}
	if p == completed {
		b.Error, b.ErrorType = j.outcome.err, j.outcome.errType
		b.Metrics = &metrics{}
		if j.outcome.inference {
			sec := j.endAt.Sub(j.startAt).Seconds()
			b.Metrics.InferenceTime = &sec
		}
	}
	return b
}

func (j *job) logsJSON(from, to int) json.RawMessage {
	lines := make([]logBody, 0, max(to-from, 0))
	for _, l := range j.logs[min(from, to):to] {
		b := logBody{
			Timestamp: j.startAt.Add(l.At).UTC().Format("2006-01-02T15:04:05.000000"),
			Message:   l.Message, Level: l.Level,
		}
		if l.Level != "" {
			b.Source = "USER"
		}
		lines = append(lines, b)
	}
	raw, _ := json.Marshal(lines)
	return raw
}

func (j *job) statusAnswer(now time.Time, logs bool) answer {
	code := 202
	if j.phase == completed {
		code = 200
	}
	return jsonAnswer(code, j.statusAt(now, logs, 0))
}

func (j *job) resultAnswer() answer {
	if j.phase != completed {
		return detail(400, "Request is still in progress")
	}
	j.resultReads++
	o := j.outcome
	return answer{status: o.status, header: o.header, body: o.body}
}
