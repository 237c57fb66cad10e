package jobs

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"
)

const (
	// memoryRows and memoryBytes bound what the ledger in memory keeps. Beyond
	// them the oldest finished rows go.
	memoryRows  = 10_000
	memoryBytes = 128 << 20
)

// Memory is a ledger that lives as long as the process.
type Memory struct {
	mu        sync.Mutex
	rows      map[string]*Job
	order     []string // IDs, oldest first
	byRequest map[string]string
	byInput   map[string][]string // caller and input → IDs not yet delivered
	bytes     int
	spent     map[spentKey]int64 // billionths of a dollar
	uploads   []Upload           // the soonest to expire first
}

// NewMemory makes an empty ledger.
func NewMemory() *Memory {
	return &Memory{rows: map[string]*Job{}, byRequest: map[string]string{}, byInput: map[string][]string{}, spent: map[spentKey]int64{}}
}

// Insert implements Ledger. It fails where the ledger is full of unfinished
// rows.
func (m *Memory) Insert(_ context.Context, job Job, caps DayCaps) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	on := day(job.Created)
	if over := caps.over(nano(job.CountedUSD), m.spent[spentKey{job.Caller, on}], m.spentOn(on)); over != nil {
		return over
	}
	if twin := m.rows[m.byRequest[job.RequestID]]; job.RequestID != "" && twin != nil && twin.Caller == job.Caller {
		return ErrKnownJob
	}
	job.WaitedBy = here
	m.evict(1)
	if len(m.order) >= memoryRows {
		return fmt.Errorf("%d jobs are unfinished, which is the limit", memoryRows)
	}
	m.rows[job.ID] = &job
	m.order = append(m.order, job.ID)
	m.index(&job)
	m.count(&job, 1)
	m.evict(0)
	return nil
}

// Update implements Ledger.
func (m *Memory) Update(_ context.Context, id string, change func(*Job)) (Job, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	job, ok := m.rows[id]
	if !ok {
		return Job{}, ErrNoJob
	}
	requestID, delivered := job.RequestID, job.Delivered
	m.count(job, -1)
	change(job)
	m.count(job, 1)
	if job.RequestID != requestID || job.Delivered != delivered {
		m.index(job)
	}
	result := *job
	m.evict(0)
	return result, nil
}

// ByRequest implements Ledger.
func (m *Memory) ByRequest(_ context.Context, caller, requestID string) (Job, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	job, ok := m.rows[m.byRequest[requestID]]
	if !ok || job.Caller != caller {
		return Job{}, ErrNoJob
	}
	return *job, nil
}

// Find implements Ledger.
func (m *Memory) Find(_ context.Context, id string) (Job, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	job, ok := m.rows[id]
	if !ok {
		job, ok = m.rows[m.byRequest[id]]
	}
	if !ok {
		return Job{}, ErrNoJob
	}
	return *job, nil
}

// Undelivered implements Ledger.
func (m *Memory) Undelivered(_ context.Context, caller, inputHash string, since time.Time, free func(Job) bool) (Job, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range m.byInput[caller+"\x00"+inputHash] {
		if job := m.rows[id]; !job.Created.Before(since) && free(*job) {
			job.WaitedBy = here
			return *job, nil
		}
	}
	return Job{}, ErrNoJob
}

// List implements Ledger.
func (m *Memory) List(_ context.Context, q Query) ([]Job, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var page []Job
	for i := len(m.order) - 1; i >= 0 && len(page) < q.Limit; i-- {
		job := m.rows[m.order[i]]
		// By order, not by equality: the row of the cursor may be evicted.
		if q.Before != "" && job.ID >= q.Before {
			continue
		}
		if q.matches(job) {
			page = append(page, *job)
			page[len(page)-1].Output = ""
		}
	}
	return page, nil
}

// Spent implements Ledger.
func (m *Memory) Spent(_ context.Context, caller string, on time.Time) (float64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return usd(m.spent[spentKey{caller, day(on)}]), nil
}

// Close implements Ledger.
func (m *Memory) Close() error { return nil }

// Claim implements Ledger: there is no other process.
func (m *Memory) Claim(_ context.Context, id string) (Job, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	job, ok := m.rows[id]
	if !ok {
		return Job{}, false, ErrNoJob
	}
	return *job, true, nil
}

// Usage implements Ledger, for the rows that were not evicted.
func (m *Memory) Usage(_ context.Context, since time.Time) ([]UsageRow, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	type sums struct{ cost, counted int64 }
	rows, amounts := map[UsageRow]*UsageRow{}, map[UsageRow]*sums{}
	for _, job := range m.rows {
		if day(job.Created) < day(since) {
			continue
		}
		key := UsageRow{Day: dayName(day(job.Created)), Endpoint: job.Endpoint, Host: job.Host, Caller: job.Caller}
		if rows[key] == nil {
			row := key
			rows[key], amounts[key] = &row, new(sums)
		}
		rows[key].Jobs++
		if job.Usage != nil {
			rows[key].InputTokens += job.Usage.InputTokens
			rows[key].OutputTokens += job.Usage.OutputTokens
		}
		amounts[key].cost += nano(job.CostUSD)
		amounts[key].counted += nano(job.CountedUSD)
	}
	all := make([]UsageRow, 0, len(rows))
	for key, row := range rows {
		row.CostUSD, row.CountedUSD = usd(amounts[key].cost), usd(amounts[key].counted)
		all = append(all, *row)
	}
	slices.SortFunc(all, func(a, b UsageRow) int {
		return cmp.Or(cmp.Compare(b.Day, a.Day), cmp.Compare(a.Endpoint, b.Endpoint), cmp.Compare(a.Host, b.Host), cmp.Compare(a.Caller, b.Caller))
	})
	return all, nil
}

// here is this process, in a row that is changed; a ledger that others share
// puts its own name for it.
const here = "here"

// spentKey is a caller's UTC day.
type spentKey struct {
	caller string
	day    int64
}

// day is a moment's UTC day, counted from 1970.
func day(at time.Time) int64 { return at.Unix() / int64(24*time.Hour/time.Second) }

func dayName(day int64) string {
	return time.Unix(day*int64(24*time.Hour/time.Second), 0).UTC().Format(time.DateOnly)
}

// nano is an amount in billionths of a dollar, so that sums are exact.
func nano(usd float64) int64 { return int64(math.Round(usd * 1e9)) }

func usd(nano int64) float64 { return float64(nano) / 1e9 }

func (m *Memory) spentOn(day int64) (all int64) {
	for key, spent := range m.spent {
		if key.day == day {
			all += spent
		}
	}
	return all
}

// count adds a row's weight and what it counts, or takes them off again. What an
// evicted row has cost stays counted.
func (m *Memory) count(job *Job, sign int) {
	m.bytes += sign * size(job)
	m.spent[spentKey{job.Caller, day(job.Created)}] += int64(sign) * nano(job.CountedUSD)
}

func (m *Memory) index(job *Job) {
	if job.RequestID != "" {
		m.byRequest[job.RequestID] = job.ID
	}
	key := job.Caller + "\x00" + job.InputHash
	ids := m.byInput[key]
	at := -1
	for i, id := range ids {
		if id == job.ID {
			at = i
		}
	}
	switch {
	case !job.Delivered && at < 0 && job.InputHash != "":
		m.byInput[key] = append(ids, job.ID)
	case job.Delivered && at >= 0:
		m.unindexInput(key, at)
	}
}

func (m *Memory) unindexInput(key string, at int) {
	ids := append(m.byInput[key][:at:at], m.byInput[key][at+1:]...)
	if len(ids) == 0 {
		delete(m.byInput, key)
		return
	}
	m.byInput[key] = ids
}

// evict drops the oldest finished rows until the others and that many more are
// within the bounds, those first whose answer the host has.
func (m *Memory) evict(more int) {
	for _, delivered := range []bool{true, false} {
		for i := 0; i < len(m.order) && (len(m.order)+more > memoryRows || m.bytes > memoryBytes); {
			job := m.rows[m.order[i]]
			if !job.Status.Finished() || job.Delivered != delivered {
				i++
				continue
			}
			if i == 0 {
				m.order = m.order[1:] // as a rule; nothing is moved
			} else {
				m.order = append(m.order[:i], m.order[i+1:]...)
			}
			m.forget(job)
		}
	}
}

func (m *Memory) forget(job *Job) {
	delete(m.rows, job.ID)
	if m.byRequest[job.RequestID] == job.ID {
		delete(m.byRequest, job.RequestID)
	}
	key := job.Caller + "\x00" + job.InputHash
	for i, id := range m.byInput[key] {
		if id == job.ID {
			m.unindexInput(key, i)
			break
		}
	}
	m.bytes -= size(job)
}

// size is what a row weighs: its texts, and a kilobyte for the rest.
func size(job *Job) int {
	n := 1024 + len(job.Output) + len(job.Preview)
	for _, a := range job.Attachments {
		n += 128 + len(a.Path) + len(a.SHA256)
	}
	for _, l := range job.Logs {
		n += len(l.Message) + len(l.Timestamp)
	}
	return n
}
