package tools

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"nemotron-mcp/internal/falsim"
)

var uploading = regexp.MustCompile(`^uploading, [0-9.]+ (bytes|kB|MB)( of [0-9.]+ (bytes|kB|MB))?$`)

// TestUploadProgress holds that upload_file counts bytes. That progress grows,
// and is not silent for long, recorder.run checks.
func TestUploadProgress(t *testing.T) {
	t.Parallel()
	const size, rate = 8_000_000, 200_000 // 40 s
	inBubble(t, rigOptions{rate: rate}, func(t *testing.T, r *rig) {
		r.write("big.txt", []byte(strings.Repeat("a", size)))
		began := time.Now()
		notes := new(recorder).run(t, r, "upload_file", `{"path":"big.txt"}`, `"t"`)
		if len(notes) < 25 {
			t.Fatalf("%d notifications in 40 s", len(notes))
		}
		for _, n := range notes {
			if n.Total == nil || *n.Total != size || n.Progress > size {
				t.Errorf("%v of %v", n.Progress, n.Total)
				continue
			}
			// It is counted in steps, and when it is handed to the network.
			if told, sent := n.Progress, n.at.Sub(began).Seconds()*rate; told < sent-400_000 || told > sent+100_000 {
				t.Errorf("after %v %v bytes are told", n.at.Sub(began), told)
			}
			if !uploading.MatchString(n.Message) {
				t.Errorf("message %q", n.Message)
			}
		}
		if last := notes[len(notes)-1]; last.Progress < size*9/10 {
			t.Errorf("at last %v", last.Progress)
		}
	})
}

// TestUploadProgressStandingStill holds that a host is kept waiting by an upload
// of which all is sent and nothing is answered.
func TestUploadProgressStandingStill(t *testing.T) {
	t.Parallel()
	script := falsim.Script{Faults: []falsim.Fault{{Step: falsim.StepPut, Kind: falsim.Delay, Accept: true, Delay: 25 * time.Second}}}
	tests := []struct {
		name    string
		size    float64
		message string
	}{
		{"too little to be counted", 5, "uploading, 0 bytes of 5 bytes"},
		{"counted", 600_000, "uploading, 524.3 kB of 600.0 kB"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, rigOptions{script: script}, func(t *testing.T, r *rig) {
				r.write("it.txt", []byte(strings.Repeat("a", int(tt.size))))
				waiting := 0
				for _, n := range new(recorder).run(t, r, "upload_file", `{"path":"it.txt"}`, `"t"`) {
					if n.Message == tt.message {
						waiting++
					}
					// Never the seconds that other calls tell of.
					if n.Total == nil || *n.Total != tt.size || n.Progress > tt.size {
						t.Errorf("%q: %v of %v", n.Message, n.Progress, n.Total)
					}
				}
				if waiting < 2 {
					t.Errorf("%q is told %d times in 25 s", tt.message, waiting)
				}
			})
		})
	}
}

// TestUploadOfUnknownLength holds that no total is made up.
func TestUploadOfUnknownLength(t *testing.T) {
	t.Parallel()
	if got := fmt.Sprint(transfer{sent: 1_234_567}); got != "uploading, 1.2 MB" {
		t.Errorf("told as %q", got)
	}
}

// TestProgressOfAMedium holds that nemotron_generate tells of its upload, and
// then of its job.
func TestProgressOfAMedium(t *testing.T) {
	t.Parallel()
	script := falsim.Script{QueueDelay: 3 * time.Second, RunTime: 3 * time.Second}
	inBubble(t, rigOptions{script: script, rate: 100_000}, func(t *testing.T, r *rig) {
		picture := pngOf(t, 1500, 1500, "large")
		r.write("it.png", picture)
		notes := new(recorder).run(t, r, "nemotron_generate", `{"prompt":"Hi","image_url":"it.png","wait_seconds":60}`, `7`)
		stages := map[string]int{}
		var order []string
		for _, n := range notes {
			stage, _, _ := strings.Cut(n.Message, ",")
			if stages[stage]++; stages[stage] == 1 {
				order = append(order, stage)
			}
			if n.Total != nil {
				t.Errorf("a total of %v", *n.Total)
			}
			if stage == "uploading" && !strings.HasSuffix(n.Message, fmt.Sprintf(" of %.1f MB", float64(len(picture))/1e6)) {
				t.Errorf("message %q", n.Message)
			}
		}
		if got := strings.Join(order, " "); !strings.HasPrefix(got, "uploading ") || !strings.HasSuffix(got, "IN_QUEUE IN_PROGRESS") || stages["uploading"] < 6 {
			t.Errorf("told of %s: %v", got, stages)
		}
	})
}

// TestProgressWithoutUpload holds that a medium which is there already is not
// told of as an upload.
func TestProgressWithoutUpload(t *testing.T) {
	t.Parallel()
	inBubble(t, rigOptions{script: falsim.Script{RunTime: 30 * time.Second}}, func(t *testing.T, r *rig) {
		r.write("it.png", pngOf(t, 800, 800, "a"))
		r.upload(`{"path":"it.png"}`)
		notes := new(recorder).run(t, r, "nemotron_generate", `{"prompt":"Hi","image_url":"it.png"}`, `7`)
		all := strings.Join(messages(notes), "\n")
		wantIn(t, all, "IN_PROGRESS")
		wantNotIn(t, all, "uploading")
		if n := r.sim.Stats().Requests.Initiate; n != 1 {
			t.Errorf("%d uploads", n)
		}
	})
}
