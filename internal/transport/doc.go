// Package transport carries MCP messages between a host and an MCPServer.
//
// # Stdio
//
// [Stdio] serves one host over a pair of streams: one JSON-RPC message a line.
// It promises that
//
//   - reading never waits for a tool: a ping or a cancel is read at once,
//     however many calls are in flight, up to MaxInFlight;
//   - a cancel always reaches its call, and a cancelled request is never
//     answered;
//   - what a handler sends through its session is written before its response,
//     in the order in which it was sent;
//   - calls in flight at the end of the input have DrainWindow to be answered,
//     then they are cancelled and have Grace; at the end of Serve's context, or
//     after a failed write, they have Grace. Serve returns at most 150 ms later;
//   - nothing but JSON-RPC reaches the output, each message in one Write;
//   - memory is bounded, whatever is sent.
//
// A host that reads nothing is back-pressured: with MaxInFlight answers and a
// few hundred refusals unread, reading stops until it reads again. The end of
// the input is not seen meanwhile, but that of Serve's context is.
//
// Where the host declares roots at initialize, a tool can ask for them through
// its session, a tools.RootLister. It is the only request that is sent to the
// host; the answer is remembered until notifications/roots/list_changed.
//
// Notifications and initialize are handled by the reader itself, in their
// order, so a handler or a hook of theirs must not block.
//
// subscriptions/listen is a call that ends when the host cancels it (without an
// answer) or when the input or the context ends (with its result). It is
// acknowledged, but what mcp-go then broadcasts is neither filtered nor tagged
// by subscription: declare no listChanged capability on a server served here.
//
// Every goroutine has ended when Serve returns, except one that is inside code
// that can't be interrupted: a Read that blocks for ever, a Write that blocks
// for ever, a handler that ignores its context. It ends by itself when that
// code returns, and writes nothing more. A process that uses Stdio on its own
// stdin and stdout is expected to exit after Serve.
//
// A Go process that writes to a closed stdout is killed by SIGPIPE, unless it
// has asked for that signal with signal.Notify or signal.Ignore. Without
// that, calls in flight are not cancelled when the host goes away.
package transport
