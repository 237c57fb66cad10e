package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"github.com/rs/zerolog"

	"nemotron-mcp/internal/jobs"
)

const (
	appFolder  = "nemotron-mcp"
	pricesFile = "prices.json"
	maxPrices  = 64 << 10
)

var errNoHome = errors.New("neither HOME nor a folder for state is set")

// stateDir is the folder of the ledger: the flag's or its variable's, else the
// platform's for state.
func (o *Options) stateDir() (string, error) {
	if o.StateDir != "" {
		return o.StateDir, nil
	}
	switch runtime.GOOS {
	case "windows":
		if dir := os.Getenv("LocalAppData"); dir != "" {
			return filepath.Join(dir, appFolder), nil
		}
		return "", errNoHome
	case "darwin":
		if home := os.Getenv("HOME"); home != "" {
			return filepath.Join(home, "Library", "Application Support", appFolder), nil
		}
		return "", errNoHome
	}
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, appFolder), nil
	}
	if home := os.Getenv("HOME"); filepath.IsAbs(home) {
		return filepath.Join(home, ".local", "state", appFolder), nil
	}
	return "", errNoHome
}

// ownFiles are what no tool may read, whatever folders are allowed.
func (o *Options) ownFiles() []string {
	var own []string
	if dir, err := o.stateDir(); err == nil {
		own = append(own, dir)
	}
	if o.FalKeyFile != "" {
		own = append(own, o.FalKeyFile)
	}
	return own
}

// openLedger opens the ledger in the state folder. Where there can be none it is
// in memory, with a warning: a job can then be found for as long as the process
// lives. Not where a cap for the day is set, which other processes share, nor
// where the folder or the file can't be trusted.
func (o *Options) openLedger(log zerolog.Logger) (jobs.Ledger, error) {
	if o.Store == storeMemory {
		return jobs.NewMemory(), nil
	}
	dir, err := o.stateDir()
	if err == nil {
		var ledger *jobs.SQLite
		ledger, err = jobs.OpenSQLite(dir, o.Store == storeMetadata, log)
		if err == nil {
			return ledger, nil
		}
	}
	if o.dayCapped() || errors.Is(err, jobs.ErrStateFolder) || errors.Is(err, jobs.ErrNewerLedger) || !noFolder(err) {
		return nil, err
	}
	log.Warn().Err(err).Msg("no ledger can be kept on disk: jobs are known for as long as this process lives. Set --state-dir (NEMOTRON_MCP_STATE_DIR) to a folder of your own, or --store=memory to have it so")
	return jobs.NewMemory(), nil
}

// noFolder reports whether there is no place for a ledger, and not a ledger
// that can't be read.
func noFolder(err error) bool {
	// On Windows a folder below a file is not found.
	return errors.Is(err, errNoHome) || errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) ||
		errors.Is(err, syscall.ENOTDIR) || errors.Is(err, fs.ErrNotExist)
}

// ledgerExists reports whether there may be jobs that a process of before has
// left.
func (o *Options) ledgerExists() bool {
	dir, err := o.stateDir()
	if err != nil || o.Store == storeMemory {
		return false
	}
	_, err = os.Stat(filepath.Join(dir, jobs.LedgerFile))
	return err == nil
}

// prices are the defaults, over them what was last read from fal, and over that
// the operator's.
func (o *Options) prices() (jobs.Prices, error) {
	prices := jobs.DefaultPrices()
	refreshed, err := o.refreshedPrices()
	if err != nil {
		return nil, err
	}
	maps.Copy(prices, refreshed)
	maps.Copy(prices, o.Price)
	known := jobs.DefaultPrices()
	for endpoint, price := range o.Price {
		if _, ok := known[endpoint]; !ok {
			return nil, &configError{
				fmt.Sprintf("--price names %q, which is no endpoint of Nemotron's", endpoint),
				"The endpoints are " + strings.Join(slices.Sorted(maps.Keys(known)), ", ") + ".",
			}
		}
		if !(price > 0 && price < 1000) {
			return nil, &configError{fmt.Sprintf("the price of %s is %v", endpoint, price), "Give USD per 1,000 tokens, such as 0.01."}
		}
	}
	return prices, nil
}

func (o *Options) refreshedPrices() (jobs.Prices, error) {
	dir, err := o.stateDir()
	if err != nil || o.Store == storeMemory {
		return nil, nil
	}
	path := filepath.Join(dir, pricesFile)
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil, nil // none were read yet
	}
	var b []byte
	if err == nil && (!info.Mode().IsRegular() || info.Size() > maxPrices) {
		err = errors.New("not a file of prices")
	}
	if err == nil {
		b, err = os.ReadFile(path)
	}
	var prices jobs.Prices
	if err != nil || json.Unmarshal(b, &prices) != nil {
		return nil, &configError{path + " can't be read as prices", "Delete it, or read them from fal again with 'nemotron-mcp usage --refresh-prices'."}
	}
	for endpoint, price := range prices {
		if !(price > 0 && price < 1000) {
			return nil, &configError{fmt.Sprintf("%s has a price of %v for %s", path, price, endpoint), "Delete it."}
		}
	}
	return prices, nil
}
