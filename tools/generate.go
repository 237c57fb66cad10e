package tools

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"

	"nemotron-mcp/falclient"
	"nemotron-mcp/internal/jobs"
	"nemotron-mcp/internal/redact"
)

// DefaultWait is how long a generation waits where the caller does not say: less
// than the 60 s that many hosts allow a call.
const DefaultWait = 45 * time.Second

var generateSpec = spec{
	name: "nemotron_generate", title: "Delegate to Nemotron",
	description: "Delegate a task to NVIDIA Nemotron 3 Nano Omni on fal: cheap, fast, 256k tokens of context, reads text, images, video, audio. " +
		"It sees only what you send: name files instead of reading them yourself. Good for summarising, extracting, classifying, drafting, reviewing. " +
		"Returns the answer, or after wait_seconds a request_id for queue_status. Each call is a paid job.",
	openWorld: true,
}

// GenerateInput is the input of nemotron_generate. Names, ranges and defaults
// of the model's own fields are fal's.
type GenerateInput struct {
	Prompt           string   `json:"prompt" jsonschema:"minLength=1,maxLength=2000000" jsonschema_description:"The task and all it needs, in English."`
	SystemPrompt     string   `json:"system_prompt,omitempty" jsonschema:"maxLength=2000000" jsonschema_description:"Role and rules."`
	ReasoningMode    string   `json:"reasoning_mode,omitempty" jsonschema:"enum=think,enum=no_think,default=no_think" jsonschema_description:"think: reason first; slower, better at hard tasks, needs more max_tokens."`
	MaxTokens        *int     `json:"max_tokens,omitempty" jsonschema:"minimum=1,maximum=20000,default=1024" jsonschema_description:"Limit of the answer, reasoning included."`
	Temperature      *float64 `json:"temperature,omitempty" jsonschema:"minimum=0,maximum=2,default=0.7" jsonschema_description:"Randomness."`
	TopP             *float64 `json:"top_p,omitempty" jsonschema:"minimum=0,maximum=1,default=0.95" jsonschema_description:"Nucleus sampling."`
	ImageURL         *string  `json:"image_url,omitempty" jsonschema_description:"JPEG or PNG: https URL, data URI or local path. At most one of image_url, video_url, audio_url."`
	VideoURL         *string  `json:"video_url,omitempty" jsonschema_description:"MP4, up to 2 minutes, 1080p."`
	AudioURL         *string  `json:"audio_url,omitempty" jsonschema_description:"WAV or MP3, up to 50 minutes."`
	Files            []string `json:"files,omitempty" jsonschema:"maxItems=1000" jsonschema_description:"Text files to put before the prompt: paths, or globs such as src/**/*.go."`
	IncludeReasoning *bool    `json:"include_reasoning,omitempty" jsonschema:"default=true" jsonschema_description:"false drops the reasoning."`
	WaitSeconds      *int     `json:"wait_seconds,omitempty" jsonschema:"minimum=0,maximum=600,default=45" jsonschema_description:"How long to wait; 0 only submits. Stay below your host's limit."`
	WebhookURL       string   `json:"webhook_url,omitempty" jsonschema:"pattern=^https://" jsonschema_description:"Called at the end."`
}

func (s *service) generate(ctx context.Context, in GenerateInput) (Job, error) {
	began := time.Now()
	if err := in.check(s.secrets); err != nil {
		return Job{}, err
	}
	req := jobs.Request{
		Caller: CallerFrom(ctx), Endpoint: falclient.Nemotron, WebhookURL: in.WebhookURL,
		Input: falclient.NemotronInput{
			Prompt: in.Prompt, SystemPrompt: in.SystemPrompt, ReasoningMode: in.ReasoningMode,
			MaxTokens: in.MaxTokens, Temperature: in.Temperature, TopP: in.TopP,
		},
		HideReasoning: in.IncludeReasoning != nil && !*in.IncludeReasoning,
		Host:          s.hostFrom(ctx), Wait: waitTime(in.WaitSeconds, DefaultWait),
	}
	if err := s.attach(ctx, in, &req); err != nil {
		if ctx.Err() != nil {
			return Job{}, ended(jobs.Job{}, context.Cause(ctx))
		}
		return Job{}, err
	}
	// What was uploaded first has taken its time from the wait: the call must
	// end within what the host allows it.
	req.Wait = max(req.Wait-time.Since(began), 0)
	job, err := s.jobs.Generate(ctx, req, jobProgress(ctx))
	shown := job
	shown.HideReasoning = req.HideReasoning
	out := s.show(shown, 0)
	completed := job.Status == jobs.Completed
	// An error shows nothing of an answer that could not be read.
	s.settle(ctx, job, out.NextOffset > 0 || !completed && job.Output != "")
	if completed { // also where the call was ended a moment before
		return out, nil
	}
	if err != nil {
		return Job{}, ended(job, err)
	}
	if job.Failure != nil {
		return Job{}, job.Failure
	}
	return out, nil
}

// settle has the job told as delivered once its answer was written to the host;
// more says that the answer does not hold all of the output.
func (s *service) settle(ctx context.Context, job jobs.Job, more bool) {
	onSettled(ctx, func(delivered bool) { s.jobs.Settle(job, jobs.WasTold(delivered, more)) })
}

// ended words the end of a call that did not wait for its job's: a shutdown or
// a lost host. A cancel by the host is never answered.
func ended(job jobs.Job, err error) error {
	if errors.As(err, new(*jobs.Error)) {
		return err
	}
	if job.Failure != nil {
		return job.Failure // it ended all the same, maybe as UNKNOWN
	}
	f := &jobs.Error{
		Code: jobs.JobCancelled, RequestID: job.RequestID,
		Message: "The call was ended before its answer was there, and fal was asked to cancel the job.",
		Action:  "Call queue_status to see how it ended.",
	}
	switch {
	case job.ID == "":
		f.Message, f.Action = "The call was ended before it was submitted; nothing is billed.", "Call again if the answer is still needed."
	case job.RequestID == "":
		f.Message = "The call was ended while fal was still to answer the submission. fal is asked to cancel the job if its answer comes before the server ends."
		f.Action = "It may be running, and billed: look at https://fal.ai/dashboard/requests before calling again."
	}
	return f
}

// check finds what the schema can't, all of it at once.
func (in *GenerateInput) check(secrets *redact.Redactor) error {
	var faults []string
	// Others than fal are asked for these, or called there.
	for name, value := range map[string]*string{"webhook_url": &in.WebhookURL, "image_url": in.ImageURL, "video_url": in.VideoURL, "audio_url": in.AudioURL} {
		if value != nil && secrets.Holds([]byte(*value)) {
			faults = append(faults, name+": holds a secret of this server")
		}
	}
	slices.Sort(faults)
	if in.WebhookURL != "" {
		u, err := url.Parse(in.WebhookURL)
		if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil {
			faults = append(faults, "webhook_url: must be an https URL without user and password")
		}
	}
	if in.media() > 1 {
		faults = append(faults, "image_url, video_url, audio_url: at most one of them may be given")
	}
	return invalidInput(faults)
}

func (in *GenerateInput) media() (given int) {
	for _, medium := range []*string{in.ImageURL, in.VideoURL, in.AudioURL} {
		if medium != nil {
			given++
		}
	}
	return given
}

// invalidInput is the refusal of arguments with these faults, or nil.
func invalidInput(faults []string) error {
	if len(faults) == 0 {
		return nil
	}
	return &jobs.Error{
		Code: jobs.InvalidInput, Message: strings.Join(faults, "; "),
		Action: "Correct the arguments and call again; nothing was sent or spent.",
	}
}

func waitTime(given *int, standard time.Duration) time.Duration {
	if given == nil {
		return standard
	}
	return time.Duration(*given) * time.Second
}
