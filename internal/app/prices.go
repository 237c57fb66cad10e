package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"nemotron-mcp/falclient"
	"nemotron-mcp/internal/jobs"
)

// priceChange is what came of one endpoint's price, in USD per 1,000 tokens.
type priceChange struct {
	Endpoint string  `json:"endpoint"`
	Old      float64 `json:"old_usd_per_1000_tokens"`
	New      float64 `json:"new_usd_per_1000_tokens,omitempty"` // 0 where it was refused
	Refused  string  `json:"refused,omitempty"`                 // why; the old price stays
	// Override is the operator's own price, which is used instead.
	Override *float64 `json:"override_usd_per_1000_tokens,omitempty"`
}

// refreshPrices reads the prices from fal and keeps those that can be used. It
// fails where none can.
func (c *usageCommand) refreshPrices(s *session) error {
	dir, err := s.opts.stateDir()
	if err != nil || s.opts.Store == storeMemory {
		return &configError{"prices are kept in the state folder, and there is none", "Set --state-dir (NEMOTRON_MCP_STATE_DIR), and --store to full or metadata."}
	}
	h, err := s.prepare()
	if err != nil {
		return err
	}
	defer h.fal.Close()
	kept, err := s.opts.refreshedPrices()
	if err != nil {
		h.log.Warn().Err(err).Msg("the prices of before are replaced")
		kept = nil
	}
	changes, err := s.opts.askPrices(s.ctx, h.fal, kept)
	if err != nil {
		return h.told(err)
	}
	fresh := jobs.Prices{}
	maps.Copy(fresh, kept)
	accepted := false
	for _, change := range changes {
		if change.Refused == "" {
			fresh[change.Endpoint] = change.New
			accepted = true
		}
	}
	if accepted {
		if err := s.savePrices(h, dir, fresh); err != nil {
			return h.told(err)
		}
	}
	if isTerminal(s.Out) && !c.JSON {
		err = h.print(s.Out, priceLines(changes))
	} else {
		err = h.printJSON(s.Out, changes)
	}
	if err == nil && !accepted {
		return errors.New("fal told no price that can be used; those of before stay")
	}
	return err
}

// askPrices asks for each endpoint by itself: one that fal does not know would
// take the others with it.
func (o *Options) askPrices(ctx context.Context, fal *falclient.Client, kept jobs.Prices) ([]priceChange, error) {
	before := jobs.DefaultPrices()
	maps.Copy(before, kept)
	var changes []priceChange
	for _, id := range []string{falclient.Nemotron, falclient.NemotronVision, falclient.NemotronVideo, falclient.NemotronAudio} {
		endpoint, err := falclient.ParseEndpoint(id)
		if err != nil {
			return nil, err
		}
		change := priceChange{Endpoint: id, Old: before[id]}
		if own, ok := o.Price[id]; ok {
			change.Override = &own
		}
		told, err := fal.Prices(ctx, endpoint)
		switch {
		case errors.Is(err, falclient.ErrNoPlatform):
			return nil, &configError{"the platform API, which has fal's prices, is not known for this queue", "Set FAL_PLATFORM_URL (--platform-url)."}
		case errors.Is(err, falclient.ErrNoKey):
			return nil, &configError{"no usable fal key is configured, and prices are the account's", "Set FAL_KEY; keys: https://fal.ai/dashboard/keys"}
		case errors.Is(err, falclient.ErrNotFound), errors.As(err, new(*falclient.ResponseError)):
			change.Refused = err.Error()
		case err != nil:
			return nil, err
		default:
			change.New, change.Refused = perThousand(told)
		}
		changes = append(changes, change)
	}
	return changes, nil
}

// perThousand is the price of 1,000 tokens, or why it can't be told. Of several
// prices it is the highest: an estimate may be too high, never too low.
func perThousand(told []falclient.UnitPrice) (usd float64, refused string) {
	for _, price := range told {
		tokens, ok := unitTokens(price.Unit)
		if !ok {
			return 0, fmt.Sprintf("fal's price is for the unit %q, which is not a number of tokens", price.Unit)
		}
		one := price.USD * 1000 / tokens
		switch {
		case price.USD == 0:
			return 0, "fal told a price of 0"
		case !(one >= minPrice && one < maxPrice):
			return 0, fmt.Sprintf("fal's price of $%v for the unit %q is no likely price", price.USD, price.Unit)
		}
		usd = max(usd, one)
	}
	if len(told) == 0 {
		return 0, "fal told no price"
	}
	// Without the noise of binary fractions.
	usd, _ = strconv.ParseFloat(strconv.FormatFloat(usd, 'g', 12, 64), 64)
	return usd, ""
}

// A price per 1,000 tokens is within these, in USD: the least amount that the
// ledger counts, and what no model costs.
const (
	minPrice = 1e-9
	maxPrice = 1000
)

// unitTokens reads fal's free text for a unit: "token", "1000 tokens",
// "1,000 tokens", "1M tokens".
func unitTokens(unit string) (tokens float64, ok bool) {
	m := regexp.MustCompile(`^(?:(\d{1,9}|\d{1,3}(?:,\d{3}){1,2}) ?([km]?) )?tokens?$`).
		FindStringSubmatch(strings.ToLower(strings.TrimSpace(unit)))
	if m == nil {
		return 0, false
	}
	tokens = 1
	if m[1] != "" {
		tokens, _ = strconv.ParseFloat(strings.ReplaceAll(m[1], ",", ""), 64)
	}
	switch m[2] {
	case "k":
		tokens *= 1e3
	case "m":
		tokens *= 1e6
	}
	return tokens, tokens > 0
}

// savePrices replaces the file in one step. Opening the ledger makes the state
// folder, or checks that it is the user's own.
func (s *session) savePrices(h *house, dir string, prices jobs.Prices) (err error) {
	ledger, err := s.opts.ledgerOnDisk(h.log)
	if err != nil {
		return err
	}
	if err := ledger.Close(); err != nil {
		return err
	}
	text, err := json.MarshalIndent(prices, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, pricesFile+".*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	_, err = f.Write(append(text, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), filepath.Join(dir, pricesFile))
}

func priceLines(changes []priceChange) []byte {
	var b bytes.Buffer
	for _, c := range changes {
		switch {
		case c.Refused != "":
			fmt.Fprintf(&b, "%s: $%v stays: %s\n", c.Endpoint, c.Old, c.Refused)
		default:
			fmt.Fprintf(&b, "%s: $%v → $%v per 1,000 tokens\n", c.Endpoint, c.Old, c.New)
		}
		if c.Override != nil {
			fmt.Fprintf(&b, "  (--price sets $%v, which is used)\n", *c.Override)
		}
	}
	return b.Bytes()
}
