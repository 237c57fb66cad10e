// Package falsim simulates fal's queue, its upload storage, its CDN, and the
// request history and prices of its platform API, for the Nemotron 3 Nano Omni
// family, well enough that a client written for fal can't tell the difference,
// and badly enough, when asked, to show what a client does with every fault that
// a network or a service can produce.
//
// It promises:
//
//   - Behaviour is described by a [Script], which is plain data: it can be given
//     in Go, as JSON over HTTP for the whole server, or in a request header for
//     one submission. Output is a pure function of script and input.
//   - Every accepted submission and every billed job is counted ([Server.Stats]),
//     so that a test can prove that a job was paid for once.
//   - No timer and no goroutine per job: states are computed from the clock when
//     they are asked for. A [Server] used as a plain [net/http.Handler] starts no
//     goroutine at all and works inside a testing/synctest bubble.
//   - Everything read or kept is bounded: request bodies, jobs, stored bytes.
//   - It listens on loopback addresses only, and [Server.Close] ends every
//     stream and every hanging request, and joins its goroutines.
//
// It does not deliver webhooks, does not know any model but this family, and
// does not simulate the synchronous API (fal.run).
package falsim
