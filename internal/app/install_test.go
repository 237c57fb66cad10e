package app

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"nemotron-mcp/internal/jobs"
)

// TestArguments gives every option a value of its own, and has what install
// writes for them parsed again.
func TestArguments(t *testing.T) {
	t.Parallel()
	want := Options{
		FalKeyFile: "/k", QueueURL: "https://q.example.com", PlatformURL: "https://p.example.com", RestURL: "https://r.example.com",
		AllowDir: []string{"/a", "/b,c"}, MaxUploadSize: 5000, SafetyChecker: "on", QueuePriority: "low", StartTimeout: 90 * time.Second,
		PayloadStorage: "off", StateDir: "/s", Store: "metadata", MaxCostPerCall: 0.25, MaxCostPerDay: 1000000, MaxCostPerDayTotal: 7,
		MaxCallsPerMinute: 0.5, MaxJobsInFlight: 9, Price: jobs.Prices{"a/b": 0.000001, "c/d": 2}, LogLevel: "debug", LogFormat: "json",
	}
	v := reflect.ValueOf(want)
	for i := range v.NumField() {
		if v.Field(i).IsZero() {
			t.Errorf("the test gives %s no value", v.Type().Field(i).Name)
		}
	}
	var got serveLine
	parser, err := kong.New(&got, kong.Vars{"queue_url": "", "platform_url": "", "rest_url": ""})
	if err != nil {
		t.Fatal(err)
	}
	args := want.arguments()
	if _, err := parser.Parse(append([]string{"serve"}, args...)); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got.Options, want) {
		t.Errorf("%q\nis read as %+v\nwant %+v", args, got.Options, want)
	}
	var standard serveLine
	if parser, err = kong.New(&standard, kong.Vars{"queue_url": "", "platform_url": "", "rest_url": ""}); err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse([]string{"serve"}); err != nil {
		t.Fatal(err)
	}
	if args := standard.arguments(); slices.ContainsFunc(args, func(a string) bool { return !strings.HasPrefix(a, "--allow-dir=") }) {
		t.Errorf("defaults are given as %q", args)
	}
}

func TestPassing(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]bool{
		"/tmp/go-build123456/b001/exe/nemotron-mcp":      true,
		"/home/u/.cache/go-build/3f/3f00-d/nemotron-mcp": true,
		"/home/u/go/bin/nemotron-mcp":                    false,
		"/home/u/go-builds/nemotron-mcp":                 false,
		"/usr/local/bin/go-build":                        false,
		"nemotron-mcp":                                   false,
	} {
		if got := passing(path); got != want {
			t.Errorf("%s: %v", path, got)
		}
	}
}
