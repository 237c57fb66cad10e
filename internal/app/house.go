package app

import (
	"context"
	"time"

	"github.com/mark3labs/mcp-go/server"
	"github.com/rs/zerolog"

	"nemotron-mcp/falclient"
	"nemotron-mcp/internal/jobs"
	"nemotron-mcp/tools"
)

// closeTime is what the jobs have at the process's end to finish cancels that
// are under way, after the transport has given them its own grace.
const closeTime = 100 * time.Millisecond

// house is the server put together: what serve and call have in common.
type house struct {
	server *server.MCPServer
	jobs   *jobs.Manager
	fal    *falclient.Client
	log    zerolog.Logger
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
	submit, err := s.opts.submitOptions()
	if err != nil {
		return nil, err
	}
	fal, err := falclient.New(falclient.Config{Key: key, QueueURL: s.opts.QueueURL, UserAgent: "nemotron-mcp/" + s.version})
	if err != nil {
		return nil, &configError{err.Error(), "Check FAL_KEY and FAL_QUEUE_URL (--queue-url)."}
	}
	manager := jobs.New(fal, jobs.NewMemory(), jobs.Options{
		Prices: jobs.DefaultPrices(), Submit: submit, SafetyChecker: onOff(s.opts.SafetyChecker),
		KnowsKey: key != "", OneCaller: true, Log: log,
	})
	srv, err := tools.NewServer(tools.Config{Version: s.version, Jobs: manager, Secrets: secrets, Log: log})
	if err != nil {
		return nil, err
	}
	return &house{server: srv, jobs: manager, fal: fal, log: log}, nil
}

func (h *house) close() {
	ctx, done := context.WithTimeout(context.Background(), closeTime)
	defer done()
	if err := h.jobs.Close(ctx); err != nil {
		h.log.Warn().Err(err).Msg("shutdown")
		return // fal's client may be in use
	}
	h.fal.Close()
}
