package falclient

// NewTransport and the bounds are for the tests beside this file.
var NewTransport = newTransport

const (
	MaxBody       = maxBody
	MaxStatus     = maxStatus
	MaxErrorBody  = maxErrorBody
	AnswerTimeout = answerTimeout
	ResultTimeout = resultTimeout
	EventSilence  = eventSilence
	FirstEvent    = firstEvent
	DrainTime     = drainTime
	StallTimeout  = stallTimeout
)

// SetUploadSizes lowers the sizes at which uploads are cut into parts.
func (c *Client) SetUploadSizes(put, part int64) { c.putLimit, c.partSize = put, part }
