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
	// softLimit is what the process is to get along with, in bytes, stacks
	// included, unless most of it is live: a thousand calls that begin or
	// end together leave tens of megabytes free that Go would else give back slowly.
	softLimit = 100 << 20
)

// tuneGC sets how seldom garbage is collected by what is live after each
// collection. GOGC and GOMEMLIMIT, where the operator has set one, stay.
func tuneGC() {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	debug.SetGCPercent(fewPercent)
	debug.SetMemoryLimit(softLimit)
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
		wanted, held := fewPercent, live[0].Value.Uint64()+live[1].Value.Uint64()
		if held > manyLive {
			wanted = manyPercent
		}
		debug.SetMemoryLimit(int64(max(softLimit, held+held/8)))
		if wanted != percent {
			debug.SetGCPercent(wanted)
		}
		awaitCollection(wanted)
	})
}
