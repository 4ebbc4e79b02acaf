// Measures the npm package in headless Chromium, and onnxruntime-web beside it in
// the same page. Prints one object of JSON.
// Usage: node measure.mjs --package TARBALL --files DIR --chromium PATH --runs N
//
// DIR has `model.ef`, float32 and for sentence embeddings by mean pooling, and
// the `model.onnx` that it was made of, with `weights` where that has external data.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, constants } from "node:zlib";
import { close, emptyPage, given, open, roots } from "../../../tests/browser/page.mjs";
import { serve } from "../../../tests/browser/static.mjs";

/** Lengths in tokens, special tokens included. */
const LENGTHS = [16, 128, 256];

const runs = Number(given.runs);
const peer = fileURLToPath(new URL("node_modules/onnxruntime-web/", import.meta.url));
const site = await serve({ ...roots, "/onnxruntime/": `${peer}dist/` }, { answer: emptyPage() });
const page = await open(site);
const lengths = await page.evaluate(compare, { lengths: LENGTHS, runs });
const first = [];
for (let run = 0; run < runs; run++) first.push(await firstEmbedding(page.context()));

const wasm = readFileSync(join(roots["/package/"], "dist/encoderfile.wasm"));
const size = { [constants.BROTLI_PARAM_SIZE_HINT]: wasm.length, [constants.BROTLI_PARAM_LGWIN]: 24 };
const peerVersion = JSON.parse(readFileSync(join(peer, "package.json"))).version;
const peerWasm = readFileSync(join(peer, "dist/ort-wasm-simd-threaded.wasm"));
console.log(
  JSON.stringify({
    peer: `onnxruntime-web ${peerVersion}`,
    lengths,
    first_ms: median(first),
    wasm_bytes: wasm.length,
    brotli_bytes: brotliCompressSync(wasm, { params: size }).length,
    peer_wasm_bytes: peerWasm.length,
  }),
);
await page.context().close();
await site.close();
await close();

/** Milliseconds from `load` to a vector, in a new page, with all in the caches. */
async function firstEmbedding(context) {
  const page = await context.newPage();
  await page.goto(site.url);
  const time = await page.evaluate(async () => {
    const { Encoderfile } = await import("/package/dist/index.js");
    const begin = performance.now();
    const model = await Encoderfile.load("/files/model.ef");
    await model.embed("A cat sits on the mat.");
    return performance.now() - begin;
  });
  await page.close();
  return time;
}

function median(values) {
  return values.sort((a, b) => a - b)[values.length >> 1];
}

/** In the page: both at the same tokens, one after the other, several times. */
async function compare({ lengths, runs }) {
  const ort = await import("/onnxruntime/ort.wasm.min.mjs");
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = "/onnxruntime/";
  const weights = await fetch("/files/weights", { method: "HEAD" });
  const session = await ort.InferenceSession.create("/files/model.onnx", {
    executionProviders: ["wasm"],
    externalData: weights.ok ? [{ path: "weights", data: "/files/weights" }] : [],
  });
  const model = await load("/files/model.ef");
  /** Runs of one before it is the other's turn. */
  const TURN = 4;
  const words = "the cat sat on a red mat by the sea and saw ten dogs run in the sun".split(" ");

  const feeds = (ids) => {
    const tensor = (value) => new ort.Tensor("int64", BigInt64Array.from(ids, value), [1, ids.length]);
    const all = { input_ids: tensor(BigInt), attention_mask: tensor(() => 1n), token_type_ids: tensor(() => 0n) };
    return Object.fromEntries(session.inputNames.map((name) => [name, all[name]]));
  };
  const timed = async (compute) => {
    const begin = performance.now();
    const result = await compute();
    return [performance.now() - begin, result];
  };
  // Mean pooling and L2 norm, to see that both compute the same.
  const pooled = ({ dims: [, tokens, width], data }) => {
    const vector = new Float32Array(width);
    for (let at = 0; at < tokens * width; at++) vector[at % width] += data[at] / tokens;
    const norm = Math.hypot(...vector);
    return vector.map((value) => value / norm);
  };

  // V8 makes fast code of what has run for a while, beside what runs.
  const texts = lengths.map((length) => Array.from({ length: length - 2 }, (_, at) => words[at % words.length]).join(" "));
  for (const text of texts) {
    const ids = (await model.tokenize(text)).tokens.map((token) => token.token_id);
    for (let run = 0; run < 5; run++) {
      await model.embed(text);
      await session.run(feeds(ids));
    }
  }
  await new Promise((resolve) => setTimeout(resolve, 2000));

  const found = [];
  for (const [index, length] of lengths.entries()) {
    const text = texts[index];
    const ids = (await model.tokenize(text)).tokens.map((token) => token.token_id);
    if (ids.length !== length) throw new Error(`${ids.length} tokens instead of ${length}`);
    const [ours, theirs] = [[], []];
    for (let round = 0; round < runs; round++) {
      for (let run = 0; run < TURN; run++) ours.push(await timed(() => model.embed(text)));
      for (let run = 0; run < TURN; run++) theirs.push(await timed(() => session.run(feeds(ids))));
    }
    const [, vector] = ours[0];
    const peerVector = pooled(theirs[0][1][session.outputNames[0]]);
    const apart = Math.max(...vector.map((value, at) => Math.abs(value - peerVector[at])));
    if (!(apart < 1e-5)) throw new Error(`vectors differ by ${apart}`);
    const [ms, peerMs] = [ours, theirs].map((all) => all.map(([time]) => time).sort((a, b) => a - b));
    found.push({
      tokens: length,
      ms: ms[ms.length >> 1],
      peer_ms: peerMs[peerMs.length >> 1],
      least_ms: ms[0],
      peer_least_ms: peerMs[0],
    });
  }
  model.dispose();
  return found;
}
