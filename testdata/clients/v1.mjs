// The clients of @modelcontextprotocol/sdk.

import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { SSEClientTransport } from "@modelcontextprotocol/sdk/client/sse.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

async function connect(transport) {
  const client = new Client({ name: "clients-v1", version: "1.0.0" });
  await client.connect(transport);
  return {
    list: () => client.listTools(),
    call: (name, args, options) => client.callTool({ name, arguments: args }, undefined, options),
    close: () => client.close(),
  };
}

export const stdio = (server) => connect(new StdioClientTransport({ ...server, stderr: "ignore" }));

export const http = (root, headers) =>
  connect(new StreamableHTTPClientTransport(new URL(`${root}/mcp`), { requestInit: { headers } }));

export const sse = (root, headers) => connect(new SSEClientTransport(new URL(`${root}/sse`), { requestInit: { headers } }));
