package jobs

import (
	"database/sql"
	"errors"
	"sync"
)

var errLedgerClosed = errors.New("the ledger is closed")

// work is what the ledger's own goroutine is asked to do: one statement that
// changes the file, or a read.
type work struct {
	statement *sql.Stmt
	args      []any
	changed   int64

	read func() error // instead of the statement

	err  error
	done chan struct{}
}

// serve does all work on the database, on one goroutine. SQLite goes deep into
// the stack: on the goroutines of the calls each would keep a large one for as
// long as its job takes. And statements that come while others are under way
// are committed together, so that many calls at once share what a commit costs.
func (s *SQLite) serve() {
	defer close(s.served)
	for {
		select {
		case w := <-s.queue:
			s.run(w)
		case <-s.quit:
			return
		}
	}
}

// run does the work that is there.
func (s *SQLite) run(first *work) {
	all := []*work{first}
	var batch []*work
	for more := true; more && len(all) < maxBatch; {
		select {
		case w := <-s.queue:
			all = append(all, w)
		default:
			more = false
		}
	}
	for _, w := range all {
		if w.read != nil {
			w.err = w.read()
			close(w.done)
			continue
		}
		batch = append(batch, w)
	}
	s.commit(batch)
	for _, w := range batch {
		close(w.done)
	}
}

// maxBatch bounds how many statements one transaction holds.
const maxBatch = 256

// commit runs statements in one transaction. Where that fails each has one of
// its own, and only what is at fault fails.
func (s *SQLite) commit(batch []*work) {
	if len(batch) > 1 && s.together(batch) == nil {
		return
	}
	for _, w := range batch {
		w.exec(w.statement)
	}
}

func (s *SQLite) together(batch []*work) error {
	tx, err := s.db.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback()
	for _, w := range batch {
		if w.exec(tx.Stmt(w.statement)); w.err != nil {
			return w.err
		}
	}
	return tx.Commit()
}

func (w *work) exec(statement *sql.Stmt) {
	w.changed = 0
	result, err := statement.Exec(w.args...)
	if err == nil {
		w.changed, err = result.RowsAffected()
	}
	w.err = err
}

// do has work done. It ends with it, or once the ledger is closed.
func (s *SQLite) do(w *work) error {
	w.done = make(chan struct{})
	select {
	case s.queue <- w:
		<-w.done
		return w.err
	case <-s.quit:
		return errLedgerClosed
	}
}

// exec runs one statement that changes the file, and has committed it when it
// returns.
func (s *SQLite) exec(query string, args ...any) (changed int64, err error) {
	st, err := s.prepared(query)
	if err != nil {
		return 0, err
	}
	w := &work{statement: st, args: args}
	err = s.do(w)
	return w.changed, err
}

// query and queryRow are for reads, in s.read. They take no context: the driver
// would start a goroutine for one that can end, and busyTime ends it.
func (s *SQLite) query(query string, args ...any) (*sql.Rows, error) {
	st, err := s.prepared(query)
	if err != nil {
		return nil, err
	}
	return st.Query(args...)
}

func (s *SQLite) queryRow(query string, args ...any) interface{ Scan(...any) error } {
	st, err := s.prepared(query)
	if err != nil {
		return failedRow{err}
	}
	return st.QueryRow(args...)
}

func (s *SQLite) read(f func() error) error { return s.do(&work{read: f}) }

type failedRow struct{ err error }

func (r failedRow) Scan(...any) error { return r.err }

// statements keeps what was compiled. There are a few dozen.
type statements struct {
	mu     sync.Mutex
	byText map[string]*sql.Stmt
}

func (s *SQLite) prepared(query string) (*sql.Stmt, error) {
	s.statements.mu.Lock()
	defer s.statements.mu.Unlock()
	if st := s.statements.byText[query]; st != nil {
		return st, nil
	}
	st, err := s.db.Prepare(query)
	if err != nil {
		return nil, err
	}
	s.statements.byText[query] = st
	return st, nil
}
