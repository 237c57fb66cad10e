package metrics

import (
	"net/http"
	"os"
	"runtime"
	"slices"
	"testing"
	"testing/fstest"
	"time"
)

const stat = "42 (a (b) c) S 1 42 42 0 -1 4194560 9 0 0 0 1 2 0 0 20 0 9 0 12345 1000 200 1844 1\n"

// linux is a process as Linux shows it.
func linux() process {
	return process{proc: fstest.MapFS{
		"stat":       {Data: []byte("cpu  1 2 3\nintr 5 btime 9\nctxt 7\nbtime 1700000000\nprocesses 3\n")},
		"self/stat":  {Data: []byte(stat)},
		"self/statm": {Data: []byte("1000 250 30 4 0 50 0\n")},
		"self/fd/0":  {},
		"self/fd/1":  {},
		"self/fd/7":  {},
	}, pageSize: 4096}
}

func TestProcess(t *testing.T) {
	t.Parallel()
	all := map[string]float64{
		"process_start_time_seconds{}":    1700000123.45,
		"process_resident_memory_bytes{}": 250 * 4096,
		"process_open_fds{}":              3,
	}
	cases := map[string]struct {
		change  map[string]string // the new content of a file; "gone" takes it away
		missing []string
	}{
		"whole":              {},
		"no boot time":       {map[string]string{"stat": "cpu 1\n"}, []string{"process_start_time_seconds{}"}},
		"no stat":            {map[string]string{"stat": "gone"}, []string{"process_start_time_seconds{}"}},
		"boot time no count": {map[string]string{"stat": "btime -1\n"}, []string{"process_start_time_seconds{}"}},
		"short stat":         {map[string]string{"self/stat": "42 (a) S 1 2"}, []string{"process_start_time_seconds{}"}},
		"stat without name":  {map[string]string{"self/stat": ""}, []string{"process_start_time_seconds{}"}},
		"start no count":     {map[string]string{"self/stat": "42 (a) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 x 20"}, []string{"process_start_time_seconds{}"}},
		"empty statm":        {map[string]string{"self/statm": ""}, []string{"process_resident_memory_bytes{}"}},
		"statm no count":     {map[string]string{"self/statm": "1 x"}, []string{"process_resident_memory_bytes{}"}},
		"no descriptors": {
			map[string]string{"self/fd/0": "gone", "self/fd/1": "gone", "self/fd/7": "gone"},
			[]string{"process_open_fds{}"},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := linux()
			files := p.proc.(fstest.MapFS)
			for file, content := range c.change {
				files[file] = &fstest.MapFile{Data: []byte(content)}
				if content == "gone" {
					delete(files, file)
				}
			}
			var r Registry
			p.declare(&r)
			got := values(t, r.appendPage(nil))
			for sample, want := range all {
				value, there := got[sample]
				if slices.Contains(c.missing, sample) {
					if there {
						t.Errorf("%s is on the page", sample)
					}
				} else if value != want {
					t.Errorf("%s is %v, want %v", sample, value, want)
				}
			}
		})
	}
}

func TestThisProcess(t *testing.T) {
	file, err := os.Open(os.DevNull) // beside stdin, stdout and stderr
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	got := values(t, ask(t, New("v1"), http.MethodGet).Body.Bytes())
	if n := got["go_goroutines{}"]; n < 1 {
		t.Errorf("%v goroutines", n)
	}
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	if heap := got["go_memstats_heap_inuse_bytes{}"]; heap < float64(stats.HeapInuse)/4 || heap > 4*float64(stats.HeapInuse) {
		t.Errorf("%v bytes of heap in use, the runtime says %d", heap, stats.HeapInuse)
	}
	if runtime.GOOS != "linux" {
		t.Skip("the rest is read from Linux's /proc")
	}
	started := time.Unix(int64(got["process_start_time_seconds{}"]), 0)
	if age := time.Since(started); age < -time.Minute || age > time.Hour {
		t.Errorf("started %v ago", age)
	}
	if resident := got["process_resident_memory_bytes{}"]; resident < float64(stats.HeapInuse)/4 {
		t.Errorf("%v bytes resident with %d of heap", resident, stats.HeapInuse)
	}
	if files := got["process_open_fds{}"]; files < 4 {
		t.Errorf("%v open files", files)
	}
}
