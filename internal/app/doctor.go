package app

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"nemotron-mcp/falclient"
)

const (
	// doctorTime is what all checks have together, and askTime each one that has
	// to wait for others: fal, or the disk.
	doctorTime = 12 * time.Second
	askTime    = 5 * time.Second
	// doctorGrace is what is left to checks to tell how they were ended.
	doctorGrace = time.Second
	// keyTime is what the file with the key has: the other checks wait for it.
	keyTime = 2 * time.Second
)

type doctorCommand struct {
	JSON    bool `name:"json" help:"Print one JSON object: version, findings, summary."`
	Offline bool `help:"Leave out what needs the network."`
}

// Help implements kong.HelpProvider.
func (c *doctorCommand) Help() string {
	return "Nothing is submitted, billed, made or changed. " +
		"Give it the flags and variables of the server that it is to judge. " +
		"Exit code 0: all is fine, or there are warnings only; 1: something failed; 2: the command line is wrong."
}

// verdict is how a check came out.
type verdict string

const (
	isOK      verdict = "ok"
	isWarning verdict = "warning" // it works, and may not as the operator thinks
	isFailed  verdict = "failed"  // a part of the server does not work
	isSkipped verdict = "skipped" // it could not be told
)

// finding is what one check found.
type finding struct {
	Check  string  `json:"check"`
	Status verdict `json:"status"`
	What   string  `json:"what"`
	Remedy string  `json:"remedy,omitempty"`
}

func fine(check, what string) finding { return finding{check, isOK, what, ""} }

func warning(check, what, remedy string) finding { return finding{check, isWarning, what, remedy} }

func failed(check, what, remedy string) finding { return finding{check, isFailed, what, remedy} }

func skipped(check, what string) finding { return finding{check, isSkipped, what, ""} }

// misconfigured is a finding of the error with which the server would not start.
func misconfigured(check string, err error) finding {
	var wrong *configError
	if errors.As(err, &wrong) {
		return failed(check, wrong.what, wrong.remedy)
	}
	return failed(check, err.Error(), "")
}

// Run examines the configuration that it was given.
func (c *doctorCommand) Run(s *session) error {
	ctx, done := context.WithTimeout(s.ctx, doctorTime)
	defer done()
	x := &examination{s: s, offline: c.Offline}
	findings := x.begin(ctx)
	if x.fal != nil {
		defer x.fal.Close()
	}
	findings = append(findings, together(ctx, x.parts())...)
	if s.ctx.Err() != nil {
		return errors.New("interrupted; nothing was changed")
	}
	report := diagnose(s.version, findings)
	// Not prepare's: it fails where this is to say why.
	h := &house{secrets: s.opts.secrets(x.key)}
	var err error
	if c.JSON {
		err = h.printJSON(s.Out, report)
	} else {
		err = h.print(s.Out, h.diagnosis(report, marksFor(s.Out)))
	}
	if err == nil && report.Summary.Failed > 0 {
		return errReported
	}
	return err
}

// examination is what the checks share. It does not change once they run.
type examination struct {
	s       *session
	offline bool
	key     string            // usable, or empty
	fal     *falclient.Client // nil where its addresses can't be used
}

// begin looks at what all other checks need: the key and fal's addresses.
func (x *examination) begin(ctx context.Context) []finding {
	type found struct {
		key      string
		findings []finding
	}
	read := make(chan found, 1)
	ctx, done := context.WithTimeout(ctx, keyTime)
	defer done()
	ended := together(ctx, []part{{"key", func(context.Context) []finding {
		key, findings := x.s.opts.judgeKey()
		read <- found{key, findings}
		return findings
	}}})
	select {
	case f := <-read:
		x.key = f.key
	default: // the file with the key is on a disk that does not answer
	}
	findings := append([]finding{fine("version", fmt.Sprintf("nemotron-mcp %s, %s, %s/%s", x.s.version, runtime.Version(), runtime.GOOS, runtime.GOARCH))}, ended...)
	fal, err := falclient.New(falclient.Config{
		Key: x.key, QueueURL: x.s.opts.QueueURL, PlatformURL: x.s.opts.PlatformURL, RESTURL: x.s.opts.RestURL, UserAgent: x.s.userAgent(),
	})
	if err != nil {
		return append(findings, failed("addresses", err.Error(), "Check FAL_QUEUE_URL (--queue-url), FAL_PLATFORM_URL (--platform-url) and FAL_REST_URL (--rest-url)."))
	}
	x.fal = fal
	return findings
}

// parts are the checks, in the order in which they are told.
func (x *examination) parts() []part {
	local := func(look func() []finding) func(context.Context) []finding {
		return func(context.Context) []finding { return look() }
	}
	parts := []part{{"environment", local(x.environment)}}
	switch {
	case x.offline:
		parts = append(parts, unasked("not asked: --offline"))
	case x.fal == nil:
		parts = append(parts, unasked("not asked: fal's addresses can't be used"))
	default:
		parts = append(parts, part{"network", x.network})
	}
	return append(parts, part{"folders", local(x.folders)}, part{"ledger", x.ledger}, part{"prices", local(x.prices)}, part{"clients", local(x.clients)})
}

func unasked(why string) part {
	return part{"network", func(context.Context) []finding {
		return []finding{skipped("key_accepted", why), skipped("account", why), skipped("hosts", why), skipped("clock", why)}
	}}
}

// part is some checks that are made one after the other.
type part struct {
	check string
	look  func(context.Context) []finding
}

// together runs the parts at once and returns what they found, in their order.
// A part that does not end with ctx is left behind: nothing calls back a request
// to a file system that does not answer, and the process is about to end.
func together(ctx context.Context, parts []part) []finding {
	results := make([]chan []finding, len(parts))
	for i, p := range parts {
		results[i] = make(chan []finding, 1)
		go func() { results[i] <- p.look(ctx) }()
	}
	late, done := context.WithCancel(context.WithoutCancel(ctx))
	defer done()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(doctorGrace, done) })()
	var findings []finding
	for i, p := range parts {
		select {
		case <-late.Done():
		case found := <-results[i]:
			findings = append(findings, found...)
			continue
		}
		select { // what others took so long for may be there all the same
		case found := <-results[i]:
			findings = append(findings, found...)
		default:
			findings = append(findings, failed(p.check, "not ended in time", "Something does not answer, mostly a file system. Check the disks and network drives that the folders are on."))
		}
	}
	return findings
}
