package app_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nemotron-mcp/internal/falsim"
	"nemotron-mcp/internal/jobs"
)

// left is the ledger that calls have left, one for each script: in a folder of
// its own, with the settings to use it.
func left(t *testing.T, scripts ...falsim.Script) (dir string, settings []string) {
	t.Helper()
	dir = stateDir(t)
	sim := startSimulator(t, falsim.Script{})
	settings = append(atSimulator(sim), "FAL_KEY="+doctorKey, "NEMOTRON_MCP_STATE_DIR="+dir)
	for n, script := range scripts {
		sim.SetScript(script)
		wait := "wait_seconds=45"
		if script.QueueDelay > 0 {
			wait = "wait_seconds=0" // it is handed back
		}
		if out, told, _ := command(t, settings, "call", "nemotron_generate", fmt.Sprint("prompt=Hi ", n), wait); out+told == "" {
			t.Fatal("the call was not answered")
		}
	}
	sim.SetScript(falsim.Script{})
	return dir, settings
}

// names are the paths below a folder.
func names(t *testing.T, dir string) (found []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		found = append(found, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestDoctorOnLedgers(t *testing.T) {
	t.Parallel()
	thousand := falsim.Script{Usage: &falsim.Usage{InputTokens: 1000, OutputTokens: 500}}
	lost := falsim.Script{Faults: []falsim.Fault{{Step: falsim.StepSubmit, Kind: falsim.ResetAfterRead}}}
	write := func(at int64, with string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			f, err := os.OpenFile(filepath.Join(dir, jobs.LedgerFile), os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteAt([]byte(with), at); err != nil {
				t.Fatal(err)
			}
			_ = f.Close()
		}
	}
	for _, tc := range []struct {
		name          string
		jobs          []falsim.Script
		scene         func(t *testing.T, dir string)
		args          []string
		check, status string
		words         []string
	}{
		{"sound", []falsim.Script{{}, {}}, nil, nil, "ledger", "ok", []string{"is sound and has 2 jobs"}},
		{"one of unknown fate", []falsim.Script{lost}, nil, nil, "jobs", "warning", []string{"1 job UNKNOWN", "nemotron-mcp jobs reconcile"}},
		{"one under way", []falsim.Script{{QueueDelay: time.Hour}}, nil, nil, "jobs", "ok", []string{"1 job unfinished", "nemotron-mcp jobs list --state=running"}},
		{"the last one refused", []falsim.Script{{}, {Locked: true}}, nil, nil, "jobs", "warning", []string{"the account was locked", "https://fal.ai/dashboard/billing"}},
		{"newer", []falsim.Script{{}}, write(60, "\x00\x00\x00\x63"), nil, "ledger", "failed", []string{"newer version", "Update nemotron-mcp", "--state-dir"}},
		{"newer, so the budget is not told", []falsim.Script{{}}, write(60, "\x00\x00\x00\x63"), []string{"--max-cost-per-day=1"}, "budget", "skipped", []string{"see the ledger"}},
		{"damaged", []falsim.Script{{}}, write(0, "not a ledger at all"), nil, "ledger", "failed", []string{"is damaged", "The next server sets it aside by itself"}},
		{"damaged, so the budget is not told", []falsim.Script{{}}, write(0, "not a ledger at all"), []string{"--max-cost-per-day=1"}, "budget", "skipped", []string{"see the ledger"}},
		{"a folder in its place", nil, func(t *testing.T, dir string) {
			if err := os.MkdirAll(filepath.Join(dir, jobs.LedgerFile), 0o700); err != nil {
				t.Fatal(err)
			}
		}, nil, "ledger", "failed", []string{"not a regular file", "--state-dir"}},
		{"in memory", nil, nil, []string{"--store=memory"}, "ledger", "ok", []string{"--store=memory"}},
		{"in memory, with a cap for the day", nil, nil, []string{"--store=memory", "--max-cost-per-day=1"}, "budget", "failed", []string{"share a ledger on disk", "Leave one of the two out"}},
		{"no cap", nil, nil, nil, "budget", "ok", []string{"no cap", "--max-cost-per-day"}},
		{"within the cap", []falsim.Script{thousand}, nil, []string{"--max-cost-per-day=5"}, "budget", "ok", []string{"$0.015000 of the day's cap of $5.000000"}},
		{"over the cap", []falsim.Script{thousand}, nil, []string{"--max-cost-per-day=0.01"}, "budget", "warning", []string{"$0.015000 of the day's cap of $0.010000", "calls are refused", "next UTC day"}},
		{"over the total", []falsim.Script{thousand}, nil, []string{"--max-cost-per-day=1", "--max-cost-per-day-total=0.01"}, "budget", "warning", []string{"cap of $0.010000", "--max-cost-per-day-total"}},
		{"a cap below each call", nil, nil, []string{"--max-cost-per-call=0.001"}, "budget", "warning", []string{"it is refused", "Raise --max-cost-per-call"}},
		{"a cap below media", nil, nil, []string{"--max-cost-per-call=0.1"}, "budget", "ok", []string{"a video or audio", "Raise --max-cost-per-call"}},
		{"a cap for each call", nil, nil, []string{"--max-cost-per-call=2"}, "budget", "ok", []string{"a call may cost $2.000000"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			dir, settings := left(t, tc.jobs...)
			if tc.scene != nil {
				tc.scene(t, dir)
			}
			before := names(t, filepath.Dir(dir))
			examine(t, settings, tc.args...).holds(t, tc.check, tc.status, tc.words...)
			if diff := cmp.Diff(before, names(t, filepath.Dir(dir))); diff != "" {
				t.Errorf("something was made (-before +after):\n%s", diff)
			}
		})
	}
}

func TestDoctorOnAFolderBelowAFile(t *testing.T) {
	t.Parallel()
	dir, settings := left(t, falsim.Script{})
	before := names(t, dir)
	below := filepath.Join(dir, jobs.LedgerFile, "state")
	examine(t, append(settings, "NEMOTRON_MCP_STATE_DIR="+below)).holds(t, "ledger", "failed", jobs.LedgerFile, "--state-dir")
	if diff := cmp.Diff(before, names(t, dir)); diff != "" {
		t.Errorf("something was made (-before +after):\n%s", diff)
	}
}

func TestDoctorWithoutHome(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("LocalAppData is always set")
	}
	settings := append(atSimulator(startSimulator(t, falsim.Script{})), "HOME=", "XDG_STATE_HOME=", "NEMOTRON_MCP_STATE_DIR=")
	examine(t, settings).holds(t, "ledger", "warning", "neither HOME nor a folder for state", "--state-dir")
	examine(t, settings, "--max-cost-per-day=1").holds(t, "ledger", "failed", "a cap for the day needs a ledger", "--state-dir")
}

func TestDoctorOnSharedFolders(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("modes do not tell it")
	}
	dir, settings := left(t, falsim.Script{})
	for _, tc := range []struct {
		mode          fs.FileMode
		status, words string
	}{
		{0o755, "warning", "other users may read in " + dir},
		{0o777, "failed", "others may write in " + dir},
	} {
		if err := os.Chmod(dir, tc.mode); err != nil {
			t.Fatal(err)
		}
		examine(t, settings, "--offline").holds(t, "ledger", tc.status, tc.words)
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != tc.mode {
			t.Errorf("the folder has mode %v: %v", info.Mode(), err)
		}
	}
	link := dir + "-link"
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	examine(t, append(settings, "NEMOTRON_MCP_STATE_DIR="+link), "--offline").holds(t, "ledger", "failed", "is a symbolic link", "--state-dir")
}

func TestDoctorOnPrices(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, file string
		age        time.Duration
		args       []string
		status     string
		words      []string
	}{
		{"published", "", 0, nil, "ok", []string{"published prices", "usage --refresh-prices"}},
		{"published, one of the operator's", "", 0, []string{"--price=nvidia/nemotron-3-nano-omni=0.5"}, "ok", []string{"--price sets 1 endpoint"}},
		{"read", `{"nvidia/nemotron-3-nano-omni": 0.02}`, 49 * time.Hour, nil, "ok", []string{"read from fal 2 days ago"}},
		{"read long ago", `{"nvidia/nemotron-3-nano-omni": 0.02}`, 100 * 24 * time.Hour, nil, "warning", []string{"read from fal 100 days ago", "usage --refresh-prices"}},
		{"broken", `[]`, 0, nil, "failed", []string{"can't be read as prices", "Delete it"}},
		{"no endpoint", "", 0, []string{"--price=typo=0.5"}, "failed", []string{"no endpoint of Nemotron's", "The endpoints are"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			file := filepath.Join(dir, "prices.json")
			then := time.Now().Add(-tc.age)
			if tc.file != "" {
				if err := errors.Join(os.WriteFile(file, []byte(tc.file), 0o600), os.Chtimes(file, then, then)); err != nil {
					t.Fatal(err)
				}
			}
			settings := append(atSimulator(startSimulator(t, falsim.Script{})), "NEMOTRON_MCP_STATE_DIR="+dir)
			examine(t, settings, append(tc.args, "--offline")...).holds(t, "prices", tc.status, tc.words...)
		})
	}
}
