// Package falclient speaks fal's queue API, its upload storage, and two questions
// of its platform API, over HTTP. It can be imported on its own and knows nothing of MCP.
//
// What it promises:
//
//   - A submission is sent once. [Client.Submit] repeats a POST only where it
//     provably never reached fal (the name did not resolve, the connection or
//     the TLS handshake failed) or where fal refused it with 429. Everything
//     else that ends without a readable answer is a [*SubmitUnknownError]. The
//     headers Idempotency-Key and X-Idempotency-Key are never set, because
//     net/http replays a POST that carries one.
//   - A watched job is never lost. [Client.Watch] follows the status stream and
//     falls back to polling where the stream is refused, breaks or goes silent.
//     [Client.Status], [Client.Result] and [Client.Cancel] are repeatable and
//     are repeated, with full jitter, Retry-After honoured up to 30 s, and one
//     budget of retries for the whole client, so that an outage is not
//     multiplied by the number of jobs.
//   - [Client.Requests] tells which requests fal took, with their inputs where
//     fal keeps them: the way to settle a submission whose answer was lost.
//     [Client.Prices] tells what fal charges. Both are repeated as the above, on
//     a host of their own without a backup. A list that was not read to its end
//     says so ([ErrTruncated]).
//   - [Client.CheckKey], [Client.Account] and [Client.Reach] tell whether fal can be
//     used, and bill nothing.
//   - [Client.Upload] sends a file of any size without holding it in memory,
//     [Client.UploadStream] what has no known size. The SHA-256 that they return
//     is that of the bytes that were sent, and a file that changed on the way is
//     an error ([ErrSourceChanged]) and no upload.
//   - The key goes to the configured hosts and nowhere else: redirects are
//     refused, and URLs out of a response are never followed, but for those of an
//     upload, which must be fal's storage and get no key. And a base URL is
//     https, or http on a loopback address. No error holds the key, and what fal
//     says is bounded and printable there, and in a [Status].
//   - Everything read is bounded: results, and pages of the platform API, by
//     32 MiB after decompression, lists by 50 pages and 64 MiB, statuses
//     by 4 MiB, error answers by 64 KiB, events of the stream by 1 MiB.
//     Everything waited for has an end.
//
// Where fal's documents disagree, the comment beside the code says which one
// it follows.
package falclient
