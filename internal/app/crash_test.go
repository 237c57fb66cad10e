package app_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"nemotron-mcp/internal/falsim"
)

const crashPrompt = `{"prompt":"survive this","wait_seconds":30}`

func (p *process) sendCrashPrompt() {
	p.t.Helper()
	p.send(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"nemotron_generate","arguments":` + crashPrompt + `}}`)
}

// TestKilledAtEveryPoint kills the process at each point between two writes of
// the ledger and at each step at fal, and starts another on what it has left.
func TestKilledAtEveryPoint(t *testing.T) {
	t.Parallel()
	quick := falsim.Script{Output: "the answer"}
	slow := falsim.Script{Output: "the answer", QueueDelay: 200 * time.Millisecond, RunTime: 200 * time.Millisecond}
	queued := falsim.Script{Output: "the answer", QueueDelay: 3 * time.Second}
	running := falsim.Script{Output: "the answer", RunTime: 3 * time.Second}
	cases := []struct {
		name     string
		script   falsim.Script
		lockAt   string // from there on the process can't write to the ledger
		cancelAt string // there the host cancels the call
		killAt   string
		left     string // the status that the dead process has left; either, where it may not have read the event yet
		want     string // the status in the end
		posts    int    // that reached fal's door
		accepted int
		bills    int
	}{
		{"row written, POST not read", quick, "", "", "connected", "SUBMITTING", "UNKNOWN", 0, 0, 0},
		{"POST received, not taken", quick, "", "", "submit arrived", "SUBMITTING", "UNKNOWN", 1, 0, 0},
		{"taken, answer lost", quick, "", "", "submit taken", "SUBMITTING", "UNKNOWN", 1, 1, 1},
		{"answer's last byte sent, request_id not written", quick, "submit taken", "", "submit delivered", "SUBMITTING", "UNKNOWN", 1, 1, 1},
		{"request_id written, not watched", quick, "", "", "stream arrived", "IN_QUEUE", "COMPLETED", 1, 1, 1},
		{"queued", slow, "", "", "IN_QUEUE told", "IN_QUEUE", "COMPLETED", 1, 1, 1},
		{"running, not written", slow, "IN_QUEUE told", "", "IN_PROGRESS told", "IN_QUEUE", "COMPLETED", 1, 1, 1},
		{"running, and fal is through", slow, "", "", "COMPLETED told", "IN_PROGRESS", "COMPLETED", 1, 1, 1},
		{"result asked", slow, "", "", "result arrived", "IN_PROGRESS", "COMPLETED", 1, 1, 1},
		{"result answered, answer lost", slow, "", "", "result taken", "IN_PROGRESS", "COMPLETED", 1, 1, 1},
		{"result's last byte sent, not written", slow, "result taken", "", "result delivered", "IN_PROGRESS", "COMPLETED", 1, 1, 1},
		{"cancel of a queued job on its way", queued, "", "IN_QUEUE told", "cancel arrived", "IN_QUEUE", "CANCELLED", 1, 1, 0},
		{"cancel of a queued job taken, answer lost", queued, "", "IN_QUEUE told", "cancel taken", "IN_QUEUE", "CANCELLED", 1, 1, 0},
		{"cancel of a running job on its way", running, "", "IN_PROGRESS told", "cancel arrived", "IN_PROGRESS or IN_QUEUE", "CANCELLED", 1, 1, 1},
		{"cancel of a running job taken, answer lost", running, "", "IN_PROGRESS told", "cancel taken", "IN_PROGRESS or IN_QUEUE", "CANCELLED", 1, 1, 1},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c := newCrashRig(t, tc.script, true)
			if tc.lockAt != "" {
				c.d.mark(tc.lockAt, c.lock)
			}
			if tc.cancelAt != "" {
				c.d.mark(tc.cancelAt, func() { c.p.cancel(1) })
			}
			c.d.mark(tc.killAt, c.strike)
			c.p.sendCrashPrompt()
			c.awaitStrike()
			if rows := c.rows(); len(rows) != 1 || !strings.Contains(tc.left, rows[0].status) {
				t.Fatalf("the dead process left %+v, want one row that is %s: the point was missed", rows, tc.left)
			}

			after := c.start(true)
			list := after.call("queue_list", `{}`)
			if len(list.Data.Jobs) != 1 {
				t.Fatalf("queue_list tells of %+v, want the job", list.Data.Jobs)
			}
			switch tc.want {
			case "UNKNOWN":
				c.isUnknown(after, list)
			case "COMPLETED":
				c.comesHome(after, list.Data.Jobs[0].RequestID)
			default:
				c.endsAs(after, list.Data.Jobs[0].RequestID, tc.want)
			}
			posts, _, _ := c.d.counts()
			s := c.d.sim.Stats()
			if posts != tc.posts || s.Accepted != tc.accepted || s.Billed > tc.bills {
				t.Errorf("%d POSTs, %d accepted, %d billed; want %d, %d and at most %d", posts, s.Accepted, s.Billed, tc.posts, tc.accepted, tc.bills)
			}
		})
	}
}

// isUnknown: the job is told with what to do, and the same call is told so once
// more instead of being paid for.
func (c *crashRig) isUnknown(p *process, list toolAnswer) {
	c.t.Helper()
	row := list.Data.Jobs[0]
	if row.Status != "UNKNOWN" || !strings.Contains(row.Note, "SUBMIT_UNKNOWN") || !strings.Contains(row.Note, "reconcile") {
		c.t.Errorf("queue_list tells %+v, want UNKNOWN and what to do", row)
	}
	again := p.call("nemotron_generate", crashPrompt)
	if !again.IsError || !strings.Contains(again.text(), "SUBMIT_UNKNOWN") {
		c.t.Errorf("the same call was answered by %+v, want SUBMIT_UNKNOWN", again)
	}
}

// comesHome: the same call attaches to the job, and queue_status has it too.
func (c *crashRig) comesHome(p *process, request string) {
	c.t.Helper()
	again := p.call("nemotron_generate", crashPrompt)
	if again.IsError || again.Data.Output != "the answer" || again.Data.RequestID != request {
		c.t.Errorf("the same call was answered by %+v, want the answer of %s", again, request)
	}
	c.endsAs(p, request, "COMPLETED")
}

func (c *crashRig) endsAs(p *process, request, want string) {
	c.t.Helper()
	got := p.call("queue_status", fmt.Sprintf(`{"request_id":%q,"wait_seconds":30}`, request))
	if got.IsError || !strings.Contains(want, got.Data.Status) || got.Data.Status == "" {
		c.t.Errorf("queue_status answered %+v, want %s", got, want)
	}
	if got.Data.Status == "COMPLETED" && got.Data.Output != "the answer" {
		c.t.Errorf("the output is %q", got.Data.Output)
	}
}

// TestKilledBeforeItsRow: nothing was sent, and the same call is the first.
func TestKilledBeforeItsRow(t *testing.T) {
	t.Parallel()
	c := newCrashRig(t, falsim.Script{Output: "the answer"}, true)
	c.lock()
	c.d.mark("submit arrived", c.strike)
	c.p.sendCrashPrompt()
	select {
	case <-c.struck:
		t.Error("the job was submitted before its row was written")
	case <-time.After(300 * time.Millisecond): // a submission takes a few
	}
	c.d.mark("submit arrived", func() {})
	c.die()
	if rows := c.rows(); len(rows) != 0 {
		t.Fatalf("the dead process left %+v", rows)
	}
	after := c.start(true)
	if list := after.call("queue_list", `{}`); len(list.Data.Jobs) != 0 {
		t.Errorf("queue_list tells of %+v", list.Data.Jobs)
	}
	if got := after.call("nemotron_generate", crashPrompt); got.Data.Output != "the answer" {
		t.Errorf("answered by %+v", got)
	}
	if posts, _, _ := c.d.counts(); posts != 1 || c.d.sim.Bills() != 1 {
		t.Errorf("%d POSTs, %d bills; want 1 and 1", posts, c.d.sim.Bills())
	}
}

// TestKilledAroundTheDelivery: what the host may not have got is not paid for
// again; what it is known to have got is another sample. The answer is larger
// than a pipe holds, so it is not written until it is read.
func TestKilledAroundTheDelivery(t *testing.T) {
	t.Parallel()
	const large = `{"prompt":"survive this","max_tokens":20000}`
	cases := []struct {
		name      string
		read      bool // the host reads the answer
		lock      bool // and the process can't write that down
		delivered bool
		posts     int // with the same call after the restart
	}{
		{"response not written", false, false, false, 1},
		{"response written, delivery not recorded", true, true, false, 1},
		{"delivery recorded", true, false, true, 2},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c := newCrashRig(t, falsim.Script{Output: "long answer", OutputTokens: 16000}, false)
			c.p.send(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"nemotron_generate","arguments":` + large + `}}`)
			c.awaitRow(20*time.Second, completed)
			if tc.lock {
				c.lock()
			}
			if tc.read {
				go c.p.read()
				if got := parseAnswer(t, c.p.answer("1")); got.Data.Status != "COMPLETED" {
					t.Errorf("answered by %+v", got)
				}
			} else {
				close(c.p.lines)
			}
			if tc.delivered {
				c.awaitRow(20*time.Second, func(r ledgerRow) bool { return r.delivered })
			}
			c.die()
			if rows := c.rows(); len(rows) != 1 || rows[0].delivered != tc.delivered || !completed(rows[0]) {
				t.Fatalf("the dead process left %+v: the point was missed", rows)
			}
			got := c.start(true).call("nemotron_generate", large)
			if got.Data.Status != "COMPLETED" || len(got.Data.Output) != 64000 {
				t.Errorf("the same call was answered by %s with %d bytes", got.Data.Status, len(got.Data.Output))
			}
			if posts, _, _ := c.d.counts(); posts != tc.posts || c.d.sim.Bills() != tc.posts {
				t.Errorf("%d POSTs, %d bills; want %d each", posts, c.d.sim.Bills(), tc.posts)
			}
		})
	}
}

// TestOthersTakeOver: a killed process's job is brought home by one of the
// others on the same folder before fal deletes it, though nobody calls them.
func TestOthersTakeOver(t *testing.T) {
	t.Parallel()
	c := newCrashRig(t, falsim.Script{Output: "the answer", RunTime: 9 * time.Second, Retention: time.Second}, true)
	others := []*process{c.start(true), c.start(true)}
	c.awaitProcesses(3) // the others open the ledger by themselves
	c.d.mark("IN_PROGRESS told", c.strike)
	c.p.sendCrashPrompt()
	c.awaitStrike()
	row := c.awaitRow(20*time.Second, completed)
	if row.output != "the answer" {
		t.Errorf("the ledger holds %q", row.output)
	}
	posts, most, watches := c.d.counts()
	if posts != 1 || most != 1 || watches[row.request] != 2 {
		t.Errorf("%d POSTs, %d streams at once, %d in all; want 1, 1, and 2: the dead process's and that of one other", posts, most, watches[row.request])
	}
	info := c.d.sim.Jobs()[0]
	if info.ResultReads != 1 {
		t.Errorf("the result was read %d times", info.ResultReads)
	}
	// fal has deleted it by then.
	deleted := time.NewTimer(time.Until(info.CompletedAt.Add(1100 * time.Millisecond)))
	defer deleted.Stop()
	<-deleted.C
	for _, other := range others {
		c.endsAs(other, row.request, "COMPLETED")
	}
}

// TestOneWatcher: calls in other processes wait for a job without asking fal.
func TestOneWatcher(t *testing.T) {
	t.Parallel()
	c := newCrashRig(t, falsim.Script{Output: "the answer", QueueDelay: time.Second, RunTime: time.Second}, true)
	others := []*process{c.start(true), c.start(true)}
	job := c.p.call("nemotron_generate", `{"prompt":"survive this","wait_seconds":0}`)
	for _, other := range others {
		other.send(fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"queue_status","arguments":{"request_id":%q,"wait_seconds":30}}}`, job.Data.RequestID))
	}
	for _, other := range others {
		if got := parseAnswer(t, other.answer("1")); got.Data.Output != "the answer" {
			t.Errorf("answered by %+v", got)
		}
	}
	if _, most, watches := c.d.counts(); most != 1 || watches[job.Data.RequestID] != 1 || c.d.sim.Stats().Requests.Result != 1 {
		t.Errorf("%d streams at once, %d in all, %d results; want 1 each", most, watches[job.Data.RequestID], c.d.sim.Stats().Requests.Result)
	}
}

// TestHandedBackOutlivesItsServer: a job with a request_id in the host's hands
// is not cancelled by the host's end, and a later process brings it home.
func TestHandedBackOutlivesItsServer(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*process){
		"EOF":     func(p *process) { _ = p.in.Close() },
		"SIGTERM": func(p *process) { p.signal(syscall.SIGTERM) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCrashRig(t, falsim.Script{Output: "the answer", QueueDelay: 500 * time.Millisecond, RunTime: time.Second}, true)
			job := c.p.call("nemotron_generate", `{"prompt":"survive this","wait_seconds":0}`)
			end(c.p)
			if err := c.p.wait(); err != nil {
				t.Errorf("exit: %v; log: %s", err, c.p.stderr)
			}
			rows := c.rows()
			if len(rows) != 1 || rows[0].request != job.Data.RequestID || completed(rows[0]) {
				t.Fatalf("the ledger holds %+v, want %s unfinished", rows, job.Data.RequestID)
			}
			after := c.start(true)
			c.awaitRow(20*time.Second, completed)
			c.endsAs(after, job.Data.RequestID, "COMPLETED")
			if s := c.d.sim.Stats(); s.Accepted != 1 || s.Billed != 1 || s.Cancelled != 0 || s.Requests.Cancel != 0 {
				t.Errorf("%+v; want one job, billed, and no cancel", s)
			}
		})
	}
}

// TestKilledAndAskedElsewhere: the same call goes at once to a server that has
// been running all the time and has not yet noticed the other's end.
func TestKilledAndAskedElsewhere(t *testing.T) {
	t.Parallel()
	for name, point := range map[string]string{"taken, answer lost": "submit taken", "running": "IN_PROGRESS told"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCrashRig(t, falsim.Script{Output: "the answer", RunTime: 300 * time.Millisecond}, true)
			other := c.start(true)
			other.call("queue_list", `{}`)
			c.d.mark(point, c.strike)
			c.p.sendCrashPrompt()
			c.awaitStrike()
			again := other.call("nemotron_generate", crashPrompt)
			posts, _, _ := c.d.counts()
			if posts != 1 || c.d.sim.Bills() != 1 {
				t.Errorf("%d POSTs, %d bills; want one of each; the same call was answered by %+v", posts, c.d.sim.Bills(), again)
			}
		})
	}
}
