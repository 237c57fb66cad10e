package falclient_test

import (
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nemotron-mcp/falclient"
)

func TestParseEndpoint(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		id   string
		want falclient.Endpoint
		root string
	}{
		{falclient.Nemotron, falclient.Endpoint{Owner: "nvidia", Alias: "nemotron-3-nano-omni"}, "nvidia/nemotron-3-nano-omni"},
		{falclient.NemotronVision, vision, "nvidia/nemotron-3-nano-omni"},
		{falclient.NemotronVideo, falclient.Endpoint{Owner: "nvidia", Alias: "nemotron-3-nano-omni", Path: "video"}, "nvidia/nemotron-3-nano-omni"},
		{falclient.NemotronAudio, falclient.Endpoint{Owner: "nvidia", Alias: "nemotron-3-nano-omni", Path: "audio"}, "nvidia/nemotron-3-nano-omni"},
		{"fal-ai/flux-pro/v1.1/ultra", falclient.Endpoint{Owner: "fal-ai", Alias: "flux-pro", Path: "v1.1/ultra"}, "fal-ai/flux-pro"},
		{"workflows/me/app/step", falclient.Endpoint{Namespace: "workflows", Owner: "me", Alias: "app", Path: "step"}, "workflows/me/app"},
		{"comfy/me/app", falclient.Endpoint{Namespace: "comfy", Owner: "me", Alias: "app"}, "comfy/me/app"},
	} {
		t.Run(tc.id, func(t *testing.T) {
			t.Parallel()
			got, err := falclient.ParseEndpoint(tc.id)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if got.AppRoot() != tc.root || got.String() != tc.id {
				t.Errorf("root %q, id %q", got.AppRoot(), got.String())
			}
		})
	}
	legacy, err := falclient.ParseEndpoint("110602490-lora")
	if err != nil || legacy.String() != "110602490/lora" {
		t.Errorf("legacy id: %v, %v", legacy, err)
	}
}

func TestParseEndpointRefuses(t *testing.T) {
	t.Parallel()
	for name, id := range map[string]string{
		"empty": "", "one part": "nvidia", "only slashes": "//", "empty part": "a//b", "leading slash": "/a/b",
		"trailing slash": "a/b/", "dots": "a/..", "dots in a path": "a/b/../c", "dots in a name": "a/b..c",
		"a dot": "a/.", "query": "a/b?c", "fragment": "a/b#c", "escape": "a/b%2fc", "blank": "a/b c",
		"newline": "a/b\n", "NUL": "a/b\x00", "backslash": `a\b/c`, "host": "https://evil.example/a", "userinfo": "a@b/c",
		"beyond ASCII": "a/é", "namespace without an app": "workflows/me", "long": "a/" + strings.Repeat("b", 300),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if e, err := falclient.ParseEndpoint(id); err == nil {
				t.Errorf("%q parsed as %+v", id, e)
			} else if len(err.Error()) > 400 {
				t.Errorf("the error has %d bytes", len(err.Error()))
			}
		})
	}
}

func TestValidRequestID(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]bool{
		testID: true, "a": true, "A_b-9": true, strings.Repeat("a", 128): true,
		"": false, strings.Repeat("a", 129): false, "a/b": false, "..": false, "a?b": false, "a%2f": false, "a\n": false, "é": false,
	} {
		if falclient.ValidRequestID(id) != want {
			t.Errorf("%q: want %v", id, want)
		}
	}
}

// Whatever parses can't change the path of a request, and parses again as it is.
func FuzzParseEndpoint(f *testing.F) {
	for _, s := range []string{falclient.NemotronVision, "110602490-lora", "0--", "workflows/a/b", "a/..", "a/b?c#d", "a//b", "comfy/x/y/z.w"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, id string) {
		e, err := falclient.ParseEndpoint(id)
		if err != nil {
			return
		}
		for _, s := range []string{e.AppRoot(), e.String()} {
			for _, bad := range []string{"..", "?", "#", "//", "%", "\\", " ", "\n", "@", ":"} {
				if strings.Contains(s, bad) {
					t.Errorf("%q yields %q with %q in it", id, s, bad)
				}
			}
			if strings.HasPrefix(s, "/") || strings.HasSuffix(s, "/") {
				t.Errorf("%q yields %q", id, s)
			}
		}
		if again, err := falclient.ParseEndpoint(e.String()); err != nil || again != e {
			t.Errorf("%q: %+v parses again as %+v, %v", id, e, again, err)
		}
	})
}

// An Endpoint that nobody parsed can't change a request's path either.
func TestHandMadeEndpoint(t *testing.T) {
	t.Parallel()
	srv := startRaw(t, func(_ int64, conn net.Conn, _ *http.Request) bool {
		text(conn, "200 OK", "", taken)
		return true
	})
	c := newClient(t, falclient.Config{QueueURL: srv.url()})
	for path, good := range map[string]bool{
		"": true, "vision": true, "v1.1/ultra": true,
		"/": false, "vision/": false, "/vision": false, "a//b": false, "..": false, "a/../b": false, "a?b": false, "a%2fb": false,
		strings.Repeat("a", 300): false,
	} {
		before := srv.posts.Load()
		_, err := c.Submit(t.Context(), falclient.Endpoint{Owner: "o", Alias: "a", Path: path}, nil, falclient.SubmitOptions{})
		if sent := srv.posts.Load() > before; sent != good || (err == nil) != good {
			t.Errorf("path %q: sent %v, error %v", path, sent, err)
		}
	}
}
