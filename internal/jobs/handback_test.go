package jobs

import (
	"testing"
	"testing/synctest"
	"time"

	"nemotron-mcp/internal/falsim"
)

// TestAllAreHandedBack: who waits gets the job as it stands, with its request_id; the job
// goes on, and is there for the next process.
func TestAllAreHandedBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newHouse(t, falsim.Script{RunTime: time.Hour, Faults: []falsim.Fault{{Step: falsim.StepSubmit, Nth: 2, Times: 1, Delay: 10 * time.Second}}})
		m := f.join()
		began := time.Now()
		waiting := m.start(prompt("one that runs", 10*time.Minute))
		synctest.Wait()
		submitting := m.start(prompt("one that fal has not named yet", 10*time.Minute))
		synctest.Wait()
		m.m.HandBack()
		job, err := waiting.wait()
		if err != nil || job.Status.Finished() || job.RequestID == "" || time.Since(began) != 0 {
			t.Errorf("after %v: %v, %v", time.Since(began), job, err)
		}
		asked := m.start(Request{Caller: me, Endpoint: "nvidia/nemotron-3-nano-omni", Input: prompt("a later one", 0).Input, Wait: 10 * time.Minute})
		late, err := submitting.wait()
		if err != nil || late.RequestID == "" || time.Since(began) != 10*time.Second {
			t.Errorf("after %v: %v, %v", time.Since(began), late, err)
		}
		later, err := asked.wait()
		if err != nil || later.RequestID == "" || later.Status.Finished() {
			t.Errorf("a later call: %v, %v", later, err)
		}
		status, err := m.m.Status(t.Context(), me, job.RequestID, 10*time.Minute, nil)
		if err != nil || status.Status.Finished() || time.Since(began) != 10*time.Second {
			t.Errorf("queue_status waits: %v, %v after %v", status, err, time.Since(began))
		}
		for _, j := range []Job{job, late, later, status} {
			m.m.Settle(j, ToldAll)
		}
		m.leave()
		if n := f.sim.Stats().Cancelled; n != 0 {
			t.Errorf("%d jobs were cancelled", n)
		}
		next := f.join()
		done := next.status(job.RequestID, 2*time.Hour)
		next.is(done, Completed, "")
		next.m.Settle(done, ToldAll)
		next.count(3, 3)
	})
}

// TestObserve: each job's end is told once, and what is under way can be asked for.
func TestObserve(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var told []Job
		f := newHouse(t, falsim.Script{RunTime: time.Minute, Faults: []falsim.Fault{{Step: falsim.StepJob, Nth: 2, Times: 1, Kind: falsim.Fail, Status: 500, Error: "boom"}}})
		m := f.join(func(o *Options) { o.Observe = func(j Job) { told = append(told, j) } })
		first := m.generate(prompt("a", 0))
		m.m.Settle(first, ToldAll)
		if got := m.m.Counts(); got["IN_PROGRESS"]+got["IN_QUEUE"] != 1 || len(told) != 0 {
			t.Errorf("under way: %v; told %d", got, len(told))
		}
		second := m.generate(prompt("b", 2*time.Minute))
		m.m.Settle(second, ToldAll)
		m.m.Settle(m.status(first.RequestID, 2*time.Minute), ToldAll)
		synctest.Wait()
		if len(told) != 2 || len(m.m.Counts()) != 0 {
			t.Fatalf("told %d, under way %v", len(told), m.m.Counts())
		}
		byID := map[string]Status{told[0].ID: told[0].Status, told[1].ID: told[1].Status}
		if byID[first.ID] != Completed || byID[second.ID] != Failed {
			t.Errorf("told %v", byID)
		}
	})
}
