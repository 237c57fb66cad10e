package app

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
)

func decimal(number float64) string { return strconv.FormatFloat(number, 'f', -1, 64) }

// arguments are the options that are not the defaults, as arguments of serve.
func (o *Options) arguments() []string {
	var args []string
	add := func(flag, value, standard string) {
		if value != standard {
			args = append(args, "--"+flag+"="+value)
		}
	}
	add("fal-key-file", o.FalKeyFile, "")
	add("queue-url", o.QueueURL, "")
	add("platform-url", o.PlatformURL, "")
	add("rest-url", o.RestURL, "")
	for _, dir := range o.allowDirs() {
		if abs, err := filepath.Abs(dir); err == nil {
			dir = abs
		}
		add("allow-dir", dir, "")
	}
	add("max-upload-size", fmt.Sprint(int64(o.MaxUploadSize)), fmt.Sprint(2<<30))
	add("safety-checker", o.SafetyChecker, "")
	add("queue-priority", o.QueuePriority, "")
	add("start-timeout", o.StartTimeout.String(), "0s")
	add("payload-storage", o.PayloadStorage, "")
	add("state-dir", o.StateDir, "")
	add("store", o.Store, "full")
	add("max-cost-per-call", decimal(float64(o.MaxCostPerCall)), "0")
	add("max-cost-per-day", decimal(float64(o.MaxCostPerDay)), "0")
	add("max-cost-per-day-total", decimal(float64(o.MaxCostPerDayTotal)), "0")
	add("max-calls-per-minute", decimal(float64(o.MaxCallsPerMinute)), "0")
	add("max-jobs-in-flight", fmt.Sprint(int(o.MaxJobsInFlight)), "0")
	var prices []string
	for endpoint, price := range o.Price {
		prices = append(prices, fmt.Sprintf("--price=%s=%v", endpoint, price))
	}
	slices.Sort(prices)
	args = append(args, prices...)
	add("log-level", o.LogLevel, "")
	add("log-format", o.LogFormat, "auto")
	return args
}
