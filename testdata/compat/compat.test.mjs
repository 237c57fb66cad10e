// fal's official JavaScript client against the simulator. What passes here is
// what the simulator may be trusted with.
//
// FALSIM_URL is the base URL of a running simulator, or the JSON line that
// `simulate` prints; else FALSIM_BIN is a binary, started as
// `BIN simulate --listen 127.0.0.1:0`.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { after, before, beforeEach, test } from "node:test";
import { ApiError, createFalClient, ValidationError } from "@fal-ai/client";

const chat = "nvidia/nemotron-3-nano-omni";
const input = { prompt: "Say hello" };

let urls;
let child;

before(async () => {
  urls = process.env.FALSIM_URL ? given(process.env.FALSIM_URL) : await start(process.env.FALSIM_BIN);
});

after(async () => {
  if (!child) return;
  const exit = once(child, "exit");
  child.stdin.end();
  const [code] = await exit;
  assert.equal(code, 0, "simulate ends in good order when its stdin does");
});

beforeEach(async () => {
  await script({});
  await admin("POST", "reset");
});

function given(value) {
  if (value.startsWith("{")) return JSON.parse(value);
  const base = value.replace(/\/$/, "");
  return { queue_url: base, rest_url: base, cdn_url: base, admin_url: `${base}/_falsim` };
}

async function start(bin) {
  assert.ok(bin, "set FALSIM_URL or FALSIM_BIN");
  child = spawn(bin, ["simulate", "--listen", "127.0.0.1:0"], { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface({ input: child.stdout });
  const [line] = await Promise.race([
    once(lines, "line"),
    once(child, "exit").then(([code]) => assert.fail(`the simulator exited with ${code}`)),
  ]);
  return JSON.parse(line);
}

async function admin(method, what, body) {
  const response = await fetch(`${urls.admin_url}/${what}`, { method, body: body && JSON.stringify(body) });
  assert.ok(response.ok, `${what}: ${response.status} ${await response.clone().text()}`);
  return response.json();
}

const script = (s) => admin("PUT", "script", s);
const stats = () => admin("GET", "stats");

// The client's hosts are fixed, so its requests are sent elsewhere on their way.
function client(credentials = "key:secret") {
  const moved = { "https://queue.fal.run": "queue_url", "https://rest.fal.ai": "rest_url" };
  return createFalClient({
    credentials,
    requestMiddleware: async (request) => {
      const url = new URL(request.url);
      const to = moved[url.origin];
      assert.ok(to, `the client asked ${url.origin}`);
      return { ...request, url: urls[to] + url.pathname + url.search };
    },
  });
}

async function refusal(promise, Kind, status) {
  const error = await promise.then(
    () => assert.fail("no error"),
    (e) => e,
  );
  assert.ok(error instanceof Kind, `${error.name}: ${error.message}`);
  assert.equal(error.status, status);
  return error;
}

for (const mode of ["polling", "streaming"]) {
  test(`subscribe, ${mode}`, async () => {
    await script({
      queue_delay: "60ms",
      queue_positions: [2, 1],
      run_time: "60ms",
      output: "Hello.",
      logs: [{ message: "one", level: "INFO" }, { message: "two", at: "30ms" }],
    });
    const updates = [];
    const result = await client().subscribe(chat, {
      input,
      mode,
      logs: true,
      pollInterval: 5,
      onQueueUpdate: (u) => updates.push(u),
    });
    assert.equal(result.data.output, "Hello.");
    assert.equal(result.data.finish_reason, "stop");
    assert.deepEqual(result.data.usage, { input_tokens: 3, output_tokens: 2 });
    assert.match(result.requestId, /^[0-9a-f-]{36}$/);
    const statuses = [...new Set(updates.map((u) => u.status))];
    assert.deepEqual(statuses, ["IN_QUEUE", "IN_PROGRESS", "COMPLETED"]);
    const last = updates.at(-1);
    assert.deepEqual(last.logs.map((l) => l.message), ["one", "two"]);
    assert.equal(last.metrics.inference_time, 0.06);
    const s = await stats();
    assert.equal(s.accepted, 1);
    assert.equal(s.billed, 1);
    assert.equal(s.requests[mode === "polling" ? "stream" : "status"], 0);
  });
}

test("queue: submit, status, result", async () => {
  const { queue } = client();
  const job = await queue.submit(`${chat}/vision`, {
    input: { ...input, image_url: "https://example.com/x.png" },
    webhookUrl: "https://example.com/hook",
    priority: "low",
    startTimeout: 30,
    hint: "h",
  });
  assert.equal(job.status, "IN_QUEUE");
  assert.equal(job.queue_position, 0);
  assert.equal(job.response_url, `${urls.queue_url}/${chat}/requests/${job.request_id}`);
  const status = await queue.status(`${chat}/vision`, { requestId: job.request_id });
  assert.equal(status.status, "COMPLETED");
  assert.equal(status.logs, null);
  const result = await queue.result(`${chat}/vision`, { requestId: job.request_id });
  assert.match(result.data.output, /simulated.*Say hello/);
  assert.equal(result.requestId, job.request_id);
  const [known] = await admin("GET", "jobs");
  assert.equal(known.endpoint, `${chat}/vision`);
  assert.equal(known.headers["X-Fal-Queue-Priority"], "low");
  assert.match(known.headers["X-Fal-Request-Timeout"], /^30/);
  assert.match(known.query, /fal_webhook=https%3A%2F%2Fexample.com%2Fhook/);
});

test("queue: streamStatus", async () => {
  await script({ queue_delay: "40ms", queue_positions: [1, 0], run_time: "40ms" });
  const { queue } = client();
  const { request_id: requestId } = await queue.submit(chat, { input });
  const stream = await queue.streamStatus(chat, { requestId, logs: true });
  const seen = [];
  stream.on("data", (e) => seen.push(`${e.status} ${e.queue_position ?? ""}`.trim()));
  const last = await stream.done();
  assert.equal(last.status, "COMPLETED");
  assert.deepEqual(seen, ["IN_QUEUE 1", "IN_QUEUE 0", "IN_PROGRESS", "COMPLETED"]);
  assert.equal(stream.requestId, requestId);
});

test("queue: cancel while queued, then when it is too late", async () => {
  await script({ queue_delay: "1h" });
  const { queue } = client();
  const { request_id: requestId } = await queue.submit(chat, { input });
  await queue.cancel(chat, { requestId });
  const status = await queue.status(chat, { requestId });
  assert.equal(status.status, "COMPLETED");
  assert.equal(status.error_type, "client_cancelled");
  await refusal(queue.result(chat, { requestId }), ApiError, 499);
  const late = await refusal(queue.cancel(chat, { requestId }), ApiError, 400);
  assert.deepEqual(late.body, { status: "ALREADY_COMPLETED" });
  const s = await stats();
  assert.equal(s.billed, 0);
  assert.equal(s.cancelled, 1);
});

test("queue: cancel while running", async () => {
  await script({ run_time: "1h" });
  const { queue } = client();
  const { request_id: requestId } = await queue.submit(chat, { input });
  await queue.cancel(chat, { requestId });
  await refusal(queue.result(chat, { requestId }), ApiError, 499);
  assert.equal((await stats()).billed, 1);
});

test("subscribe with a timeout cancels", async () => {
  await script({ queue_delay: "1h" });
  await assert.rejects(client().subscribe(chat, { input, timeout: 50, pollInterval: 5 }), /timed out/);
  const deadline = AbortSignal.timeout(5000);
  while ((await stats()).cancelled !== 1) deadline.throwIfAborted();
});

test("upload", async () => {
  const fal = client();
  const file = new File(["hello"], "a b.txt", { type: "text/plain" });
  const url = await fal.storage.upload(file, { lifecycle: { expiresIn: "1h" } });
  assert.ok(url.startsWith(`${urls.cdn_url}/`) && url.endsWith("/a%20b.txt"), url);
  const response = await fetch(url);
  assert.equal(response.headers.get("content-type"), "text/plain");
  assert.equal(await response.text(), "hello");
  const [stored] = await admin("GET", "uploads");
  const seconds = (Date.parse(stored.expires_at) - Date.now()) / 1000;
  assert.ok(seconds > 3500 && seconds <= 3600, `expires in ${seconds} s`);
  assert.equal((await stats()).key_on_public_url, 0);
});

test("a Blob in the input is uploaded by the client", async () => {
  const image = new Blob([new Uint8Array([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])], { type: "image/png" });
  const result = await client().subscribe(`${chat}/vision`, { input: { ...input, image_url: image }, pollInterval: 5 });
  assert.match(result.data.output, /simulated/);
  assert.equal((await stats()).uploads, 1);
});

test("multipart upload", async () => {
  const bytes = new Uint8Array(90 * 1024 * 1024 + 1).fill(7);
  await client().storage.upload(new Blob([bytes], { type: "video/mp4" }));
  const [stored] = await admin("GET", "uploads");
  assert.equal(stored.multipart, true);
  assert.equal(stored.size, bytes.length);
  assert.equal(stored.sha256, createHash("sha256").update(bytes).digest("hex"));
  const { requests } = await stats();
  assert.equal(requests.part, 10);
  assert.equal(requests.complete, 1);
});

test("401", async () => {
  await script({ key: "another" });
  const error = await refusal(client().queue.submit(chat, { input }), ApiError, 401);
  assert.equal(error.body.detail, "invalid key credentials");
  assert.equal((await stats()).accepted, 0);
});

test("403 when the balance is exhausted", async () => {
  await script({ locked: true });
  const error = await refusal(client().subscribe(chat, { input }), ApiError, 403);
  assert.match(error.body.detail, /^User is locked\. Reason: Exhausted balance\./);
  assert.equal((await stats()).requests.submit, 1);
});

test("404 for an unknown id and an unknown app", async () => {
  const { queue } = client();
  const error = await refusal(queue.status(chat, { requestId: crypto.randomUUID() }), ApiError, 404);
  assert.deepEqual(error.body, { status: "NOT_FOUND" });
  await refusal(queue.submit("fal-ai/unknown", { input }), ApiError, 404);
});

test("400 while in progress", async () => {
  await script({ run_time: "1h" });
  const { queue } = client();
  const { request_id: requestId } = await queue.submit(chat, { input });
  const error = await refusal(queue.result(chat, { requestId }), ApiError, 400);
  assert.equal(error.body.detail, "Request is still in progress");
});

test("422 on the result of an invalid input", async () => {
  const error = await refusal(
    client().subscribe(chat, { input: { prompt: "", max_tokens: 0 }, pollInterval: 5 }),
    ValidationError,
    422,
  );
  assert.equal(error.getFieldErrors("prompt")[0].type, "string_too_short");
  assert.equal(error.getFieldErrors("max_tokens")[0].type, "greater_than_equal");
});

test("a failed job", async () => {
  await script({ faults: [{ step: "job", error: "The runner left.", error_type: "runner_disconnected", status: 500 }] });
  const { queue } = client();
  const { request_id: requestId } = await queue.submit(chat, { input });
  const status = await queue.status(chat, { requestId });
  assert.equal(status.status, "COMPLETED");
  assert.equal(status.error_type, "runner_disconnected");
  const error = await refusal(queue.result(chat, { requestId }), ApiError, 500);
  assert.equal(error.body.detail, "The runner left.");
});

test("the start timeout is the user's", async () => {
  await script({ queue_delay: "1h" });
  const error = await refusal(
    client().subscribe(chat, { input, startTimeout: 1.1, pollInterval: 20 }),
    ApiError,
    504,
  );
  assert.ok(error.isUserTimeout);
  assert.equal((await stats()).billed, 0);
});

test("a broken stream is an error to the client, and the job lives on", async () => {
  await script({ run_time: "50ms", faults: [{ step: "stream", kind: "break", after: 1 }] });
  const { queue } = client();
  const { request_id: requestId } = await queue.submit(chat, { input });
  const stream = await queue.streamStatus(chat, { requestId });
  await assert.rejects(stream.done());
  const result = await queue.result(chat, { requestId });
  assert.equal(result.requestId, requestId);
});

test("this client pays twice where a submission's answer is lost", async () => {
  await script({ faults: [{ step: "submit", kind: "reset_after_read", accept: true, times: 1 }] });
  await client().queue.submit(chat, { input });
  assert.equal((await stats()).accepted, 2);
});
