// The jobs of days that have passed, for the ledger: none of them is anybody's.

const endpoint = "nvidia/nemotron-3-nano-omni";
const day = 86_400_000;

// id is a UUID of version 7, as the ledger's are: they sort by time.
let made = 0;
function id(at) {
  const time = at.getTime().toString(16).padStart(12, "0");
  return `${time.slice(0, 8)}-${time.slice(8)}-7000-8000-${(++made).toString(16).padStart(12, "0")}`;
}

/** row is a completed job of so many days ago. */
export function row(daysAgo, caller, host, kind, preview, input, output, more = {}) {
  const at = new Date(Date.now() - daysAgo * day);
  const name = id(at);
  // USD per 1,000 tokens, in billionths of a dollar per token.
  const cost = ((input + output) * (kind ? 6_000 : 10_000)) / 1e9;
  return {
    id: name, request_id: `00000000${name.slice(8)}`, caller, host, endpoint: kind ? `${endpoint}/${kind}` : endpoint, preview,
    input_bytes: input * 4, status: "COMPLETED", delivered: true, created: at.toISOString(), submitted: at.toISOString(),
    started: new Date(at.getTime() + 400).toISOString(), ended: new Date(at.getTime() + 6_400).toISOString(), inference_nanoseconds: 6e9,
    output: "The answer.", finish_reason: "stop", usage: { input_tokens: input, output_tokens: output }, cost_usd: cost, counted_usd: cost, ...more,
  };
}

const prompts = [
  ["claude-code", "", "Summarize what changed between v1.8 and v1.9, with the migrations that matter"],
  ["claude-code", "", "List every public function of these files that has no test"],
  ["cursor", "", "Second opinion: is this retry loop safe when the server answers 429 twice?"],
  ["claude-code", "vision", "What does this diagram say about the order of the requests?"],
  ["cursor", "", "Explain the lock order in scheduler.go and where it could deadlock"],
  ["zed", "video", "Describe the steps that the screen recording shows"],
];

/** history is two weeks of alice's, each day another sum. */
export function history() {
  const weights = [5, 9, 2, 0, 7, 12, 6, 4, 10, 1, 3, 11, 8];
  return weights.flatMap((weight, i) =>
    prompts.slice(0, Math.min(weight, prompts.length)).map(([host, kind, prompt], j) =>
      row(13 - i, "alice", host, kind, prompt, weight * (2_100 + 400 * j), 150 * weight + 90 * j),
    ),
  );
}
