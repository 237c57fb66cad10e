// Package jobs keeps the life of a generation: written to the ledger before it
// is submitted, submitted once, watched whether or not anybody waits, and its
// answer kept until it is asked for.
//
// What it promises:
//
//   - One call makes at most one paid submission. Where nobody can know whether
//     fal took the job, it is UNKNOWN and is never submitted again.
//   - A job outlives its call, and its process. After the hand-back it goes on
//     being watched; the jobs of a dead process are taken over by another that
//     uses the same ledger. An identical call that comes because the first one's
//     answer never reached the host attaches to it instead of paying again.
//   - A caller that goes away while it waits cancels the job at fal; one that was
//     handed a request_id does not.
//   - A cap on the day's cost holds for all processes of a ledger together: the
//     worst case is reserved before the submission and settled with the usage.
//   - Each job has one goroutine that watches it, owned and joined by the
//     Manager, and one process, which a lease names.
package jobs
