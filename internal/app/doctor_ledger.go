package app

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"nemotron-mcp/internal/jobs"
)

// ledger looks at the ledger, at what its jobs need, and at the budget that
// counts by it.
func (x *examination) ledger(ctx context.Context) []finding {
	opts := x.s.opts
	if opts.Store == storeMemory {
		return append([]finding{fine("ledger", "none: with --store=memory jobs are known for as long as their server lives")}, x.budget(jobs.Inspection{}, nil)...)
	}
	dir, err := opts.stateDir()
	if err != nil {
		const remedy = "Set --state-dir (NEMOTRON_MCP_STATE_DIR) to a folder of your own, or --store=memory to have it so."
		if opts.dayCapped() {
			return append([]finding{failed("ledger", err.Error()+", and a cap for the day needs a ledger on disk", remedy)}, x.budget(jobs.Inspection{}, err)...)
		}
		return append([]finding{warning("ledger", err.Error()+", so jobs are known for as long as their server lives", remedy)}, x.budget(jobs.Inspection{}, err)...)
	}
	ctx, done := context.WithTimeout(ctx, askTime)
	defer done()
	look, err := jobs.Inspect(ctx, dir)
	findings := judgeLedger(dir, look, err)
	findings = append(findings, waiting(look)...)
	return append(findings, x.budget(look, err)...)
}

func judgeLedger(dir string, look jobs.Inspection, err error) []finding {
	const check = "ledger"
	path := filepath.Join(dir, jobs.LedgerFile)
	var findings []finding
	switch {
	case errors.Is(err, jobs.ErrNewerLedger):
		findings = append(findings, failed(check, err.Error(), "Update nemotron-mcp, or give this version a folder of its own with --state-dir (NEMOTRON_MCP_STATE_DIR)."))
	case errors.Is(err, jobs.ErrStateFolder):
		findings = append(findings, failed(check, err.Error(), "Make it your own, with mode 0700, or set --state-dir (NEMOTRON_MCP_STATE_DIR) to a folder of your own."))
	case errors.Is(err, context.DeadlineExceeded):
		findings = append(findings, failed(check, fmt.Sprintf("%s could not be read within %s", path, askTime), "See which process holds it, or whether its disk answers."))
	case err != nil:
		findings = append(findings, failed(check, err.Error(), "Set --state-dir (NEMOTRON_MCP_STATE_DIR) to a folder in which you may write."))
	case len(look.Damage) > 0:
		findings = append(findings, failed(check, path+" is damaged: "+look.Damage[0],
			"The next server sets it aside by itself, as a file beside it, and begins a new one. Jobs of before are then in that file and in fal's dashboard only, and are not counted by caps."))
	case !look.Exists:
		findings = append(findings, fine(check, "none yet: "+path+" is made with the first job"))
	case look.Unchecked:
		findings = append(findings, warning(check, fmt.Sprintf("%s has %s; whether it is sound could not be told within %s", path, count(look.Rows, "job"), askTime), "Try again when the machine has less to do."))
	case look.Schema < look.Known:
		findings = append(findings, fine(check, fmt.Sprintf("%s is sound and has %s; the next server brings it from schema %d to %d", path, count(look.Rows, "job"), look.Schema, look.Known)))
	default:
		findings = append(findings, fine(check, fmt.Sprintf("%s is sound and has %s", path, count(look.Rows, "job"))))
	}
	if look.OthersMayRead && err == nil {
		findings = append(findings, warning(check, "other users may read in "+dir, "chmod -R go= "+dir+" (the next server does it, too)"))
	}
	if look.Remote {
		findings = append(findings, warning(check, dir+" is on a network file system, on which SQLite's locks can fail", "Set --state-dir (NEMOTRON_MCP_STATE_DIR) to a folder on a local disk."))
	}
	return findings
}

// waiting tells of jobs that somebody should look after.
func waiting(look jobs.Inspection) []finding {
	const check = "jobs"
	var findings []finding
	if look.Unknown > 0 {
		findings = append(findings, warning(check, count(look.Unknown, "job")+" UNKNOWN: nobody knows whether fal took and bills what was sent", "'nemotron-mcp jobs reconcile' asks fal."))
	}
	if !look.Exhausted.IsZero() {
		findings = append(findings, warning(check, "fal refused the job of "+local(look.Exhausted)+" because the account was locked, and none was completed since", "Top up at "+billingPage+", unless that was done since."))
	}
	if look.Unfinished > 0 {
		findings = append(findings, finding{check, isOK, count(look.Unfinished, "job") + " unfinished", "Any running server brings the answers home; 'nemotron-mcp jobs list --state=running' shows them."})
	}
	return findings
}
