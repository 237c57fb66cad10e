package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mark3labs/mcp-go/mcp"

	"nemotron-mcp/falclient"
	"nemotron-mcp/internal/jobs"
	"nemotron-mcp/tools"
)

const (
	// cancelTime is what a cancel has to be answered after a signal, within endTime.
	cancelTime = 4 * time.Second
	// answerPause is how often the ledger is looked at while fal is still to answer
	// a submission.
	answerPause = 50 * time.Millisecond
)

// interrupted ends a call after a signal. A job that the call has submitted, or
// attached to, is cancelled; one that it only asked for goes on. requestID is that
// of the job in the tool's result, and res the error result that the signal has led
// to, where there are such.
func (c *shellCall) interrupted(requestID string, res *mcp.CallToolResult) error {
	job := c.line.lastJob()
	if job.ID == "" && requestID != "" { // it had ended when it was first looked at
		job.ID, job.RequestID = requestID, requestID
	}
	switch {
	case c.Tool != generateTool && job.RequestID != "":
		c.line.close()
		c.remark("Interrupted. The job was left alone: " + followCommand(job.RequestID) + " waits for its answer.")
	case c.Tool != generateTool || job.ID == "":
		c.line.close()
		text := ""
		if res != nil {
			text = "\n" + texts(res)
		}
		c.remark("Interrupted." + text)
	default:
		c.cancelJob(job)
	}
	return errInterrupted
}

// cancelJob cancels the call's job and says what came of it.
func (c *shellCall) cancelJob(job jobs.Job) {
	c.line.say("cancelling at fal; Ctrl-C ends at once")
	ctx, done := context.WithTimeout(context.Background(), cancelTime)
	defer done()
	job = c.answered(ctx, job)
	var outcome falclient.CancelOutcome
	var err error
	if job.RequestID != "" {
		var asked jobs.Job
		asked, outcome, err = c.jobs.Cancel(ctx, job.Caller, job.RequestID)
		defer c.jobs.Settle(asked, jobs.NotTold)
		if outcome == falclient.CancelTooLate && !asked.Status.Finished() { // its result is being read
			asked, _ = c.jobs.Status(ctx, job.Caller, job.RequestID, cancelTime, nil)
			defer c.jobs.Settle(asked, jobs.NotTold)
		}
		if asked.ID != "" {
			job = asked
		}
	}
	c.line.close()
	if job.Status == jobs.Completed && c.opts.Store == storeMemory {
		// Nobody can read it later.
		if c.answer(asAnswer(job)) == nil {
			c.remark(fmt.Sprintf("Interrupted, but the job had completed: about %s.", dollars(job.CostUSD)))
		}
		return
	}
	text := "Interrupted. " + outcomeWords(job, outcome, err)
	if job.RequestID != "" {
		text += "\n[" + string(shown(job).Status) + "; request_id " + job.RequestID + "]"
	}
	c.remark(text)
}

// answered waits until fal has answered the job's submission, or it is known that
// it was not sent.
func (c *shellCall) answered(ctx context.Context, job jobs.Job) jobs.Job {
	look := time.NewTicker(answerPause)
	defer look.Stop()
	for {
		if row, err := c.jobs.Find(ctx, job.ID); err == nil {
			job = row
		}
		if job.RequestID != "" || job.Status.Finished() {
			return job
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return job
		}
	}
}

// outcomeWords says what became of a job that was to be cancelled, and what it
// may cost.
func outcomeWords(job jobs.Job, outcome falclient.CancelOutcome, err error) string {
	var failure *jobs.Error
	switch {
	case job.Status == jobs.Completed:
		return fmt.Sprintf("The job had completed before it could be cancelled: about %s. 'nemotron-mcp jobs show %s' prints its answer.", dollars(job.CostUSD), job.RequestID)
	case job.Status.Finished() && job.Failure != nil:
		words := job.Failure.Message
		if job.Status == jobs.Unknown {
			words += "\n" + job.Failure.Action
		}
		return words + counted(job)
	case job.Status.Finished():
		return "The job has ended as " + string(job.Status) + "." + counted(job)
	case job.RequestID == "":
		return "fal is still to answer the submission, and is asked to cancel the job if that comes in time; otherwise it may run, and be billed." + counted(job) +
			" 'nemotron-mcp jobs reconcile' finds what became of it."
	case errors.As(err, &failure) && outcome == "":
		return "The cancel was not accepted, so the job goes on and is billed: " + failure.Error() + "." + counted(job) + " 'nemotron-mcp jobs cancel " + job.RequestID + "' tries again."
	case outcome == falclient.CancelRequestUnknown:
		return "fal does not know this request yet, so it may still run and be billed." + counted(job) + " " + followCommand(job.RequestID) + " tells how it ends."
	case outcome == falclient.CancelTooLate:
		return "The job had ended before it could be cancelled." + counted(job) + " " + followCommand(job.RequestID) + " reads its answer."
	}
	return "fal was asked to cancel the job while it was running; it may still complete and be billed." + counted(job) + " " + followCommand(job.RequestID) + " tells how it ends."
}

// counted is what a job counts against the day's cap, where it counts anything.
func counted(job jobs.Job) string {
	if job.CountedUSD == 0 {
		return ""
	}
	return fmt.Sprintf(" Until its cost is known it counts as %s, the most that it can cost.", dollars(job.CountedUSD))
}

// asAnswer is a completed job as the tools show it, in one page.
func asAnswer(job jobs.Job) tools.JobStatus {
	shown := tools.JobStatus{Job: tools.Job{
		Status: string(job.Status), RequestID: job.RequestID, Output: job.Output,
		FinishReason: job.FinishReason, CostUSD: &job.CostUSD,
	}}
	if job.Thinking {
		_, shown.Output = tools.SplitReasoning(job.Output)
	}
	if job.Usage != nil {
		shown.Usage = &tools.Usage{InputTokens: job.Usage.InputTokens, OutputTokens: job.Usage.OutputTokens}
	}
	return shown
}
