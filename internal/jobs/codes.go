package jobs

// Code is what went wrong, in a word that an agent can act on.
type Code string

// The codes of job and tool errors.
const (
	InvalidInput        Code = "INVALID_INPUT"
	FileNotAllowed      Code = "FILE_NOT_ALLOWED"
	FileInvalid         Code = "FILE_INVALID"
	AuthFailed          Code = "AUTH_FAILED"
	BalanceExhausted    Code = "BALANCE_EXHAUSTED"
	BudgetExceeded      Code = "BUDGET_EXCEEDED"
	RateLimited         Code = "RATE_LIMITED"
	ContentBlocked      Code = "CONTENT_BLOCKED"
	JobNotFound         Code = "JOB_NOT_FOUND"
	JobFailed           Code = "JOB_FAILED"
	JobCancelled        Code = "JOB_CANCELLED"
	SubmitUnknown       Code = "SUBMIT_UNKNOWN"
	UpstreamUnavailable Code = "UPSTREAM_UNAVAILABLE"
	UpstreamInvalid     Code = "UPSTREAM_INVALID"
	Internal            Code = "INTERNAL"
)

// Meaning explains a code to people who read the documentation.
type Meaning struct {
	Code           Code
	Happened, ToDo string
}

// Codes lists all codes with what they mean, in the order in which they are
// documented.
func Codes() []Meaning {
	return []Meaning{
		{InvalidInput, "The arguments do not fit the schema, or contradict each other. All faults are listed.", "Correct them and call again. Nothing was sent or spent."},
		{FileNotAllowed, "A path lies in no allowed folder, is named like a secret, or a URL leads to a private address.", "Name another file, or ask the operator for `--allow-dir`."},
		{FileInvalid, "A file can't be read, is empty or too large, changed while it was read, or is of a kind the model does not take.", "Mend or convert the file. Nothing was spent."},
		{AuthFailed, "No usable key is set, or fal refuses it.", "The operator checks `FAL_KEY`; `nemotron-mcp doctor` tells more."},
		{BalanceExhausted, "fal has locked the account, mostly because its balance is used up.", "A person tops up at <https://fal.ai/dashboard/billing>. Do not retry."},
		{BudgetExceeded, "The call may cost more than a cap of the operator's leaves.", "Ask for less, wait for the next UTC day, or have the cap raised. Nothing was sent."},
		{RateLimited, "fal or the operator's limit refuses more calls for now.", "Try again after the time that it names. Nothing was spent."},
		{ContentBlocked, "fal's safety checker refused the content.", "Change the content. The same call fails again."},
		{JobNotFound, "Neither the ledger nor fal knows this request_id, or the job is another caller's.", "Call `queue_list` for the ids that there are."},
		{JobFailed, "The job ran and failed at fal. The message is fal's.", "As the message says; `retryable` tells whether the same call may succeed."},
		{JobCancelled, "The job was cancelled before it had an answer.", "Call again if it is still wanted."},
		{SubmitUnknown, "The submission was sent, and nothing tells whether fal took it. It is never sent again by itself.", "Check `queue_list`; the operator can run `nemotron-mcp jobs reconcile`. Calling again may pay twice."},
		{UpstreamUnavailable, "fal could not be reached, or did not answer.", "Try again later. What was submitted is in the ledger."},
		{UpstreamInvalid, "What answered did not speak fal's API.", "Try again in a minute; the operator checks proxies and `FAL_QUEUE_URL`."},
		{Internal, "The server itself failed.", "The operator finds the details in its log."},
	}
}
