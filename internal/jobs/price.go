package jobs

import (
	"math"

	"nemotron-mcp/falclient"
)

// Prices is USD per 1,000 tokens, input and output alike, by endpoint id.
type Prices map[string]float64

// DefaultPrices are those of the endpoints' pages on fal (mid 2026). The audio
// page's price was not seen; it is taken to be that of the other media.
func DefaultPrices() Prices {
	return Prices{
		falclient.Nemotron:       0.01,
		falclient.NemotronVision: 0.006,
		falclient.NemotronVideo:  0.006,
		falclient.NemotronAudio:  0.006,
	}
}

// Cost estimates what a usage costs, in USD. An endpoint without a price is
// counted at the highest one: an estimate may be too high, never nothing.
func (p Prices) Cost(endpoint string, u falclient.Usage) float64 {
	price, ok := p[endpoint]
	if !ok {
		for _, other := range p {
			price = max(price, other)
		}
	}
	// To a billionth of a dollar: what is beyond is the noise of binary fractions.
	return math.Round(price*(float64(u.InputTokens)+float64(u.OutputTokens))*1e6) / 1e9
}

const (
	// contextTokens is what the model can take in and give out together (NVIDIA's
	// model card: 256k).
	contextTokens = 256 << 10
	// templateTokens is more than what the model's own frame around a prompt
	// takes.
	templateTokens = 256
	// defaultMaxTokens is fal's default for max_tokens.
	defaultMaxTokens = 1024
)

// WorstCase is the most that a call can cost, in USD. No token is shorter than a
// byte, so the input counts a token for each: three or four times what English
// text comes to, until the true figure is there.
func (p Prices) WorstCase(endpoint string, in falclient.NemotronInput) float64 {
	input := len(in.Prompt) + len(in.SystemPrompt) + templateTokens
	output := defaultMaxTokens
	if in.MaxTokens != nil {
		output = *in.MaxTokens
	}
	if endpoint != falclient.Nemotron {
		input = contextTokens // a medium's tokens can't be told
	}
	input = min(input, max(contextTokens-output, 0))
	return p.Cost(endpoint, falclient.Usage{InputTokens: input, OutputTokens: output})
}
