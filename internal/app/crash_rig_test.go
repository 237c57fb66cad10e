package app_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"nemotron-mcp/internal/falsim"
	"nemotron-mcp/internal/jobs"
)

// door stands in front of the simulator and does what a test wants done at a
// point of a request's way, such as "submit taken": once, while the request
// stands still.
type door struct {
	sim *falsim.Server
	url string

	mu      sync.Mutex
	marks   map[string]func()
	posts   int
	watches map[string]int // streams and polls begun, by job
	open    map[string]int // streams open now
	most    int            // that one job had at once
}

func startDoor(t *testing.T, script falsim.Script) *door {
	t.Helper()
	d := &door{sim: falsim.New(script), marks: map[string]func(){}, watches: map[string]int{}, open: map[string]int{}}
	server := httptest.NewUnstartedServer(d)
	server.Config.ConnState = func(c net.Conn, state http.ConnState) {
		if state != http.StateNew {
			return
		}
		defer func() {
			if recover() != nil {
				_ = c.Close() // what was sent is never read
			}
		}()
		d.reach("connected")
	}
	server.Start()
	d.url = server.URL
	t.Cleanup(func() { _ = d.sim.Close(); server.CloseClientConnections(); server.Close() })
	return d
}

func (d *door) mark(point string, do func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.marks[point] = do
}

func (d *door) reach(point string) {
	d.mu.Lock()
	do := d.marks[point]
	delete(d.marks, point)
	d.mu.Unlock()
	if do != nil {
		do()
	}
}

// ServeHTTP passes points "STEP arrived", "STEP taken" and "STEP delivered",
// and for the events of a stream "STATUS told".
func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	step, id := stepOf(r)
	leave := d.enter(step, id)
	defer leave()
	d.reach(step + " arrived")
	if step == "stream" {
		d.sim.ServeHTTP(&toldEvents{ResponseWriter: w, d: d}, r)
		return
	}
	answer := httptest.NewRecorder()
	d.sim.ServeHTTP(answer, r)
	d.reach(step + " taken")
	maps.Copy(w.Header(), answer.Header())
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes())
	_ = http.NewResponseController(w).Flush()
	d.reach(step + " delivered")
}

func stepOf(r *http.Request) (step, id string) {
	before, rest, found := strings.Cut(r.URL.Path, "/requests/")
	if !found {
		return map[bool]string{true: "submit", false: before}[r.Method == http.MethodPost], ""
	}
	id, what, _ := strings.Cut(rest, "/")
	if what == "" {
		return "result", id
	}
	return path.Base(what), id
}

func (d *door) enter(step, id string) (leave func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch step {
	case "submit":
		d.posts++
	case "status":
		d.watches[id]++
	case "stream":
		d.watches[id]++
		d.open[id]++
		d.most = max(d.most, d.open[id])
		return func() {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.open[id]--
		}
	}
	return func() {}
}

func (d *door) counts() (posts, most int, watches map[string]int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.posts, d.most, maps.Clone(d.watches)
}

type toldEvents struct {
	http.ResponseWriter
	d    *door
	last []byte
}

func (e *toldEvents) Write(b []byte) (int, error) {
	e.last = b
	return e.ResponseWriter.Write(b)
}

func (e *toldEvents) Flush() {
	_ = http.NewResponseController(e.ResponseWriter).Flush()
	for _, status := range []string{"IN_QUEUE", "IN_PROGRESS", "COMPLETED"} {
		if bytes.Contains(e.last, []byte(`"status":"`+status+`"`)) {
			e.d.reach(status + " told")
		}
	}
}

// crashRig is a server process whose end is a matter of the test's.
type crashRig struct {
	t      *testing.T
	d      *door
	dir    string // of the state
	p      *process
	file   *sql.DB // the ledger, as the test looks at it
	struck chan struct{}
	dead   chan struct{}
	locked *sql.Tx
}

// newCrashRig starts a process that has opened its ledger.
func newCrashRig(t *testing.T, script falsim.Script, read bool) *crashRig {
	t.Helper()
	c := &crashRig{
		t: t, d: startDoor(t, script), dir: stateDir(t),
		struck: make(chan struct{}), dead: make(chan struct{}),
	}
	c.p = c.start(read)
	if read {
		c.p.call("queue_list", `{}`)
	} else {
		c.start(true).call("queue_list", `{}`)
	}
	var err error
	c.file, err = sql.Open("sqlite", "file:"+filepath.ToSlash(filepath.Join(c.dir, jobs.LedgerFile))+"?_txlock=immediate&_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.unlock(); _ = c.file.Close() })
	return c
}

func (c *crashRig) start(read bool) *process {
	c.t.Helper()
	return startProcess(c.t, c.d.sim, read, "FAL_QUEUE_URL="+c.d.url, "NEMOTRON_MCP_STATE_DIR="+c.dir)
}

// lock holds the ledger, so that the process can't write what it knows.
func (c *crashRig) lock() {
	tx, err := c.file.Begin()
	if err != nil {
		c.t.Errorf("locking the ledger: %v", err)
		return
	}
	c.locked = tx
}

func (c *crashRig) unlock() {
	if c.locked != nil {
		_ = c.locked.Rollback()
		c.locked = nil
	}
}

// strike has the process killed while the request at the door stands still,
// and goes no further with the request.
func (c *crashRig) strike() {
	close(c.struck)
	<-c.dead
	panic(http.ErrAbortHandler)
}

// die kills the process, as kill -9 does.
func (c *crashRig) die() {
	c.t.Helper()
	_ = c.p.cmd.Process.Kill()
	_ = c.p.wait()
	close(c.dead)
	c.unlock()
}

func (c *crashRig) awaitStrike() {
	c.t.Helper()
	select {
	case <-c.struck:
		c.die()
	case <-time.After(20 * time.Second):
		close(c.dead)
		c.t.Fatalf("the point was never reached; log: %s", c.p.stderr)
	}
}

type ledgerRow struct {
	status, request, output string
	delivered               bool
}

// rows are what the file holds.
func (c *crashRig) rows() []ledgerRow {
	c.t.Helper()
	found, err := c.file.Query(`SELECT status, request_id, output, delivered FROM jobs ORDER BY id`)
	if err != nil {
		c.t.Fatal(err)
	}
	defer found.Close()
	var all []ledgerRow
	for found.Next() {
		var r ledgerRow
		if err := found.Scan(&r.status, &r.request, &r.output, &r.delivered); err != nil {
			c.t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

// awaitRow looks at the file until its first row is as wanted: SQLite tells
// nobody of a change.
func (c *crashRig) awaitRow(limit time.Duration, ok func(ledgerRow) bool) ledgerRow {
	c.t.Helper()
	ctx, done := context.WithTimeout(c.t.Context(), limit)
	defer done()
	ticks := time.NewTicker(5 * time.Millisecond)
	defer ticks.Stop()
	for {
		rows := c.rows()
		if len(rows) > 0 && ok(rows[0]) {
			return rows[0]
		}
		select {
		case <-ticks.C:
		case <-ctx.Done():
			c.t.Fatalf("after %s the ledger holds %+v; log: %s", limit, rows, c.p.stderr)
		}
	}
}

// awaitProcesses waits until so many have opened the ledger.
func (c *crashRig) awaitProcesses(want int) {
	c.t.Helper()
	ctx, done := context.WithTimeout(c.t.Context(), 20*time.Second)
	defer done()
	ticks := time.NewTicker(5 * time.Millisecond)
	defer ticks.Stop()
	for {
		var n int
		if err := c.file.QueryRow(`SELECT count(*) FROM processes`).Scan(&n); err != nil {
			c.t.Fatal(err)
		}
		if n == want {
			return
		}
		select {
		case <-ticks.C:
		case <-ctx.Done():
			c.t.Fatalf("%d processes have opened the ledger, want %d", n, want)
		}
	}
}

func completed(r ledgerRow) bool { return r.status == "COMPLETED" }

// toolAnswer is what a host reads of a tool's result.
type toolAnswer struct {
	IsError bool
	Content []struct{ Text string }
	Data    struct {
		Status    string
		RequestID string `json:"request_id"`
		Output    string
		Jobs      []struct {
			Status    string
			RequestID string `json:"request_id"`
			Note      string
		}
	} `json:"structuredContent"`
}

func (a toolAnswer) text() string {
	var all []string
	for _, c := range a.Content {
		all = append(all, c.Text)
	}
	return strings.Join(all, "\n")
}

func parseAnswer(t *testing.T, line string) toolAnswer {
	t.Helper()
	var message struct{ Result toolAnswer }
	if err := json.Unmarshal([]byte(line), &message); err != nil {
		t.Fatalf("%v: %s", err, line)
	}
	return message.Result
}

func (p *process) call(tool, arguments string) toolAnswer {
	p.t.Helper()
	p.send(fmt.Sprintf(`{"jsonrpc":"2.0","id":"call","method":"tools/call","params":{"name":%q,"arguments":%s}}`, tool, arguments))
	return parseAnswer(p.t, p.answer(`"call"`))
}
