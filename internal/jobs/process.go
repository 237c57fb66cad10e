package jobs

import (
	"os"
	"time"
)

const (
	// renewTime is how often a process renews its lease; deadTime is how long it
	// is believed to live without.
	renewTime = 5 * time.Second
	deadTime  = 20 * time.Second
)

// process is one that has opened the ledger.
type process struct {
	id      string
	machine string // and the space in which its pid means something
	pid     int
	started string // tells it from a later one with the same pid; "" where the system does not say
	renewed time.Time
}

func thisProcess() process {
	pid := os.Getpid()
	return process{id: newProcessID(), machine: machine(), pid: pid, started: startOf(pid)}
}

// dead reports whether a process no longer watches its jobs: at once where it
// ran on this machine and is gone.
func (p process) dead(me process, now time.Time) bool {
	if p.renewed.Before(now.Add(-deadTime)) {
		return true
	}
	if p.machine != me.machine {
		return false
	}
	return !alive(p.pid) || p.started != startOf(p.pid)
}
