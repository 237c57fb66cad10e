package app

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

const (
	// fewPercent and manyPercent are how much garbage may gather, relative to
	// what is live, before it is collected. A server that is busy with short jobs
	// has little live memory and makes much garbage around it: collecting it
	// seldom leaves more processor time to the calls. With a thousand jobs in
	// flight the same would be tens of megabytes; they wait for most of their time,
	// and collecting more often costs little.
	fewPercent, manyPercent = 200, 50
	// manyLive is where the one passes into the other, in bytes.
	manyLive = 20 << 20
)

// tuneGC sets how seldom garbage is collected by what is live after each
// collection. GOGC, where the operator has set it, stays.
func tuneGC() {
	if os.Getenv("GOGC") != "" {
		return
	}
	debug.SetGCPercent(fewPercent)
	awaitCollection(fewPercent)
}

// awaitCollection is called back by the next collection, which finds its
// sentinel dead.
func awaitCollection(percent int) {
	// Not empty, since those share an address.
	sentinel := new([16]byte)
	runtime.SetFinalizer(sentinel, func(*[16]byte) {
		live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}}
		metrics.Read(live)
		wanted := fewPercent
		if live[0].Value.Uint64()+live[1].Value.Uint64() > manyLive {
			wanted = manyPercent
		}
		if wanted != percent {
			debug.SetGCPercent(wanted)
		}
		awaitCollection(wanted)
	})
}
