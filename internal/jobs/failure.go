package jobs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"nemotron-mcp/falclient"
)

// Error is a failure told to the one who must act on it.
type Error struct {
	Code       Code          `json:"code"`
	Message    string        `json:"message"`                           // what happened
	Action     string        `json:"action,omitempty"`                  // what to do next
	Retryable  bool          `json:"retryable,omitempty"`               // whether the same call may succeed later
	RetryAfter time.Duration `json:"retry_after_nanoseconds,omitempty"` // 0 where nobody said
	RequestID  string        `json:"request_id,omitempty"`

	free bool // fal bills nothing for the job that failed so
}

func (e *Error) Error() string { return fmt.Sprintf("%s: %s", e.Code, e.Message) }

// NoKey is the failure of every call that needs fal while no key is set.
func NoKey() *Error {
	return &Error{
		Code: AuthFailed, Message: "No usable fal key is configured, so nothing was sent.",
		Action: "Ask the operator to set FAL_KEY in this server's environment (the env block of the host's MCP " +
			"config), or --fal-key-file, and to restart the server. Keys: https://fal.ai/dashboard/keys",
	}
}

// submitFailure turns the error of a submission into the job's failure.
func submitFailure(err error) *Error {
	var unknown *falclient.SubmitUnknownError
	if errors.As(err, &unknown) {
		return submissionUnknown(unknown)
	}
	f := UpstreamFailure(err)
	var api *falclient.APIError
	switch {
	case errors.As(err, new(*falclient.ConnectError)):
		f.Message = "fal could not be reached; nothing was submitted or billed: " + err.Error()
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		f.Message = "fal could not be reached in time; nothing was submitted or billed."
	case errors.Is(err, falclient.ErrNotFound) && errors.As(err, &api):
		return refused(api) // it is the endpoint that fal does not know
	}
	return f
}

// unknownAction is what to do about a submission of which nobody knows whether
// fal took it.
const unknownAction = "It was not sent again. The operator can run 'nemotron-mcp jobs reconcile', which asks fal whether it took the job and brings it home, " +
	"or look at https://fal.ai/dashboard/requests for a job at this time. Calling again submits, and may pay for, a second job."

func submissionUnknown(e *falclient.SubmitUnknownError) *Error {
	f := &Error{
		Code: SubmitUnknown, RequestID: e.RequestID,
		Message: "The submission was sent, and nothing tells whether fal took it: fal may be running, and billing, it (" + e.Err.Error() + ").",
		Action:  unknownAction,
	}
	if e.RequestID != "" {
		f.Action = "It was not sent again. fal's answer named a request: ask queue_status for it before calling again, " +
			"which would submit, and may pay for, a second job."
	}
	return f
}

// UpstreamFailure turns an error of falclient's, but that of a submission, into
// words for the one who must act.
func UpstreamFailure(err error) *Error {
	var api *falclient.APIError
	switch {
	case errors.Is(err, falclient.ErrNoKey):
		return NoKey()
	case errors.Is(err, falclient.ErrInvalidID):
		return &Error{Code: JobNotFound, Message: "That is not a request_id of fal's.", Action: listAction}
	case errors.Is(err, falclient.ErrLocked):
		return &Error{
			Code: BalanceExhausted, Message: err.Error(),
			Action: "Do not retry: a person has to top up or unlock the account at https://fal.ai/dashboard/billing",
		}
	case errors.Is(err, falclient.ErrUnauthorized):
		return &Error{
			Code: AuthFailed, Message: err.Error(),
			Action: "Do not retry: the operator has to check FAL_KEY at https://fal.ai/dashboard/keys",
		}
	case errors.Is(err, falclient.ErrRateLimited):
		return rateLimited(err)
	case errors.Is(err, falclient.ErrNotFound):
		return &Error{Code: JobNotFound, Message: err.Error(), Action: listAction}
	case errors.Is(err, falclient.ErrNoPlatform):
		return &Error{
			Code: UpstreamUnavailable, Message: "fal's history can't be asked: no platform URL is known for this queue.",
			Action: "Set --platform-url (FAL_PLATFORM_URL).",
		}
	case errors.Is(err, falclient.ErrRedirected):
		return &Error{
			Code: UpstreamInvalid, Message: err.Error() + "; it was not followed.",
			Action: "The operator should check FAL_QUEUE_URL and any proxy on the way.",
		}
	case errors.As(err, &api) && api.StatusCode < 500:
		return refused(api)
	case errors.As(err, new(*falclient.ResponseError)), errors.Is(err, falclient.ErrTooLarge):
		return &Error{
			Code: UpstreamInvalid, Message: err.Error(), Retryable: true,
			Action: "Try again in a minute; if it stays, the operator should check any proxy on the way to fal.",
		}
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return &Error{Code: UpstreamUnavailable, Message: "fal did not answer in time.", Retryable: true, Action: laterAction}
	}
	return &Error{Code: UpstreamUnavailable, Message: err.Error(), Retryable: true, Action: laterAction}
}

const (
	listAction  = "Call queue_list to see the jobs that this server knows."
	laterAction = "Try again in a minute."
)

func rateLimited(err error) *Error {
	f := &Error{Code: RateLimited, Message: err.Error(), Retryable: true, Action: laterAction}
	var api *falclient.APIError
	if errors.As(err, &api) && api.RetryAfter > 0 {
		f.RetryAfter = api.RetryAfter
		f.Action = fmt.Sprintf("Try again in %s.", api.RetryAfter)
	}
	return f
}

func refused(api *falclient.APIError) *Error {
	if api.Type == contentPolicy {
		return contentBlocked(api)
	}
	if api.StatusCode == 400 || api.StatusCode == 413 || api.StatusCode == 422 {
		return &Error{Code: InvalidInput, Message: api.Error(), Action: "Change the arguments that fal names and call again."}
	}
	return &Error{Code: UpstreamInvalid, Message: api.Error(), Action: "The operator should check that this server is up to date."}
}

// contentPolicy is fal's error type for a prompt or an answer that its safety
// checker refused.
const contentPolicy = "content_policy_violation"

func contentBlocked(api *falclient.APIError) *Error {
	return &Error{
		Code: ContentBlocked, Message: api.Error(), RequestID: api.RequestID,
		Action: "fal's safety checker refused the content. Rephrase the prompt; the same one will be refused again.",
	}
}

// notBilled reports whether a job that failed so is known to cost nothing: fal
// bills no 5xx. A refusal by the model may have taken its time.
func notBilled(f *Error) bool { return f.free }

// overCallCap and those below are the refusals of the operator's caps.
func overCallCap(worst, most float64) *Error {
	return &Error{
		Code:    BudgetExceeded,
		Message: fmt.Sprintf("This call may cost up to $%.6f, and the cap for one call is $%.6f. Nothing was submitted.", worst, most),
		Action:  "Send less text or a smaller max_tokens, or ask the operator for a higher --max-cost-per-call.",
	}
}

func overDayCap(worst float64, over *OverCapError, now time.Time) *Error {
	return untilTomorrow(now, fmt.Sprintf("This call may cost up to $%.6f; $%.6f of the day's cap of $%.6f is left ($%.6f is spent or reserved by calls under way).",
		worst, max(over.CapUSD-over.SpentUSD, 0), over.CapUSD, over.SpentUSD), "--max-cost-per-day")
}

func overOwnCap(worst float64, over *OverCapError, now time.Time) *Error {
	return untilTomorrow(now, fmt.Sprintf("This call may cost up to $%.6f; $%.6f of your own cap for the day of $%.6f is left ($%.6f is spent or reserved by your calls under way).",
		worst, max(over.CapUSD-over.SpentUSD, 0), over.CapUSD, over.SpentUSD), "--max-cost-per-day")
}

// overTotalCap tells no sums: they would be what others have spent.
func overTotalCap(now time.Time) *Error {
	return untilTomorrow(now, "The server's cap for the day, which all callers share, is used up.", "--max-cost-per-day-total")
}

// untilTomorrow is the refusal of a cap that starts anew with the next UTC day.
func untilTomorrow(now time.Time, message, flag string) *Error {
	now = now.UTC()
	reset := time.Date(now.Year(), now.Month(), now.Day()+1, 0, 0, 0, 0, time.UTC)
	return &Error{
		Code: BudgetExceeded, Message: message + " Nothing was submitted.",
		Action: fmt.Sprintf("The cap starts anew at %s (in %s). Until then send less text or a smaller max_tokens, wait for calls under way to end, or ask the operator for a higher %s.",
			reset.Format(time.RFC3339), reset.Sub(now).Round(time.Minute), flag),
		RetryAfter: reset.Sub(now),
	}
}

// noPlace is the refusal of one more job in flight.
func noPlace(most int) *Error {
	return &Error{
		Code: RateLimited, Retryable: true, RetryAfter: placeTime,
		Message: fmt.Sprintf("You have as many unfinished jobs as a caller may have at once (%d). Nothing was submitted.", most),
		Action:  "Wait for one of your jobs to end (queue_list), then call again.",
	}
}

// placeTime is when a place may be free again: no one can tell, but most jobs
// end within it.
const placeTime = 10 * time.Second

// cancelledType is the error type of a request that was cancelled.
const cancelledType = "client_cancelled"

// outcomeFailure turns the error that a finished job's result was answered
// with into the job's failure.
func outcomeFailure(api *falclient.APIError) *Error {
	switch {
	case api.Type == contentPolicy:
		return contentBlocked(api)
	case api.StatusCode == 404:
		return goneFailure(api.RequestID)
	case api.StatusCode == 422 || api.StatusCode == 400:
		return &Error{
			Code: JobFailed, Message: api.Error(), RequestID: api.RequestID,
			Action: "The model refused the input. Change the arguments that it names and call again.",
		}
	}
	f := &Error{
		Code: JobFailed, Message: api.Error(), RequestID: api.RequestID, Retryable: true, free: true,
		Action: "fal does not bill a job that failed with a 5xx. Call nemotron_generate again.",
	}
	if api.StatusCode < 500 {
		f.free = false
		f.Action = "Call nemotron_generate again if the answer is still needed; that is a new, paid job."
	}
	return f
}

// unreadable is what keeps a finished job's result from being read.
func unreadable(api *falclient.APIError) *Error {
	f := UpstreamFailure(api)
	if f.Code == JobNotFound || f.Code == InvalidInput {
		f.Code = UpstreamInvalid // a proxy's words: fal knows the job
		f.Action = "The job goes on: call queue_status later. The operator should check any proxy on the way to fal."
	}
	return f
}

// goneFailure is the end of a job that fal no longer knows.
func goneFailure(requestID string) *Error {
	return &Error{
		Code: JobFailed, RequestID: requestID,
		Message: "fal no longer has this job or its result (it keeps one for an hour, 6 minutes where it is 10 KB or more).",
		Action:  "Call nemotron_generate again if the answer is still needed; that is a new, paid job.",
	}
}

func cancelled(message string) *Error {
	return &Error{
		Code: JobCancelled, Message: message,
		Action: "Call nemotron_generate again if the answer is still needed; that is a new, paid job.",
	}
}

// withoutPrompt cuts off a message where it begins to repeat the prompt, which
// belongs in no error and no log.
func withoutPrompt(message, preview string) string {
	const telling = 20 // bytes: shorter prompts are words that a message may hold by chance
	if len(preview) < telling {
		return message
	}
	before, _, found := strings.Cut(message, preview)
	if !found {
		return message
	}
	return before + "[the prompt]"
}
