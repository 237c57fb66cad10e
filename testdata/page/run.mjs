// The page of "serve --http" in headless Chromium, against our server and fal's
// simulator. NEMOTRON_MCP_BIN is the server, SEED_BIN fills its ledger, CHROMIUM is
// the browser. With SCREENSHOT set, a picture of the page is written there.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdir, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { rig, until, within } from "../rig.mjs";
import { history, row } from "./rows.mjs";

const { NEMOTRON_MCP_BIN: server, SEED_BIN: seed, CHROMIUM: executablePath = "/usr/bin/chromium", SCREENSHOT: screenshot } = process.env;
assert.ok(server && seed, "set NEMOTRON_MCP_BIN and SEED_BIN");

const tokens = { alice: "token-of-alice-0123456789", bob: "token-of-bob-0123456789", carol: "token-of-carol-0123456789" };
const flags = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const hostile = `<script>window.pwned=1</script><img src=x onerror="window.pwned=1">\u202egnp.exe\u2066 \u001b[31m`;
const long = `${hostile}\n`.repeat(Math.ceil((5 << 20) / hostile.length)); // 5 MB

const r = await rig();
const sim = await r.simulate(server);
const env = r.environment(sim);

const past = history();
const paths = {
  evil: row(0, "alice", hostile, "", hostile, 40, 60, { output: long, failure: { code: "JOB_FAILED", message: hostile, action: hostile } }),
  bob: row(1, "bob", "claude-code", "", "bob's own words", 90_000, 90_000),
  dropped: row(2, "carol", "codex", "", "", 40, 60, { output: "", output_dropped: true }),
};
const put = spawnSync(seed, [env.NEMOTRON_MCP_STATE_DIR], { input: JSON.stringify([...past, paths.bob, paths.dropped]) });
assert.equal(put.status, 0, String(put.stderr));

const file = join(r.folder, "tokens");
const writeTokens = (names) => writeFile(file, names.map((name) => `${name}:${tokens[name]}\n`).join(""), { mode: 0o600 });
await writeTokens(["alice", "bob", "carol"]);
const root = await r.serveHTTP(server, env, "--auth-tokens", file, "--max-cost-per-day", "2");

// agent is an MCP client that calls itself by that name.
async function agent(token, name) {
  const post = async (session, method, params) => {
    const headers = { "Content-Type": "application/json", Accept: "application/json, text/event-stream", Authorization: `Bearer ${token}` };
    if (session) headers["Mcp-Session-Id"] = session;
    return fetch(`${root}/mcp`, { method: "POST", headers, body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params }) });
  };
  const first = await post("", "initialize", { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name, version: "1" } });
  const session = first.headers.get("mcp-session-id");
  return async (tool, args) => (await (await post(session, "tools/call", { name: tool, arguments: args })).json()).result.structuredContent;
}
const code = await agent(tokens.alice, "claude-code");
const cursor = await agent(tokens.alice, "cursor");
const generate = async (ask, script, prompt, wait = 0) => {
  await sim.script(script);
  return ask("nemotron_generate", { prompt, wait_seconds: wait });
};

// browse opens a browser of its own, and notes what goes wrong in its page.
let browsers = 0;
const open = [];
async function browse(options = {}) {
  const folder = join(r.folder, `browser-${browsers++}`);
  await mkdir(folder);
  const context = await chromium.launchPersistentContext(folder, {
    executablePath, args: flags, headless: true, chromiumSandbox: false, locale: "en-US", timezoneId: "UTC", viewport: { width: 1240, height: 900 }, colorScheme: "light", ...options,
  });
  open.push(context);
  context.setDefaultTimeout(15_000);
  const page = context.pages()[0];
  const faults = [];
  await page.addInitScript(() => addEventListener("securitypolicyviolation", (e) => console.error(`policy: ${e.violatedDirective} ${e.blockedURI}`)));
  page.on("console", (message) => message.type() === "error" && faults.push(message.text()));
  page.on("pageerror", (error) => faults.push(String(error)));
  page.on("request", (request) => {
    const url = new URL(request.url());
    if (url.origin !== new URL(root).origin && url.protocol !== "data:") faults.push(`asks ${url}`);
  });
  return { page, context, faults };
}
const as = (name) => ({ httpCredentials: { username: name, password: tokens[name] } });
const texts = (page, selector) => page.locator(selector).allTextContents();
const chip = (page, prompt) => page.locator("#rows tr", { hasText: prompt }).locator(".chip");

let passed = 0;
let failed = 0;
async function step(name, run) {
  try {
    await within(60, name, run());
    passed++;
    console.log(`ok    ${name}`);
  } catch (error) {
    failed++;
    console.log(`FAIL  ${name}\n${String(error.stack).replace(/^/gm, "      ")}`);
  }
}

try {
  const done = await generate(code, { output: "Three things changed.\n\n1. The queue is kept on disk.\n2. Answers come in pages.\n3. Every cancel reaches its call.", run_time: "300ms" }, "Summarize the release notes for the team, three points at most", 20);
  assert.equal(done.status, "COMPLETED");
  await generate(cursor, { run_time: "1h" }, "Read these logs and find the first request that failed");
  const queued = await generate(code, { queue_delay: "1h", queue_positions: [3] }, "Translate the error messages into plain English");
  await generate(code, { faults: [{ step: "job", error: "Out of memory", error_type: "runner_error" }] }, "Describe each frame of the recording", 20);
  await sim.script({});

  const { page, context, faults } = await browse(as("alice"));
  const noFaults = () => assert.deepEqual(faults.splice(0), []);
  await page.goto(`${root}/`);
  await page.locator("#live[data-state=live]").waitFor();

  await step("the caller's jobs are shown with their states", async () => {
    assert.equal(await page.locator("#who").textContent(), "alice");
    await until("the states", () => texts(page, "#rows .chip"), (all) => all[0] === "Failed" && all[1] === "In queue" && all[2] === "Running" && all[3] === "Completed");
    assert.equal(await page.locator("#rows tr").count(), 50);
    assert.ok(!(await page.content()).includes("bob's own words"));
    const first = page.locator("#rows tr", { hasText: "Summarize the release notes" });
    assert.match(await first.locator(".prompt .small").textContent(), /^claude-code · text$/);
    noFaults();
  });

  await step("older jobs are shown on demand, and stay", async () => {
    await page.locator("#more").click();
    const all = past.length + 4;
    await until("all jobs", () => page.locator("#rows tr").count(), (n) => n === all);
    assert.equal(await page.locator("#more").isVisible(), false);
    noFaults();
  });

  await step("the plot has a bar for each day and kind, as high as its cost", async () => {
    const usage = await (await fetch(`${root}/api/usage?days=14`, { headers: { Authorization: `Bearer ${tokens.alice}` } })).json();
    const want = {};
    for (const one of past) want[one.created.slice(0, 10)] = (want[one.created.slice(0, 10)] ?? 0) + Math.round(one.cost_usd * 1e9);
    want[usage.today] = (want[usage.today] ?? 0) + Math.round(usage.rows.filter((u) => u.day === usage.today).reduce((sum, u) => sum + u.cost_usd, 0) * 1e9);
    const days = await page.locator("#plot .day").evaluateAll((all) =>
      all.map((g) => ({ day: g.dataset.day, bars: [...g.querySelectorAll(".bar")].map((b) => ({ nano: Number(b.dataset.nano), height: Number(b.getAttribute("height")) })) })),
    );
    assert.equal(days.length, 14);
    const scale = [];
    let total = 0;
    for (const { day, bars } of days) {
      const sum = bars.reduce((n, bar) => n + bar.nano, 0);
      assert.equal(sum, want[day] ?? 0, day);
      total += sum;
      for (const bar of bars) if (bar.height > 3) scale.push(bar.nano / bar.height);
    }
    assert.ok(scale.length > 10 && Math.max(...scale) / Math.min(...scale) < 1.001, `bars are not to scale: ${scale}`);
    assert.ok(total > 1e9);
    assert.equal(await page.locator("#period-cost").textContent(), `$${(total / 1e9).toFixed(2)}`);
    assert.match(await page.locator("#day-total").textContent(), new RegExp(`\\$${(total / 1e9).toFixed(6)}`));
    assert.match(await page.locator("#plot svg").getAttribute("aria-label"), /Cost per day over 14 days by endpoint: \$/);
    assert.match(await page.locator("#plot .cap-label").textContent(), /cap \$2\.00 a day/);
    assert.deepEqual((await texts(page, "#legend bdi")).slice(0, 3).sort(), ["text", "video", "vision"]);
    await page.locator("#by button", { hasText: "Host" }).click();
    assert.deepEqual((await texts(page, "#legend bdi")).slice(0, 3).sort(), ["claude-code", "cursor", "zed"]);
    await page.locator("#days button", { hasText: "7 days" }).click();
    await until("7 days", () => page.locator("#plot .day").count(), (n) => n === 7);
    await page.locator("#plot .day").nth(5).hover();
    assert.match(await page.locator("#readout").textContent(), /^\w{3}, \w{3} \d+: \$\d/);
    await page.locator("#days button", { hasText: "14 days" }).click();
    await page.locator("#by button", { hasText: "Endpoint" }).click();
    noFaults();
  });

  await step("a job's answer opens from the keyboard and closes again", async () => {
    const link = page.locator("#rows tr", { hasText: "Summarize the release notes" }).locator("a");
    await link.focus();
    await page.keyboard.press("Enter");
    await page.locator("#answer-text", { hasText: "Every cancel reaches its call." }).waitFor();
    assert.match(page.url(), /#\/jobs\/[\w-]+$/);
    assert.match(await page.locator("#facts").textContent(), new RegExp(done.request_id));
    assert.match(await page.locator("#facts").textContent(), /Told to the hostyes/);
    const download = page.waitForEvent("download");
    await page.locator("#download").click();
    assert.match((await download).suggestedFilename(), /^answer-[\w-]+\.txt$/);
    await page.keyboard.press("Escape");
    await page.locator("#dialog").waitFor({ state: "hidden" });
    assert.equal(await link.evaluate((a) => a === document.activeElement), true);
    noFaults();
  });

  if (screenshot) {
    await page.reload();
    await page.locator("#live[data-state=live]").waitFor();
    await page.mouse.move(0, 0);
    await page.screenshot({ path: screenshot, animations: "disabled" });
  }

  await step("a new job appears, and neither the place nor what is selected is lost", async () => {
    await page.locator("#rows tr").nth(20).scrollIntoViewIfNeeded();
    const before = await page.evaluate(() => {
      window.mark = document.querySelectorAll("#rows tr")[20];
      getSelection().selectAllChildren(window.mark.querySelector(".small"));
      return { selected: String(getSelection()), top: window.mark.getBoundingClientRect().top };
    });
    await generate(code, { output: "Fresh." }, "A job that came later", 20);
    await page.locator("#rows tr", { hasText: "A job that came later" }).waitFor();
    const after = await page.evaluate(() => ({ selected: String(getSelection()), top: window.mark.getBoundingClientRect().top }));
    assert.deepEqual(after.selected, before.selected);
    assert.ok(before.selected.length > 3 && Math.abs(after.top - before.top) < 2, `${before.top} became ${after.top}`);
    noFaults();
  });

  await step("a state that changes is seen, in the list and in the job", async () => {
    await chip(page, "Translate the error messages").waitFor();
    await page.locator("#rows a", { hasText: "Translate the error messages" }).click();
    await page.locator("#dialog-chip", { hasText: "In queue, 3 ahead" }).waitFor();
    await code("queue_cancel", { request_id: queued.request_id });
    await page.locator("#dialog-chip", { hasText: "Cancelled" }).waitFor();
    await page.locator("#close").click();
    await until("the state", () => chip(page, "Translate the error messages").textContent(), (text) => text === "Cancelled");
    await page.locator("#states button", { hasText: "Running" }).click();
    await until("running jobs", () => texts(page, "#rows .chip"), (all) => all.length === 1 && all[0] === "Running");
    await page.locator("#states button", { hasText: "Unknown" }).click();
    await page.locator("#empty-title", { hasText: "No job is unknown" }).waitFor();
    await page.locator("#states button", { hasText: "All" }).click();
    noFaults();
  });

  await step("hostile text stays text, 5 MB of it too", async () => {
    assert.equal(spawnSync(seed, [env.NEMOTRON_MCP_STATE_DIR], { input: JSON.stringify([paths.evil]) }).status, 0);
    const link = page.locator(`#rows a[href$="${paths.evil.id}"]`);
    await link.waitFor();
    assert.match(await link.textContent(), /^<script>window\.pwned=1<\/script><img src=x onerror="window\.pwned=1">⟨U\+202E⟩gnp\.exe⟨U\+2066⟩ ␛\[31m$/);
    await link.click();
    await page.locator("#answer-text", { hasText: "<script>" }).waitFor();
    assert.match(await page.locator("#answer-size").textContent(), /^6\d\.\d KiB of 5\.\d MiB$/);
    await page.locator("#answer-more").click();
    await until("more", () => page.locator("#answer-size").textContent(), (text) => /^12\d\.\d KiB/.test(text));
    await page.locator("#answer-all").click();
    await until("all", () => page.locator("#answer-size").textContent(), (text) => /^5\.\d MiB$/.test(text));
    const shown = await page.evaluate(() => ({ length: document.getElementById("answer-text").textContent.length, made: document.querySelectorAll("main script, main img, dialog script, dialog img").length, pwned: window.pwned }));
    assert.equal(shown.pwned, undefined);
    assert.equal(shown.made, 0);
    assert.equal(shown.length, long.length + (long.length / (hostile.length + 1)) * 2 * 7, "the answer is not whole");
    await page.keyboard.press("Escape");
    noFaults();
  });

  await step("without the server it says so, and goes on when it is back", async () => {
    await context.setOffline(true);
    await page.locator("#notice-title", { hasText: "can't be reached" }).waitFor();
    assert.ok((await page.locator("#rows tr").count()) > 20, "what was known is gone");
    await context.setOffline(false);
    await page.locator("#notice-button").click();
    await page.locator("#live[data-state=live]").waitFor();
    assert.equal(await page.locator("#notice").isVisible(), false);
    faults.splice(0); // the browser tells of each request that failed
  });

  await step("another site can't use what the browser remembers", async () => {
    const evil = createServer((_, response) => {
      response.setHeader("Content-Type", "text/html");
      response.end(`<script src="${root}/page.js"></script><img src="${root}/api/jobs"><iframe src="${root}/"></iframe><script>
        fetch("${root}/api/jobs", { mode: "no-cors", credentials: "include" }).then((a) => document.title = "read " + a.type, () => document.title = "nothing")</script>`);
    });
    evil.listen(0, "127.0.0.1");
    await once(evil, "listening");
    try {
      const other = await context.newPage();
      const answers = [];
      other.on("response", (answer) => answer.url().startsWith(root) && answers.push(answer.status()));
      await other.goto(`http://localhost:${evil.address().port}/`);
      await until("the fetch", () => other.title(), (title) => title !== "");
      assert.equal(await other.title(), "nothing");
      assert.ok(answers.length > 0 && answers.every((status) => status === 403), String(answers));
      await other.close();
    } finally {
      evil.closeAllConnections();
      evil.close();
    }
  });

  await step("a token that is taken back ends it", async () => {
    await writeTokens(["bob", "carol"]);
    await page.locator("#notice-title", { hasText: "The token is not accepted." }).waitFor();
    assert.equal(await page.locator("#notice-button").textContent(), "Sign in");
    await writeTokens(["alice", "bob", "carol"]);
  });
  await context.close();

  await step("who has no token is asked for one, and sees nothing", async () => {
    const { page } = await browse();
    // Headless, nobody can be asked: the browser gives up at the challenge.
    await assert.rejects(page.goto(`${root}/`), /ERR_INVALID_AUTH_CREDENTIALS/);
    const answer = await page.context().request.get(`${root}/`);
    assert.equal(answer.status(), 401);
    const offered = answer.headersArray().filter((h) => h.name.toLowerCase() === "www-authenticate").map((h) => h.value);
    assert.equal(offered.length, 2);
    assert.match(offered[0], /^Bearer .*resource_metadata="/);
    assert.match(offered[1], /^Basic realm="nemotron-mcp"/);
    assert.match(await answer.text(), /A token is needed/);
    await page.context().close();
  });

  await step("another caller sees their own jobs only, on a phone in the dark", async () => {
    const { page, faults } = await browse({ ...as("bob"), viewport: { width: 360, height: 740 }, colorScheme: "dark" });
    await page.goto(`${root}/#/jobs/${past[0].id}`);
    await page.locator("#dialog-title", { hasText: "There is no such job" }).waitFor();
    assert.deepEqual(faults.splice(0).filter((fault) => !/404/.test(fault)), []);
    await page.keyboard.press("Escape");
    assert.deepEqual(await texts(page, "#rows .prompt a"), ["bob's own words"]);
    const look = await page.evaluate(() => ({ wide: document.documentElement.scrollWidth - innerWidth, back: getComputedStyle(document.documentElement).backgroundColor }));
    assert.ok(look.wide <= 0, `${look.wide} px too wide`);
    assert.equal(look.back, "rgb(18, 21, 15)");
    if (screenshot) await page.screenshot({ path: screenshot.replace(".png", "-phone.png") });
    assert.deepEqual(faults, []);
    await page.context().close();
  });

  await step("what is not kept is told", async () => {
    const { page, faults } = await browse(as("carol"));
    await page.goto(`${root}/#/jobs/${paths.dropped.id}`);
    await page.locator("#answer-note", { hasText: "Not kept" }).waitFor();
    assert.equal(await page.locator("#dialog-title").textContent(), "The prompt is not kept");
    assert.deepEqual(faults, []);
    await page.context().close();
  });

  await step("without tokens it is open on loopback, and empty at first", async () => {
    const alone = await r.serveHTTP(server, { ...env, NEMOTRON_MCP_STATE_DIR: join(r.folder, "another") });
    const { page } = await browse();
    await page.goto(`${alone}/`);
    await page.locator("#empty-title", { hasText: "No jobs yet" }).waitFor();
    assert.equal(await page.locator("#who").isVisible(), false);
    await page.context().close();
  });
} finally {
  for (const context of open) await context.close().catch(() => {});
  await r.close();
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed ? 1 : 0;
