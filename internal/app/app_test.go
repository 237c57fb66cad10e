package app_test

import (
	"os"
	"path/filepath"
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

func main() {
	os.Exit(app.Main("v0.0.0-test", os.Args[1:], app.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
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

// TestScripts runs the command line as a person does, against a simulator that
// answers at once.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			sim := falsim.New(falsim.Script{Output: "The answer."})
			url, err := sim.Start()
			if err != nil {
				return err
			}
			env.Defer(func() { _ = sim.Close() })
			env.Setenv("FAL_QUEUE_URL", url) // never fal itself
			env.Setenv("NEMOTRON_MCP_STATE_DIR", filepath.Join(env.WorkDir, "state"))
			env.Setenv("GORACE", noRaceSleep)
			env.Setenv("PLACEHOLDER", "${input:fal-key}")
			return nil
		},
	})
}
