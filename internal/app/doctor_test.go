package app_test

import (
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"nemotron-mcp/internal/falsim"
)

// doctorKey has the two halves of a key of fal's.
const doctorKey = "0f1e2d3c-aaaa-bbbb-cccc-000011112222:5ec4e7deadbeef5ec4e7deadbeef0001"

type finding struct{ Check, Status, What, Remedy string }

type diagnosis struct {
	Version  string
	Findings []finding
	Summary  struct{ OK, Warnings, Failed, Skipped int }
}

// examine runs the doctor and holds what is true of each run: the exit code goes
// by the findings, each fault has a remedy, and the key is nowhere.
func examine(t *testing.T, settings []string, args ...string) diagnosis {
	t.Helper()
	// Nothing of whoever runs the tests.
	home := t.TempDir()
	settings = append([]string{"HOME=" + home, "USERPROFILE=" + home, "AppData=" + home, "XDG_CONFIG_HOME=", "CLAUDE_CONFIG_DIR=", "CODEX_HOME=", "GEMINI_CLI_HOME=", "HTTPS_PROXY=", "https_proxy=", "HTTP_PROXY=", "http_proxy=", "ALL_PROXY=", "all_proxy=", "CLAUDE_PROJECT_DIR=", "FAL_KEY=" + doctorKey}, settings...)
	out, logged, err := command(t, settings, append([]string{"doctor", "--json"}, args...)...)
	for _, secret := range []string{doctorKey, "5ec4e7deadbeef", "0f1e2d3c-aaaa"} {
		if strings.Contains(out+logged, secret) {
			t.Fatalf("the key is in the output: %s%s", out, logged)
		}
	}
	d := decode[diagnosis](t, out)
	code := 0
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		code = exit.ExitCode()
	}
	var count [4]int
	for _, f := range d.Findings {
		switch f.Status {
		case "ok":
			count[0]++
		case "warning":
			count[1]++
		case "failed":
			count[2]++
		case "skipped":
			count[3]++
		}
		if f.Check == "" || f.What == "" || (f.Status == "warning" || f.Status == "failed") && f.Remedy == "" {
			t.Errorf("not a whole finding: %+v", f)
		}
	}
	if s := d.Summary; count != [4]int{s.OK, s.Warnings, s.Failed, s.Skipped} {
		t.Errorf("the summary is %+v, the findings are %v", s, count)
	}
	if want := min(d.Summary.Failed, 1); code != want {
		t.Errorf("exit code %d, want %d; log: %s", code, want, logged)
	}
	if logged != "" {
		t.Errorf("logged: %s", logged)
	}
	return d
}

// holds fails the test unless there is such a finding. Words are in the text of
// what was found or to do.
func (d diagnosis) holds(t *testing.T, check, status string, words ...string) {
	t.Helper()
	for _, f := range d.Findings {
		if f.Check != check || f.Status != status {
			continue
		}
		all := true
		for _, word := range words {
			all = all && strings.Contains(f.What+"\n"+f.Remedy, word)
		}
		if all {
			return
		}
	}
	t.Errorf("%s is not %s with %q: %+v", check, status, words, d.Findings)
}

// atSimulator are the addresses of the simulator.
func atSimulator(sim *falsim.Server) []string {
	return []string{"FAL_QUEUE_URL=" + sim.QueueURL(), "FAL_REST_URL=" + sim.RESTURL(), "FAL_PLATFORM_URL=" + sim.PlatformURL()}
}

// nobody is an address at which nobody listens.
func nobody(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return "http://" + ln.Addr().String()
}

// silent takes connections and answers nothing; reached is closed at the first.
func silent(t *testing.T) (url string, reached <-chan struct{}) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	first := make(chan struct{})
	var once sync.Once
	var serving sync.WaitGroup
	var conns []net.Conn
	serving.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			conns = append(conns, conn)
			once.Do(func() { close(first) })
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		serving.Wait()
		for _, conn := range conns {
			_ = conn.Close()
		}
	})
	return "http://" + ln.Addr().String(), first
}

func TestDoctorFindsNothing(t *testing.T) {
	t.Parallel()
	sim := startSimulator(t, falsim.Script{Key: doctorKey})
	dir := t.TempDir()
	d := examine(t, append(atSimulator(sim), "NEMOTRON_MCP_MAX_COST_PER_DAY=5"), "--allow-dir="+dir)
	if d.Version != "v0.0.0-test" || d.Summary.Failed != 0 || d.Summary.Skipped != 0 {
		t.Errorf("found %+v", d)
	}
	for _, check := range []string{"version", "key", "key_accepted", "account", "queue_host", "rest_host", "platform_host", "clock", "folders", "ledger", "budget", "prices"} {
		d.holds(t, check, "ok")
	}
	d.holds(t, "key", "ok", "FAL_KEY")
	d.holds(t, "folders", "ok", filepath.Base(dir))
	d.holds(t, "ledger", "ok", "none yet")
	if s := sim.Stats(); s.Accepted != 0 || s.Billed != 0 || s.Requests.Submit != 0 || s.Uploads != 0 {
		t.Errorf("fal was asked %+v", s)
	}
}

func TestDoctorOnKeys(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "key")
	if err := os.WriteFile(file, []byte(doctorKey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	open := filepath.Join(dir, "open")
	if err := errors.Join(os.WriteFile(open, []byte(doctorKey), 0o600), os.Chmod(open, 0o644)); err != nil {
		t.Fatal(err)
	}
	id, secret, _ := strings.Cut(doctorKey, ":")
	fault := func(status int, body string) falsim.Script {
		return falsim.Script{Faults: []falsim.Fault{{Step: falsim.StepStatus, Status: status, Body: body}}}
	}
	const locked = `{"detail":"User is locked. Reason: Exhausted balance. Top up your balance at fal.ai/dashboard/billing."}`
	for _, tc := range []struct {
		name          string
		script        falsim.Script
		settings      []string
		check, status string
		words         []string
	}{
		{"none", falsim.Script{}, []string{"FAL_KEY="}, "key", "failed", []string{"no fal key is set", "https://fal.ai/dashboard/keys", "FAL_KEY"}},
		{"none is not asked about", falsim.Script{}, []string{"FAL_KEY="}, "key_accepted", "skipped", []string{"no usable key"}},
		{"a placeholder", falsim.Script{}, []string{"FAL_KEY=${input:fal-key}"}, "key", "failed", []string{"no fal key is set"}},
		{"a placeholder is told", falsim.Script{}, []string{"FAL_KEY=${input:fal-key}"}, "environment", "warning", []string{"FAL_KEY holds a placeholder", "host's entry"}},
		{"of two halves", falsim.Script{Key: doctorKey}, []string{"FAL_KEY=", "FAL_KEY_ID=" + id, "FAL_KEY_SECRET=" + secret}, "key", "ok", []string{"FAL_KEY_ID and FAL_KEY_SECRET"}},
		{"one half", falsim.Script{}, []string{"FAL_KEY=", "FAL_KEY_SECRET=" + secret}, "environment", "warning", []string{"only one of FAL_KEY_ID and FAL_KEY_SECRET", "Set both"}},
		{"in a file", falsim.Script{Key: doctorKey}, []string{"FAL_KEY=", "NEMOTRON_MCP_FAL_KEY_FILE=" + file}, "key", "ok", []string{"the file ", file}},
		{"in a missing file", falsim.Script{}, []string{"FAL_KEY=", "NEMOTRON_MCP_FAL_KEY_FILE=" + file + "-none"}, "key", "failed", []string{"can't be read", "--fal-key-file"}},
		{"with a line end in it", falsim.Script{}, []string{"FAL_KEY=" + id + "\n" + secret}, "key", "failed", []string{"FAL_KEY holds a space", "on one line"}},
		{"accepted", falsim.Script{Key: doctorKey}, nil, "key_accepted", "ok", []string{"accepts the key"}},
		{"refused", falsim.Script{Key: "another"}, nil, "key_accepted", "failed", []string{"refuses the key", "HTTP 401", "was not deleted"}},
		{"half of one, refused", falsim.Script{Key: "another"}, []string{"FAL_KEY=" + secret}, "key_accepted", "failed", []string{"no colon"}},
		{"echoed", fault(401, `{"detail":"invalid key `+doctorKey+`"}`), nil, "key_accepted", "failed", []string{"invalid key [redacted]"}},
		{"no access", fault(403, `{"detail":"Cannot access application"}`), nil, "key_accepted", "failed", []string{"Cannot access application"}},
		{"limited", fault(429, ``), nil, "key_accepted", "warning", []string{"limits the rate", "later"}},
		{"asked of something else", fault(404, `<html>nginx</html>`), nil, "key_accepted", "failed", []string{"does not speak fal's API", "FAL_QUEUE_URL"}},
		{"locked", falsim.Script{Locked: true}, nil, "account", "failed", []string{"locked the account: Exhausted balance", "https://fal.ai/dashboard/billing"}},
		{"locked, and its key accepted", falsim.Script{Locked: true}, nil, "key_accepted", "ok", nil},
		{"locked on the probe", fault(403, locked), nil, "account", "failed", []string{"locked the account: User is locked. Reason: Exhausted balance", "https://fal.ai/dashboard/billing"}},
		{"locked on the probe, and its key accepted", fault(403, locked), nil, "key_accepted", "ok", nil},
		{"lock not told", falsim.Script{Faults: []falsim.Fault{{Step: falsim.StepAccount, Status: 404, Body: `{"detail":"Not Found"}`}}}, nil, "account", "skipped", []string{"does not document", "HTTP 404"}},
		{"lock not told any more", falsim.Script{Faults: []falsim.Fault{{Step: falsim.StepAccount, Status: 200, Body: `{"new":1}`}}}, nil, "account", "skipped", []string{"does not document"}},
		{"not locked", falsim.Script{}, nil, "account", "ok", []string{"not locked"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			sim := startSimulator(t, tc.script)
			examine(t, append(atSimulator(sim), tc.settings...)).holds(t, tc.check, tc.status, tc.words...)
			if s := sim.Stats(); s.Accepted != 0 || s.Requests.Submit != 0 {
				t.Errorf("fal was asked %+v", s)
			}
		})
	}
	t.Run("in a file that others may read", func(t *testing.T) {
		t.Parallel()
		if runtime.GOOS == "windows" {
			t.Skip("modes do not tell it")
		}
		examine(t, append(atSimulator(startSimulator(t, falsim.Script{})), "FAL_KEY=", "NEMOTRON_MCP_FAL_KEY_FILE="+open)).
			holds(t, "key", "warning", "other users may read", "chmod 600 "+open)
	})
}

// withDate answers as the simulator does, by another clock.
func withDate(t *testing.T, sim *falsim.Server, ahead time.Duration) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", time.Now().Add(ahead).UTC().Format(http.TimeFormat))
		sim.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

// longLabel can be no part of a name, so that no name server is asked for it.
var longLabel = strings.Repeat("a", 64)

func TestDoctorOnHosts(t *testing.T) {
	t.Parallel()
	sim := startSimulator(t, falsim.Script{})
	quiet := httptest.NewUnstartedServer(http.NotFoundHandler())
	quiet.Config.ErrorLog = log.New(io.Discard, "", 0)
	quiet.StartTLS()
	t.Cleanup(quiet.Close)
	ill := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }))
	t.Cleanup(ill.Close)
	for _, tc := range []struct {
		name          string
		settings      []string
		check, status string
		words         []string
	}{
		{"reached", nil, "queue_host", "ok", []string{"127.0.0.1", "answers in"}},
		{"queue refuses", []string{"FAL_QUEUE_URL=" + nobody(t)}, "queue_host", "failed", []string{"refuses connections", "firewalls"}},
		{"queue refuses, so the key is not judged", []string{"FAL_QUEUE_URL=" + nobody(t)}, "key_accepted", "skipped", []string{"can't be reached"}},
		{"upload API refuses", []string{"FAL_REST_URL=" + nobody(t)}, "rest_host", "failed", []string{"refuses connections"}},
		{"upload API refuses, so a lock is not told", []string{"FAL_REST_URL=" + nobody(t)}, "account", "skipped", []string{"can't be reached"}},
		{"platform API refuses", []string{"FAL_PLATFORM_URL=" + nobody(t)}, "platform_host", "warning", []string{"refuses connections", "prices"}},
		{"untrusted certificate", []string{"FAL_QUEUE_URL=" + quiet.URL}, "queue_host", "failed", []string{"certificate", "SSL_CERT_FILE"}},
		{"no TLS", []string{"FAL_QUEUE_URL=" + strings.Replace(sim.QueueURL(), "http:", "https:", 1)}, "queue_host", "failed", []string{"Check the address"}},
		{"no such name", []string{"FAL_QUEUE_URL=https://" + longLabel + ".invalid", "GODEBUG=netdns=go"}, "queue_host", "failed", []string{"can't be resolved", "HTTPS_PROXY"}},
		{"in trouble", []string{"FAL_PLATFORM_URL=" + ill.URL}, "platform_host", "warning", []string{"HTTP 502", "status.fal.ai"}},
		{"no upload API", []string{"FAL_REST_URL="}, "rest_host", "warning", []string{"no upload API", "FAL_REST_URL"}},
		{"no platform API", []string{"FAL_PLATFORM_URL="}, "platform_host", "warning", []string{"no platform API", "FAL_PLATFORM_URL"}},
		{"not fal's", nil, "environment", "warning", []string{"not fal's host: FAL_QUEUE_URL, FAL_PLATFORM_URL, FAL_REST_URL"}},
		{"no address", []string{"FAL_QUEUE_URL=http://queue.example.com"}, "addresses", "failed", []string{"must be https", "--queue-url"}},
		{"no address, so nothing is asked", []string{"FAL_QUEUE_URL=http://queue.example.com"}, "key_accepted", "skipped", []string{"addresses"}},
		{"same clock", nil, "clock", "ok", []string{"within"}},
		{"clock behind", []string{"FAL_QUEUE_URL=" + withDate(t, sim, time.Hour)}, "clock", "warning", []string{"behind", "Set the clock"}},
		{"clock ahead", []string{"FAL_QUEUE_URL=" + withDate(t, sim, -10*time.Minute)}, "clock", "warning", []string{"ahead", "Set the clock"}},
		{"proxy", []string{"HTTPS_PROXY=http://user:proxy-password@proxy.example:3128"}, "environment", "ok", []string{"the proxy at proxy.example:3128 (HTTPS_PROXY)"}},
		{"proxy that is not read", []string{"ALL_PROXY=socks5://proxy.example"}, "environment", "warning", []string{"ALL_PROXY", "Set HTTPS_PROXY"}},
		{"proxy that refuses", []string{"HTTPS_PROXY=" + strings.Replace(nobody(t), "//", "//user:proxy-password@", 1), "FAL_QUEUE_URL=https://" + longLabel + ".invalid"}, "queue_host", "failed", []string{"refuses connections", "HTTPS_PROXY where one is set"}},
		{"proxy that is none", []string{"HTTPS_PROXY=http://user:proxy-password@proxy .example"}, "environment", "warning", []string{"HTTPS_PROXY is no address", "http://HOST:PORT"}},
		{"placeholder", []string{"NEMOTRON_MCP_ALLOW_DIR=${workspaceFolder}"}, "environment", "warning", []string{"NEMOTRON_MCP_ALLOW_DIR holds a placeholder"}},
		{"switch that fal refuses", []string{"NEMOTRON_MCP_START_TIMEOUT=500ms"}, "environment", "failed", []string{"--start-timeout", "Set it higher"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			d := examine(t, append(atSimulator(sim), tc.settings...))
			d.holds(t, tc.check, tc.status, tc.words...)
			for _, f := range d.Findings {
				if strings.Contains(f.What+f.Remedy, "proxy-password") {
					t.Errorf("the proxy's password is told: %+v", f)
				}
			}
		})
	}
}

// TestDoctorEnds: where every host takes connections and stays silent, all are
// given up together.
func TestDoctorEnds(t *testing.T) {
	t.Parallel()
	url, _ := silent(t)
	d := examine(t, []string{"FAL_QUEUE_URL=" + url, "FAL_REST_URL=" + url, "FAL_PLATFORM_URL=" + url})
	d.holds(t, "queue_host", "failed", "did not answer within 5s")
	d.holds(t, "rest_host", "failed", "did not answer within 5s")
	d.holds(t, "platform_host", "warning", "did not answer within 5s")
	d.holds(t, "key_accepted", "failed", "did not answer within 5s")
	d.holds(t, "account", "skipped")
	d.holds(t, "clock", "skipped")
	d.holds(t, "ledger", "ok")
}

// TestDoctorIsInterrupted: Ctrl-C ends it while a host stays silent.
func TestDoctorIsInterrupted(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("no signal to send")
	}
	url, reached := silent(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, "doctor")
	cmd.Env = environ(t, "FAL_KEY="+doctorKey, "FAL_QUEUE_URL="+url)
	var out, errs lockedBuffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-reached
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 1 || out.String() != "" || !strings.Contains(errs.String(), "interrupted") {
		t.Errorf("exit code %d: %s%s", code, out.String(), errs.String())
	}
}

func TestDoctorOnFolders(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	sim := startSimulator(t, falsim.Script{})
	for _, tc := range []struct {
		name     string
		settings []string
		args     []string
		status   string
		words    []string
	}{
		{"none", nil, nil, "warning", []string{"no folder is allowed", "--allow-dir"}},
		{"by a flag", nil, []string{"--allow-dir=" + dir}, "ok", []string{filepath.Base(dir)}},
		{"by the variable", []string{"NEMOTRON_MCP_ALLOW_DIR=" + dir + string(filepath.ListSeparator) + file}, nil, "ok", []string{filepath.Base(dir)}},
		{"by the variable, a wrong one", []string{"NEMOTRON_MCP_ALLOW_DIR=" + dir + string(filepath.ListSeparator) + file}, nil, "failed", []string{"is not a folder", "NEMOTRON_MCP_ALLOW_DIR"}},
		{"a project", []string{"CLAUDE_PROJECT_DIR=" + dir}, nil, "ok", []string{filepath.Base(dir)}},
		{"a project that is none", []string{"CLAUDE_PROJECT_DIR=" + file}, nil, "warning", []string{"is not a folder", "CLAUDE_PROJECT_DIR"}},
		{"missing", nil, []string{"--allow-dir=" + file + "-none"}, "failed", []string{"does not exist", "--allow-dir"}},
		{"the root", nil, []string{"--allow-dir=" + filepath.VolumeName(dir) + string(filepath.Separator)}, "failed", []string{"--allow-dir"}},
		{"the home folder", []string{"HOME=" + home, "USERPROFILE=" + home}, []string{"--allow-dir=" + home}, "failed", []string{"home", "--allow-dir"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			examine(t, append(atSimulator(sim), tc.settings...), append(tc.args, "--offline")...).holds(t, "folders", tc.status, tc.words...)
		})
	}
	t.Run("the state folder", func(t *testing.T) {
		t.Parallel()
		state := t.TempDir()
		examine(t, append(atSimulator(sim), "NEMOTRON_MCP_STATE_DIR="+state), "--offline", "--allow-dir="+state).
			holds(t, "folders", "failed", "belongs to this server")
	})
}

// TestDoctorAsksNobody: offline no request is made.
func TestDoctorAsksNobody(t *testing.T) {
	t.Parallel()
	sim := startSimulator(t, falsim.Script{})
	d := examine(t, atSimulator(sim), "--offline")
	for _, check := range []string{"key_accepted", "account", "hosts", "clock"} {
		d.holds(t, check, "skipped", "--offline")
	}
	if s := sim.Stats(); s.Requests != (falsim.Requests{}) {
		t.Errorf("fal was asked %+v", s.Requests)
	}
}
