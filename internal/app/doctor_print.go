package app

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"unicode/utf8"
)

// diagnosisReport is the document that the command prints.
type diagnosisReport struct {
	Version  string           `json:"version"`
	Findings []finding        `json:"findings"`
	Summary  diagnosisSummary `json:"summary"`
}

type diagnosisSummary struct {
	OK       int `json:"ok"`
	Warnings int `json:"warnings"`
	Failed   int `json:"failed"`
	Skipped  int `json:"skipped"`
}

func diagnose(version string, findings []finding) diagnosisReport {
	r := diagnosisReport{Version: version, Findings: findings}
	for _, f := range findings {
		switch f.Status {
		case isOK:
			r.Summary.OK++
		case isWarning:
			r.Summary.Warnings++
		case isFailed:
			r.Summary.Failed++
		default:
			r.Summary.Skipped++
		}
	}
	return r
}

// marks are what stands before a finding.
type marks map[verdict]string

func words() marks {
	return marks{isOK: "ok", isWarning: "warning", isFailed: "failed", isSkipped: "skipped"}
}

func symbols() marks { return marks{isOK: "✓", isWarning: "!", isFailed: "✗", isSkipped: "-"} }

// marksFor are words where the reader may be no person, or may not see the
// symbols.
func marksFor(out io.Writer) marks {
	// As the C library picks the character set.
	locale := strings.ToLower(cmp.Or(os.Getenv("LC_ALL"), os.Getenv("LC_CTYPE"), os.Getenv("LANG")))
	if isTerminal(out) && runtime.GOOS != "windows" && (strings.Contains(locale, "utf-8") || strings.Contains(locale, "utf8")) {
		return symbols()
	}
	return words()
}

// diagnosis is the report for people: a line each finding, below it what to do.
func (h *house) diagnosis(r diagnosisReport, marked marks) []byte {
	widest, mark := 0, 0
	for _, f := range r.Findings {
		widest, mark = max(widest, len(f.Check)), max(mark, utf8.RuneCountInString(marked[f.Status]))
	}
	var b bytes.Buffer
	for _, f := range r.Findings {
		fmt.Fprintf(&b, "%-*s  %-*s  %s\n", mark, marked[f.Status], widest, f.Check, h.cell(f.What, 0))
		if f.Remedy != "" {
			fmt.Fprintf(&b, "%*s%s\n", mark+widest+4+2, "", h.cell(f.Remedy, 0))
		}
	}
	s := r.Summary
	fmt.Fprintf(&b, "\n%s: %d fine, %s, %d failed", count(len(r.Findings), "finding"), s.OK, count(s.Warnings, "warning"), s.Failed)
	if s.Skipped > 0 {
		fmt.Fprintf(&b, ", %d skipped", s.Skipped)
	}
	b.WriteString(".\n")
	return b.Bytes()
}

// count is a number of things in words.
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
