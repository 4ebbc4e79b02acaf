// What the JavaScript scripts share, as cases.py for those in Python: arguments,
// reference results and comparisons. `ok NAME` for each check; the first that
// fails prints `FAILED NAME: WHY` and ends the script with status 1.

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

// As in tests/src/compare.rs: the references round differently by up to 4e-5.
const TOLERANCE = 1e-4;

// For a server that never answers: not every client gives up by itself.
const STILL_RUNNING_MS = 900_000;

const OPTIONS = ["http", "grpc", "model-dir", "program", "api-key", "cosine"];

/**
 * The server under test, the model it serves, and its requests with other options; a
 * model for sentence embeddings, unless `tasks` says others (`null`: any).
 */
export function modelAndServer({ tasks = ["sentence_embedding"] } = {}) {
  const options = Object.fromEntries(OPTIONS.map((name) => [name, { type: "string" }]));
  const server = parseArgs({ options }).values;
  setTimeout(() => demand(false, "still running"), STILL_RUNNING_MS).unref();
  if (!server["model-dir"]) throw new Error("--model-dir is required");
  const read = (name) => JSON.parse(readFileSync(join(server["model-dir"], name), "utf8"));
  const golden = read("golden.json");
  demand(!tasks || tasks.includes(golden.task), `${golden.model} is not for ${tasks} but ${golden.task}`);
  const model = { ...golden, name: golden.model, cosineLoss: server.cosine && Number(server.cosine) };
  const others = existsSync(join(server["model-dir"], "requests.json")) ? read("requests.json").requests : [];
  return { server, model, requests: others };
}

/** [name, transport] of MCP: standard input and output, and streamable HTTP. */
export function transports(server) {
  const found = [];
  if (server.program) {
    found.push(["stdio", new StdioClientTransport({ command: server.program, args: ["mcp"] })]);
  }
  if (server.http) {
    const headers = server["api-key"] ? { Authorization: `Bearer ${server["api-key"]}` } : {};
    found.push(["http", new StreamableHTTPClientTransport(new URL(`${server.http}/mcp`), { requestInit: { headers } })]);
  }
  demand(found.length > 0, "neither --program nor --http");
  return found;
}

/** Runs one check and prints how it ended. */
export async function check(name, run) {
  try {
    await run();
  } catch (error) {
    console.error(`FAILED ${name}: ${error?.name}: ${error?.message}`);
    process.exit(1);
  }
  console.log(`ok ${name}`);
}

/** The error that `run` must end with. */
export async function refused(ErrorType, run) {
  try {
    await run();
  } catch (error) {
    if (error instanceof ErrorType) return error;
    throw error;
  }
  throw new Error(`was accepted, expected ${ErrorType.name}`);
}

export function demand(condition, otherwise) {
  if (!condition) throw new Error(otherwise);
}

export function equal(got, expected) {
  const [a, b] = [JSON.stringify(got), JSON.stringify(expected)];
  demand(a === b, `got ${brief(a)}, expected ${brief(b)}`);
}

const brief = (text) => (text.length <= 500 ? text : `${text.slice(0, 500)}…`);

/** Two vectors; anything that is not a number is too far. */
export function near(got, expected, tolerance = TOLERANCE) {
  equal(got.length, expected.length);
  const largest = Math.max(0, ...got.map((it, index) => Math.abs(it - expected[index])));
  demand(largest <= tolerance, `differs by ${largest}, limit ${tolerance}`);
}

export function sameEmbeddings(model, got, expected) {
  equal(got.length, expected.length);
  got.forEach((it, index) => sameEmbedding(model, it, expected[index]));
}

function sameEmbedding({ cosineLoss }, got, expected) {
  if (!cosineLoss) return near(got, expected);
  const loss = 1 - cosine(got, expected);
  demand(loss <= cosineLoss, `cosine is 1 - ${loss}, limit 1 - ${cosineLoss}`);
}

/** A vector divided by its length. */
export function unit(vector) {
  const length = Math.hypot(...vector);
  return vector.map((it) => it / length);
}

export function cosine(a, b) {
  equal(a.length, b.length);
  const [x, y] = [unit(a), unit(b)];
  return x.reduce((sum, it, index) => sum + it * y[index], 0);
}
