package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ErrNoJob is returned where the ledger has no such row for this caller.
var ErrNoJob = errors.New("no such job")

// ErrKnownJob is returned for a row whose request another row has.
var ErrKnownJob = errors.New("the ledger has this request already")

// DayCaps are caps in USD on what the rows of a UTC day count together, the new
// row among them; 0 is none.
type DayCaps struct {
	All    float64 // the rows of all callers
	Caller float64 // those of the new row's caller
}

// OverCapError is why a row was not inserted: with it the day would cost more
// than a cap. Where both caps are exceeded it tells of the caller's.
type OverCapError struct {
	SpentUSD float64 // what the rows under that cap count without the new one
	CapUSD   float64
	OfCaller bool // it is the cap of the row's caller, and not that of all
}

func (e *OverCapError) Error() string {
	whose := "of all callers"
	if e.OfCaller {
		whose = "of the caller"
	}
	return fmt.Sprintf("$%.6f of the day's cap %s, $%.6f, is spent", e.SpentUSD, whose, e.CapUSD)
}

// over is the refusal of a row that counts that much, in billionths of a dollar,
// where its day's rows count so much already; nil where it fits.
func (c DayCaps) over(counts, ofCaller, all int64) *OverCapError {
	switch {
	case c.Caller > 0 && ofCaller+counts > nano(c.Caller):
		return &OverCapError{usd(ofCaller), c.Caller, true}
	case c.All > 0 && all+counts > nano(c.All):
		return &OverCapError{usd(all), c.All, false}
	}
	return nil
}

// Ledger keeps the rows. Implementations are safe for concurrent use, and end
// each call within seconds by themselves: the context of a write has no end,
// because a timer for each would wake the process more often than fal does. A row
// has one writer of its state, the goroutine that watches the job; Update
// makes its change atomic against the others', which may be in other processes.
type Ledger interface {
	// Insert writes a new row, which this process owns and waits for. Where the
	// CountedUSD of its UTC day's rows and its own would be more than one of the
	// caps, it writes nothing and returns an *OverCapError. The submission follows
	// only where it succeeded. A row that comes with a request_id is not inserted
	// beside another of the caller's: ErrKnownJob.
	Insert(ctx context.Context, job Job, caps DayCaps) error
	// Update changes a row in one step and returns it as it is then. change may
	// be called more than once, each time with the row as it stands.
	Update(ctx context.Context, id string, change func(*Job)) (Job, error)
	// Claim returns a row and says whether this process is the one to watch its
	// job: where no living process is, it becomes the one.
	Claim(ctx context.Context, id string) (job Job, mine bool, err error)
	// ByRequest finds a row by fal's request id; ErrNoJob where there is none.
	ByRequest(ctx context.Context, caller, requestID string) (Job, error)
	// Find finds a row of any caller's by its ID or by fal's request id; ErrNoJob
	// where there is none.
	Find(ctx context.Context, id string) (Job, error)
	// Undelivered finds the oldest row with this input, created since then, whose
	// end was never written to the host, which no other process waits for, and for
	// which free says yes, and makes this process the one that waits; ErrNoJob
	// where there is none.
	Undelivered(ctx context.Context, caller, inputHash string, since time.Time, free func(Job) bool) (Job, error)
	// List returns rows from the newest to the oldest, without their outputs.
	List(ctx context.Context, q Query) ([]Job, error)
	// Spent sums what the rows created on the UTC day of that moment count, in USD.
	Spent(ctx context.Context, caller string, on time.Time) (float64, error)
	// Usage sums what the rows created since then took, by day, endpoint, host and
	// caller, the newest day first.
	Usage(ctx context.Context, since time.Time) ([]UsageRow, error)
	// Close lets go of what the ledger holds.
	Close() error
}

// UsageRow is what the jobs of a UTC day took together.
type UsageRow struct {
	Day          string  `json:"day"` // 2006-01-02
	Endpoint     string  `json:"endpoint"`
	Host         string  `json:"host"`
	Caller       string  `json:"caller,omitempty"`
	Jobs         int     `json:"jobs"`
	InputTokens  int     `json:"input_tokens"`
	OutputTokens int     `json:"output_tokens"`
	CostUSD      float64 `json:"cost_usd"`    // of those whose usage is known
	CountedUSD   float64 `json:"counted_usd"` // with the worst case of the others
}

// Shared is a ledger that other processes use too. A row belongs to the process
// that watches its job, by a lease that TakeOver and Renew renew.
type Shared interface {
	Ledger
	// TakeOver renews this process's lease and makes the unfinished rows of dead
	// processes its own. It returns those to be watched; a submission that was cut
	// off becomes UNKNOWN and is not among them. lost says that the lease had run
	// out before, so that other processes may have taken rows of this one's.
	TakeOver(ctx context.Context) (taken []Job, lost bool, err error)
	// Renew renews this process's lease and takes nothing over: for a process that
	// can't watch jobs. lost is as TakeOver's.
	Renew(ctx context.Context) (lost bool, err error)
	// Watched returns a row and says whether a living process watches its job. It
	// is Claim for a process that can't.
	Watched(ctx context.Context, id string) (job Job, watched bool, err error)
	// Prune deletes finished rows that were created before then, and uploads that
	// have expired.
	Prune(ctx context.Context, before time.Time) error
}

// Query selects rows for List.
type Query struct {
	Caller string
	State  string // "running", "finished", "unknown" or, for all, ""
	Before string // the ID of the last row of the page before; IDs grow with time
	Limit  int
	// Everyone lists the rows of all callers; Caller is not looked at.
	Everyone bool
	// Since leaves out rows created before; not where it is zero.
	Since time.Time
}

func (q Query) matches(j *Job) bool {
	if !q.Everyone && j.Caller != q.Caller || j.Created.Before(q.Since) {
		return false
	}
	switch q.State {
	case "running":
		return !j.Status.Finished()
	case "finished":
		return j.Status.Finished()
	case "unknown":
		return j.Status == Unknown
	}
	return true
}
