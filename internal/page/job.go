package page

import (
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"nemotron-mcp/falclient"
	"nemotron-mcp/internal/jobs"
	"nemotron-mcp/tools"
)

const (
	maxLogs       = 100
	maxLogMessage = 1 << 10 // bytes
	maxPieces     = 16      // of 64 KiB, in one answer
)

// details is the answer of /api/jobs/{id}.
type details struct {
	row
	InputBytes   int               `json:"input_bytes"`
	Attachments  []jobs.Attachment `json:"attachments,omitempty"`
	FinishReason string            `json:"finish_reason,omitempty"`
	// Delivered says that a host has been told of the job's end, and NotKept that
	// the output is gone since then.
	Delivered bool            `json:"delivered"`
	NotKept   bool            `json:"not_kept,omitempty"`
	Reasoning *part           `json:"reasoning,omitempty"`
	Output    part            `json:"output"`
	Logs      []falclient.Log `json:"logs,omitempty"` // the last of them
}

// part is a piece of a text.
type part struct {
	Text       string `json:"text"`
	Bytes      int    `json:"bytes"`                 // of the whole text
	NextOffset int    `json:"next_offset,omitempty"` // where the rest begins
}

func newPart(text string, offset int) part {
	p := part{Bytes: len(text)}
	p.Text, p.NextOffset = jobs.Page(text, offset)
	return p
}

// newParts is that many parts in one.
func newParts(text string, offset, n int) part {
	p := newPart(text, offset)
	var b strings.Builder
	b.WriteString(p.Text)
	for ; n > 1 && p.NextOffset > 0; n-- {
		var more string
		more, p.NextOffset = jobs.Page(text, p.NextOffset)
		b.WriteString(more)
	}
	p.Text = b.String()
	return p
}

// look reads a job of the caller's. Its output is masked before it is cut, so
// that no piece ends inside a secret.
func (h *Handler) look(r *http.Request, id string) (jobs.Job, error) {
	job, err := h.Jobs.Look(r.Context(), callerOf(r), id)
	job.Output = h.Secrets.String(job.Output)
	return job, err
}

// job serves GET /api/jobs/{id}, and with ?part=output&offset=&pieces= further
// pieces of its answer alone.
func (h *Handler) job(r *http.Request, id string) (any, error) {
	asked := r.URL.Query()
	which := asked.Get("part")
	if which != "" && which != "output" {
		return nil, invalid("part must be output.")
	}
	offset, err := number(asked.Get("offset"), "offset", 0, 0, math.MaxInt32)
	if err != nil {
		return nil, err
	}
	pieces, err := number(asked.Get("pieces"), "pieces", 1, 1, maxPieces)
	if err != nil {
		return nil, err
	}
	job, err := h.look(r, id)
	if err != nil {
		return nil, err
	}
	reasoning := ""
	if job.Thinking {
		reasoning, job.Output = tools.SplitReasoning(job.Output)
	}
	if which == "output" {
		return newParts(job.Output, offset, pieces), nil
	}
	d := details{
		row: newRow(job), InputBytes: job.InputSize, Attachments: job.Attachments, FinishReason: job.FinishReason,
		Delivered: job.Delivered, NotKept: job.OutputDropped, Output: newPart(job.Output, offset),
	}
	if reasoning != "" {
		first := newPart(reasoning, 0)
		d.Reasoning = &first
	}
	for _, line := range job.Logs[max(0, len(job.Logs)-maxLogs):] {
		line.Message = h.Secrets.String(line.Message)
		if len(line.Message) > maxLogMessage {
			line.Message = strings.ToValidUTF8(line.Message[:maxLogMessage], "") + "…"
		}
		d.Logs = append(d.Logs, line)
	}
	return d, nil
}

// sendSize is how much of an answer is written at once: a transport may bound how
// long one write takes.
const sendSize = 64 << 10

// serveOutput serves GET /api/jobs/{id}/output: all that the model has written, to
// be kept in a file and not to be shown by a browser.
func (h *Handler) serveOutput(w http.ResponseWriter, r *http.Request, id string) {
	end, refused := h.sending.begin(callerOf(r))
	if refused != nil {
		h.fail(w, refused)
		return
	}
	defer end()
	leave, err := h.read(r.Context())
	if err != nil {
		return // the client is gone
	}
	job, err := h.look(r, id)
	leave()
	if err != nil {
		h.fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Content-Disposition", `attachment; filename="answer-`+job.ID+`.txt"`)
	w.Header().Set("Content-Length", strconv.Itoa(len(job.Output)))
	until := time.Now().Add(sendTime)
	for text := job.Output; text != ""; {
		n := min(len(text), sendSize)
		if _, err := io.WriteString(w, text[:n]); err != nil || time.Now().After(until) {
			panic(http.ErrAbortHandler) // not to be taken for the whole
		}
		text = text[n:]
	}
}
