package falclient

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"
)

// State is a word of fal's for where a request stands. fal has these three;
// others are passed on as they come and count as unfinished.
type State string

// fal's states. COMPLETED covers failed and cancelled requests too.
const (
	InQueue    State = "IN_QUEUE"
	InProgress State = "IN_PROGRESS"
	Completed  State = "COMPLETED"
)

// Status is where a request stands.
type Status struct {
	State         State
	QueuePosition *int // jobs ahead, 0-based; only while IN_QUEUE, and not always
	Logs          []Log
	InferenceTime time.Duration // of the model, 0 where fal did not tell
	Error         string        // of a failed or cancelled request
	ErrorType     string        // such as client_cancelled or runner_disconnected
}

// Log is a line that the model wrote. fal's documents and recorded traffic
// disagree about the fields; these two are in both.
type Log struct {
	Message   string `json:"message"`
	Timestamp string `json:"timestamp,omitempty"`
}

// Result is a model's answer as it came.
type Result struct {
	Body          json.RawMessage
	BillableUnits string // X-Fal-Billable-Units, where fal told
}

// CancelOutcome is what became of the wish to cancel.
type CancelOutcome string

// Outcomes of a cancel. fal's documents disagree about status codes and
// bodies: any 2xx is accepted, and only the word OK with 200 means that the
// job was still queued.
const (
	CancelledInQueue     CancelOutcome = "CANCELLED"              // taken out of the queue, not billed
	CancelRequested      CancelOutcome = "CANCELLATION_REQUESTED" // a running job was signalled; it may be billed
	CancelTooLate        CancelOutcome = "ALREADY_COMPLETED"      // the result is there
	CancelRequestUnknown CancelOutcome = "NOT_FOUND"              // fal does not know the request
)

// Status asks where a request stands. With logs it brings all log lines so far.
// It is repeated as the package says; errors are *APIError, *ConnectError,
// *ResponseError, ErrInvalidID, ErrNoKey or ctx's.
func (c *Client) Status(ctx context.Context, endpoint Endpoint, id string, logs bool) (Status, error) {
	var st Status
	err := c.repeat(ctx, "status", -1, repeatVerdict, func() (err error) {
		st, err = c.statusOnce(ctx, endpoint, id, logs)
		return err
	})
	return st, ended(ctx, err)
}

func (c *Client) statusOnce(ctx context.Context, endpoint Endpoint, id string, logs bool) (Status, error) {
	path := "/status?logs=0"
	if logs {
		path = "/status?logs=1"
	}
	b, _, err := c.get(ctx, "status", endpoint, id, path, answerTimeout, maxStatus)
	if logs && errors.Is(err, ErrTooLarge) {
		// Where the job stands matters more than a log that has grown too long.
		return c.statusOnce(ctx, endpoint, id, false)
	}
	if err != nil {
		return Status{}, err
	}
	return parseStatus(c.clean, "status", b)
}

// Result reads a finished request's answer. While the request is unfinished it
// returns an error that matches ErrUnfinished. An *APIError with any other
// status of the model's own is the job's outcome.
func (c *Client) Result(ctx context.Context, endpoint Endpoint, id string) (Result, error) {
	var res Result
	err := c.repeat(ctx, "result", -1, repeatVerdict, func() error {
		b, h, err := c.get(ctx, "result", endpoint, id, "", resultTimeout, maxBody)
		if err != nil {
			return err
		}
		if !json.Valid(b) || len(b) == 0 || b[0] != '{' {
			return &ResponseError{Op: "result", StatusCode: http.StatusOK, Err: errors.New("not a JSON object")}
		}
		res = Result{Body: b, BillableUnits: c.clean.text(h.Get("X-Fal-Billable-Units"))}
		return nil
	})
	return res, ended(ctx, err)
}

// Cancel asks fal to end a request. That it had already completed, or that fal
// does not know it, is an outcome and not an error.
func (c *Client) Cancel(ctx context.Context, endpoint Endpoint, id string) (CancelOutcome, error) {
	var outcome CancelOutcome
	err := c.repeat(ctx, "cancel", -1, repeatVerdict, func() (err error) {
		outcome, err = c.cancelOnce(ctx, endpoint, id)
		return err
	})
	return outcome, ended(ctx, err)
}

func (c *Client) cancelOnce(ctx context.Context, endpoint Endpoint, id string) (CancelOutcome, error) {
	ctx, done := context.WithTimeout(ctx, answerTimeout)
	defer done()
	resp, err := c.ask(ctx, "cancel", http.MethodPut, endpoint, id, "/cancel", c.plain)
	if err != nil {
		return "", err
	}
	if resp.StatusCode/100 == 2 {
		b, err := readBody(c.clean, resp, maxErrorBody)
		if err != nil {
			return "", &ResponseError{Op: "cancel", StatusCode: resp.StatusCode, Err: err}
		}
		if resp.StatusCode == http.StatusOK && cancelWord(b) == "OK" {
			return CancelledInQueue, nil
		}
		return CancelRequested, nil
	}
	refusal := apiError(c.clean, "cancel", id, resp)
	switch {
	case refusal.StatusCode == http.StatusBadRequest && refusal.Type == string(CancelTooLate):
		return CancelTooLate, nil
	case refusal.StatusCode == http.StatusNotFound:
		return CancelRequestUnknown, nil
	}
	return "", refusal
}

func cancelWord(body []byte) string {
	var word struct {
		Status string `json:"status"`
	}
	if json.Unmarshal(body, &word) != nil {
		return ""
	}
	return word.Status
}

// get reads one JSON answer about a request.
func (c *Client) get(ctx context.Context, op string, endpoint Endpoint, id, suffix string,
	timeout time.Duration, limit int64,
) ([]byte, http.Header, error) {
	bounded, done := context.WithTimeout(ctx, timeout)
	defer done()
	resp, err := c.ask(bounded, op, http.MethodGet, endpoint, id, suffix, c.plain)
	if err != nil {
		return nil, nil, err
	}
	if resp.StatusCode/100 != 2 {
		return nil, nil, apiError(c.clean, op, id, resp)
	}
	b, err := readBody(c.clean, resp, limit)
	if err != nil {
		return nil, nil, &ResponseError{Op: op, StatusCode: resp.StatusCode, Err: err}
	}
	return bytes.TrimSpace(b), resp.Header, nil
}

// ask asks about a request that fal has: its address is the app root, the
// endpoint id without its sub-path.
func (c *Client) ask(ctx context.Context, op, method string, endpoint Endpoint, id, suffix string, header http.Header) (*http.Response, error) {
	if c.key == "" {
		return nil, ErrNoKey
	}
	if !ValidRequestID(id) {
		return nil, ErrInvalidID
	}
	if err := endpoint.check(); err != nil {
		return nil, err
	}
	return c.sendAnywhere(ctx, call{
		op: op, method: method, header: header, clean: c.clean,
		path: "/" + endpoint.AppRoot() + "/requests/" + id + suffix,
	})
}

// ended prefers the word of ctx over the error of a request that ctx ended.
func ended(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

func parseStatus(clean cleaner, op string, b []byte) (Status, error) {
	var wire struct {
		Status        string     `json:"status"`
		QueuePosition looseInt   `json:"queue_position"`
		Logs          []looseLog `json:"logs"`
		Metrics       struct {
			InferenceTime looseFloat `json:"inference_time"`
		} `json:"metrics"`
		Error     looseText `json:"error"`
		ErrorType looseText `json:"error_type"`
	}
	if err := json.Unmarshal(b, &wire); err != nil {
		return Status{}, &ResponseError{Op: op, StatusCode: http.StatusOK, Err: errors.New("not a status")}
	}
	if wire.Status == "" {
		return Status{}, &ResponseError{Op: op, StatusCode: http.StatusOK, Err: errors.New("no status in it")}
	}
	st := Status{
		State: State(clean.text(wire.Status)), QueuePosition: wire.QueuePosition.value,
		InferenceTime: time.Duration(float64(wire.Metrics.InferenceTime) * float64(time.Second)),
		Error:         clean.text(string(wire.Error)), ErrorType: clean.text(string(wire.ErrorType)),
	}
	for _, l := range wire.Logs {
		st.Logs = append(st.Logs, Log{Message: clean.line(l.Message), Timestamp: clean.text(l.Timestamp)})
	}
	return st, nil
}
