// Runs models in headless Chromium for the conformance suite: requests come as
// lines of JSON on standard input, answers go as lines to standard output.
// Usage: node runner.mjs --package TARBALL --files DIR --chromium PATH
//
// A request is { model, command, items, options }: `model` a file under DIR,
// `command` "infer", "tokenize" or "self-test", `items` texts or pairs. The answer is
// { lines } as the command line prints them, or { error: { code, message } }.
// What the other methods of the package give is compared with `infer` here.

import { relative } from "node:path";
import { createInterface } from "node:readline";
import { close, emptyPage, given, open, roots } from "./page.mjs";
import { serve } from "./static.mjs";

const site = await serve(roots, { answer: emptyPage() });
const page = await open(site);
await page.evaluate(prepare);

for await (const line of createInterface({ input: process.stdin })) {
  const { model, ...request } = JSON.parse(line);
  const url = `/files/${relative(given.files, model)}`;
  const reply = await page.evaluate((request) => globalThis.answer(request), { url, ...request });
  process.stdout.write(`${JSON.stringify(reply)}\n`);
}
await close();
await site.close();

/** Runs in the page: defines `answer`. */
async function prepare() {
  /** The models last asked for, the newest last. */
  const models = new Map();

  async function load(url) {
    const model = models.get(url) ?? (await Encoderfile.load(url, { cache: false }));
    models.delete(url);
    models.set(url, model);
    if (models.size > 3) {
      const [oldest, unused] = models.entries().next().value;
      unused.dispose();
      models.delete(oldest);
    }
    return model;
  }

  const codePoints = (text, units) => [...text.slice(0, units)].length;

  async function tokenize(model, items, options) {
    const one = async (item) => {
      const tokenized = await model.tokenize(item, options);
      const text = (token) => (isOfPair(tokenized.tokens, token, item) ? item.text_pair : item.text);
      const info = tokenized.tokens.map((token) => ({
        ...token,
        start: codePoints(text(token), token.start),
        end: codePoints(text(token), token.end),
      }));
      return { ...tokenized, tokens: info };
    };
    return [JSON.stringify({ results: await Promise.all(items.map(one)) })];
  }

  // The second text is that of the last run of tokens, if there are two texts with any.
  function isOfPair(tokens, token, { text, text_pair }) {
    if (text_pair === undefined || text.trim() === "") return text_pair !== undefined;
    const between = tokens.findIndex((it, index) => index > 0 && it.special && !tokens[index - 1].special);
    return tokens.indexOf(token) > between;
  }

  function check(condition, what) {
    if (!condition) throw new Error(`${what} differs from infer`);
  }

  /** What the methods for one task give is what `infer` gives. */
  async function compare(model, items, options, results) {
    const texts = items.map((item) => item.text);
    const isPlain = items.every((item) => item.text_pair === undefined);
    const names = Object.keys(options);
    const ofText = !options.unpooled && options.query === undefined && [undefined, "dense"].includes(options.vectors);
    if (model.info.task === "sentence_embedding" && ofText && isPlain) {
      const vectors = await model.embed(texts, options);
      const same = (vector, { embedding }) =>
        vector.length === embedding.length && vector.every((value, index) => value === Math.fround(embedding[index]));
      check(vectors.every((vector, index) => same(vector, results[index])), "embed");
    }
    if (model.info.task === "token_classification" && options.aggregation && options.aggregation !== "none") {
      const entities = await model.entities(texts, options);
      const same = (span, other, text) =>
        text.slice(span.start, span.end) === [...text].slice(other.start, other.end).join("");
      const all = (spans, index) =>
        spans.length === results[index].entities.length &&
        spans.every((span, at) => same(span, results[index].entities[at], texts[index]));
      check(entities.every(all), "entities");
    }
    if (model.info.task === "sequence_classification" && names.length === 0) {
      const classes = await model.classify(items, options);
      const best = (scores, index) => results[index].predicted_label === scores[0].label;
      check(classes.every((scores, index) => results[index].logits.length === 1 || best(scores, index)), "classify");
    }
    if (model.info.task === "fill_mask") {
      const masks = await model.fillMask(texts, options);
      check(masks.every((each, index) => JSON.stringify(each) === JSON.stringify(results[index].masks)), "fillMask");
    }
    if (names.includes("query")) {
      const { query, top_k: topK, raw_scores: rawScores, ...others } = options;
      const ranked = await model.rerank(query, texts, { topK, rawScores, ...others });
      check(JSON.stringify(ranked) === JSON.stringify(results), "rerank");
    }
  }

  async function infer(model, items, options) {
    const inputs = items.map((item) => (item.text_pair === undefined ? item.text : item));
    const { results } = await model.infer({ inputs, ...options });
    await compare(model, items, options, results);
    return results.map((result) => JSON.stringify(result));
  }

  globalThis.answer = async ({ url, command, items, options }) => {
    try {
      const model = await load(url);
      if (command === "self-test") return { lines: [JSON.stringify(await model.selfTest())] };
      return { lines: await (command === "tokenize" ? tokenize : infer)(model, items, options) };
    } catch (error) {
      return { error: { code: error.code ?? error.name, message: error.message } };
    }
  };
}
