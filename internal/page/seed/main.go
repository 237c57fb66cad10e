// Seed puts rows into a ledger, for tests of the page: jobs of days that have
// passed can't be made with a server.
//
//	seed FOLDER < rows.json
//
// The rows are an array of what "nemotron-mcp jobs export" prints one by one.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/rs/zerolog"

	"nemotron-mcp/internal/jobs"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: seed FOLDER < rows.json")
		os.Exit(2)
	}
	if err := seed(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "seed:", err)
		os.Exit(1)
	}
}

func seed(dir string) (err error) {
	var rows []jobs.Job
	if err := json.NewDecoder(os.Stdin).Decode(&rows); err != nil {
		return err
	}
	ledger, err := jobs.OpenSQLite(dir, false, zerolog.Nop())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ledger.Close()) }()
	for _, row := range rows {
		if err := ledger.Insert(context.Background(), row, jobs.DayCaps{}); err != nil {
			return fmt.Errorf("row %s: %w", row.ID, err)
		}
	}
	return nil
}
