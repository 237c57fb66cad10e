package jobs

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"nemotron-mcp/internal/falsim"
)

func metadataOnly(o *Options) { o.MetadataOnly = true }

// marks are texts that must not stay in the files.
const (
	promptMark = "the-prompts-own-words"
	outputMark = "the-answers-own-words"
	logMark    = "the-logs-own-words"
)

// search closes the ledger and looks for texts in its files.
func (f *house) search(marks ...string) (found []string) {
	f.t.Helper()
	_ = f.ledger.Close()
	_ = f.db.Close()
	for name, b := range contents(f.t, f.dir) {
		for _, mark := range marks {
			if bytes.Contains(b, []byte(mark)) {
				found = append(found, mark+" in "+name)
			}
		}
	}
	return found
}

func TestMetadataOnly(t *testing.T) {
	bubble(t, func(t *testing.T) {
		output := strings.Repeat(outputMark+" and more\n", 75_000/len(outputMark+" and more\n"))
		f := newHouse(t, falsim.Script{RunTime: time.Second, Output: output, Logs: []falsim.Log{{Message: logMark}}})
		m := f.join(metadataOnly)
		tokens, req := 20_000, prompt(promptMark, time.Minute)
		req.Input.MaxTokens, req.Input.SystemPrompt = &tokens, promptMark
		job := m.generate(req)
		part, next := Page(job.Output, 0)
		m.m.Settle(job, ToldPart)
		if row := f.row(); !row.Delivered || row.Output != output || row.OutputDropped {
			t.Errorf("after the first page: delivered %v, %d bytes, dropped %v", row.Delivered, len(row.Output), row.OutputDropped)
		}
		for pages := 2; next > 0; pages++ {
			again, err := m.m.Status(t.Context(), me, job.RequestID, 0, nil)
			if err != nil || again.Output != output || pages > 10 {
				t.Fatalf("page %d: %d bytes, %v", pages, len(again.Output), err)
			}
			var more string
			more, next = Page(again.Output, next)
			part += more
			m.m.Settle(again, WasTold(true, next > 0))
		}
		if part != output {
			t.Errorf("%d bytes were delivered of %d", len(part), len(output))
		}
		row := f.row()
		if row.Output != "" || !row.OutputDropped || row.Logs != nil || row.Preview != "" || row.Status != Completed || row.Usage == nil {
			t.Errorf("after the last page: %+v", row)
		}
		if again := m.status(job.RequestID, 0); again.Output != "" || !again.OutputDropped {
			t.Errorf("asked again: %d bytes, dropped %v", len(again.Output), again.OutputDropped)
		}
		m.leave()
		if found := f.search(promptMark, outputMark, logMark); found != nil {
			t.Errorf("found %v", found)
		}
	})
}

// What was not delivered is kept until it is.
func TestMetadataOnlyKeepsWhatWasNotDelivered(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newHouse(t, falsim.Script{RunTime: time.Second, Output: outputMark})
		a := f.join(metadataOnly)
		a.m.Settle(a.generate(prompt(promptMark, time.Minute)), NotTold)
		a.leave()
		b := f.join(metadataOnly)
		job := b.generate(prompt(promptMark, time.Minute))
		if job.Output != outputMark {
			t.Errorf("the answer is %q", job.Output)
		}
		b.m.Settle(job, ToldAll)
		b.count(1, 1)
		b.leave()
		if found := f.search(promptMark, outputMark); found != nil {
			t.Errorf("found %v", found)
		}
	})
}

// The search finds what is there: in the other mode both are kept.
func TestFullStoreKeepsPromptAndOutput(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newHouse(t, falsim.Script{RunTime: time.Second, Output: outputMark})
		m := f.join()
		m.m.Settle(m.generate(prompt(promptMark, time.Minute)), ToldAll)
		if row := f.row(); row.OutputDropped || row.Preview != promptMark {
			t.Errorf("%+v", row)
		}
		m.leave()
		if found := f.search(promptMark, outputMark); len(found) != 2 {
			t.Errorf("found %v", found)
		}
	})
}
