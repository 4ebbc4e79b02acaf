// The official inspector of MCP, by its command line, over stdio and streamable HTTP:
// it lists the tools, has nothing to say against their schemas, and calls them.

import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { check, demand, modelAndServer, sameEmbeddings } from "./cases.mjs";

const TIMEOUT_MS = 120_000;

const INSPECTOR = fileURLToPath(
  new URL("node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js", import.meta.url),
);

const { server, model } = modelAndServer();
const texts = model.cases.slice(0, 2).map((it) => it.text);
const expected = model.cases.slice(0, 2).map((it) => it.embedding);

for (const [name, target] of targets()) {
  await check(`${name}: tools/list, and its schemas`, () => {
    const { tools } = inspect(target, ["--method", "tools/list", "--strict"]);
    for (const tool of ["embed", "similarity", "run_encoder"]) {
      demand(tools.some((it) => it.name === tool), `${tool} is not among ${tools.map((it) => it.name)}`);
    }
  });

  await check(`${name}: tools/call embed`, () => {
    const { structuredContent } = call(target, "embed", `texts=${JSON.stringify(texts)}`);
    sameEmbeddings(model, structuredContent.embeddings, expected);
  });

  await check(`${name}: tools/call run_encoder`, () => {
    const { structuredContent } = call(target, "run_encoder", `inputs=${JSON.stringify(texts)}`);
    sameEmbeddings(model, structuredContent.results.map((it) => it.embedding), expected);
  });
}

function targets() {
  const key = server["api-key"];
  const header = key ? ["--header", `Authorization: Bearer ${key}`] : [];
  return [
    ["stdio", [server.program, "mcp"]],
    ["http", [`${server.http}/mcp`, "--transport", "http", ...header]],
  ];
}

function call(target, tool, argument) {
  return inspect(target, ["--method", "tools/call", "--tool-name", tool, "--tool-arg", argument]);
}

/** What it prints; it must have nothing to complain of. */
function inspect(target, args) {
  const command = [INSPECTOR, "--cli", ...target, ...args];
  const { status, stdout, stderr } = spawnSync(process.execPath, command, { encoding: "utf8", timeout: TIMEOUT_MS });
  demand(status === 0, `${args} ended with ${status}: ${stdout}${stderr}`);
  return JSON.parse(stdout);
}
