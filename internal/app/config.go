package app

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	"github.com/rs/zerolog"
	"golang.org/x/term"

	"nemotron-mcp/falclient"
	"nemotron-mcp/internal/jobs"
	"nemotron-mcp/internal/redact"
	"nemotron-mcp/tools"
)

// What --store says.
const (
	storeMetadata = "metadata"
	storeMemory   = "memory"
)

const (
	defaultQueueURL = falclient.DefaultQueueURL
	// envPrefix begins the name of each flag's variable.
	envPrefix = "NEMOTRON_MCP"
)

// Options are the flags of every command: flags, then environment, then
// defaults. The key has no flag, because a command line is public.
type Options struct {
	FalKeyFile         string        `help:"File that holds the fal key, where FAL_KEY (or FAL_KEY_ID and FAL_KEY_SECRET) is not set." type:"path" placeholder:"FILE"`
	QueueURL           string        `help:"Base URL of fal's queue (default: ${queue_url})." env:"FAL_QUEUE_URL" placeholder:"URL"`
	PlatformURL        string        `help:"Base URL of fal's platform API, for prices and the history of requests (default where the queue is fal's: ${platform_url})." env:"FAL_PLATFORM_URL" placeholder:"URL"`
	RestURL            string        `name:"rest-url" help:"Base URL of fal's upload API (default where the queue is fal's: ${rest_url})." env:"FAL_REST_URL" placeholder:"URL"`
	AllowDir           []string      `help:"Folder in which tools may read files; may be repeated. The variable NEMOTRON_MCP_ALLOW_DIR is a list of paths." type:"path" sep:"none" env:"-" placeholder:"DIR"`
	MaxUploadSize      size          `help:"Largest file that is uploaded, such as 500MB or 2GiB." default:"2GiB" placeholder:"SIZE"`
	SafetyChecker      string        `help:"Turn fal's safety checker on or off; fal's default where not set." enum:"on,off,," default:"" placeholder:"on|off"`
	QueuePriority      string        `help:"Priority in fal's queue: normal or low." enum:"normal,low,," default:"" placeholder:"normal|low"`
	StartTimeout       time.Duration `help:"Have fal give up a job that has not started by then (such as 90s)." placeholder:"DURATION"`
	PayloadStorage     string        `help:"Have fal store inputs and outputs, or not; the account's setting where not set." enum:"on,off,," default:"" placeholder:"on|off"`
	StateDir           string        `help:"Folder of the ledger (default: the platform's folder for state)." type:"path" placeholder:"DIR"`
	Store              string        `help:"What the ledger keeps: full; metadata (no prompts, no answers once delivered); memory (nothing on disk)." enum:"full,metadata,memory" default:"full" placeholder:"full|metadata|memory"`
	MaxCostPerCall     cost          `help:"Refuse a call that may cost more (USD)." placeholder:"USD"`
	MaxCostPerDay      cost          `help:"Refuse calls with which the UTC day may cost more, all processes together (USD). Where callers have names, each has that much." placeholder:"USD"`
	MaxCostPerDayTotal cost          `help:"Refuse calls with which the UTC day may cost more, all callers and processes together (USD)." placeholder:"USD"`
	MaxCallsPerMinute  often         `help:"Refuse tool calls that a caller makes more often; that many may come at once." placeholder:"N"`
	MaxJobsInFlight    many          `help:"Refuse new jobs of a caller that has so many unfinished ones in this process." placeholder:"N"`
	Price              jobs.Prices   `help:"USD per 1,000 tokens of an endpoint, instead of fal's published price." placeholder:"ENDPOINT=USD"`
	LogLevel           string        `help:"debug, info, warn or error (default: info of a server, warn of other commands)." enum:"debug,info,warn,error,," default:"" placeholder:"debug|info|warn|error"`
	LogFormat          string        `help:"${enum}; auto is console on a terminal and json elsewhere." enum:"auto,json,console" default:"auto"`
}

// cost is a cap in USD; 0 is one that was not given.
type cost float64

// UnmarshalText reads a flag. What is no sum of money must not become no cap.
func (c *cost) UnmarshalText(text []byte) error {
	value, err := strconv.ParseFloat(string(text), 64)
	if err != nil || !(value > 0 && value <= 1e6) {
		return errors.New("must be USD above 0, at most 1000000; leave it out for no cap")
	}
	*c = cost(value)
	return nil
}

// often is a number of calls a minute; 0 is no limit.
type often float64

// UnmarshalText reads a flag. What is no rate must not become no limit.
func (o *often) UnmarshalText(text []byte) error {
	value, err := strconv.ParseFloat(string(text), 64)
	if err != nil || !(value >= 0.01 && value <= 1e6) {
		return errors.New("must be a number of calls from 0.01 to 1000000; leave it out for no limit")
	}
	*o = often(value)
	return nil
}

// limits are what each caller may do; nil where there is no limit.
func (o *Options) limits() *tools.Limits {
	perMinute := float64(o.MaxCallsPerMinute)
	return tools.NewLimits(perMinute, int(math.Ceil(perMinute)))
}

// many is a number of jobs; 0 is no limit.
type many int

// UnmarshalText reads a flag. What is no number must not become no limit.
func (m *many) UnmarshalText(text []byte) error {
	value, err := strconv.Atoi(string(text))
	if err != nil || value < 1 || value > 1e6 {
		return errors.New("must be a number of jobs from 1 to 1000000; leave it out for no limit")
	}
	*m = many(value)
	return nil
}

// dayCapped reports whether there is a cap that all processes share.
func (o *Options) dayCapped() bool { return o.MaxCostPerDay > 0 || o.MaxCostPerDayTotal > 0 }

// size is a number of bytes.
type size int64

// UnmarshalText reads a flag: a number with or without a unit.
func (s *size) UnmarshalText(text []byte) error {
	units := []struct {
		name  string
		bytes float64
	}{{"kib", 1 << 10}, {"mib", 1 << 20}, {"gib", 1 << 30}, {"kb", 1e3}, {"mb", 1e6}, {"gb", 1e9}, {"b", 1}, {"", 1}}
	word := strings.ToLower(strings.TrimSpace(string(text)))
	for _, unit := range units {
		number, found := strings.CutSuffix(word, unit.name)
		if !found {
			continue
		}
		value, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if bytes := value * unit.bytes; err == nil && bytes >= 1 && bytes <= maxUpload {
			*s = size(bytes)
			return nil
		}
		break
	}
	return errors.New("must be a number of bytes from 1 to 90GB, such as 500MB or 2GiB")
}

// maxUpload is what storage takes in 10,000 parts.
const maxUpload = 90e9

// allowDirs are the operator's folders: the flag's, else its variable's.
func (o *Options) allowDirs() []string {
	if len(o.AllowDir) > 0 {
		return o.AllowDir
	}
	var dirs []string
	for _, dir := range filepath.SplitList(setting(envPrefix + "_ALLOW_DIR")) {
		if dir = strings.TrimSpace(dir); dir != "" {
			dirs = append(dirs, kong.ExpandPath(dir)) // as the flag's are
		}
	}
	return dirs
}

// localDirs are the folders that a host on this machine may name files in: the
// operator's, and the project that Claude Code is at work on.
func (o *Options) localDirs() []string {
	dirs := o.allowDirs()
	if project := setting("CLAUDE_PROJECT_DIR"); project != "" {
		dirs = append(slices.Clone(dirs), project)
	}
	return dirs
}

// configError is a configuration that an operator has to mend.
type configError struct{ what, remedy string }

func (e *configError) Error() string { return e.what + "\n" + e.remedy }

// key is fal's key, empty where none is set. A placeholder that a host did not
// fill in counts as none.
func (o *Options) key() (string, error) {
	key, _, err := o.findKey()
	return key, err
}

// findKey also says where the key is from.
func (o *Options) findKey() (key, source string, err error) {
	key, source = setting("FAL_KEY"), "FAL_KEY"
	if id, secret := setting("FAL_KEY_ID"), setting("FAL_KEY_SECRET"); key == "" && id != "" && secret != "" {
		key, source = id+":"+secret, "FAL_KEY_ID and FAL_KEY_SECRET"
	}
	if key == "" && o.FalKeyFile != "" {
		source = "the file " + o.FalKeyFile
		if key, err = readKeyFile(o.FalKeyFile); err != nil {
			return "", source, &configError{fmt.Sprintf("the key file can't be read: %v", err), "Check --fal-key-file (NEMOTRON_MCP_FAL_KEY_FILE)."}
		}
	}
	// As people paste it: with the scheme of the header, or in quotes.
	key = strings.Trim(strings.TrimSpace(key), `"'`)
	return strings.TrimSpace(strings.TrimPrefix(key, "Key ")), source, nil
}

// setting reads a variable; a placeholder that a host did not fill in is not
// set.
func setting(name string) string {
	value := strings.TrimSpace(os.Getenv(name))
	if unfilled(value) {
		return ""
	}
	return value
}

// unfilled reports whether a value is a host's placeholder, such as
// "${user_config.folders}".
func unfilled(value string) bool { return strings.HasPrefix(value, "${") }

// usableKey reports whether a key can stand in a header.
func usableKey(key string) bool {
	return !strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' })
}

// dropEmpty takes empty variables of ours for variables that are not set, which
// is how hosts pass settings that their user left out.
func dropEmpty(environ []string) {
	for _, variable := range environ {
		name, value, _ := strings.Cut(variable, "=")
		if value == "" && strings.HasPrefix(name, envPrefix+"_") {
			_ = os.Unsetenv(name)
		}
	}
}

// maxKeyFile bounds a key file: what is larger is not one.
const maxKeyFile = 4 << 10

func readKeyFile(name string) (string, error) {
	// Asked before it is opened: to open a pipe that nobody writes to takes for ever.
	info, err := os.Stat(name)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s is not a regular file", name)
	}
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return "", err
	}
	if len(b) > maxKeyFile || len(strings.TrimSpace(string(b))) == 0 {
		return "", fmt.Errorf("%s does not hold a key", name)
	}
	return string(b), nil
}

// secrets are all texts that must not leave the process.
func (o *Options) secrets(key string) *redact.Redactor {
	return redact.New(key, os.Getenv("FAL_KEY"), os.Getenv("FAL_KEY_SECRET"))
}

// logger writes masked events to stderr.
func (o *Options) logger(secrets *redact.Redactor, stderr io.Writer) zerolog.Logger {
	level, err := zerolog.ParseLevel(o.LogLevel)
	if err != nil || o.LogLevel == "" {
		level = zerolog.InfoLevel
	}
	w := secrets.Writer(stderr)
	if o.LogFormat == "console" || o.LogFormat == "auto" && isTerminal(stderr) {
		w = zerolog.ConsoleWriter{Out: w, TimeFormat: time.TimeOnly, NoColor: os.Getenv("NO_COLOR") != ""}
	}
	return zerolog.New(w).Level(level).With().Timestamp().Logger()
}

// quiet leaves out what is of interest in a server's log only, unless it was
// asked for: a person at a shell reads the result.
func (o *Options) quiet() {
	if o.LogLevel == "" {
		o.LogLevel = zerolog.LevelWarnValue
	}
}

// isTerminal reports whether a stream is a person's terminal.
func isTerminal(stream any) bool {
	is := false
	onDescriptor(stream, func(fd int) { is = term.IsTerminal(fd) })
	return is
}

// onDescriptor runs f with the descriptor of a stream that has one.
func onDescriptor(stream any, f func(fd int)) {
	file, ok := stream.(syscall.Conn)
	if !ok {
		return
	}
	// Not Fd, which may change how the file is read.
	if raw, err := file.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { f(int(fd)) })
	}
}

// submitOptions are fal's switches, which are the operator's and not the
// model's; what is not set is not sent.
func (o *Options) submitOptions() (falclient.SubmitOptions, error) {
	if o.StartTimeout != 0 && o.StartTimeout <= time.Second {
		return falclient.SubmitOptions{}, &configError{
			fmt.Sprintf("--start-timeout is %s; fal wants more than a second", o.StartTimeout), "Set it higher, or leave it out.",
		}
	}
	return falclient.SubmitOptions{
		Priority: o.QueuePriority, StartTimeout: o.StartTimeout, StoreIO: onOff(o.PayloadStorage),
	}, nil
}

func onOff(word string) *bool {
	if word == "" {
		return nil
	}
	on := word == "on"
	return &on
}

// environ is the options as variables, for a process of our own to have them.
func (o *Options) environ() []string {
	env := []string{
		"FAL_QUEUE_URL=" + o.QueueURL,
		"FAL_PLATFORM_URL=" + o.PlatformURL,
		"FAL_REST_URL=" + o.RestURL,
		envPrefix + "_ALLOW_DIR=" + strings.Join(o.allowDirs(), string(filepath.ListSeparator)),
		envPrefix + "_MAX_UPLOAD_SIZE=" + strconv.FormatInt(int64(o.MaxUploadSize), 10),
		envPrefix + "_SAFETY_CHECKER=" + o.SafetyChecker,
		envPrefix + "_QUEUE_PRIORITY=" + o.QueuePriority,
		envPrefix + "_PAYLOAD_STORAGE=" + o.PayloadStorage,
		envPrefix + "_STATE_DIR=" + o.StateDir,
		envPrefix + "_STORE=" + o.Store,
	}
	if o.MaxCostPerCall != 0 {
		env = append(env, envPrefix+"_MAX_COST_PER_CALL="+strconv.FormatFloat(float64(o.MaxCostPerCall), 'f', -1, 64))
	}
	if o.MaxCostPerDay != 0 {
		env = append(env, envPrefix+"_MAX_COST_PER_DAY="+strconv.FormatFloat(float64(o.MaxCostPerDay), 'f', -1, 64))
	}
	if o.MaxCostPerDayTotal != 0 {
		env = append(env, envPrefix+"_MAX_COST_PER_DAY_TOTAL="+strconv.FormatFloat(float64(o.MaxCostPerDayTotal), 'f', -1, 64))
	}
	if o.MaxCallsPerMinute != 0 {
		env = append(env, envPrefix+"_MAX_CALLS_PER_MINUTE="+strconv.FormatFloat(float64(o.MaxCallsPerMinute), 'f', -1, 64))
	}
	if o.MaxJobsInFlight != 0 {
		env = append(env, envPrefix+"_MAX_JOBS_IN_FLIGHT="+strconv.Itoa(int(o.MaxJobsInFlight)))
	}
	if o.StartTimeout != 0 {
		env = append(env, envPrefix+"_START_TIMEOUT="+o.StartTimeout.String())
	}
	return env
}
