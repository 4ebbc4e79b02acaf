// Measures what a model takes of Chromium's memory, and that it is given back.
// Usage: node memory.mjs --package TARBALL --files DIR [--chromium PATH]
//
// DIR has `model.ef`, a model for sentence embeddings, and `ner.ef`, a small one.
// Resident memory is read from /proc, over all of the browser's processes; where
// there is none, this says `skipped`.

import assert from "node:assert/strict";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { emptyPage, given, open, processId, roots, run } from "./page.mjs";
import { serve } from "./static.mjs";

const TEXTS = 1000;

if (!existsSync("/proc/self/statm")) {
  console.log("skipped: no /proc here");
  process.exit();
}

/** The resident bytes of a process and all that come from it, shared pages once a process. */
function resident(root) {
  const parents = new Map();
  for (const id of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      const status = readFileSync(`/proc/${id}/status`, "utf8");
      const field = (name) => Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(status)?.[1] ?? 0);
      parents.set(Number(id), { parent: field("PPid"), bytes: field("RssAnon") * 1024 });
    } catch {
      // It has ended.
    }
  }
  const isOurs = (id) => id === root || (parents.has(id) && isOurs(parents.get(id).parent));
  return [...parents].filter(([id]) => isOurs(id)).reduce((sum, [, { bytes }]) => sum + bytes, 0);
}

/** The least or most of what `read` gives while `wait` is pending. */
async function extreme(choose, read, wait) {
  let value = read();
  const timer = setInterval(() => (value = choose(value, read())), 20);
  await wait;
  clearInterval(timer);
  return choose(value, read());
}

const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;

await run({
  async "memory comes back"() {
    const site = await serve(roots, { answer: emptyPage() });
    const page = await open(site);
    const now = () => resident(processId());
    // Whatever the first model of a page leaves behind, such as compiled code.
    await page.evaluate(async () => (await load("/files/ner.ef")).dispose());
    const before = await extreme(Math.min, now, settled(page));

    const loading = page.evaluate(async () => void (globalThis.model = await load("/files/model.ef", { cache: false })));
    const peak = (await extreme(Math.max, now, loading)) - before;
    const first = await page.evaluate(async () => (await model.embed("A text.")) && model.memory());
    const last = await page.evaluate(async (texts) => {
      const words = (n) => Array.from({ length: 3 + (n % 9) }, (_, at) => `word${(n * 31 + at) % 977}`).join(" ");
      await model.embed(Array.from({ length: texts }, (_, n) => words(n)));
      return model.memory();
    }, TEXTS);
    const held = now() - before;

    await page.evaluate(() => model.dispose());
    const after = (await extreme(Math.min, now, settled(page))) - before;
    const sizes = await page.evaluate(() => model.info.sizes_bytes);
    console.log(`weights in the file ${megabytes(sizes.weights)}, peak while loading ${megabytes(peak)}`);
    console.log(`the model says ${megabytes(first)}, after ${TEXTS} texts ${megabytes(last)}; the browser holds ${megabytes(held)}`);
    console.log(`after dispose ${megabytes(after)}`);
    assert(last < first * 1.1, "texts leave memory behind");
    assert(held > 0.5 * first, "this does not measure what the model takes");
    assert(after < 0.2 * held, "dispose leaves memory behind");
    await page.context().close();
    await site.close();
  },
});

/** Some seconds in which the page does nothing but collect garbage. */
async function settled(page) {
  const session = await page.context().newCDPSession(page);
  for (let round = 0; round < 20; round++) {
    await session.send("HeapProfiler.collectGarbage");
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  await session.detach();
}
