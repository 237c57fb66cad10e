package falclient

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// SubmitOptions are fal's switches for one submission. The zero value sends
// none of them.
type SubmitOptions struct {
	// WebhookURL is called by fal when the job has ended.
	WebhookURL string
	// Priority is "normal" or "low"; fal ignores other words.
	Priority string
	// StartTimeout is how long the job may wait before it starts; fal wants
	// more than a second.
	StartTimeout time.Duration
	// StoreIO turns fal's own storage of input and output on or off; nil leaves
	// it to the account's setting.
	StoreIO *bool
	// MaxWait is how long after the first try the last one may begin: tries follow
	// a refusal with 429 and connections that could not be made. 0 or less means
	// one try.
	MaxWait time.Duration
}

// Submission is a job that fal has taken.
type Submission struct {
	RequestID     string
	QueuePosition *int // jobs ahead, where fal told
}

// Submit posts a job to its full endpoint id, once. It is posted again only
// where it provably never reached fal (also to the backup host) or where fal
// refused it with 429 and asked for a wait that MaxWait allows.
//
// It returns *SubmitUnknownError where the submission was sent and nobody can
// know whether fal took it, *ConnectError where it was never sent, *APIError
// where fal refused it, ErrNoKey, ctx's error where ctx ended before it was sent,
// and an error of no type for an input that is no JSON or a wrong endpoint.
//
// Ending ctx stops a submission that has not been sent. One that has is
// brought to its end, 30 s at most, because only its answer names the job that
// has then to be cancelled.
func (c *Client) Submit(ctx context.Context, endpoint Endpoint, input any, opts SubmitOptions) (Submission, error) {
	if c.key == "" {
		return Submission{}, ErrNoKey
	}
	if err := endpoint.check(); err != nil {
		return Submission{}, err
	}
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(input); err != nil {
		return Submission{}, fmt.Errorf("fal submit: encoding the input: %w", err)
	}
	r := call{
		op: "submit", method: http.MethodPost, path: "/" + endpoint.String(),
		header: opts.header(c), body: body.Bytes(), clean: c.clean,
	}
	if opts.WebhookURL != "" {
		r.clean = newCleaner(c.key, opts.WebhookURL)
		r.path += "?" + url.Values{"fal_webhook": {opts.WebhookURL}}.Encode()
	}
	var sub Submission
	err := c.repeat(ctx, "submit", max(opts.MaxWait, 0), submitVerdict, func() (err error) {
		sub, err = c.submitAnywhere(ctx, endpoint, r)
		return err
	})
	return sub, err
}

func (o SubmitOptions) header(c *Client) http.Header {
	if o.Priority == "" && o.StartTimeout <= 0 && o.StoreIO == nil {
		return c.posting
	}
	h := c.posting.Clone()
	if o.Priority != "" {
		h.Set("X-Fal-Queue-Priority", o.Priority)
	}
	if o.StartTimeout > 0 {
		seconds := strconv.FormatFloat(o.StartTimeout.Seconds(), 'f', -1, 64)
		h.Set("X-Fal-Request-Start-Timeout", seconds)
		// The deprecated name is what fal's shipped clients still send; where
		// both are present the new one wins.
		h.Set("X-Fal-Request-Timeout", seconds)
	}
	if o.StoreIO != nil {
		h.Set("X-Fal-Store-IO", map[bool]string{true: "1", false: "0"}[*o.StoreIO])
	}
	return h
}

func (c *Client) submitAnywhere(ctx context.Context, endpoint Endpoint, r call) (Submission, error) {
	sub, err := c.submitTo(ctx, c.hosts[0], endpoint, r)
	if err == nil || len(c.hosts) < 2 || !errors.As(err, new(*ConnectError)) || ctx.Err() != nil {
		return sub, err
	}
	sub, second := c.submitTo(ctx, c.hosts[1], endpoint, r)
	if errors.As(second, new(*ConnectError)) {
		return sub, err
	}
	return sub, second
}

// submitTo makes the one POST and judges its answer.
func (c *Client) submitTo(ctx context.Context, host *url.URL, endpoint Endpoint, r call) (Submission, error) {
	unknown := func(id string, err error) (Submission, error) {
		return Submission{}, &SubmitUnknownError{Endpoint: endpoint.String(), RequestID: id, Err: err}
	}
	if ctx.Err() != nil {
		return Submission{}, ctx.Err()
	}
	var t transit
	sending, release := untilSent(ctx, &t)
	defer release()
	resp, err := c.send(sending, host, r, &t)
	switch {
	case err == nil:
	case t.isAbandoned():
		return Submission{}, ctx.Err()
	case errors.As(err, new(*ConnectError)):
		return Submission{}, err
	default:
		return unknown("", err)
	}
	hint := r.clean.id(resp.Header.Get("X-Fal-Request-Id"))
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		refusal := apiError(r.clean, r.op, "", resp)
		if !refusesOutright(refusal) {
			return unknown(hint, refusal)
		}
		return Submission{}, refusal
	}
	b, err := readBody(r.clean, resp, maxErrorBody)
	if err != nil {
		return unknown(hint, fmt.Errorf("reading the answer: %w", err))
	}
	var answer struct {
		RequestID     string   `json:"request_id"`
		QueuePosition looseInt `json:"queue_position"`
	}
	if err := json.Unmarshal(b, &answer); err != nil {
		return unknown(hint, errors.New("the answer is not fal's JSON"))
	}
	if !ValidRequestID(answer.RequestID) {
		return unknown(hint, errors.New("the answer holds no request_id"))
	}
	return Submission{RequestID: answer.RequestID, QueuePosition: answer.QueuePosition.value}, nil
}

// refusesOutright reports whether a refusal proves that fal has not taken the
// job. A 4xx does, and so does a redirect that asks for the same POST elsewhere;
// 302 and 303 can stand for a POST that was acted on. 408, 460 and 499 tell of a
// request that broke off, 502 and 504 come from something in front of fal that
// can't know; 500 and 503 count only with an error type of fal's, since a proxy's
// page knows as little, and a bare "Internal Server Error" may have come after
// the job was taken.
func refusesOutright(e *APIError) bool {
	switch e.StatusCode {
	case http.StatusMovedPermanently, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	case http.StatusRequestTimeout, 460, 499:
		return false
	case http.StatusInternalServerError, http.StatusServiceUnavailable:
		return e.Structured && e.Type != ""
	}
	return e.StatusCode >= 400 && e.StatusCode < 500
}

// untilSent derives the context of one POST: it ends with ctx only as long as
// the body has not begun to leave, and answerTimeout after its start in any case.
func untilSent(ctx context.Context, t *transit) (sending context.Context, release func()) {
	sending, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerTimeout)
	stop := context.AfterFunc(ctx, func() {
		if t.abandon() {
			cancel()
		}
	})
	return sending, func() { stop(); cancel() }
}
