package app

import (
	"context"
	"time"

	"github.com/mark3labs/mcp-go/server"
	"github.com/rs/zerolog"

	"nemotron-mcp/falclient"
	"nemotron-mcp/internal/jobs"
	"nemotron-mcp/internal/redact"
	"nemotron-mcp/tools"
)

// house is the server put together: what serve and call have in common.
type house struct {
	server  *server.MCPServer
	jobs    *jobs.Manager
	fal     *falclient.Client
	secrets *redact.Redactor
	log     zerolog.Logger
}

// build reads the configuration and puts the server together. It opens nothing
// and sends nothing.
func (s *session) build() (*house, error) {
	key, err := s.opts.key()
	if err != nil {
		return nil, err
	}
	secrets := s.opts.secrets(key)
	log := s.opts.logger(secrets, s.Err)
	if !usableKey(key) {
		log.Error().Msg("the fal key holds a space, a control character or a character beyond ASCII; it is not used")
		key = ""
	}
	submit, err := s.opts.submitOptions()
	if err != nil {
		return nil, err
	}
	fal, err := falclient.New(falclient.Config{Key: key, QueueURL: s.opts.QueueURL, UserAgent: "nemotron-mcp/" + s.version})
	if err != nil {
		return nil, &configError{err.Error(), "Check FAL_KEY and FAL_QUEUE_URL (--queue-url)."}
	}
	prices, err := s.opts.prices()
	if err != nil {
		return nil, err
	}
	if s.opts.MaxCostPerCall < 0 || s.opts.MaxCostPerDay < 0 {
		return nil, &configError{"a cap on the cost is below 0", "Give --max-cost-per-call and --max-cost-per-day in USD, or leave them out."}
	}
	ledger := jobs.NewLazy(func() (jobs.Ledger, error) { return s.opts.openLedger(log) })
	manager := jobs.New(fal, ledger, jobs.Options{
		Prices: prices, Submit: submit, SafetyChecker: onOff(s.opts.SafetyChecker),
		MaxCostPerCall: s.opts.MaxCostPerCall, MaxCostPerDay: s.opts.MaxCostPerDay, MetadataOnly: s.opts.Store == storeMetadata,
		KnowsKey: key != "", OneCaller: true, Mask: secrets.String, Log: log,
	})
	srv, err := tools.NewServer(tools.Config{Version: s.version, Jobs: manager, Secrets: secrets, Log: log})
	if err != nil {
		return nil, err
	}
	return &house{server: srv, jobs: manager, fal: fal, secrets: secrets, log: log}, nil
}

// close lets go of the jobs. Submissions and cancels that fal has still to
// answer have that long.
func (h *house) close(limit time.Duration) {
	ctx, done := context.WithTimeout(context.Background(), limit)
	defer done()
	if err := h.jobs.Close(ctx); err != nil {
		h.log.Warn().Err(err).Msg("shutdown")
		return // fal's client may be in use
	}
	h.fal.Close()
}
