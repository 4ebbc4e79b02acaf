// The official conformance suite of MCP against /mcp: every scenario passes, but for
// those in mcp_expected_failures.yml, each with the reason why it cannot. The suite
// itself fails where a scenario that is listed there passes.

import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { check, demand, modelAndServer } from "./cases.mjs";

const TIMEOUT_MS = 600_000;

// So many scenarios of a server that has tools, and nothing else.
const PASSED_MIN = 7;

const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const SUITE = here("node_modules/@modelcontextprotocol/conformance/dist/index.js");
const EXPECTED = here("mcp_expected_failures.yml");

const { server } = modelAndServer();

await check("every expected failure has its reason", () => {
  const entries = readFileSync(EXPECTED, "utf8").split("\n").filter((it) => /^\s*-/.test(it));
  demand(entries.length > 0, "there are none");
  for (const entry of entries) demand(/^ {2}- [\w-]+ +# \S+ \S+/.test(entry), `${entry} has none`);
});

await check("the conformance suite passes", () => {
  // It writes what it saw into the folder it runs in.
  const cwd = mkdtempSync(join(tmpdir(), "encoderfile-conformance-"));
  const args = ["--import", here("without_glob.mjs"), SUITE, "server", "--suite", "all"];
  args.push("--url", `${server.http}/mcp`, "--expected-failures", EXPECTED);
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd, encoding: "utf8", timeout: TIMEOUT_MS });
  rmSync(cwd, { recursive: true });
  const said = `${stdout}\n${stderr}`;
  demand(status === 0, `it ended with ${status}:\n${said}`);
  const passed = said.split("\n").filter((it) => it.startsWith("✓")).length;
  demand(passed >= PASSED_MIN, `only ${passed} passed:\n${said}`);
});
