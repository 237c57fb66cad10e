package transcript

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"golang.org/x/tools/txtar"
)

var update = flag.Bool("update", false, "renew the out sections")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	key  = "key-id:s3cret-half-of-the-key"
	meta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"host","version":"2"},"io.modelcontextprotocol/clientCapabilities":{}}`
)

func TestTranscripts(t *testing.T) {
	t.Parallel()
	names, err := filepath.Glob("../../testdata/transcripts/*.txtar")
	if err != nil || len(names) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { replay(t, name) })
		})
	}
}

func replay(t *testing.T, name string) {
	archive, err := txtar.ParseFile(name)
	must(t, err)
	sections := map[string]string{}
	for _, f := range archive.Files {
		sections[f.Name] = strings.ReplaceAll(string(f.Data), "\r\n", "\n")
	}
	c := start(t, sections["setup"], sections["script.json"])
	for line := range strings.Lines(sections["in"]) {
		c.do(strings.TrimSpace(line))
	}
	must(t, c.in.Close())
	for c.read() {
	}
	out := strings.Join(c.got, "\n") + "\n"
	if strings.Contains(out+c.log.String(), "s3cret") {
		t.Errorf("a secret is told: %s%s", out, c.log.String())
	}
	if *update {
		archive.Files = slices.DeleteFunc(archive.Files, func(f txtar.File) bool { return f.Name == "out" })
		archive.Files = append(archive.Files, txtar.File{Name: "out", Data: []byte(out)})
		must(t, os.WriteFile(name, txtar.Format(archive), 0o644))
		return
	}
	if diff := cmp.Diff(strings.Split(sections["out"], "\n"), strings.Split(out, "\n")); diff != "" {
		t.Errorf("-transcript +now:\n%s", diff)
	}
}

// conversation is one replay.
type conversation struct {
	t     *testing.T
	in    *io.PipeWriter
	lines chan string
	got   []string
	ids   []string // of responses
	asked []string // methods of the server's own requests that were not waited for
	log   bytes.Buffer
	names map[string]string // what stands for what the server made up
}

// do sends a line, or does what a directive says.
func (c *conversation) do(line string) {
	c.t.Helper()
	var id, method, after string
	if _, err := fmt.Sscanf(line, "-> wait for id %s", &id); err == nil {
		for !slices.Contains(c.ids, id) {
			if !c.read() {
				c.t.Fatalf("no response to %s", id)
			}
		}
		return
	}
	if _, err := fmt.Sscanf(line, "-> wait for method %s", &method); err == nil {
		for !slices.Contains(c.asked, method) {
			if !c.read() {
				c.t.Fatalf("no request of %s", method)
			}
		}
		c.asked = nil
		return
	}
	if _, err := fmt.Sscanf(line, "-> after %s", &after); err == nil {
		d, err := time.ParseDuration(after)
		must(c.t, err)
		time.Sleep(d)
		return
	}
	for made, name := range c.names {
		line = strings.ReplaceAll(line, name, made)
	}
	_, err := io.WriteString(c.in, strings.ReplaceAll(line, "META", meta)+"\n")
	must(c.t, err)
}

// read takes the server's next line; false at the end, or after an hour.
func (c *conversation) read() bool {
	select {
	case line, ok := <-c.lines:
		if ok {
			c.note(line)
		}
		return ok
	case <-time.After(time.Hour):
		return false
	}
}

var (
	madeUp    = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-([47])[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}|\b[A-Z2-7]{26}\b`)
	timeOfDay = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?`)
)

// note writes a line down with sorted keys and with names for what is made up.
func (c *conversation) note(line string) {
	dec := json.NewDecoder(strings.NewReader(line))
	dec.UseNumber()
	var message map[string]any
	must(c.t, dec.Decode(&message))
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	must(c.t, enc.Encode(message))
	if id, err := json.Marshal(message["id"]); err == nil && message["method"] == nil {
		c.ids = append(c.ids, string(id))
	}
	if method, ok := message["method"].(string); ok && message["id"] != nil {
		c.asked = append(c.asked, method)
	}
	text := madeUp.ReplaceAllStringFunc(strings.TrimSpace(b.String()), func(made string) string {
		kind := "FILE_"
		if strings.Contains(made, "-") {
			kind = map[byte]string{'4': "REQUEST_", '7': "CURSOR_"}[made[14]]
		}
		if c.names[made] == "" {
			n := 1
			for _, name := range c.names {
				if strings.HasPrefix(name, kind) {
					n++
				}
			}
			c.names[made] = fmt.Sprint(kind, n)
		}
		return c.names[made]
	})
	c.got = append(c.got, timeOfDay.ReplaceAllString(text, "TIME"))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
