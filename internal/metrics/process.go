package metrics

import (
	"io"
	"io/fs"
	"os"
	"runtime"
	runtimemetrics "runtime/metrics"
	"strconv"
	"strings"
)

// process tells of this process what the runtime and /proc know, under the
// names that every Prometheus client uses.
type process struct {
	proc     fs.FS // /proc, or empty where there is none
	pageSize int
}

func thisProcess() process { return process{os.DirFS("/proc"), os.Getpagesize()} }

func (p process) declare(r *Registry) {
	plain := func(name, help string, read func() (float64, bool)) {
		r.Gauge(name, help, nil, func(set func(float64, ...string)) {
			if value, ok := read(); ok {
				set(value)
			}
		})
	}
	plain("go_goroutines", "Goroutines that exist.", func() (float64, bool) { return float64(runtime.NumGoroutine()), true })
	plain("go_memstats_heap_inuse_bytes", "Bytes of the heap's spans in use.", heapInUse)
	started, known := p.started()
	plain("process_start_time_seconds", "When the process started, in Unix time.", func() (float64, bool) { return started, known })
	plain("process_resident_memory_bytes", "Resident memory.", p.resident)
	plain("process_open_fds", "Open file descriptors.", p.openFiles)
}

// heapInUse is MemStats.HeapInuse without stopping the world.
func heapInUse() (float64, bool) {
	samples := []runtimemetrics.Sample{
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/unused:bytes"},
	}
	runtimemetrics.Read(samples)
	var sum uint64
	for _, sample := range samples {
		if sample.Value.Kind() != runtimemetrics.KindUint64 {
			return 0, false
		}
		sum += sample.Value.Uint64()
	}
	return float64(sum), true
}

// started is the time of boot and the clock ticks from there to the start.
func (p process) started() (float64, bool) {
	const ticksPerSecond = 100 // Linux's USER_HZ wherever Go runs
	_, boot, _ := strings.Cut("\n"+p.read("stat"), "\nbtime ")
	boot, _, _ = strings.Cut(boot, "\n")
	seconds, err := strconv.ParseUint(boot, 10, 63)
	if err != nil {
		return 0, false
	}
	stat := p.read("self/stat")
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:]) // the name before it may hold anything
	if len(fields) < 20 {
		return 0, false
	}
	ticks, err := strconv.ParseUint(fields[19], 10, 63)
	return float64(seconds) + float64(ticks)/ticksPerSecond, err == nil
}

func (p process) resident() (float64, bool) {
	fields := strings.Fields(p.read("self/statm"))
	if len(fields) < 2 {
		return 0, false
	}
	pages, err := strconv.ParseUint(fields[1], 10, 63)
	return float64(pages) * float64(p.pageSize), err == nil
}

// openFiles counts the descriptor that it reads through too.
func (p process) openFiles() (float64, bool) {
	entries, err := fs.ReadDir(p.proc, "self/fd")
	return float64(len(entries)), err == nil
}

func (p process) read(name string) string {
	file, err := p.proc.Open(name)
	if err != nil {
		return ""
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, 1<<20))
	if err != nil {
		return ""
	}
	return string(content)
}
