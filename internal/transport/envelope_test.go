package transport

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// anyJSON draws a JSON value with spaces and escapes in odd places.
func anyJSON() *rapid.Generator[string] {
	space := rapid.StringOfN(rapid.SampledFrom([]rune(" \t\r\n")), 0, 2, -1)
	text := rapid.Custom(func(t *rapid.T) string {
		return `"` + strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{
			`a`, `\\`, `\"`, `\u0061`, `{`, `}`, `[`, `]`, `,`, `:`, ` `, `é`, `\ud83d\ude00`, `\/`,
		}), 0, 6).Draw(t, "text"), "") + `"`
	})
	scalar := rapid.OneOf(text, rapid.SampledFrom([]string{`1`, `-0.5e+3`, `true`, `false`, `null`}))
	return rapid.Deferred(func() *rapid.Generator[string] {
		return rapid.Custom(func(t *rapid.T) string {
			pad := func(s string) string { return space.Draw(t, "before") + s + space.Draw(t, "after") }
			var parts []string
			switch rapid.SampledFrom([]string{"scalar", "scalar", "array", "object"}).Draw(t, "kind") {
			case "array":
				for range rapid.IntRange(0, 3).Draw(t, "n") {
					parts = append(parts, pad(anyJSON().Draw(t, "item")))
				}
				return "[" + pad(strings.Join(parts, ",")) + "]"
			case "object":
				for range rapid.IntRange(0, 3).Draw(t, "n") {
					parts = append(parts, pad(text.Draw(t, "key"))+":"+pad(anyJSON().Draw(t, "value")))
				}
				return "{" + pad(strings.Join(parts, ",")) + "}"
			}
			return scalar.Draw(t, "scalar")
		})
	})
}

// TestMembers compares our walk over an object with encoding/json's.
func TestMembers(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		value := anyJSON().Draw(t, "value")
		object := `{"a":` + value + ` , "b" : ` + anyJSON().Draw(t, "other") + "}"
		if value[0] == '{' {
			object = value
		}
		var want map[string]json.RawMessage
		if err := json.Unmarshal([]byte(object), &want); err != nil {
			t.Fatal(err)
		}
		got := map[string]json.RawMessage{}
		for key, raw := range members([]byte(object)) {
			got[key] = raw // the last one, as encoding/json has it
		}
		if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b json.RawMessage) bool { return bytes.Equal(a, b) })); diff != "" {
			t.Fatalf("%s: %s", object, diff)
		}
	})
}

// TestCanonical has mcp-go see what was sent, and nothing else.
func TestCanonical(t *testing.T) {
	t.Parallel()
	cases := []struct{ name, line, want string }{
		{"all", ` {"params":{"a": 1},"extra":[{}],"method":"m","id": 7 ,"jsonrpc":"2.0"}`, `{"jsonrpc":"2.0","id":7,"method":"m","params":{"a": 1}}`},
		{"without params", `{"jsonrpc":"2.0","id":"x","method":"m"}`, `{"jsonrpc":"2.0","id":"x","method":"m"}`},
		{"without id", `{"jsonrpc":"2.0","method":"m","params":{}}`, `{"jsonrpc":"2.0","method":"m","params":{}}`},
		{"other cases", `{"jsonrpc":"2.0","method":"m","Method":"n","PARAMS":{},"Id":3,"Result":1,"JSONRPC":"1"}`, `{"jsonrpc":"2.0","method":"m"}`},
		{"escapes", `{"jsonrpc":"2.\u0030","method":"\u006d\n","id":"\u0061"}`, `{"jsonrpc":"2.0","id":"\u0061","method":"\u006d\n"}`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			e, bad := parseEnvelope([]byte(c.line))
			if bad != nil {
				t.Fatal(bad)
			}
			if got := string(e.canonical()); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestSameID(t *testing.T) {
	t.Parallel()
	cases := []struct {
		a, b string
		same bool
	}{
		{`1`, `1`, true},
		{`1`, `"1"`, false},
		{`0`, `-0`, true},
		{`"a"`, `"\u0061"`, true},
		{`"a"`, `"A"`, false},
		{`9007199254740993`, `9007199254740992`, false},
		{`""`, `0`, false},
	}
	for _, c := range cases {
		a, okA := parseID([]byte(c.a))
		b, okB := parseID([]byte(c.b))
		if !okA || !okB || (a.key == b.key) != c.same {
			t.Errorf("%s and %s: %v %v, same %v, want %v", c.a, c.b, okA, okB, a.key == b.key, c.same)
		}
	}
}

// TestLinesHoweverTheyArrive cuts a stream at each byte and at none.
func TestLinesHoweverTheyArrive(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", readBuffer+10)
	stream := "one\r\n\ntwo\n" + long + "\n" + long + "\r\nthree\r\r\nlast"
	want := []string{"one", "", "two", long, long, "three\r", "last"}
	for name, in := range map[string]io.Reader{
		"whole":         strings.NewReader(stream),
		"byte by byte":  iotest.OneByteReader(strings.NewReader(stream)),
		"halves":        iotest.HalfReader(strings.NewReader(stream)),
		"end with data": iotest.DataErrReader(strings.NewReader(stream)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lines := newLineReader(in, 1<<20)
			var got []string
			for {
				line, err := lines.next()
				if errors.Is(err, io.EOF) {
					break
				}
				check(t, err)
				got = append(got, string(line))
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// FuzzStdio sends anything. Whatever it is, each line that comes back is
// JSON-RPC, and Serve ends.
func FuzzStdio(f *testing.F) {
	for _, e := range []string{
		initialize, ping("1"), ping(`"a"`) + "\r\n" + ping("1.0"), call("1", "echo", `{"text":"x"}`) + "\n" + cancelOf("1"),
		call("2", "boom", `[]`), modern("3", "subscriptions/listen", listenAll), modern("4", "server/discover", ""),
		"[" + ping("1") + "]", `{"jsonrpc":"2.0","id":1,"result":{}}`, "{\"\\u006a\":\"\xff\"}", `{"a":"\\"}`,
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","_meta":{"progressToken":[]}}}`,
	} {
		f.Add([]byte(e))
	}
	fixture := newFixture()
	fixture.free()
	s := &Stdio{Server: fixture.server, MaxLine: 1 << 16, DrainWindow: 10 * time.Second}
	f.Fuzz(func(t *testing.T, in []byte) {
		var out lockedBuffer
		check(t, s.Serve(t.Context(), bytes.NewReader(in), &out))
		for line := range strings.Lines(out.String()) {
			var m map[string]json.RawMessage
			if err := json.Unmarshal([]byte(line), &m); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			kinds := 0
			for _, key := range []string{"result", "error", "method"} {
				if m[key] != nil {
					kinds++
				}
			}
			if string(m["jsonrpc"]) != `"2.0"` || kinds != 1 || !strings.HasSuffix(line, "\n") {
				t.Fatalf("%q is not JSON-RPC", line)
			}
		}
		for len(fixture.started) > 0 {
			<-fixture.started
		}
		for len(fixture.ended) > 0 {
			<-fixture.ended
		}
		for len(fixture.roots) > 0 {
			<-fixture.roots
		}
	})
}
