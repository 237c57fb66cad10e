package falclient

import (
	"encoding/json"
	"errors"
	"net/http"
)

// The endpoints of NVIDIA Nemotron 3 Nano Omni. The first takes text; each of
// the others takes text and one medium.
const (
	Nemotron       = "nvidia/nemotron-3-nano-omni"
	NemotronVision = "nvidia/nemotron-3-nano-omni/vision"
	NemotronVideo  = "nvidia/nemotron-3-nano-omni/video"
	NemotronAudio  = "nvidia/nemotron-3-nano-omni/audio"
)

// NemotronInput is the model's input. Names, ranges and defaults are fal's; a
// field that is nil or empty is not sent. Each medium has an endpoint, which
// requires it and takes no other.
type NemotronInput struct {
	Prompt              string   `json:"prompt"`
	ImageURL            string   `json:"image_url,omitempty"` // of JPEG or PNG
	VideoURL            string   `json:"video_url,omitempty"` // of MP4, up to 1080p and 2 minutes
	AudioURL            string   `json:"audio_url,omitempty"` // of WAV or MP3, up to 50 minutes
	SystemPrompt        string   `json:"system_prompt,omitempty"`
	ReasoningMode       string   `json:"reasoning_mode,omitempty"` // think or no_think
	MaxTokens           *int     `json:"max_tokens,omitempty"`     // 1 to 20000
	Temperature         *float64 `json:"temperature,omitempty"`    // 0 to 2
	TopP                *float64 `json:"top_p,omitempty"`          // 0 to 1
	EnableSafetyChecker *bool    `json:"enable_safety_checker,omitempty"`
}

// WithDefaults is the input with the defaults that fal documents written out.
// It is for comparing inputs; what is sent leaves them out.
func (in NemotronInput) WithDefaults() NemotronInput {
	if in.ReasoningMode == "" {
		in.ReasoningMode = "no_think"
	}
	in.MaxTokens = orDefault(in.MaxTokens, 1024)
	in.Temperature = orDefault(in.Temperature, 0.7)
	in.TopP = orDefault(in.TopP, 0.95)
	in.EnableSafetyChecker = orDefault(in.EnableSafetyChecker, true)
	return in
}

func orDefault[T any](value *T, standard T) *T {
	if value == nil {
		return &standard
	}
	return value
}

// NemotronOutput is the model's answer.
type NemotronOutput struct {
	Output       string
	FinishReason string // "stop" or "length"; fal documents no closed list
	Usage        Usage
}

// Usage counts tokens. The shape is that of fal's endpoint schema; the type
// that fal-js gives this field belongs to another model (a name collision).
type Usage struct {
	InputTokens  int `json:"input_tokens"`
	OutputTokens int `json:"output_tokens"`
}

// ParseNemotron reads the model's answer out of a result. Without an output
// string it returns a *ResponseError; missing usage is zero.
func ParseNemotron(r Result) (NemotronOutput, error) {
	var wire struct {
		Output       *string   `json:"output"`
		FinishReason looseText `json:"finish_reason"`
		Usage        struct {
			InputTokens  looseInt `json:"input_tokens"`
			OutputTokens looseInt `json:"output_tokens"`
		} `json:"usage"`
	}
	if err := json.Unmarshal(r.Body, &wire); err != nil || wire.Output == nil {
		return NemotronOutput{}, &ResponseError{
			Op: "result", StatusCode: http.StatusOK, Err: errors.New("no output in the model's answer"),
		}
	}
	out := NemotronOutput{Output: *wire.Output, FinishReason: string(wire.FinishReason)}
	if n := wire.Usage.InputTokens.value; n != nil {
		out.Usage.InputTokens = *n
	}
	if n := wire.Usage.OutputTokens.value; n != nil {
		out.Usage.OutputTokens = *n
	}
	return out, nil
}
