package app

import (
	"fmt"
	"strings"

	"github.com/mark3labs/mcp-go/mcp"

	"nemotron-mcp/internal/jobs"
	"nemotron-mcp/tools"
)

func unfinished(job tools.Job) bool {
	return job.Status == string(jobs.InQueue) || job.Status == string(jobs.InProgress)
}

// report prints a job: the answer to stdout and the rest to stderr.
func (c *shellCall) report(job tools.JobStatus) error {
	if unfinished(job.Job) {
		job.Note = "Not finished. " + followCommand(job.RequestID) + " waits for its answer; it is not to be submitted again."
	}
	if err := c.answer(job); err != nil {
		return fmt.Errorf("the result could not be written: %w%s", err, c.elsewhere(job.RequestID))
	}
	c.printed = true
	if !c.JSON || unfinished(job.Job) {
		c.remark(job.Remarks())
	}
	switch {
	case unfinished(job.Job):
		return errUnfinished
	case job.Status == string(jobs.Completed), c.Tool == cancelTool && job.Status == string(jobs.Cancelled):
		return nil
	}
	return errReported
}

func (c *shellCall) answer(job tools.JobStatus) error {
	if c.JSON {
		return c.printJSON(c.Out, job)
	}
	if job.Output == "" {
		return nil
	}
	return c.print(c.Out, []byte(withNewline(job.Output)))
}

// elsewhere says where an answer is that could not be printed; nothing where it
// is nowhere.
func (c *shellCall) elsewhere(requestID string) string {
	if requestID == "" || c.opts.Store == storeMemory {
		return ""
	}
	return "\n'nemotron-mcp call queue_status request_id=" + requestID + "' prints it."
}

// fail prints the error result of a tool.
func (c *shellCall) fail(res *mcp.CallToolResult) error {
	c.printed = true
	if c.JSON {
		failure := map[string]any{"text": texts(res)}
		if res.Meta != nil {
			failure["error"] = res.Meta.AdditionalFields["nemotron/error"]
		}
		if err := c.printJSON(c.Out, failure); err != nil {
			return err
		}
		return errReported
	}
	c.remark(texts(res))
	return errReported
}

// finishOther prints what a tool returned that is no job.
func (c *shellCall) finishOther(res *mcp.CallToolResult) error {
	c.line.close()
	if c.ctx.Err() != nil && res.IsError {
		c.remark("Interrupted.\n" + texts(res))
		return errInterrupted
	}
	if res.IsError {
		return c.fail(res)
	}
	c.printed = true
	if c.JSON {
		return c.printJSON(c.Out, res.StructuredContent)
	}
	answer, facts := texts(res), ""
	if c.Tool == uploadTool { // the URL alone is what a script wants
		answer, facts, _ = strings.Cut(answer, "\n")
	}
	if err := c.print(c.Out, []byte(withNewline(answer))); err != nil {
		return err
	}
	c.remark(facts)
	return nil
}

// remark writes to stderr what is not the answer.
func (c *shellCall) remark(text string) {
	if text = strings.TrimSpace(text); text != "" {
		_ = c.print(c.Err, []byte(text+"\n")) // there is no other place to tell
	}
}

func withNewline(text string) string {
	if strings.HasSuffix(text, "\n") {
		return text
	}
	return text + "\n"
}
