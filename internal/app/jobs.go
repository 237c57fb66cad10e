package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"nemotron-mcp/falclient"
	"nemotron-mcp/internal/jobs"
)

type jobsCommand struct {
	List      jobsListCommand      `cmd:"" help:"List jobs, newest first: a table on a terminal, else one JSON array of rows without their outputs."`
	Show      jobsShowCommand      `cmd:"" help:"Print all facts of a job, and its output."`
	Cancel    jobsCancelCommand    `cmd:"" help:"Ask fal to cancel a job, and say what came of it."`
	Watch     jobsWatchCommand     `cmd:"" help:"Show running jobs live on a terminal, else a line for each change; or one job until it ends."`
	Export    jobsExportCommand    `cmd:"" help:"Write all jobs to stdout, newest first, with their outputs."`
	Reconcile jobsReconcileCommand `cmd:"" help:"Ask fal's history whether it took the submissions whose answer was lost. Submits nothing."`
}

const (
	// maxListed is the most that jobs list prints; jobs export prints all.
	maxListed = 1000
	// promptWidth and hostWidth are what the table has room for, in characters.
	promptWidth = 48
	hostWidth   = 20
)

type jobsListCommand struct {
	State string `help:"${enum}." enum:"all,running,finished,unknown" default:"all"`
	Limit int    `help:"The most jobs to list, 1 to 1000." default:"50"`
	Since moment `help:"Only jobs of that last time (24h) or since a date (2006-01-02)." placeholder:"TIME"`
	JSON  bool   `name:"json" help:"Print JSON on a terminal too."`
}

// Run lists the rows of all callers.
func (c *jobsListCommand) Run(s *session) error {
	if c.Limit < 1 || c.Limit > maxListed {
		return &configError{fmt.Sprintf("--limit is %d", c.Limit), "Give 1 to 1000; 'nemotron-mcp jobs export' prints all."}
	}
	asTable := isTerminal(s.Out) && !c.JSON
	empty := func() error {
		if asTable {
			return nil
		}
		_, err := fmt.Fprintln(s.Out, "[]")
		return err
	}
	return s.onLedger(empty, func(h *house) error {
		q := jobs.Query{Everyone: true, Since: c.Since.at, Limit: c.Limit}
		if c.State != "all" {
			q.State = c.State
		}
		rows, next, _, err := h.jobs.List(s.ctx, q)
		if err != nil {
			return err
		}
		if !asTable {
			for i, job := range rows {
				rows[i] = shown(job)
			}
			if rows == nil {
				rows = []jobs.Job{}
			}
			return h.printJSON(s.Out, rows)
		}
		text := h.jobTable(rows)
		if next != "" {
			text = fmt.Appendf(text, "There are more than these %d: see --limit and --since.\n", len(rows))
		}
		return h.print(s.Out, text)
	})
}

// shown is a row as everybody is shown it: a submission under way is IN_QUEUE.
func shown(job jobs.Job) jobs.Job {
	if job.Status == jobs.Submitting {
		job.Status = jobs.InQueue
	}
	return job
}

func (h *house) jobTable(rows []jobs.Job) []byte {
	if len(rows) == 0 {
		return []byte("No jobs.\n")
	}
	// The prompt comes last: its characters may be of any width.
	cells := [][]string{{"CREATED", "STATUS", "REQUEST_ID", "HOST", "IN", "OUT", "COST", "PROMPT"}}
	for _, row := range rows {
		job := shown(row)
		in, out, cost := "-", "-", "-"
		if job.Usage != nil {
			in, out, cost = strconv.Itoa(job.Usage.InputTokens), strconv.Itoa(job.Usage.OutputTokens), dollars(job.CostUSD)
		}
		cells = append(cells, []string{
			local(job.Created), string(job.Status), h.cell(nameOf(job), 0), h.cell(job.Host, hostWidth), in, out, cost,
			h.cell(job.Preview, promptWidth),
		})
	}
	return table(cells)
}

// nameOf is what the commands know a job by: fal's id, or ours where fal has not
// named it.
func nameOf(job jobs.Job) string {
	if job.RequestID != "" {
		return job.RequestID
	}
	return job.ID
}

type jobsShowCommand struct {
	ID   string `arg:"" help:"The request_id, or the ledger's own id."`
	JSON bool   `name:"json" help:"Print the whole row as JSON."`
}

// Run prints one row.
func (c *jobsShowCommand) Run(s *session) error {
	return s.onLedger(noSuchJob, func(h *house) error {
		job, err := find(s.ctx, h, c.ID)
		if err != nil {
			return err
		}
		if c.JSON {
			return h.printJSON(s.Out, shown(job))
		}
		b := bytes.NewBuffer(table(h.facts(shown(job))))
		for _, line := range job.Logs {
			fmt.Fprintf(b, "log: %s %s\n", h.cell(line.Timestamp, 0), h.cell(line.Message, 0))
		}
		if job.Output != "" {
			fmt.Fprintf(b, "\n%s\n", job.Output)
		}
		return h.print(s.Out, b.Bytes())
	})
}

// noSuchJob is how a command on one job ends where there is no ledger.
func noSuchJob() error { return errReported }

func find(ctx context.Context, h *house, id string) (jobs.Job, error) {
	job, err := h.jobs.Find(ctx, id)
	var f *jobs.Error
	if errors.As(err, &f) && f.Code == jobs.JobNotFound {
		return job, errors.New("the ledger has no job with this id or request_id; 'nemotron-mcp jobs list' shows those it has")
	}
	return job, err
}

// facts are the lines about a job; those about nothing are left out.
func (h *house) facts(job jobs.Job) [][]string {
	var lines [][]string
	add := func(name, value string) {
		if value != "" {
			lines = append(lines, []string{name + ":", h.cell(value, 0)})
		}
	}
	at := func(name string, t time.Time) {
		if !t.IsZero() {
			add(name, t.Local().Format(time.RFC3339))
		}
	}
	add("status", string(job.Status))
	add("request_id", job.RequestID)
	add("id", job.ID)
	add("endpoint", job.Endpoint)
	add("host", job.Host)
	add("caller", job.Caller)
	at("created", job.Created)
	at("submitted", job.Submitted)
	at("started", job.Started)
	at("ended", job.Ended)
	if job.QueueTime() > 0 {
		add("queued", job.QueueTime().Round(time.Millisecond).String())
	}
	if job.InferenceTime > 0 {
		add("ran", job.InferenceTime.Round(time.Millisecond).String())
	}
	if job.QueuePosition != nil && job.Status == jobs.InQueue {
		add("queue position", strconv.Itoa(*job.QueuePosition))
	}
	add("prompt", job.Preview)
	add("input", strconv.Itoa(job.InputSize)+" bytes")
	for _, a := range job.Attachments {
		add(a.Field, strings.TrimSpace(fmt.Sprintf("%s %s", a.Path, attached(a))))
	}
	if job.Usage != nil {
		add("tokens", fmt.Sprintf("%d in, %d out", job.Usage.InputTokens, job.Usage.OutputTokens))
		add("cost", "about "+dollars(job.CostUSD))
	}
	add("counted", dollars(job.CountedUSD)+" against the day's cap")
	add("finish reason", job.FinishReason)
	add("delivered", strconv.FormatBool(job.Delivered))
	if job.CancelRequested {
		add("cancel", "requested")
	}
	if f := job.Failure; f != nil {
		add("failure", string(f.Code)+": "+f.Message)
		add("what to do", f.Action)
	}
	if job.OutputDropped {
		add("output", "not kept: it was delivered, and the ledger keeps metadata only")
	}
	return lines
}

// attached is what is known of a file beside its path.
func attached(a jobs.Attachment) string {
	if a.Size == 0 {
		return "(fetched by fal)"
	}
	facts := fmt.Sprintf("%d bytes, sha256 %s", a.Size, a.SHA256)
	if a.ContentType != "" {
		facts = a.ContentType + ", " + facts
	}
	return "(" + facts + ")"
}

type jobsCancelCommand struct {
	ID string `arg:"" help:"The request_id, or the ledger's own id."`
}

// Run asks fal to cancel a job. It fails where fal could not be asked, or does
// not know the job.
func (c *jobsCancelCommand) Run(s *session) error {
	return s.onLedger(noSuchJob, func(h *house) error {
		job, err := find(s.ctx, h, c.ID)
		if err != nil {
			return err
		}
		var outcome falclient.CancelOutcome
		switch {
		case job.Status.Finished() && job.Status != jobs.Unknown:
		case job.RequestID == "" && job.Status == jobs.Unknown:
			return errors.New("nobody knows whether fal took this job, so there is no request to cancel; 'nemotron-mcp jobs reconcile' asks fal for it")
		case job.RequestID == "":
			return errors.New("fal has not named this job yet: its submission is under way; try again in a moment")
		default:
			job, outcome, err = h.jobs.Cancel(s.ctx, job.Caller, job.RequestID)
			h.jobs.Settle(job, jobs.NotTold)
			if err != nil && outcome == "" {
				return err
			}
		}
		words, done := cancelWords(job, outcome)
		if !done {
			return errors.New(words)
		}
		return h.print(s.Out, []byte(words+"\n"))
	})
}

// cancelWords tells the outcome truly. done is false where the job has neither
// ended nor been asked to.
func cancelWords(job jobs.Job, outcome falclient.CancelOutcome) (words string, done bool) {
	show := "'nemotron-mcp jobs show " + job.RequestID + "'"
	follow := "'nemotron-mcp call queue_status request_id=" + job.RequestID + " wait_seconds=60'"
	switch {
	case outcome == falclient.CancelledInQueue:
		return "Cancelled while it was queued; not billed.", true
	case job.Status == jobs.Cancelled && outcome == falclient.CancelRequested:
		return "Cancelled while it was running; what it had used may be billed.", true
	case job.Status == jobs.Cancelled:
		return "It had been cancelled before.", true
	case job.Status == jobs.Unknown, outcome == falclient.CancelRequestUnknown && !job.Status.Finished():
		return "fal does not know this request, so there was nothing to cancel; " + follow + " asks for it once more", false
	case job.Status.Finished() && outcome == falclient.CancelRequested:
		return fmt.Sprintf("Cancellation was requested while it was running, but it ended as %s all the same; it may be billed. See %s.", job.Status, show), true
	case job.Status.Finished():
		return fmt.Sprintf("It had already ended as %s; nothing changed. See %s.", job.Status, show), true
	case outcome == falclient.CancelTooLate:
		return "It had already ended at fal, and its result is still to be read: " + follow + " does.", true
	}
	return "Cancellation was requested while it was running; it may still complete and be billed: " + follow + " tells how it ends.", true
}

type jobsReconcileCommand struct {
	Since moment `help:"Jobs of that last time (24h) or since a date (2006-01-02)." default:"24h" placeholder:"TIME"`
	JSON  bool   `name:"json" help:"Print one JSON array of findings."`
}

// Run asks fal's history for each UNKNOWN job.
func (c *jobsReconcileCommand) Run(s *session) error {
	empty := func() error {
		if !c.JSON {
			return nil
		}
		_, err := fmt.Fprintln(s.Out, "[]")
		return err
	}
	return s.onLedger(empty, func(h *house) error {
		history := &platform{fal: h.fal}
		found, err := h.jobs.Reconcile(s.ctx, history, c.Since.at)
		if history.missing {
			err = &configError{"the platform API, which has fal's history, is not known for this queue", "Set FAL_PLATFORM_URL (--platform-url)."}
		}
		return errors.Join(c.print(s, h, found, err == nil), err)
	})
}

func (c *jobsReconcileCommand) print(s *session, h *house, found []jobs.Reconciled, all bool) error {
	if c.JSON {
		for i := range found {
			found[i].Job = shown(found[i].Job)
		}
		if found == nil {
			found = []jobs.Reconciled{}
		}
		return h.printJSON(s.Out, found)
	}
	var b bytes.Buffer
	if len(found) == 0 && all {
		b.WriteString("No job of this time is UNKNOWN.\n")
	}
	for _, r := range found {
		fmt.Fprintf(&b, "%s  %s\n  %s\n", local(r.Job.Created), h.cell(r.Job.Preview, promptWidth), h.cell(findingWords(r), 0))
	}
	return h.print(s.Out, b.Bytes())
}

// findingWords says what was found and what to do next.
func findingWords(r jobs.Reconciled) string {
	switch {
	case r.Finding == jobs.FoundTaken && !r.Job.Status.Finished():
		return fmt.Sprintf("fal took it: request_id %s, still %s. 'nemotron-mcp call queue_status request_id=%s wait_seconds=600' waits for its answer.",
			r.Job.RequestID, shown(r.Job).Status, r.Job.RequestID)
	case r.Finding == jobs.FoundTaken:
		return fmt.Sprintf("fal took it: request_id %s, %s, cost about %s. See 'nemotron-mcp jobs show %s'.",
			r.Job.RequestID, r.Job.Status, dollars(r.Job.CostUSD), r.Job.RequestID)
	case r.Finding == jobs.FoundUnclear && len(r.Candidates) > 0:
		return fmt.Sprintf("Unclear: fal keeps no inputs, and it may be any of these requests of that time: %s. "+
			"'nemotron-mcp call queue_status request_id=…' shows each; nothing was submitted again.", strings.Join(r.Candidates, ", "))
	case r.Finding == jobs.FoundUnclear:
		return "Unclear: fal's history of that time was too long to be read whole. https://fal.ai/dashboard/requests has it; nothing was submitted again."
	}
	return "fal's history has no such request; it can appear late - try again in some minutes; nothing was submitted again."
}

// platform is fal's history; it notes where none is configured.
type platform struct {
	fal     *falclient.Client
	missing bool
}

// Requests implements jobs.History.
func (p *platform) Requests(ctx context.Context, q falclient.HistoryQuery) ([]falclient.PastRequest, error) {
	past, err := p.fal.Requests(ctx, q)
	p.missing = p.missing || errors.Is(err, falclient.ErrNoPlatform)
	return past, err
}
