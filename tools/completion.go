package tools

import (
	"context"
	"strings"

	"github.com/mark3labs/mcp-go/mcp"
)

const (
	maxCompletions = 100  // as MCP wants it
	maxSearched    = 1000 // of the newest jobs
)

// completer completes the arguments of prompts and of the resources' template.
// It names no file: what there is is no business of who only types.
type completer struct {
	s *service
	f frame
}

// CompletePromptArgument implements server.PromptCompletionProvider.
func (c completer) CompletePromptArgument(ctx context.Context, prompt string, argument mcp.CompleteArgument, _ mcp.CompleteContext) (*mcp.Completion, error) {
	return guard(ctx, c.f, string(mcp.MethodCompletionComplete), func() (*mcp.Completion, error) {
		p, err := findPrompt(prompt)
		if err != nil {
			return nil, err
		}
		for _, a := range p.arguments {
			if a.name == argument.Name {
				var m matches
				for _, value := range a.values {
					m.add(value, argument.Value)
				}
				return m.completion(false), nil
			}
		}
		return nil, invalidParams("%s has no argument %q", p.name, shorten(argument.Name, maxEchoed))
	})
}

// CompleteResourceArgument implements server.ResourceCompletionProvider.
func (c completer) CompleteResourceArgument(ctx context.Context, uri string, argument mcp.CompleteArgument, _ mcp.CompleteContext) (*mcp.Completion, error) {
	return guard(ctx, c.f, string(mcp.MethodCompletionComplete), func() (*mcp.Completion, error) {
		if uri != jobsTemplate {
			return nil, invalidParams("There is no resource template %q; the one there is is %s.", shorten(uri, 2*maxEchoed), jobsTemplate)
		}
		if argument.Name != "request_id" {
			return nil, invalidParams("%s has no argument %q; it has request_id", jobsTemplate, shorten(argument.Name, maxEchoed))
		}
		return c.s.completeID(ctx, argument.Value)
	})
}

// completeID looks through the caller's newest finished jobs.
func (s *service) completeID(ctx context.Context, prefix string) (*mcp.Completion, error) {
	var m matches
	before := ""
	for searched := 0; searched < maxSearched; searched += maxCompletions {
		page, next, err := s.jobs.Finished(ctx, CallerFrom(ctx), before, maxCompletions)
		if err != nil {
			return nil, err
		}
		for _, job := range page {
			if job.RequestID != "" {
				m.add(job.RequestID, prefix)
			}
		}
		if before = next; next == "" {
			break
		}
	}
	return m.completion(before != ""), nil
}

// matches collects the values that begin with what was typed.
type matches struct {
	values []string
	total  int
}

func (m *matches) add(value, prefix string) {
	if len(prefix) > len(value) || !strings.EqualFold(value[:len(prefix)], prefix) {
		return
	}
	if m.total++; len(m.values) < maxCompletions {
		m.values = append(m.values, value)
	}
}

// completion tells the total only where all was looked at.
func (m *matches) completion(more bool) *mcp.Completion {
	c := &mcp.Completion{Values: m.values, Total: m.total, HasMore: more || m.total > len(m.values)}
	if more {
		c.Total = 0
	}
	if c.Values == nil {
		c.Values = []string{}
	}
	return c
}
