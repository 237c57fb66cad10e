// Unpacks a bundle, fills in what its user has chosen with the host's own code
// (mcpb's), starts it as that says, and calls it. BUNDLE is the bundle for this
// machine; all bundles in its folder are validated.

import assert from "node:assert/strict";
import { mkdir, mkdtemp, readFile, readdir, writeFile } from "node:fs/promises";
import { dirname, join, sep } from "node:path";
import { getMcpConfigForManifest, unpackExtension, validateManifest } from "@anthropic-ai/mcpb";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { rig, within } from "../rig.mjs";

const { BUNDLE } = process.env;
assert.ok(BUNDLE, "set BUNDLE");
const r = await rig();
const open = []; // clients, of which a check that fails leaves some

async function unpack(bundle) {
  const outputDir = await mkdtemp(join(r.folder, "bundle-"));
  assert.ok(await unpackExtension({ mcpbPath: bundle, outputDir, silent: true }), `${bundle} can't be unpacked`);
  return { folder: outputDir, manifest: JSON.parse(await readFile(join(outputDir, "manifest.json"), "utf8")) };
}

// start is what a host does with the user's choices; undefined where a required
// one is missing.
async function start({ folder, manifest }, userConfig, env) {
  const config = await getMcpConfigForManifest({ manifest, extensionPath: folder, systemDirs: {}, userConfig, pathSeparator: sep });
  if (!config) return undefined;
  const client = new Client({ name: "host", version: "1" });
  open.push(client);
  const transport = new StdioClientTransport({ ...config, env: { ...env, ...config.env }, stderr: "ignore" });
  await within(10, "initialize", client.connect(transport));
  return { client, config };
}

const checks = {
  "every bundle is valid, and has its one binary": async () => {
    const bundles = (await readdir(dirname(BUNDLE))).filter((name) => name.endsWith(".mcpb"));
    for (const name of bundles) {
      const { folder, manifest } = await unpack(join(dirname(BUNDLE), name));
      assert.ok(validateManifest(join(folder, "manifest.json")), name);
      const [, version, system] = /^nemotron-mcp_([^_]+)_([a-z]+)_/.exec(name);
      assert.equal(manifest.version, version);
      assert.deepEqual(manifest.compatibility.platforms, [system === "windows" ? "win32" : system]);
      assert.deepEqual(await readdir(join(folder, "server")), [system === "windows" ? "nemotron-mcp.exe" : "nemotron-mcp"]);
      const { entry_point, mcp_config } = manifest.server;
      assert.equal(mcp_config.command, "${__dirname}/" + entry_point);
      await readFile(join(folder, entry_point));
      await readFile(join(folder, "LICENSE"));
      await readFile(join(folder, "THIRD_PARTY_NOTICES.txt"));
      if (manifest.icon) await readFile(join(folder, manifest.icon));
      const { fal_key } = manifest.user_config;
      assert.ok(fal_key.sensitive && fal_key.required, "the key is a required secret");
    }
  },

  "without the key it is not started": async () => {
    assert.equal(await start(bundle, {}, {}), undefined);
  },

  "two folders, a key and a cap are taken": async () => {
    const folders = [];
    for (const name of ["one", "with a space"]) {
      const folder = join(r.folder, name);
      await mkdir(folder);
      await writeFile(join(folder, "note.txt"), `in ${name}\n`);
      folders.push(folder);
    }
    const { FAL_KEY: fal_key, ...env } = r.environment(sim);
    const { client, config } = await start(bundle, { fal_key, allowed_folders: folders, max_cost_per_day: 0.5 }, env);
    assert.deepEqual(config.args, ["serve", ...folders]);
    const { tools } = await client.listTools();
    assert.deepEqual(
      tools.map(({ name, description }) => ({ name, description })),
      bundle.manifest.tools.map(({ name, description }) => ({ name, description })),
    );
    const { name, version } = client.getServerVersion();
    assert.deepEqual([name, version], ["nemotron-mcp", `v${bundle.manifest.version}`]);
    const files = folders.map((folder) => join(folder, "note.txt"));
    const answer = await within(10, "a call", client.callTool({ name: "nemotron_generate", arguments: { prompt: "What?", files } }));
    assert.ok(!answer.isError, JSON.stringify(answer));
    assert.match(answer.structuredContent.note, /2 files/);
    const listed = await client.callTool({ name: "queue_list", arguments: {} });
    assert.match(JSON.stringify(listed.structuredContent), /0\.5\b/, "the day's cap");
    const refused = await client.callTool({ name: "nemotron_generate", arguments: { prompt: "What?", files: [process.execPath] } });
    assert.match(refused.content[0].text, /^FILE_NOT_ALLOWED/);
    await client.close();
  },

  "its prompts are the server's, whatever their arguments hold": async () => {
    const { prompts, prompts_generated } = bundle.manifest;
    assert.deepEqual([prompts, prompts_generated], [undefined, true]);
    const { FAL_KEY: fal_key, ...env } = r.environment(sim);
    const { client } = await start(bundle, { fal_key }, env);
    const listed = await client.listPrompts();
    assert.ok(listed.prompts.some(({ name }) => name === "delegate"), JSON.stringify(listed));
    const task = 'Say "hello" and \\ "bye"';
    const { messages } = await client.getPrompt({ name: "delegate", arguments: { task } });
    const [, call] = /```json\n(.*)\n```/.exec(messages[0].content.text);
    assert.deepEqual(JSON.parse(call), { prompt: task });
    await client.close();
  },

  "what is left out has its default": async () => {
    const { FAL_KEY: fal_key, ...env } = r.environment(sim);
    const { client, config } = await start(bundle, { fal_key }, env);
    assert.deepEqual(config.args, ["serve"]);
    assert.equal(config.env.NEMOTRON_MCP_MAX_COST_PER_DAY, "5");
    const refused = await client.callTool({ name: "nemotron_generate", arguments: { prompt: "What?", files: ["note.txt"] } });
    assert.match(refused.content[0].text, /^FILE_NOT_ALLOWED/);
    await client.close();
  },

  "what is cleared is no cap": async () => {
    const { FAL_KEY: fal_key, ...env } = r.environment(sim);
    const { client } = await start(bundle, { fal_key, max_cost_per_day: "" }, env);
    const answer = await within(10, "a call", client.callTool({ name: "nemotron_generate", arguments: { prompt: "What?" } }));
    assert.ok(!answer.isError, JSON.stringify(answer));
    await client.close();
  },
};

let failed = 0;
let bundle;
let sim;
try {
  bundle = await unpack(BUNDLE);
  sim = await r.simulate(join(bundle.folder, bundle.manifest.server.entry_point));
  for (const [name, check] of Object.entries(checks)) {
    try {
      await check();
      console.log(`ok    bundle: ${name}`);
    } catch (error) {
      failed++;
      console.log(`FAIL  bundle: ${name}\n${String(error.stack).replace(/^/gm, "      ")}`);
    }
  }
} finally {
  for (const client of open) await client.close().catch(() => {});
  await r.close();
}
process.exitCode = failed ? 1 : 0;
