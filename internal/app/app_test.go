package app_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"image"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"

	"nemotron-mcp/internal/app"
	"nemotron-mcp/internal/falsim"
)

// childEnv makes the test binary the program itself, so that tests can start
// it as a process and kill it.
const childEnv = "NEMOTRON_MCP_TEST_CHILD"

// noRaceSleep is GORACE without the second that a process sleeps at its exit
// under the race detector.
const noRaceSleep = "atexit_sleep_ms=0"

// samplePNG is a small image.
func samplePNG() []byte {
	var sample bytes.Buffer
	if err := png.Encode(&sample, image.NewGray(image.Rect(0, 0, 8, 8))); err != nil {
		panic(err)
	}
	return sample.Bytes()
}

func main() {
	os.Exit(app.Main(app.Build{Version: "v0.0.0-test", SampleImage: samplePNG()}, os.Args[1:], app.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		main()
	}
	testscript.Main(leakChecked{m}, map[string]func(){"nemotron-mcp": main})
}

// leakChecked runs the tests and then looks for goroutines left behind.
type leakChecked struct{ m *testing.M }

func (l leakChecked) Run() int {
	code := l.m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			_, _ = os.Stderr.WriteString(err.Error() + "\n")
			return 1
		}
	}
	return code
}

const simulator = "simulator"

func simulatorOf(ts *testscript.TestScript) *falsim.Server {
	sim, ok := ts.Value(simulator).(*falsim.Server)
	if !ok {
		ts.Fatalf("no simulator")
	}
	return sim
}

// simulate FILE: jobs go as the file says from now on.
func simulate(ts *testscript.TestScript, _ bool, args []string) {
	var script falsim.Script
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &script))
	simulatorOf(ts).SetScript(script)
}

// requestid VARIABLE: the request_id of the job that fal took last.
func requestID(ts *testscript.TestScript, _ bool, args []string) {
	taken := simulatorOf(ts).Jobs()
	if len(taken) == 0 {
		ts.Fatalf("fal took no job")
	}
	ts.Setenv(args[0], taken[len(taken)-1].RequestID)
}

// png FILE: makes a small image.
func makePNG(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), samplePNG(), 0o600))
}

// uploaded N: fal's storage has taken that many files.
func uploaded(ts *testscript.TestScript, _ bool, args []string) {
	if got := strconv.Itoa(simulatorOf(ts).Stats().Uploads); got != args[0] {
		ts.Fatalf("%s uploads, want %s", got, args[0])
	}
}

// ledgerid VARIABLE FILE: the ledger's id of the first job in a list.
func ledgerID(ts *testscript.TestScript, _ bool, args []string) {
	var rows []struct{ ID string }
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[1])), &rows))
	if len(rows) == 0 {
		ts.Fatalf("no jobs in %s", args[1])
	}
	ts.Setenv(args[0], rows[0].ID)
}

// json FILE: the file is one JSON document.
func validJSON(ts *testscript.TestScript, _ bool, args []string) {
	if text := ts.ReadFile(args[0]); !json.Valid([]byte(text)) {
		ts.Fatalf("not JSON: %s", text)
	}
}

// nokey FILE...: none of the files holds the key.
func noKey(ts *testscript.TestScript, _ bool, args []string) {
	key := ts.Getenv("FAL_KEY")
	if key == "" {
		ts.Fatalf("no key is set")
	}
	for _, file := range args {
		if strings.Contains(ts.ReadFile(file), key) {
			ts.Fatalf("the key is in %s", file)
		}
	}
}

// exits CODE COMMAND...: as exec, and the command ends with that exit code.
func exits(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	code := 0
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("exit code %d, want %s", code, args[0])
	}
}

// accepted N: fal has taken that many jobs.
func accepted(ts *testscript.TestScript, _ bool, args []string) {
	if got := strconv.Itoa(simulatorOf(ts).Stats().Accepted); got != args[0] {
		ts.Fatalf("fal took %s jobs, want %s", got, args[0])
	}
}

// sent FILE: the prompt that fal was sent last is what the file holds.
func sent(ts *testscript.TestScript, _ bool, args []string) {
	taken := simulatorOf(ts).Jobs()
	if len(taken) == 0 {
		ts.Fatalf("fal took no job")
	}
	var input struct{ Prompt string }
	ts.Check(json.Unmarshal(taken[len(taken)-1].Input, &input))
	if want := strings.TrimSuffix(ts.ReadFile(args[0]), "\n"); input.Prompt != want {
		ts.Fatalf("fal was sent %q, want %q", input.Prompt, want)
	}
}

// TestScripts runs the command line as a person does, against a simulator that
// answers at once.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:  "testdata/script",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"simulate": simulate, "requestid": requestID, "ledgerid": ledgerID, "json": validJSON, "nokey": noKey, "uploaded": uploaded, "png": makePNG, "installed": installed, "exits": exits, "accepted": accepted, "sent": sent},
		Setup: func(env *testscript.Env) error {
			sim := falsim.New(falsim.Script{Output: "The answer."})
			url, err := sim.Start()
			if err != nil {
				return err
			}
			env.Defer(func() { _ = sim.Close() })
			env.Setenv("FAL_QUEUE_URL", url) // never fal itself
			env.Setenv("FAL_PLATFORM_URL", sim.PlatformURL())
			env.Setenv("FAL_REST_URL", sim.RESTURL())
			env.Values[simulator] = sim
			env.Setenv("NEMOTRON_MCP_STATE_DIR", filepath.Join(env.WorkDir, "state"))
			env.Setenv("GORACE", noRaceSleep)
			env.Setenv("PLACEHOLDER", "${input:fal-key}")
			return nil
		},
	})
}
