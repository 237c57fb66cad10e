package jobs

import (
	"context"
	"errors"
	"time"
)

// ErrNoJob is returned where the ledger has no such row for this caller.
var ErrNoJob = errors.New("no such job")

// Ledger keeps the rows. Implementations are safe for concurrent use, and end
// each call within seconds by themselves: the context of a write has no end,
// because a timer for each would wake the process more often than fal does. A row
// has one writer of its state, the goroutine that watches the job; Update
// makes its change atomic against the others'.
type Ledger interface {
	// Insert writes a new row. The submission follows only where it succeeded.
	Insert(ctx context.Context, job Job) error
	// Update changes a row in one step and returns it as it is then.
	Update(ctx context.Context, id string, change func(*Job)) (Job, error)
	// ByRequest finds a row by fal's request id; ErrNoJob where there is none.
	ByRequest(ctx context.Context, caller, requestID string) (Job, error)
	// Undelivered finds the oldest row with this input, created since then, whose
	// end was never written to the host and for which free says yes; ErrNoJob
	// where there is none.
	Undelivered(ctx context.Context, caller, inputHash string, since time.Time, free func(Job) bool) (Job, error)
	// List returns rows from the newest to the oldest.
	List(ctx context.Context, q Query) ([]Job, error)
	// Spent sums the cost, in USD, of the rows created on the UTC day of that
	// moment.
	Spent(ctx context.Context, caller string, on time.Time) (float64, error)
}

// Query selects rows for List.
type Query struct {
	Caller string
	State  string // "running", "finished" or, for all, ""
	Before string // the ID of the last row of the page before; IDs grow with time
	Limit  int
}
