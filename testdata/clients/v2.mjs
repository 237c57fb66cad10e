// The clients of @modelcontextprotocol/client. mode says which era of the protocol
// they speak.

import { Client, SSEClientTransport, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";

async function connect(transport, mode) {
  const client = new Client({ name: "clients-v2", version: "1.0.0" }, { versionNegotiation: { mode } });
  await client.connect(transport);
  return {
    list: () => client.listTools(),
    call: (name, args, options) => client.callTool({ name, arguments: args }, options),
    close: () => client.close(),
  };
}

export const stdio = (server, mode) => connect(new StdioClientTransport({ ...server, stderr: "ignore" }), mode);

export const http = (root, mode, headers) =>
  connect(new StreamableHTTPClientTransport(new URL(`${root}/mcp`), { requestInit: { headers } }), mode);

export const sse = (root, headers) =>
  connect(new SSEClientTransport(new URL(`${root}/sse`), { requestInit: { headers } }), "legacy");
