// MCP's conformance suites against our HTTP transport, and the Inspector's lint
// against our server. CONFORMANCE_BIN is the fixture (internal/conformance),
// NEMOTRON_MCP_BIN the server.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { rig, within } from "../rig.mjs";

const { CONFORMANCE_BIN: fixture, NEMOTRON_MCP_BIN: server } = process.env;
assert.ok(fixture && server, "set CONFORMANCE_BIN and NEMOTRON_MCP_BIN");
const [major, minor] = process.versions.node.split(".").map(Number);
assert.ok(major > 22 || (major === 22 && minor >= 19), `Node 22.19 or newer is needed; this is ${process.version}`);

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const stable = here("node_modules/@modelcontextprotocol/conformance/dist/index.js");
const next = here("node_modules/conformance-next/dist/index.js");
const inspector = here("node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js");
const known = ["--expected-failures", here("expected-failures.yml")];

const r = await rig();
let failed = 0;

async function step(name, run) {
  try {
    console.log(`ok    ${name}: ${await run()}`);
  } catch (error) {
    failed++;
    console.log(`FAIL  ${name}\n${error.message.replace(/^/gm, "      ")}`);
  }
}

async function node(...args) {
  // The Inspector writes to its home.
  const env = { PATH: process.env.PATH, HOME: r.folder, NO_COLOR: "1" };
  const child = spawn(process.execPath, args, { cwd: r.folder, env, stdio: ["ignore", "pipe", "pipe"] });
  const out = { stdout: "", all: "" };
  child.stdout.on("data", (text) => ((out.stdout += text), (out.all += text)));
  child.stderr.on("data", (text) => (out.all += text));
  try {
    const [code] = await within(180, args[0], once(child, "close"));
    return { code, ...out };
  } finally {
    child.kill("SIGKILL");
  }
}

// suite runs one suite, which must make at least so many checks: one that finds
// nothing to run passes too.
const suite = (url, program, least, ...args) => async () => {
  const { code, all } = await node(program, "server", "--url", url, ...args);
  const summary = all.slice(Math.max(all.indexOf("=== SUMMARY"), 0));
  assert.equal(code, 0, summary);
  const [, passed, lost] = all.match(/^Total: (\d+) passed, (\d+) failed/m) ?? assert.fail(all);
  assert.ok(Number(passed) >= least, `only ${passed} checks passed, of ${least} or more\n${summary}`);
  return `${passed} checks passed, ${lost} failed as expected`;
};

// lint has the Inspector look at our tools' schemas.
const lint = (...target) => async () => {
  const { code, stdout, all } = await node(inspector, "--cli", ...target, "--method", "tools/list", "--strict");
  assert.equal(code, 0, all);
  const { tools } = JSON.parse(stdout);
  assert.equal(tools.length, 5, stdout);
  return `${tools.length} tools`;
};

// The suites know no stdio: there the Inspector makes a call.
async function call() {
  const { code, stdout, all } = await node(inspector, "--cli", "--method", "tools/call", "--tool-name", "test_multiple_content_types", "--", fixture, "-stdio");
  assert.equal(code, 0, all);
  const { content } = JSON.parse(stdout);
  assert.equal(content.length, 3, stdout);
  return "answered";
}

try {
  const { found: url } = await r.start(fixture, [], {}, (line) => line.match(/^http:\S+/)?.[0]);
  await step("conformance 0.1.16, active suite", suite(url, stable, 39));
  await step("conformance 0.2.0-alpha.12, all scenarios", suite(url, next, 195, "--suite", "all", ...known));
  await step("conformance 0.2.0-alpha.12, required by 2025-11-25", suite(url, next, 80, "--requirements", "2025-11-25", ...known));
  await step("conformance 0.2.0-alpha.12, required by 2026-07-28", suite(url, next, 161, "--requirements", "2026-07-28", ...known));
  await step("Inspector, the fixture over stdio", call);

  const env = r.environment(await r.simulate(server));
  const flags = Object.entries(env).flatMap(([name, value]) => ["-e", `${name}=${value}`]);
  await step("Inspector --strict, stdio", lint(...flags, server));
  const root = await r.serveHTTP(server, env);
  await step("Inspector --strict, HTTP", lint(`${root}/mcp`, "--transport", "http"));
  await step("Inspector --strict, HTTP without a handshake", lint(`${root}/mcp`, "--transport", "http", "--protocol-era", "modern"));
  await step("Inspector --strict, SSE", lint(`${root}/sse`, "--transport", "sse"));
} finally {
  await r.close();
}
process.exitCode = failed ? 1 : 0;
