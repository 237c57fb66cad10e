package app

import (
	"context"
	"errors"
	"time"

	"github.com/mark3labs/mcp-go/server"
	"github.com/rs/zerolog"

	"nemotron-mcp/falclient"
	"nemotron-mcp/internal/files"
	"nemotron-mcp/internal/jobs"
	"nemotron-mcp/internal/redact"
	"nemotron-mcp/internal/uploads"
	"nemotron-mcp/tools"
)

// house is the server put together: what serve and call have in common.
type house struct {
	server   *server.MCPServer
	jobs     *jobs.Manager
	folders  *tools.Folders
	fal      *falclient.Client
	secrets  *redact.Redactor
	log      zerolog.Logger
	knowsKey bool // a usable one is configured
}

// prepare reads what it takes to ask fal, and opens nothing.
func (s *session) prepare() (*house, error) {
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
	fal, err := falclient.New(falclient.Config{
		Key: key, QueueURL: s.opts.QueueURL, PlatformURL: s.opts.PlatformURL, RESTURL: s.opts.RestURL, UserAgent: s.userAgent(), Observe: s.observeFal(),
	})
	if err != nil {
		return nil, &configError{err.Error(), "Check FAL_KEY, FAL_QUEUE_URL (--queue-url), FAL_PLATFORM_URL (--platform-url) and FAL_REST_URL (--rest-url)."}
	}
	return &house{fal: fal, secrets: secrets, log: log, knowsKey: key != ""}, nil
}

func (s *session) userAgent() string { return "nemotron-mcp/" + s.version }

// build reads the configuration and puts the server together. It opens nothing
// and sends nothing.
func (s *session) build() (*house, error) { return s.buildOn(s.opts.openLedger) }

func (s *session) buildOn(open func(zerolog.Logger) (jobs.Ledger, error)) (*house, error) {
	submit, err := s.opts.submitOptions()
	if err != nil {
		return nil, err
	}
	h, err := s.prepare()
	if err != nil {
		return nil, err
	}
	prices, err := s.opts.prices()
	if err != nil {
		return nil, err
	}
	if s.opts.dayCapped() && s.opts.Store == storeMemory {
		return nil, errCapWithoutLedger()
	}
	ledger := jobs.NewLazy(func() (jobs.Ledger, error) { return open(h.log) })
	h.jobs = jobs.New(h.fal, ledger, jobs.Options{
		Prices: prices, Submit: submit, SafetyChecker: onOff(s.opts.SafetyChecker),
		MaxCostPerCall: float64(s.opts.MaxCostPerCall), MaxCostPerDay: float64(s.opts.MaxCostPerDay),
		MaxCostPerDayTotal: float64(s.opts.MaxCostPerDayTotal), MaxInFlight: int(s.opts.MaxJobsInFlight),
		MetadataOnly: s.opts.Store == storeMetadata,
		KnowsKey:     h.knowsKey, OneCaller: !s.namesCallers, Mask: h.secrets.String, Log: h.log, Observe: s.observeJobs(),
	})
	dirs := s.opts.localDirs()
	if s.overHTTP {
		dirs = s.opts.allowDirs()
	}
	h.folders = tools.NewFolders(dirs, h.log)
	h.folders.Forbid(append(s.opts.ownFiles(), s.ownFiles...)...)
	// Callers on other machines are not told of this one's folders.
	h.folders.Discreet(s.overHTTP)
	h.server, err = tools.NewServer(tools.Config{
		Version: s.version, Jobs: h.jobs, Folders: h.folders, Secrets: h.secrets, Limits: s.opts.limits(), Log: h.log, Observe: s.observeTools(),
		Uploads: uploads.New(uploads.Config{
			Storage: h.fal, Ledger: ledger, Fetcher: files.NewFetcher(s.userAgent()),
			KnowsKey: h.knowsKey, MaxSize: int64(s.opts.MaxUploadSize), Holds: h.secrets.Holds, Mask: h.secrets.String, Log: h.log, Observe: s.observeUploads(),
		}),
	})
	if err != nil {
		return nil, err
	}
	return h, nil
}

func errCapWithoutLedger() error {
	return &configError{
		"a cap on the day's cost (--max-cost-per-day, --max-cost-per-day-total) holds for all processes together, which share a ledger on disk, and --store=memory keeps none",
		"Leave one of the two out.",
	}
}

// ready says why calls can't be served, in words that tell nothing secret.
func (h *house) ready(ctx context.Context) error {
	if !h.knowsKey {
		return errors.New("no fal key is configured")
	}
	if err := h.jobs.Ready(ctx); err != nil {
		h.log.Warn().Err(err).Msg("not ready")
		return errors.New("the ledger can't be used")
	}
	return nil
}

// close lets go of the jobs. Submissions and cancels that fal has still to
// answer have that long.
func (h *house) close(limit time.Duration) {
	ctx, done := context.WithTimeout(context.Background(), limit)
	defer done()
	h.folders.Close()
	if err := h.jobs.Close(ctx); err != nil {
		h.log.Warn().Err(err).Msg("shutdown")
		return // fal's client may be in use
	}
	h.fal.Close()
}
