// Official clients in a page of another origin, in Chromium.
// Usage: node other-clients.mjs --program FILE --model-dir DIR [--chromium PATH]
//
// The page is built as its authors would build it, and served from a port of its own;
// servers are started here, since they have to know that origin. `ok NAME` for each
// check; the first that fails ends the script with status 1.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { build } from "vite";
import { launch } from "./chromium.mjs";
import { serve } from "./static.mjs";

const KEY = "a-key-of-the-tests";

// As in tests/src/compare.rs: the references round differently by up to 4e-5.
const TOLERANCE = 1e-4;

const { values: given } = parseArgs({
  options: {
    program: { type: "string" },
    "model-dir": { type: "string" },
    chromium: { type: "string", default: "/usr/bin/chromium" },
  },
});
const golden = JSON.parse(readFileSync(join(given["model-dir"], "golden.json"), "utf8"));
const unit = (vector) => vector.map((it) => it / Math.hypot(...vector));
const asks = golden.task === "sentence_embedding" ? embeddingChecks() : rerankingChecks();

const folder = mkdtempSync(join(tmpdir(), "encoderfile-clients-"));
const page = fileURLToPath(new URL("../clients/page", import.meta.url));
await build({ root: page, configFile: false, logLevel: "silent", build: { outDir: folder, emptyOutDir: true } });
const [site, stranger] = [await serve({ "/": folder }), await serve({ "/": folder })];
const browser = await launch(given.chromium);
let status = 0;
try {
  await withServer(["--api-key", KEY, "--cors-allow-origin", site.url], async (http) => {
    for (const [name, asked, pass] of asks) {
      await check(`${name}, from the origin that is listed`, async () => pass(await ask(site, name, { http, ...asked })));
    }
    for (const [name, asked] of asks) {
      await check(`${name}, from another origin, fails`, () =>
        assert.rejects(ask(stranger, name, { http, ...asked }), /fetch|Connection|network/i),
      );
    }
  });
  await withServer(["--api-key", KEY, "--cors-allow-origin", "*"], async (http) => {
    for (const [name, asked, pass] of asks) {
      await check(`${name}, where any origin may`, async () => pass(await ask(stranger, name, { http, ...asked })));
    }
  });
} catch (error) {
  console.error(error.stack);
  status = 1;
} finally {
  await Promise.all([browser.close(), site.close(), stranger.close()]);
  rmSync(folder, { recursive: true });
}
process.exit(status);

async function check(name, run) {
  try {
    await run();
  } catch (error) {
    throw new Error(`FAILED ${name}: ${error.stack}`);
  }
  console.log(`ok ${name}`);
}

/** [client, what it is asked, what its answer has to be]. */
function embeddingChecks() {
  const texts = golden.cases.slice(0, 3).map((it) => it.text);
  const expected = golden.cases.slice(0, 3).map((it) => unit(it.embedding));
  const near = (vectors) => {
    assert.equal(vectors.length, expected.length);
    vectors.forEach((vector, index) => nearVector(vector, expected[index]));
  };
  return [
    ["openai", { texts }, near],
    ["ollama", { texts }, near],
    ["huggingFace", { texts }, near],
    ["mcp", { tool: "embed", given: { texts } }, ({ sessionId, tools, result }) => {
      assert.match(sessionId ?? "none", /^\S{8,}$/);
      assert.ok(tools.includes("run_encoder"), `${tools}`);
      near(result.embeddings.map(unit));
    }],
    ["headers", { texts }, (names) => {
      for (const name of ["x-compute-tokens", "x-embedding-space-id", "x-inference-time"]) {
        assert.ok(names.includes(name), `${name} is not among ${names}`);
      }
    }],
  ];
}

function rerankingChecks() {
  const { query, texts, ranking } = golden.rerank;
  const near = (results) => {
    assert.deepEqual(results.map(([index]) => index), ranking.map((it) => it.index));
    nearVector(results.map(([, score]) => score), ranking.map((it) => it.score));
  };
  return [
    ["cohere", { query, texts }, near],
    ["mcp", { tool: "rerank", given: { query, texts } }, ({ result }) =>
      near(result.results.map((it) => [it.index, it.score]))],
  ];
}

function nearVector(got, expected) {
  assert.equal(got.length, expected.length);
  const largest = Math.max(...got.map((it, index) => Math.abs(it - expected[index])));
  assert.ok(largest <= TOLERANCE, `differs by ${largest}`);
}

/** What a client in a page of the site is given; throws what it throws. */
async function ask(site, name, asked) {
  const context = await browser.newContext();
  try {
    const page = await context.newPage();
    await page.goto(site.url);
    await page.waitForFunction(() => globalThis.ask);
    const { given, failed } = await page.evaluate(([name, asked]) => globalThis.ask(name, asked), [
      name,
      { key: KEY, ...asked },
    ]);
    if (failed) throw new Error(failed);
    return given;
  } finally {
    await context.close();
  }
}

/** Starts a server on a free port, and ends it when `use` has. */
async function withServer(options, use) {
  const args = ["serve", "--http-port", "0", "--disable-grpc", "--mcp", ...options];
  const server = spawn(given.program, args, { stdio: ["ignore", "ignore", "pipe"] });
  const ended = new Promise((resolve) => server.once("exit", (code) => resolve(code)));
  const said = [];
  try {
    for await (const line of createInterface({ input: server.stderr })) {
      said.push(line);
      const [, http] = /listening: (http:\S+)/.exec(line) ?? [];
      if (!http) continue;
      // Whatever it says from here on is read as well, or it would wait.
      server.stderr.resume();
      await use(http);
      server.kill("SIGTERM");
      assert.equal(await ended, 0, said.join("\n"));
      return;
    }
    throw new Error(`the server ended: ${said.join("\n")}`);
  } finally {
    server.kill("SIGKILL");
  }
}
