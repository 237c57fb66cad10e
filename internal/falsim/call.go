package falsim

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"time"
)

// bodyTime bounds how long a request's body may take to arrive.
const bodyTime = 10 * time.Minute

// call is one request on its way.
type call struct {
	target
	w http.ResponseWriter
	r *http.Request

	// Of a submission only.
	body   []byte
	input  input
	prompt string
	plan   *plan // from the script header
}

// answer is a whole response.
type answer struct {
	status    int
	header    map[string]string
	body      []byte
	requestID string
}

func jsonText(status int, body string) answer { return answer{status: status, body: []byte(body)} }

func jsonAnswer(status int, v any) answer {
	b, err := json.Marshal(v)
	if err != nil {
		return detail(500, "simulator: "+err.Error())
	}
	return answer{status: status, body: b}
}

func detail(status int, msg string) answer {
	return jsonAnswer(status, map[string]string{"detail": msg})
}

// public tells the steps that need no key.
func (c *call) public() bool {
	switch c.step {
	case StepPut, StepPart, StepComplete, StepFile:
		return true
	}
	return false
}

// base gives the URL that this request came to, without its path.
func (c *call) base() string {
	if c.r.TLS != nil {
		return "https://" + c.r.Host
	}
	return "http://" + c.r.Host
}

func (c *call) head(a answer, length int) {
	h := c.w.Header()
	// fal's JS client parses whatever is called JSON, so an empty answer must
	// not be.
	if length > 0 {
		h.Set("Content-Type", "application/json")
	} else {
		h["Content-Type"] = nil
	}
	if a.requestID != "" {
		h.Set("X-Fal-Request-Id", a.requestID)
	}
	for k, v := range a.header {
		h.Set(k, v)
	}
	h.Set("Content-Length", strconv.Itoa(length))
	c.w.WriteHeader(a.status)
}

func (c *call) write(a answer) {
	c.head(a, len(a.body))
	if c.r.Method != http.MethodHead {
		_, _ = c.w.Write(a.body)
	}
}

func (c *call) flush() { _ = http.NewResponseController(c.w).Flush() }

// limit bounds the body's size and time; the returned function lifts the
// deadline, which would otherwise end the request.
func (c *call) limit(n int64) (io.Reader, func()) {
	rc := http.NewResponseController(c.w)
	if rc.SetReadDeadline(time.Now().Add(bodyTime)) != nil {
		return http.MaxBytesReader(c.w, c.r.Body, n), func() {}
	}
	return http.MaxBytesReader(c.w, c.r.Body, n), func() { _ = rc.SetReadDeadline(time.Time{}) }
}

func (c *call) readAll(n int64) ([]byte, error) {
	if c.r.Body == nil || c.r.Body == http.NoBody {
		return nil, nil
	}
	body, lift := c.limit(n)
	defer lift()
	if size := c.r.ContentLength; size > 0 && size <= n {
		b := make([]byte, size)
		_, err := io.ReadFull(body, b)
		return b, err
	}
	return io.ReadAll(body)
}

// drain reads what is left of the body, so that the connection can tell when
// the client leaves, and a close is not turned into a reset.
func (c *call) drain(n int64) {
	if c.r.Body == nil || c.r.Body == http.NoBody {
		return
	}
	body, lift := c.limit(n)
	defer lift()
	_, _ = io.Copy(io.Discard, body)
}
