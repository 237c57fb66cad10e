// Package jobs keeps the life of a generation: written to the ledger before it
// is submitted, submitted once, watched whether or not anybody waits, and its
// answer kept until it is asked for.
//
// What it promises:
//
//   - One call makes at most one paid submission. Where nobody can know whether
//     fal took the job, it is UNKNOWN and is never submitted again.
//   - A job outlives its call. After the hand-back it goes on being watched, and
//     an identical call that comes because the first one's answer never reached
//     the host attaches to it instead of paying again.
//   - A caller that goes away while it waits cancels the job at fal; one that was
//     handed a request_id does not.
//   - Each job has one goroutine that watches it, owned and joined by the
//     Manager.
package jobs
