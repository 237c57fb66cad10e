package falsim

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// seen is what one stream line told, and when.
type seen struct {
	At   time.Duration
	What string
}

// tell shortens an event to its status, position or log lines.
func tell(t *testing.T, line string) string {
	t.Helper()
	data, ok := strings.CutPrefix(line, "data: ")
	if !ok {
		return line
	}
	m := object(t, []byte(data))
	what := fmt.Sprint(m["status"])
	if p, ok := m["queue_position"]; ok {
		what += fmt.Sprint(" ", p)
	}
	if logs, ok := m["logs"].([]any); ok {
		for _, l := range logs {
			what += fmt.Sprint(" ", l.(map[string]any)["message"])
		}
	}
	if e, ok := m["error_type"]; ok {
		what += fmt.Sprint(" ", e)
	}
	return what
}

// follow reads a stream to its end.
func follow(t *testing.T, w wire, p string) ([]seen, error) {
	t.Helper()
	start := time.Now()
	resp := w.open(t, "GET", p, "")
	defer resp.Body.Close()
	if ct := resp.Header.Get("Content-Type"); resp.StatusCode != 200 || ct != "text/event-stream" {
		t.Fatalf("stream answered %d %s", resp.StatusCode, ct)
	}
	var all []seen
	read := lines(resp.Body)
	for {
		l, err := read()
		if l != "" && err == nil {
			all = append(all, seen{time.Since(start), tell(t, l)})
		}
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
	}
}

func TestStream(t *testing.T) {
	t.Parallel()
	slow := Script{
		QueueDelay: 20 * time.Second, QueuePositions: []int{5, 9}, RunTime: 9 * time.Second,
		Logs: []Log{{Message: "a", At: time.Second}, {Message: "b", At: 2 * time.Second}, {Message: "c", At: time.Minute}},
	}
	for _, c := range []struct {
		name   string
		script Script
		query  string
		late   time.Duration
		want   []seen
	}{
		{"instant", Script{}, "", 0, []seen{{0, "COMPLETED"}}},
		{"whole course", slow, "?logs=1", 0, []seen{
			{0, "IN_QUEUE 5"},
			{10 * time.Second, "IN_QUEUE 9"},
			{15 * time.Second, ": ping"},
			{20 * time.Second, "IN_PROGRESS"},
			{21 * time.Second, "IN_PROGRESS a"},
			{22 * time.Second, "IN_PROGRESS b"},
			{29 * time.Second, "COMPLETED c"},
		}},
		{"opened late", slow, "?logs=true", 22 * time.Second, []seen{{0, "IN_PROGRESS a b"}, {7 * time.Second, "COMPLETED c"}}},
		{"uneven shares", Script{QueueDelay: 10 * time.Second, QueuePositions: []int{2, 1, 0}}, "", 0, []seen{
			{0, "IN_QUEUE 2"}, {3333333333, "IN_QUEUE 1"}, {6666666666, "IN_QUEUE 0"}, {10 * time.Second, "COMPLETED"},
		}},
		{"opened after the end", slow, "?logs=1", 40 * time.Second, []seen{{0, "COMPLETED a b c"}}},
		{"failed job", Script{Faults: []Fault{{Step: StepJob, Error: "gone", ErrorType: "runner_disconnected"}}}, "", 0, []seen{{0, "COMPLETED runner_disconnected"}}},
		{"held open", Script{RunTime: time.Second, Faults: []Fault{{Step: StepStream, Kind: HoldOpen, Hold: time.Minute}}}, "", 0, []seen{
			{0, "IN_PROGRESS"}, {time.Second, "COMPLETED"},
		}},
		{"ends early", Script{RunTime: time.Second, Faults: []Fault{{Step: StepStream, Kind: EndEarly, After: 1}}}, "", 0, []seen{{0, "IN_PROGRESS"}}},
		{"unknown status", Script{RunTime: time.Second, Faults: []Fault{{Step: StepStream, Kind: UnknownStatus, After: 1}}}, "", 0, []seen{
			{0, "IN_PROGRESS"}, {time.Second, "PREEMPTED"}, {time.Second, "COMPLETED"},
		}},
		{"delayed", Script{Faults: []Fault{{Step: StepStream, Delay: 3 * time.Second}}}, "", 0, []seen{{3 * time.Second, "COMPLETED"}}},
		{"split", Script{Faults: []Fault{{Step: StepStream, Kind: SplitEvent, Pieces: 4, Interval: time.Second}}}, "", 0, []seen{{4 * time.Second, "COMPLETED"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := New(c.script)
				w := connect(s)
				defer w.close()
				id := w.submit(t, hello)
				time.Sleep(c.late)
				start := time.Now()
				got, err := follow(t, w, jobPath(id)+"/status/stream"+c.query)
				if err != nil {
					t.Fatal(err)
				}
				if c.name == "split" {
					// A remainder makes a piece of its own, which may be the blank
					// line alone.
					if got[0].At < 3*time.Second {
						t.Errorf("an event in pieces took %v", got[0].At)
					}
					got[0].At = c.want[0].At
				}
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Error(diff)
				}
				if hold := c.name == "held open"; hold != (time.Since(start) == 61*time.Second) {
					t.Errorf("closed after %v", time.Since(start))
				}
				synctest.Wait()
				if st := s.Stats(); st.OpenStreams != 0 || st.Requests.Stream != 1 {
					t.Errorf("stats %+v", st)
				}
			})
		})
	}
}

func TestStreamTellsCancel(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		script Script
		want   []seen
	}{
		{"queued", Script{QueueDelay: time.Minute}, []seen{{0, "IN_QUEUE 0"}, {3 * time.Second, "COMPLETED client_cancelled"}}},
		{"running", Script{RunTime: time.Minute, Logs: []Log{{Message: "a", At: time.Second}, {Message: "b", At: 4 * time.Second}}}, []seen{
			{0, "IN_PROGRESS"}, {time.Second, "IN_PROGRESS a"}, {3 * time.Second, "COMPLETED client_cancelled"},
		}},
		{"stuck", Script{Faults: []Fault{{Step: StepJob, Kind: Stuck}}}, []seen{{0, "IN_QUEUE 0"}, {3 * time.Second, "COMPLETED client_cancelled"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := New(c.script)
				w := connect(s)
				defer w.close()
				id := w.submit(t, hello)
				time.AfterFunc(3*time.Second, func() { ask(t, s, "PUT", jobPath(id)+"/cancel", "") })
				got, err := follow(t, w, jobPath(id)+"/status/stream?logs=1")
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

func TestStreamFaults(t *testing.T) {
	t.Parallel()
	const first = `data: {"status":"IN_PROGRESS"`
	for _, c := range []struct {
		name  string
		fault Fault
		check func(*testing.T, string, error)
	}{
		{"break", Fault{Kind: BreakEvent, After: 1}, func(t *testing.T, s string, err error) {
			if err == nil || strings.Count(s, "data: ") != 2 || strings.HasSuffix(s, "\n") {
				t.Errorf("got %q, %v", s, err)
			}
		}},
		{"garbage", Fault{Kind: Garbage, After: 1}, func(t *testing.T, s string, err error) {
			if err != nil || !strings.Contains(s, "<html>\n\n") || !strings.Contains(s, `"COMPLETED"`) {
				t.Errorf("got %q, %v", s, err)
			}
		}},
		{"long line", Fault{Kind: LongLine, After: 1}, func(t *testing.T, s string, err error) {
			if err != nil || len(s) < 1<<20 || strings.Count(s, "data: ") != 3 {
				t.Errorf("got %d bytes, %v", len(s), err)
			}
		}},
		{"refused", Fault{Status: 405, Body: "no"}, func(t *testing.T, s string, err error) {
			if err != nil || s != "405 no" {
				t.Errorf("got %q, %v", s, err)
			}
		}},
		{"silent", Fault{Kind: Silent, After: 1}, func(t *testing.T, s string, err error) {
			if err == nil || strings.Count(s, "\n") != 2 || !strings.HasPrefix(s, first) {
				t.Errorf("got %q, %v", s, err)
			}
		}},
		{"silent from the start", Fault{Kind: Silent}, func(t *testing.T, s string, err error) {
			if err == nil || s != "" {
				t.Errorf("got %q, %v", s, err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c.fault.Step = StepStream
				s := New(Script{RunTime: time.Minute, Faults: []Fault{c.fault}})
				w := connect(s)
				defer w.close()
				id := w.submit(t, hello)
				w.client.Timeout = time.Hour
				resp := w.open(t, "GET", jobPath(id)+"/status/stream", "")
				defer resp.Body.Close()
				b, err := io.ReadAll(resp.Body)
				got := string(b)
				if resp.StatusCode != 200 {
					got = fmt.Sprint(resp.StatusCode, " ", got)
				}
				c.check(t, strings.ReplaceAll(got, ": ping\n\n", ""), err)
				if strings.HasPrefix(c.name, "silent") && strings.Contains(got, "ping") {
					t.Error("a silent stream pinged")
				}
				synctest.Wait()
				if st := s.Stats(); st.OpenStreams != 0 {
					t.Errorf("stats %+v", st)
				}
			})
		})
	}
}

func TestResetEndsStreams(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := New(Script{RunTime: time.Hour})
		w := connect(s)
		defer w.close()
		id := w.submit(t, hello)
		time.AfterFunc(time.Second, s.Reset)
		got, err := follow(t, w, jobPath(id)+"/status/stream")
		if diff := cmp.Diff([]seen{{0, "IN_PROGRESS"}}, got); diff != "" || err != nil {
			t.Error(diff, err)
		}
		time.Sleep(2 * time.Hour)
		if st := s.Stats(); st != (Stats{}) || len(s.Jobs()) != 0 {
			t.Errorf("stats after reset %+v", st)
		}
	})
}

func TestManyStreams(t *testing.T) {
	t.Parallel()
	const n = 300
	synctest.Test(t, func(t *testing.T) {
		s := New(Script{RunTime: time.Minute})
		w := connect(s)
		defer w.close()
		id := w.submit(t, hello)
		ended := make(chan int)
		for range n {
			resp := w.open(t, "GET", jobPath(id)+"/status/stream", "")
			go func() {
				defer resp.Body.Close()
				b, _ := io.ReadAll(resp.Body)
				ended <- strings.Count(string(b), "COMPLETED")
			}()
		}
		if st := s.Stats(); st.OpenStreams != n {
			t.Errorf("open streams: %d", st.OpenStreams)
		}
		total := 0
		for range n {
			total += <-ended
		}
		if total != n {
			t.Errorf("%d of %d streams saw the end", total, n)
		}
	})
}
