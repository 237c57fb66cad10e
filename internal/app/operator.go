package app

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/rs/zerolog"

	"nemotron-mcp/internal/jobs"
)

// onLedger runs a command of the operator's on the ledger that servers have
// left on disk. Where there is none it says so and runs empty instead: nothing is
// made in order to list nothing.
func (s *session) onLedger(empty func() error, run func(*house) error) error {
	return s.onLedgerAs(s.opts.ledgerOnDisk, empty, run)
}

// onLedgerAs is onLedger with another way to open it.
func (s *session) onLedgerAs(open func(zerolog.Logger) (jobs.Ledger, error), empty func() error, run func(*house) error) error {
	why, err := s.opts.noLedger()
	if err != nil {
		return err
	}
	if why != "" {
		fmt.Fprintln(s.Err, why)
		return empty()
	}
	s.opts.quiet()
	h, err := s.buildOn(open)
	if err != nil {
		return err
	}
	defer h.close(endTime)
	return h.told(run(h))
}

// noLedger says why there are no jobs on disk, in a sentence; "" where there may
// be some.
func (o *Options) noLedger() (string, error) {
	if o.Store == storeMemory {
		return "With --store=memory jobs are kept in the server's memory only; there is no ledger to read.", nil
	}
	if o.ledgerExists() {
		return "", nil
	}
	dir, err := o.stateDir()
	if err != nil {
		return "There is no ledger: " + err.Error() + ".", nil
	}
	path := filepath.Join(dir, jobs.LedgerFile)
	if _, err := os.Stat(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	return "There is no ledger yet: " + path + " is made with the first job.", nil
}

// ledgerOnDisk opens the ledger without falling back to one in memory, which
// would be taken for an empty one.
func (o *Options) ledgerOnDisk(log zerolog.Logger) (jobs.Ledger, error) {
	dir, err := o.stateDir()
	if err != nil {
		return nil, err
	}
	return jobs.OpenSQLite(dir, o.Store == storeMetadata, log)
}

// told is a failure as the operator reads it: masked, and with what to do.
func (h *house) told(err error) error {
	var f *jobs.Error
	switch {
	case err == nil, errors.As(err, new(reported)), errors.As(err, new(*configError)):
		return err
	case errors.As(err, &f) && f.Action != "":
		return errors.New(h.secrets.String(f.Error() + "\n" + f.Action))
	}
	return errors.New(h.secrets.String(err.Error()))
}

// print writes text masked, and in one piece: a secret that two writes share
// would not be recognised. What a model has written does not control a terminal.
func (h *house) print(w io.Writer, text []byte) error {
	text = h.secrets.Bytes(text)
	if isTerminal(w) {
		text = bytes.Map(harmless, text)
	}
	_, err := w.Write(text)
	return err
}

// printJSON writes one document.
func (h *house) printJSON(w io.Writer, value any) error {
	text, err := encode(value, "  ")
	if err != nil {
		return err
	}
	return h.print(w, text)
}

// encode ends with a line feed and leaves <, > and & as they are.
func encode(value any, indent string) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", indent)
	err := e.Encode(value)
	return b.Bytes(), err
}

// table aligns rows of cells, the first of which is the head.
func table(rows [][]string) []byte {
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	_ = w.Flush() // to memory
	return b.Bytes()
}

// cell is a text for one line of a terminal, masked before it is cut: printable
// characters only, and at most limit of them, 0 for any number.
func (h *house) cell(text string, limit int) string {
	line := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, h.secrets.String(text))
	line = strings.Join(strings.Fields(line), " ")
	if runes := []rune(line); limit > 0 && len(runes) > limit {
		line = string(runes[:limit-1]) + "…"
	}
	if line == "" {
		return "-"
	}
	return line
}

// harmless is the character, or another for one that would control a terminal.
func harmless(r rune) rune {
	if unicode.IsControl(r) && r != '\n' && r != '\t' {
		return unicode.ReplacementChar
	}
	return r
}

func dollars(usd float64) string { return fmt.Sprintf("$%.6f", usd) }

func local(at time.Time) string { return at.Local().Format(time.DateTime) }

// moment is a flag that says since when: a duration before now, or a date.
type moment struct{ at time.Time }

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *moment) UnmarshalText(b []byte) error {
	text := string(b)
	if ago, err := time.ParseDuration(text); err == nil && ago > 0 {
		m.at = time.Now().Add(-ago)
		return nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if at, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			if at.Year() < 1970 || at.After(time.Now()) {
				return fmt.Errorf("%q is in the future, or before 1970", text)
			}
			m.at = at
			return nil
		}
	}
	return fmt.Errorf("%q is neither a duration such as 24h nor a date such as 2006-01-02", text)
}
