// Installs the npm package in fresh projects of every kind, and embeds sentences.
// Usage: node packaging.mjs --package TARBALL --model FILE --tool FILE [--chromium PATH] [--only NAME]
//
// `ok NAME` for each case; the first that fails ends the script with status 1.

import assert from "node:assert/strict";
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { bin } from "./packaging/bin.mjs";
import * as bundlers from "./packaging/bundlers.mjs";
import { layouts } from "./packaging/layouts.mjs";
import { modules } from "./packaging/modules.mjs";
import * as node from "./packaging/node.mjs";
import * as plain from "./packaging/plain.mjs";
import { createProject } from "./packaging/project.mjs";
import { reader } from "./packaging/reader.mjs";
import { types } from "./packaging/types.mjs";

/** Each with the fixture that its project is made of. */
const CASES = {
  "vite-build": ["app", bundlers.viteBuild],
  "vite-dev": ["app", bundlers.viteDev],
  webpack: ["app", bundlers.webpackBuild],
  page: ["plain", plain.page],
  forbidden: ["plain", plain.forbidden],
  astray: ["plain", plain.astray],
  "service-worker": ["service-worker", plain.serviceWorker],
  extension: ["extension", plain.extension],
  bin: ["node", bin],
  node: ["node", node.node],
  langchain: ["langchain", node.langchain],
  modules: ["node", modules],
  reader: ["node", reader],
  layouts: ["node", layouts],
  types: ["types", types],
};

const { values } = parseArgs({
  options: {
    package: { type: "string" },
    model: { type: "string" },
    tool: { type: "string" },
    chromium: { type: "string", default: "/usr/bin/chromium" },
    only: { type: "string" },
  },
});
const given = {
  tarball: resolve(values.package),
  model: resolve(values.model),
  tool: resolve(values.tool),
  chromium: values.chromium,
};

/** Longer than any case takes, also beside others. */
const CASE_MS_MAX = 600_000;

async function run(name) {
  const stop = () => fail(name, new Error(`it did not end within ${CASE_MS_MAX / 1000} s`));
  const timer = setTimeout(stop, CASE_MS_MAX);
  const begin = performance.now();
  let project;
  try {
    assert.ok(name in CASES, `the cases are ${Object.keys(CASES).join(", ")}`);
    const [fixture, pass] = CASES[name];
    project = await createProject(fixture, given);
    await pass(given, project);
    console.log(`ok ${name} (${((performance.now() - begin) / 1000).toFixed(1)} s)`);
  } finally {
    clearTimeout(timer);
    await project?.remove();
  }
}

function fail(name, error) {
  console.error(`failed ${name}: ${error.stack}`);
  process.exit(1);
}

for (const name of values.only ? [values.only] : Object.keys(CASES)) {
  await run(name).catch((error) => fail(name, error));
}
