// The clients that most hosts are built on, against our server and fal's
// simulator: the TypeScript SDK's v1, and v2 in both eras of the protocol, over
// each transport that they have. NEMOTRON_MCP_BIN is the server.

import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { rig, until, within } from "../rig.mjs";
import * as v1 from "./v1.mjs";
import * as v2 from "./v2.mjs";
import { scripts, tokenScripts } from "./scripts.mjs";

const { NEMOTRON_MCP_BIN: server } = process.env;
assert.ok(server, "set NEMOTRON_MCP_BIN");

const tokens = { alice: "token-of-alice-0123456789", bob: "token-of-bob-0123456789" };

const r = await rig();
const sim = await r.simulate(server);
const env = r.environment(sim);
const root = await r.serveHTTP(server, env);
const file = join(r.folder, "tokens");
await writeFile(file, Object.entries(tokens).map(([name, token]) => `${name}:${token}\n`).join(""), { mode: 0o600 });
const guarded = await r.serveHTTP(server, env, "--auth-tokens", file);

const stdio = { command: server, args: [], env };
const variants = [
  ["SDK v1, stdio", () => v1.stdio(stdio)],
  ["SDK v1, HTTP", (headers) => v1.http(headers ? guarded : root, headers)],
  ["SDK v1, SSE", (headers) => v1.sse(headers ? guarded : root, headers)],
  ["SDK v2, stdio", () => v2.stdio(stdio, "legacy")],
  ["SDK v2, HTTP", (headers) => v2.http(headers ? guarded : root, "legacy", headers)],
  ["SDK v2, SSE", (headers) => v2.sse(headers ? guarded : root, headers)],
  ["SDK v2 of 2026-07-28, stdio", () => v2.stdio(stdio, { pin: "2026-07-28" })],
  ["SDK v2 of 2026-07-28, HTTP", (headers) => v2.http(headers ? guarded : root, { pin: "2026-07-28" }, headers)],
];

let passed = 0;
let failed = 0;

async function run(variant, connect, [name, script]) {
  const open = [];
  const tools = {
    sim,
    until,
    tokens,
    // connect gives a client that is closed at the end.
    connect: async (token) => {
      const client = await connect(token && { Authorization: `Bearer ${token}` });
      open.push(client);
      return client;
    },
  };
  try {
    await sim.script({});
    await sim.reset();
    await within(30, name, script(tools));
    passed++;
    console.log(`ok    ${variant}: ${name}`);
  } catch (error) {
    failed++;
    console.log(`FAIL  ${variant}: ${name}\n${String(error.stack).replace(/^/gm, "      ")}`);
  } finally {
    for (const client of open) await client.close().catch(() => {});
  }
}

try {
  for (const [variant, connect] of variants) {
    for (const script of Object.entries(scripts)) await run(variant, connect, script);
    if (connect.length === 0) continue; // no tokens on stdio
    for (const script of Object.entries(tokenScripts)) await run(variant, connect, script);
  }
} finally {
  await r.close();
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed ? 1 : 0;
