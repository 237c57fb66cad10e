package falsim

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
)

// Addresses is the line that [ServeCommand] prints.
type Addresses struct {
	QueueURL string `json:"queue_url"`
	RESTURL  string `json:"rest_url"`
	CDNURL   string `json:"cdn_url"`
	// PlatformURL is the platform API's, its /v1 included.
	PlatformURL string `json:"platform_url"`
	AdminURL    string `json:"admin_url"`
}

// ServeCommand is the simulate command: it listens on a loopback address, prints
// one line of JSON ([Addresses]) on stdout, and serves until the context ends or
// stdin does; a nil stdin is not watched. Ending is not an error. Where stdin is
// an [io.Closer] it is closed at the end, so that its reader ends as well.
func ServeCommand(ctx context.Context, listen string, script Script, stdin io.Reader, stdout io.Writer) error {
	if err := script.Validate(); err != nil {
		return err
	}
	s := New(script)
	defer s.Close()
	base, err := s.StartAddr(listen)
	if err != nil {
		return err
	}
	line, err := json.Marshal(Addresses{
		QueueURL: base, RESTURL: base, CDNURL: base, PlatformURL: s.PlatformURL(), AdminURL: base + "/_falsim",
	})
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(stdout, "%s\n", line); err != nil {
		return fmt.Errorf("falsim: print addresses: %w", err)
	}
	ended := make(chan struct{})
	if stdin != nil {
		go func() {
			defer close(ended)
			_, _ = io.Copy(io.Discard, stdin)
		}()
	}
	select {
	case <-ctx.Done():
	case <-ended:
	}
	if c, ok := stdin.(io.Closer); ok {
		_ = c.Close()
	}
	return s.Close()
}
