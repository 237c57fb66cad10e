package app

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"nemotron-mcp/internal/redact"
)

var update = flag.Bool("update", false, "renew the golden files")

// TestDiagnosisText compares what a person reads, in words and in symbols.
func TestDiagnosisText(t *testing.T) {
	t.Parallel()
	report := diagnose("v1.2.3", []finding{
		fine("version", "nemotron-mcp v1.2.3"),
		failed("key", "no fal key is set", "Create one."),
		warning("environment", "HTTPS_PROXY holds s3cret-password and \x1b[31mcolour\nand a line", "Leave s3cret-password out,\r\nand all else."),
		{"prices", isOK, "published", "'usage --refresh-prices' reads yours."},
		skipped("key_accepted", "not asked: --offline"),
	})
	h := &house{secrets: redact.New("s3cret-password")}
	for name, marked := range map[string]marks{"words": words(), "symbols": symbols()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			golden(t, "doctor_"+name+".txt", h.diagnosis(report, marked))
		})
	}
	t.Run("one of each", func(t *testing.T) {
		t.Parallel()
		text := string(h.diagnosis(diagnose("v1", []finding{warning("key", "a", "b")}), words()))
		if !strings.HasSuffix(text, "\n\n1 finding: 0 fine, 1 warning, 0 failed.\n") {
			t.Errorf("text: %s", text)
		}
	})
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.ReplaceAll(string(want), "\r\n", "\n"), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

// TestPartsThatHang: what does not end is told so, and keeps nothing from being
// told that others have found, those among them that the end has ended.
func TestPartsThatHang(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), doctorTime)
		defer cancel()
		release := make(chan struct{})
		found := together(ctx, []part{
			{"disk", func(context.Context) []finding { <-release; return nil }},
			{"quick", func(context.Context) []finding { return []finding{fine("quick", "1"), fine("quick", "2")} }},
			{"net", func(ctx context.Context) []finding { <-ctx.Done(); return []finding{failed("net", "ended", "r")} }},
			{"drive", func(context.Context) []finding { <-release; return nil }},
		})
		var told []string
		for _, f := range found {
			told = append(told, f.Check+" "+string(f.Status)+" "+f.What)
		}
		want := []string{"disk failed not ended in time", "quick ok 1", "quick ok 2", "net failed ended", "drive failed not ended in time"}
		if diff := cmp.Diff(want, told); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		close(release)
	})
}
