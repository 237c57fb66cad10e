package app_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nemotron-mcp/internal/falsim"
)

// command runs the program to its end, with nothing of the caller's settings.
func command(t *testing.T, settings []string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, args...)
	cmd.Env = environ(t, settings...)
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	err = cmd.Run()
	return out.String(), log.String(), err
}

// generate runs one generation against the simulator and returns the job that
// came of it.
func generate(t *testing.T, sim *falsim.Server, settings []string, args ...string) falsim.JobInfo {
	t.Helper()
	settings = append([]string{"FAL_KEY=" + testKey, "FAL_QUEUE_URL=" + sim.QueueURL()}, settings...)
	args = append([]string{"call", "nemotron_generate", "prompt=Hi"}, args...)
	if out, log, err := command(t, settings, args...); err != nil {
		t.Fatalf("%v: %s%s", err, out, log)
	}
	jobs := sim.Jobs()
	if len(jobs) != 1 {
		t.Fatalf("%d jobs, want 1", len(jobs))
	}
	return jobs[0]
}

// TestSwitchesReachFal: each of the operator's switches, as a flag and as a
// variable, is in what fal receives, and what is not set is not sent.
func TestSwitchesReachFal(t *testing.T) {
	t.Parallel()
	type headers = map[string]string
	cases := []struct {
		name, flag, variable string
		headers              headers
		safetyChecker        any
	}{
		{name: "none set"},
		{
			name: "priority low", flag: "--queue-priority=low", variable: "NEMOTRON_MCP_QUEUE_PRIORITY=low",
			headers: headers{"X-Fal-Queue-Priority": "low"},
		},
		{
			name: "priority normal", flag: "--queue-priority=normal", variable: "NEMOTRON_MCP_QUEUE_PRIORITY=normal",
			headers: headers{"X-Fal-Queue-Priority": "normal"},
		},
		{
			name: "start time-out", flag: "--start-timeout=90s", variable: "NEMOTRON_MCP_START_TIMEOUT=90s",
			headers: headers{"X-Fal-Request-Start-Timeout": "90", "X-Fal-Request-Timeout": "90"},
		},
		{
			name: "payload storage off", flag: "--payload-storage=off", variable: "NEMOTRON_MCP_PAYLOAD_STORAGE=off",
			headers: headers{"X-Fal-Store-Io": "0"},
		},
		{
			name: "payload storage on", flag: "--payload-storage=on", variable: "NEMOTRON_MCP_PAYLOAD_STORAGE=on",
			headers: headers{"X-Fal-Store-Io": "1"},
		},
		{
			name: "safety checker off", flag: "--safety-checker=off", variable: "NEMOTRON_MCP_SAFETY_CHECKER=off",
			safetyChecker: false,
		},
		{
			name: "safety checker on", flag: "--safety-checker=on", variable: "NEMOTRON_MCP_SAFETY_CHECKER=on",
			safetyChecker: true,
		},
	}
	check := func(t *testing.T, job falsim.JobInfo, want headers, safetyChecker any) {
		t.Helper()
		sent := headers{"User-Agent": "nemotron-mcp/v0.0.0-test"}
		for name, value := range want {
			sent[name] = value
		}
		if diff := cmp.Diff(sent, job.Headers); diff != "" {
			t.Errorf("headers (-want +got):\n%s", diff)
		}
		var input map[string]any
		if err := json.Unmarshal(job.Input, &input); err != nil {
			t.Fatal(err)
		}
		if got := input["enable_safety_checker"]; got != safetyChecker {
			t.Errorf("enable_safety_checker is %v, want %v", got, safetyChecker)
		}
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var flags, variables []string
			if c.flag != "" {
				flags, variables = []string{c.flag}, []string{c.variable}
			}
			check(t, generate(t, startSimulator(t, falsim.Script{}), nil, flags...), c.headers, c.safetyChecker)
			check(t, generate(t, startSimulator(t, falsim.Script{}), variables), c.headers, c.safetyChecker)
		})
	}
}

// TestWhichKeyIsUsed: fal accepts one key only, so the wrong one fails.
func TestWhichKeyIsUsed(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte("key-of-the-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name     string
		accepted string
		settings []string
		flags    []string
	}{
		{"FAL_KEY before the halves and the file", testKey, []string{"FAL_KEY_ID=id", "FAL_KEY_SECRET=secret", "NEMOTRON_MCP_FAL_KEY_FILE=" + file}, nil},
		{"the halves before the file", "id:secret", []string{"FAL_KEY=", "FAL_KEY_ID=id", "FAL_KEY_SECRET=secret", "NEMOTRON_MCP_FAL_KEY_FILE=" + file}, nil},
		{"the file by its variable", "key-of-the-file", []string{"FAL_KEY=", "NEMOTRON_MCP_FAL_KEY_FILE=" + file}, nil},
		{"the file by its flag", "key-of-the-file", []string{"FAL_KEY="}, []string{"--fal-key-file", file}},
		{"half a key is none", "key-of-the-file", []string{"FAL_KEY=", "FAL_KEY_ID=id", "NEMOTRON_MCP_FAL_KEY_FILE=" + file}, nil},
		{"a placeholder falls through to the halves", "id:secret", []string{"FAL_KEY=${input:fal-key}", "FAL_KEY_ID=id", "FAL_KEY_SECRET=secret"}, nil},
		{"a placeholder falls through to the file", "key-of-the-file", []string{"FAL_KEY=${user_config.key}", "NEMOTRON_MCP_FAL_KEY_FILE=" + file}, nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			generate(t, startSimulator(t, falsim.Script{Key: c.accepted}), c.settings, c.flags...)
		})
	}
}

// TestEmptyVariables: hosts pass a setting that their user left out as an empty
// variable.
func TestEmptyVariables(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"LOG_LEVEL", "LOG_FORMAT", "FAL_KEY_FILE", "SAFETY_CHECKER", "QUEUE_PRIORITY", "START_TIMEOUT", "PAYLOAD_STORAGE",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// Without a key, so that the key file is looked for.
			out, log, err := command(t, []string{"FAL_KEY=", "NEMOTRON_MCP_" + name + "="}, "call", "queue_list")
			if err != nil || !strings.HasPrefix(out, "No jobs.") {
				t.Errorf("%v: %s%s", err, out, log)
			}
		})
	}
}

// TestLogLevels: what each level shows of one info line (the audit of a
// submission) and one debug line (a response that nothing asked for).
func TestLogLevels(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name        string
		settings    []string
		info, debug bool
	}{
		{"default", nil, true, false},
		{"info", []string{"NEMOTRON_MCP_LOG_LEVEL=info"}, true, false},
		{"debug", []string{"NEMOTRON_MCP_LOG_LEVEL=debug"}, true, true},
		{"warn", []string{"NEMOTRON_MCP_LOG_LEVEL=warn"}, false, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := startProcess(t, startSimulator(t, falsim.Script{}), true, c.settings...)
			p.send(`{"jsonrpc":"2.0","id":77,"result":{}}`)
			p.send(generateLine(1, "Hi"))
			p.answer("1")
			p.end()
			log := p.stderr.String()
			if info := strings.Contains(log, `"level":"info"`); info != c.info {
				t.Errorf("info lines: %t, want %t: %s", info, c.info, log)
			}
			if debug := strings.Contains(log, `"level":"debug"`); debug != c.debug {
				t.Errorf("debug lines: %t, want %t: %s", debug, c.debug, log)
			}
		})
	}
}

func TestLogFormat(t *testing.T) {
	t.Parallel()
	p := startProcess(t, startSimulator(t, falsim.Script{}), true, "NEMOTRON_MCP_LOG_FORMAT=console")
	p.send(generateLine(1, "Hi"))
	p.answer("1")
	p.end()
	if log := p.stderr.String(); !strings.Contains(log, "submission") || strings.Contains(log, `{"`) {
		t.Errorf("not a console's log: %s", log)
	}
}

// end closes the program's stdin and waits for its end in good order.
func (p *process) end() {
	p.t.Helper()
	_ = p.in.Close()
	if err := p.wait(); err != nil {
		p.t.Fatalf("exit: %v; log: %s", err, p.stderr)
	}
}

// TestLogMasksWhatFalEchoes: fal's client masks the key as it is; the log also
// masks a form of it that the client does not know.
func TestLogMasksWhatFalEchoes(t *testing.T) {
	t.Parallel()
	encoded := base64.StdEncoding.EncodeToString([]byte(testKey))
	for _, format := range []string{"json", "console"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			sim := startSimulator(t, falsim.Script{QueueDelay: time.Hour, Faults: []falsim.Fault{{
				Step: falsim.StepCancel, Status: 403, Body: `{"detail":"no access with ` + encoded + ` or ` + testKey + `"}`,
			}}})
			p := startProcess(t, sim, true, "NEMOTRON_MCP_LOG_FORMAT="+format)
			p.send(strings.Replace(generateLine(1, "Hi"), `"prompt"`, `"wait_seconds":0,"prompt"`, 1))
			p.answer("1")
			p.send(`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"queue_cancel","arguments":{"request_id":"` + sim.Jobs()[0].RequestID + `"}}}`)
			answer := p.answer("2")
			p.end()
			log := p.stderr.String()
			if !strings.Contains(log, "cancel not accepted") || !strings.Contains(log, "[redacted] or [redacted]") {
				t.Errorf("no masked warning in the log: %s", log)
			}
			for where, text := range map[string]string{"log": log, "answer": answer} {
				if strings.Contains(text, encoded) || strings.Contains(text, testKey) {
					t.Errorf("the key is in the %s: %s", where, text)
				}
			}
		})
	}
}

// TestOneAuditLine: a paid submission leaves one line in the log, with the
// facts and without the prompt or the answer.
func TestOneAuditLine(t *testing.T) {
	t.Parallel()
	const output = "a very private answer"
	sim := startSimulator(t, falsim.Script{
		Output: output, Usage: &falsim.Usage{InputTokens: 1000, OutputTokens: 500},
		QueueDelay: 60 * time.Millisecond, RunTime: 120 * time.Millisecond,
	})
	p := startProcess(t, sim, true)
	p.send(generateLine(1, "a very private prompt"))
	p.answer("1")
	p.end()
	log := p.stderr.String()
	if strings.Contains(log, "private") {
		t.Errorf("prompt or answer in the log: %s", log)
	}
	var lines []map[string]any
	for line := range strings.Lines(log) {
		var event map[string]any
		if err := json.Unmarshal([]byte(line), &event); err != nil {
			t.Fatalf("not JSON: %s", line)
		}
		if event["message"] == "submission" {
			lines = append(lines, event)
		}
	}
	if len(lines) != 1 {
		t.Fatalf("%d audit lines: %s", len(lines), log)
	}
	job := sim.Jobs()[0]
	audit := lines[0]
	for name, want := range map[string]any{
		"level": "info", "request_id": job.RequestID, "endpoint": job.Endpoint, "status": "COMPLETED",
		"input_bytes": float64(len("a very private prompt")), "output_bytes": float64(len(output)),
		"input_tokens": 1000.0, "output_tokens": 500.0, "cost_usd": 0.015,
	} {
		if audit[name] != want {
			t.Errorf("%s is %v, want %v", name, audit[name], want)
		}
	}
	for name, least := range map[string]float64{"queue_seconds": 0.04, "inference_seconds": 0.1, "total_seconds": 0.18} {
		if took, ok := audit[name].(float64); !ok || took < least || took > 60 {
			t.Errorf("%s is %v, want %v or a little more", name, audit[name], least)
		}
	}
}
