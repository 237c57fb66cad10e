// What each client does over each transport. A script gets the simulator, and
// connect, which gives a client.

import assert from "node:assert/strict";
import { inspect } from "node:util";

const generate = "nemotron_generate";

// outcome says how a call ended, so that nothing of it is left unheard.
const outcome = (promise) => promise.then((result) => ({ result }), (error) => ({ error }));

const oneJob = async ({ sim, until }, what, good) =>
  (await until(what, sim.jobs, (jobs) => jobs.length === 1 && good(jobs[0])))[0];

export const scripts = {
  async "tools are listed, as every host takes them"({ connect }) {
    const { tools } = await (await connect()).list();
    assert.deepEqual(
      tools.map((tool) => tool.name).sort(),
      ["nemotron_generate", "queue_cancel", "queue_list", "queue_status", "upload_file"],
    );
    for (const tool of tools) {
      assert.equal(tool.inputSchema.type, "object", tool.name);
      assert.equal(tool.outputSchema.type, "object", tool.name);
    }
  },

  async "an answer comes with its usage"({ connect, sim }) {
    await sim.script({ output: "Paris.", usage: { input_tokens: 7, output_tokens: 2 } });
    const result = await (await connect()).call(generate, { prompt: "The capital of France?" });
    assert.ok(!result.isError, JSON.stringify(result));
    const job = result.structuredContent;
    assert.equal(job.status, "COMPLETED");
    assert.equal(job.output, "Paris.");
    assert.deepEqual(job.usage, { input_tokens: 7, output_tokens: 2 });
    assert.match(job.request_id, /^[0-9a-f-]{36}$/);
    assert.match(result.content[0].text, /^Paris\.\n/);
    const stats = await sim.stats();
    assert.equal(stats.accepted, 1);
    assert.equal(stats.billed, 1);
    assert.equal(stats.auth_failures, 0);
  },

  async "progress comes in order, before the answer, and none is lost"({ connect, sim }) {
    await sim.script({
      queue_delay: "600ms",
      queue_positions: [2, 1],
      run_time: "900ms",
      output: "Done.",
      logs: [{ message: "loading" }, { message: "last line", at: "400ms" }],
    });
    const told = [];
    const client = await connect();
    const result = await client.call(generate, { prompt: "Count" }, { onprogress: (p) => told.push(p) });
    const before = told.length;
    assert.equal(result.structuredContent.output, "Done.");
    const text = told.map((p) => p.message).join("\n");
    assert.ok(before >= 3, text);
    for (let i = 1; i < told.length; i++) assert.ok(told[i].progress > told[i - 1].progress, text);
    assert.match(text, /position 2[^]*position 1[^]*IN_PROGRESS[^]*last line/);
    await client.list(); // what was late would have come by now
    assert.equal(told.length, before, "progress came after the answer");
  },

  async "a cancel while queued reaches fal, and nothing is billed"({ connect, sim, until }) {
    await sim.script({ queue_delay: "1h" });
    const client = await connect();
    const stop = new AbortController();
    const call = outcome(client.call(generate, { prompt: "Wait", wait_seconds: 50 }, { signal: stop.signal }));
    await oneJob({ sim, until }, "the job", (job) => job.state === "IN_QUEUE");
    stop.abort("changed my mind");
    assert.ok((await call).error, "a cancelled call was answered");
    const job = await oneJob({ sim, until }, "the cancel", (job) => job.cancelled);
    assert.equal(job.billed, false);
    assert.equal((await sim.stats()).billed, 0);
    assert.equal((await client.list()).tools.length, 5, "the client goes on");
  },

  async "a cancel while running reaches fal"({ connect, sim, until }) {
    await sim.script({ run_time: "1h" });
    const client = await connect();
    const stop = new AbortController();
    const call = outcome(client.call(generate, { prompt: "Run", wait_seconds: 50 }, { signal: stop.signal }));
    await oneJob({ sim, until }, "the job", (job) => job.state === "IN_PROGRESS");
    stop.abort("changed my mind");
    assert.ok((await call).error, "a cancelled call was answered");
    await oneJob({ sim, until }, "the cancel", (job) => job.cancel_requested);
  },

  async "an unknown argument is refused in words, and nothing is sent"({ connect, sim }) {
    const result = await (await connect()).call(generate, { prompt: "Hi", temprature: 1 });
    assert.equal(result.isError, true);
    assert.match(result.content[0].text, /^INVALID_INPUT[^]*temprature[^]*temperature/);
    assert.equal(result._meta["nemotron/error"].code, "INVALID_INPUT");
    assert.equal((await sim.stats()).accepted, 0);
  },

  async "a failed job is told as an error"({ connect, sim }) {
    await sim.script({ faults: [{ step: "job", error: "Out of memory", error_type: "runner_error" }] });
    const result = await (await connect()).call(generate, { prompt: "Hi" });
    assert.equal(result.isError, true);
    assert.match(result.content[0].text, /^JOB_FAILED/);
  },

  async "a handed-back job is fetched with queue_status"({ connect, sim }) {
    await sim.script({ run_time: "700ms", output: "Later." });
    const client = await connect();
    const handed = (await client.call(generate, { prompt: "Later", wait_seconds: 0 })).structuredContent;
    assert.ok(["IN_QUEUE", "IN_PROGRESS"].includes(handed.status), handed.status);
    assert.equal(handed.output, undefined);
    const job = (await client.call("queue_status", { request_id: handed.request_id, wait_seconds: 20 })).structuredContent;
    assert.equal(job.status, "COMPLETED");
    assert.equal(job.output, "Later.");
    assert.equal((await sim.stats()).billed, 1);
  },

  async "two calls at once have each their answer and their progress"({ connect, sim }) {
    await sim.script({ run_time: "600ms", logs: [{ message: "working" }] });
    const client = await connect();
    const told = [[], []];
    const prompts = ["alpha alpha", "omega omega"];
    const results = await Promise.all(
      prompts.map((prompt, i) => client.call(generate, { prompt }, { onprogress: (p) => told[i].push(p) })),
    );
    results.forEach((result, i) => {
      assert.ok(result.structuredContent.output.includes(prompts[i]), JSON.stringify(result.structuredContent));
      assert.ok(told[i].length > 0, `no progress of call ${i}`);
    });
    assert.notEqual(results[0].structuredContent.request_id, results[1].structuredContent.request_id);
    assert.equal((await sim.stats()).billed, 2);
  },

  async "a client that closes in the middle cancels its job"({ connect, sim, until }) {
    await sim.script({ run_time: "1h" });
    const client = await connect();
    const call = outcome(client.call(generate, { prompt: "Close", wait_seconds: 50 }));
    await oneJob({ sim, until }, "the job", (job) => job.state === "IN_PROGRESS");
    await client.close();
    // On stdio the client still hears what the server says at its end.
    const { result } = await call;
    assert.ok(!result || result.isError, JSON.stringify(result));
    await oneJob({ sim, until }, "the cancel", (job) => job.cancel_requested);
  },
};

export const tokenScripts = {
  async "the right token is served, and its jobs are its own"({ connect, tokens, sim }) {
    await sim.script({ run_time: "1h" });
    const alice = await connect(tokens.alice);
    const job = (await alice.call(generate, { prompt: "Mine", wait_seconds: 0 })).structuredContent;
    const bob = await connect(tokens.bob);
    const other = await bob.call("queue_status", { request_id: job.request_id });
    assert.equal(other.isError, true);
    assert.match(other.content[0].text, /^JOB_NOT_FOUND/);
    const own = await alice.call("queue_cancel", { request_id: job.request_id });
    assert.equal(own.structuredContent.status, "CANCELLED");
  },

  async "a wrong token is refused with 401"({ connect }) {
    const { error } = await outcome(connect("token-of-nobody-0123456789"));
    assert.ok(error, "a wrong token was served");
    assert.match(inspect(error), /401|Unauthorized/);
  },
};
