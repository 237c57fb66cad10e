package jobs

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"nemotron-mcp/internal/falsim"
)

// TestAnyCourse drives a manager through random calls, ends and troubles. Then
// the trouble ends, and every job must have come to the end that fal has.
func TestAnyCourse(t *testing.T) {
	bubble(t, func(t *testing.T) {
		// Several times, since rapid gives itself a day, which passes quickly
		// here. Wrapped, since it asks a *testing.T for its deadline, which has
		// none in a bubble.
		for range 3 {
			rapid.Check(struct{ rapid.TB }{t}, func(rt *rapid.T) { anyCourse(t, rt) })
		}
	})
}

func anyCourse(t *testing.T, rt *rapid.T) {
	c := &course{r: openRig(t.Context(), rt, falsim.Script{}, setup{}), ends: map[string]Job{}}
	defer c.r.close()
	c.script(rt)
	rt.Repeat(map[string]func(*rapid.T){
		"call": c.call, "host cancels": c.hostCancels, "settle": c.settle, "time": c.time,
		"status": c.status, "cancel": c.cancel, "script": c.script, "": c.check,
	})
	c.finish(rt)
}

// course is what has happened so far.
type course struct {
	r       *rig
	calls   []*pending // not settled
	started int
	ends    map[string]Job // rows that have ended, by ID
}

func (c *course) call(t *rapid.T) {
	wait := rapid.SampledFrom([]time.Duration{0, time.Second, 20 * time.Second}).Draw(t, "wait")
	c.calls = append(c.calls, c.r.start(prompt(rapid.SampledFrom([]string{"a", "b"}).Draw(t, "prompt"), wait)))
	c.started++
}

func (c *course) pick(t *rapid.T) *pending {
	if len(c.calls) == 0 {
		t.Skip("no calls")
	}
	return c.calls[rapid.IntRange(0, len(c.calls)-1).Draw(t, "call")]
}

func (c *course) hostCancels(t *rapid.T) { c.pick(t).stop() }

func (c *course) settle(t *rapid.T) {
	p := c.pick(t)
	select {
	case <-p.done:
		c.settled(p, rapid.Bool().Draw(t, "delivered"))
	default:
		t.Skip("in flight")
	}
}

func (c *course) settled(p *pending, delivered bool) {
	for i, other := range c.calls {
		if other == p {
			c.calls = append(c.calls[:i:i], c.calls[i+1:]...)
			break
		}
	}
	p.stop()
	c.r.m.Settle(p.job, WasTold(delivered, false))
}

func (c *course) time(t *rapid.T) {
	time.Sleep(time.Duration(rapid.IntRange(1, 8000).Draw(t, "ms")) * time.Millisecond)
}

// request is the request_id of a row that has one.
func (c *course) request(t *rapid.T) string {
	var ids []string
	for _, row := range c.r.rows() {
		if row.RequestID != "" {
			ids = append(ids, row.RequestID)
		}
	}
	if len(ids) == 0 {
		t.Skip("no requests")
	}
	return ids[rapid.IntRange(0, len(ids)-1).Draw(t, "request")]
}

func (c *course) status(t *rapid.T) {
	id := c.request(t)
	ctx, stop := context.WithTimeout(c.r.ctx, rapid.SampledFrom([]time.Duration{time.Second, time.Minute}).Draw(t, "patience"))
	defer stop()
	job, _ := c.r.m.Status(ctx, me, id, rapid.SampledFrom([]time.Duration{0, 5 * time.Second}).Draw(t, "wait"), nil)
	c.r.m.Settle(job, WasTold(rapid.Bool().Draw(t, "delivered"), false))
}

func (c *course) cancel(t *rapid.T) {
	job, _, _ := c.r.m.Cancel(c.r.ctx, me, c.request(t))
	c.r.m.Settle(job, WasTold(rapid.Bool().Draw(t, "delivered"), false))
}

// script makes fal behave in another way, for jobs and requests from now on.
func (c *course) script(t *rapid.T) { c.r.sim.SetScript(drawScript(t)) }

// drawScript is a fal in some trouble.
func drawScript(t *rapid.T) falsim.Script {
	seconds := rapid.SampledFrom([]time.Duration{0, time.Second, 9 * time.Second})
	sc := falsim.Script{
		QueueDelay: seconds.Draw(t, "queue"), RunTime: seconds.Draw(t, "run"), Output: "the answer",
		IgnoreCancel: rapid.Bool().Draw(t, "ignores cancels"),
	}
	for range rapid.IntRange(0, 4).Draw(t, "faults") {
		f := troubles[rapid.IntRange(0, len(troubles)-1).Draw(t, "fault")]
		f.Nth, f.Times = rapid.IntRange(1, 3).Draw(t, "nth"), rapid.IntRange(1, 4).Draw(t, "times")
		sc.Faults = append(sc.Faults, f)
	}
	return sc
}

var troubles = []falsim.Fault{
	{Step: falsim.StepSubmit, Kind: falsim.ResetAfterRead, Accept: true},
	{Step: falsim.StepSubmit, Kind: falsim.CloseAfterAccept},
	{Step: falsim.StepSubmit, Kind: falsim.TruncateBody, Accept: true},
	{Step: falsim.StepSubmit, Kind: falsim.Delay, Delay: 3 * time.Second, Accept: true},
	{Step: falsim.StepSubmit, Kind: falsim.Delay, Delay: 3 * time.Second},
	{Step: falsim.StepSubmit, Status: 502, Body: htmlPage, Accept: true},
	{Step: falsim.StepSubmit, Status: 500, Body: `{"detail":"oops"}`},
	{Step: falsim.StepSubmit, Status: 429, Headers: map[string]string{"Retry-After": "1"}},
	{Step: falsim.StepStream, Kind: falsim.BreakEvent, After: 1},
	{Step: falsim.StepStream, Kind: falsim.Silent, After: 1},
	{Step: falsim.StepStream, Kind: falsim.Garbage},
	{Step: falsim.StepStream, Status: 401, Body: `{"detail":"no"}`},
	{Step: falsim.StepStatus, Status: 401, Body: `{"detail":"no"}`},
	{Step: falsim.StepStatus, Status: 502, Body: htmlPage},
	{Step: falsim.StepStatus, Kind: falsim.ResetAfterRead},
	{Step: falsim.StepResult, Status: 502, Body: htmlPage},
	{Step: falsim.StepResult, Status: 401, Body: `{"detail":"no"}`},
	{Step: falsim.StepResult, Status: 404, Body: htmlPage},
	{Step: falsim.StepResult, Status: 400, Body: `{"detail":"Request is still in progress"}`},
	{Step: falsim.StepResult, Kind: falsim.TruncateBody},
	{Step: falsim.StepResult, Kind: falsim.Hang},
	{Step: falsim.StepCancel, Status: 502, Body: htmlPage},
	{Step: falsim.StepCancel, Kind: falsim.Hang},
	{Step: falsim.StepCancel, Kind: falsim.ResetAfterRead, Accept: true},
	{Step: falsim.StepCancel, Kind: falsim.Delay, Delay: 2 * time.Second},
	{Step: falsim.StepJob, Kind: falsim.Fail, Error: "boom", ErrorType: "runner_disconnected"},
}

// check holds what must be true at any time.
func (c *course) check(t *rapid.T) {
	synctest.Wait()
	rows := c.r.rows()
	accepted := c.r.sim.Stats().Accepted
	if accepted > len(rows) || len(rows) > c.started {
		t.Fatalf("%d calls, %d rows, %d submissions taken", c.started, len(rows), accepted)
	}
	for _, row := range rows {
		was, ended := c.ends[row.ID]
		// UNKNOWN is left where fal turns out to have the job.
		if ended && was.Status != Unknown && (row.Status != was.Status || row.Output != was.Output) {
			t.Fatalf("%s was %s and is %s", row.ID, was.Status, row.Status)
		}
		if row.Status.Finished() {
			c.ends[row.ID] = row
		}
	}
	holders := map[string]bool{}
	for _, p := range c.calls {
		select {
		case <-p.done:
			if holders[p.job.ID] && p.job.ID != "" {
				t.Fatalf("two calls at once hold the job %s", p.job.ID)
			}
			holders[p.job.ID] = true
		default:
		}
	}
}

// finish ends the trouble and compares the ledger with fal.
func (c *course) finish(t *rapid.T) {
	c.r.sim.SetScript(falsim.Script{Output: "the answer"})
	time.Sleep(20 * time.Minute)
	for len(c.calls) > 0 {
		<-c.calls[0].done
		c.settled(c.calls[0], false)
	}
	c.check(t)
	rows, lost, paid := map[string]Job{}, 0, 0
	for _, row := range c.r.rows() {
		if !row.Status.Finished() {
			t.Fatalf("%s is still %s", row.RequestID, row.Status)
		}
		if row.Status == Unknown && row.RequestID != "" {
			row = c.r.status(row.RequestID, time.Minute) // fal may know it
		}
		if row.RequestID != "" {
			rows[row.RequestID] = row
		} else if row.Status == Unknown {
			lost++
		}
		if row.RequestID != "" || row.Status == Unknown {
			paid++
		}
	}
	for _, job := range c.r.sim.Jobs() {
		row, ok := rows[job.RequestID]
		if !ok {
			lost--
			continue
		}
		if err := c.compare(job, row); err != nil {
			t.Fatalf("%s: %v", job.RequestID, err)
		}
	}
	if lost < 0 {
		t.Fatalf("%d jobs of fal's are in no row", -lost)
	}
	if n := len(c.r.lines("submission")); n != paid {
		t.Fatalf("%d audit lines for %d paid submissions", n, paid)
	}
	if n := c.r.held(); n != 0 {
		t.Fatalf("%d jobs are still held", n)
	}
}

func (c *course) compare(job falsim.JobInfo, row Job) error {
	want, output := Completed, "the answer"
	switch {
	case job.Cancelled:
		want, output = Cancelled, ""
	case job.Error != "":
		want, output = Failed, ""
	}
	if row.Status != want || row.Output != output {
		return fmt.Errorf("fal has it as %s %q, and the row is %s %q (%v)", job.State, job.ErrorType, row.Status, row.Output, row.Failure)
	}
	return nil
}
