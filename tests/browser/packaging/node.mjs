// Programs without a browser.

import assert from "node:assert/strict";
import { serve } from "../static.mjs";
import { check, cosine, reference } from "./embeddings.mjs";
import { texts } from "./fixtures/shared/texts.js";
import { MODEL } from "./project.mjs";
import { OPTIONS } from "./types.mjs";

/** What `sources.js` loads from. */
const SOURCES = [
  "path",
  "file URL",
  "file: address",
  "http URL",
  "http: address",
  "Blob",
  "ArrayBuffer",
  "Buffer",
  "Response",
  "ReadableStream",
];

/** Node, with everything that a model can be loaded from, and from CommonJS. */
export async function node(given, project) {
  const expected = await reference(project);
  const server = await serve({ "/": project.folder });
  try {
    const found = JSON.parse(await project.node("sources.js", `${server.url}/${MODEL}`));
    check(found, SOURCES, expected);
  } finally {
    await server.close();
  }
  check(JSON.parse(await project.node("common.cjs")), ["import()"], expected);
  for (const [name, pair] of Object.entries(JSON.parse(await project.node("written.js")))) {
    assert.deepEqual(pair[0], pair[1], name);
  }
}

/** The adapter, by LangChain's types and in one of its vector stores. */
export async function langchain(given, project) {
  await project.link("@langchain");
  const compilerOptions = { ...OPTIONS, module: "nodenext", moduleResolution: "nodenext", allowJs: true };
  // LangChain's own declarations are not ours to check.
  await project.tsc({ compilerOptions: { ...compilerOptions, skipLibCheck: true, outDir: "built" } });
  const { vectors, scored, retrieved } = JSON.parse(await project.node("built/store.js"));
  const expected = await reference(project);
  check({ vectors }, ["vectors"], expected);
  assert.deepEqual(scored.map(([index]) => index), [0, 1], "best first");
  for (const [index, score] of scored) {
    const right = cosine(expected[0], expected[index + 1]);
    assert.ok(Math.abs(score - right) < 1e-5, `${score} is not ${right}`);
  }
  assert.deepEqual(retrieved, [texts[1]]);
}
