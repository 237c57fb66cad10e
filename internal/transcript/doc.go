// Package transcript replays conversations between a host and the whole
// server: its stdio transport, its tools, its jobs and a simulated fal. It
// holds tests only.
//
// A conversation is a txtar file in testdata/transcripts, with these sections:
//
//   - setup, optional: words that break something: no-key, unreachable (no
//     connection to fal can be made), broken-ledger, capped (2 cents a call),
//     no-folders (the operator allows none);
//   - script.json, optional: the simulator's script;
//   - in: what the host sends, one message a line. A line that begins with ->
//     is for the replay: "-> wait for id 3" until that response has come,
//     "-> wait for method roots/list" until the server asks that (again),
//     "-> after 2s" of the conversation's own clock. META stands for the
//     members of params that protocol version 2026-07-28 wants in each request,
//     ROOT_URI for a folder of the client's that holds minutes.md;
//   - out: every line that the server sends, in its order, with sorted keys.
//
// What differs from one run to the next is replaced, in out, and in in the
// other way round: request ids by REQUEST_1, REQUEST_2, … in the order in which
// they appear, cursors by CURSOR_1, …, uploaded files by FILE_1, …, times of day
// by TIME. The operator's folder holds build.log, notes/plan.md, chart.png and
// .env.
//
// Time is that of a testing/synctest bubble, so nothing waits and durations are
// exact. go test ./internal/transcript -update renews the out sections.
package transcript
