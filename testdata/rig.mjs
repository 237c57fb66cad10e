// What the programs in these folders share: they start our binaries, and end them.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const key = "key-id:key-secret";

/** rig makes a folder and ends all that it has started, in the reverse order. */
export async function rig() {
  const folder = await mkdtemp(join(tmpdir(), "nemotron-mcp-"));
  const ends = [() => rm(folder, { recursive: true, force: true })];

  // start runs a program until close; ready finds in a line of its stdout or
  // stderr what the caller waits for.
  async function start(bin, args, env, ready) {
    const child = spawn(bin, args, { env, stdio: ["pipe", "pipe", "pipe"] });
    child.log = "";
    ends.push(() => end(child));
    return await new Promise((resolve, reject) => {
      child.once("error", reject);
      child.once("exit", (code) => reject(new Error(`${args[0]} exited with ${code}:\n${child.log}`)));
      for (const stream of [child.stdout, child.stderr]) {
        createInterface({ input: stream }).on("line", (line) => {
          child.log += `${line}\n`;
          const found = ready(line);
          if (found) resolve({ child, found });
        });
      }
    });
  }

  return {
    folder,
    start,

    /** simulate starts fal's simulator, and gives its addresses and controls. */
    async simulate(bin) {
      const { found: urls } = await start(bin, ["simulate", "--listen", "127.0.0.1:0"], {}, (line) =>
        line.startsWith("{") && JSON.parse(line).queue_url ? JSON.parse(line) : undefined,
      );
      const admin = async (method, what, body) => {
        const response = await fetch(`${urls.admin_url}/${what}`, { method, body: body && JSON.stringify(body) });
        assert.ok(response.ok, `${what}: ${response.status} ${await response.clone().text()}`);
        return response.json();
      };
      return {
        urls,
        script: (s) => admin("PUT", "script", s),
        reset: () => admin("POST", "reset"),
        stats: () => admin("GET", "stats"),
        jobs: () => admin("GET", "jobs"),
      };
    },

    /** environment is that of a server that takes the simulator for fal. */
    environment: (sim) => ({
      FAL_KEY: key,
      FAL_QUEUE_URL: sim.urls.queue_url,
      FAL_REST_URL: sim.urls.rest_url,
      FAL_PLATFORM_URL: sim.urls.platform_url,
      NEMOTRON_MCP_STATE_DIR: join(folder, "state"),
    }),

    /** serveHTTP starts the server, and gives the address of its root. */
    async serveHTTP(bin, env, ...flags) {
      const { found } = await start(bin, ["serve", "--http", "127.0.0.1:0", ...flags], env, (line) => {
        const at = line.includes("serving MCP over HTTP") && JSON.parse(line).address;
        return at ? `http://${at}` : undefined;
      });
      return found;
    },

    async close() {
      for (const end of ends.reverse()) await end();
    },
  };
}

// A program that does not end by itself is killed, which is a failure.
async function end(child) {
  if (child.exitCode !== null) return;
  const exit = once(child, "exit");
  child.stdin.end();
  child.kill("SIGTERM");
  const late = setTimeout(() => child.kill("SIGKILL"), 10_000);
  const [code, signal] = await exit;
  clearTimeout(late);
  assert.equal(code, 0, `a program ended with ${signal ?? code}:\n${child.log}`);
}

/** within fails where a promise takes longer than some seconds. */
export function within(seconds, what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: nothing within ${seconds} s`)), seconds * 1000);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** until asks again and again, for at most 10 s, until what it gets is good. */
export async function until(what, ask, good) {
  const deadline = Date.now() + 10_000;
  for (;;) {
    const got = await ask();
    if (good(got)) return got;
    assert.ok(Date.now() < deadline, `${what}: still ${JSON.stringify(got)}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
