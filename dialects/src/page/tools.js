// What the model can be asked for, by capability of GET /info. Each has a template
// `tool-…` in index.html.

import { scored, bars } from "../ui/bars.js";
import { element, find } from "../ui/dom.js";
import { many } from "../ui/format.js";
import { similarityNamed, tokenVectors, vectorDetails } from "../ui/vectors.js";
import { chosenPrompt, field, fillPrompts, isChecked, listed, needed, neededLines, positive } from "./forms.js";
import { foundIn, heatMap } from "./results.js";
import { call } from "./server.js";

/**
 * @import { Child } from "../ui/dom.js"
 * @import {
 *   Classification, Embedding, Entities, FillMask, PredictRequest, Reranked, Result, ServerInfo,
 *   SparseEmbedding, TokenEmbeddings, ZeroShot,
 * } from "./answers.js"
 */

/**
 * `prepare` fills the form, `request` reads it into the body of /predict, `show` draws
 * the results, and `said` is the result in a sentence.
 *
 * @template {Result} R
 * @typedef {{
 *   title: string,
 *   prepare?(form: HTMLFormElement): void,
 *   request(form: HTMLFormElement): PredictRequest,
 *   show(results: R[], texts: string[], signal: AbortSignal): Child[] | Promise<Child[]>,
 *   said(results: R[]): string,
 * }} Tool
 */

/** Labels that are shown at once. */
const SCORES_SHOWN = 20;

/** @type {(server: ServerInfo) => Tool<Embedding>} */
const embed = ({ encoderfile: info, max_client_batch_size: most }) => ({
  title: "Compare texts",
  prepare: (form) => fillPrompts(form, info),
  request: (form) => ({
    inputs: neededLines(form, "texts", "Write at least one text.", most),
    ...chosenPrompt(form),
    ...positive(form, "dimensions"),
  }),
  show(results, texts) {
    const vectors = results.map((result) => result.embedding);
    const similarity = similarityNamed(info.similarity);
    const rows = vectors.map((a) => vectors.map((b) => similarity(a, b)));
    return [
      heatMap(texts, rows, info.similarity ?? "cosine"),
      element("h3", {}, "Vectors"),
      element("ul", { class: "vectors" }, ...vectors.map((vector, index) => vectorDetails(texts[index], vector))),
    ];
  },
  said: (results) => many(results.length, "text"),
});

/** @type {(server: ServerInfo) => Tool<Reranked>} */
const rerank = ({ max_client_batch_size: most }) => ({
  title: "Rank documents",
  request: (form) => ({
    query: needed(form, "query", "Write a query.").trim(),
    inputs: neededLines(form, "documents", "Write at least one document.", most),
  }),
  show: (results, texts) =>
    [scored(results.map(({ index, score }, place) => ({ label: texts[index], value: score, rank: place + 1 })), SCORES_SHOWN)],
  said: ([{ index }]) => `Best: document ${index + 1}`,
});

/** @type {(server: ServerInfo) => Tool<Classification>} */
const classify = ({ encoderfile: { labels = [], capabilities } }) => ({
  title: "Classify",
  prepare(form) {
    // Only such a model has been trained on pairs.
    if (!capabilities.some((it) => it === "zero_shot" || it === "rerank")) return;
    find(form, "[name=text]", HTMLTextAreaElement).defaultValue = "A man is playing a guitar on a stage.";
    find(form, "[name=text_pair]", HTMLTextAreaElement).defaultValue = "Somebody is making music.";
  },
  request(form) {
    const text = needed(form, "text", "Write a text.");
    const pair = field(form, "text_pair").value;
    return { inputs: [pair.trim() ? { text, text_pair: pair } : text] };
  },
  show([{ scores }]) {
    const rows = scores.map((value, index) => ({ label: labels[index] ?? `LABEL_${index}`, value }));
    return [scored(rows.sort((a, b) => b.value - a.value), SCORES_SHOWN)];
  },
  said: ([{ predicted_label: label }]) => label,
});

/** @type {() => Tool<ZeroShot>} */
const zeroShot = () => ({
  title: "Zero-shot",
  request(form) {
    const text = needed(form, "text", "Write a text.");
    const labels = listed(needed(form, "labels", "Write the labels to choose from."));
    const template = field(form, "template").value.trim();
    return {
      inputs: [text],
      labels,
      ...(template && { template }),
      ...(isChecked(form, "multi_label") && { multi_label: true }),
    };
  },
  show: ([{ labels, scores }]) => [scored(labels.map((label, index) => ({ label, value: scores[index] })), SCORES_SHOWN)],
  said: ([{ labels }]) => `Best: ${labels[0]}`,
});

/** @type {(server: ServerInfo) => Tool<Entities>} */
const entities = ({ encoderfile: info }) => ({
  title: "Find entities",
  request: (form) => ({
    inputs: [needed(form, "text", "Write a text.")],
    aggregation: field(form, "aggregation").value,
  }),
  show: ([{ entities }], [text]) => foundIn(text, entities, info),
  said: ([{ entities }]) => (entities.length ? many(entities.length, "span") : "Nothing was found"),
});

/** @type {(server: ServerInfo) => Tool<FillMask>} */
const fillMask = ({ encoderfile: { mask_token: mask = "[MASK]" } }) => ({
  title: "Fill masks",
  prepare(form) {
    const text = find(form, "[name=text]", HTMLTextAreaElement);
    text.defaultValue = text.defaultValue.replace("[MASK]", mask);
    find(form, "[data-mask]").textContent = mask;
  },
  request(form) {
    const targets = listed(field(form, "targets").value);
    return {
      inputs: [needed(form, "text", `Write a text with ${mask} in it.`)],
      ...positive(form, "top_k"),
      ...(targets.length && { targets }),
    };
  },
  show: ([{ masks }]) => masks.flatMap((fillings, index) => [
    masks.length > 1 ? element("h3", {}, `Mask ${index + 1}`) : null,
    scored(fillings.map((it) => ({ label: it.token_str, value: it.score, title: it.sequence })), SCORES_SHOWN),
  ]),
  said: ([{ masks }]) => `Likeliest: ${masks.map(([first]) => first?.token_str.trim()).join(", ")}`,
});

/** @type {(server: ServerInfo) => Tool<SparseEmbedding>} */
const sparse = ({ encoderfile: info }) => ({
  title: "Sparse embedding",
  prepare: (form) => fillPrompts(form, info),
  request: (form) => ({
    inputs: [needed(form, "text", "Write a text.")],
    ...chosenPrompt(form),
    ...(info.task === "sentence_embedding" && { vectors: "sparse" }),
    ...positive(form, "top_k"),
  }),
  async show([{ sparse_embedding: weights }], _, signal) {
    const largest = weights.slice().sort((a, b) => b.value - a.value);
    const words = await decoded(largest.map(({ index }) => index), signal);
    const rows = largest.map(({ index, value }, at) => words[at]
      ? { label: words[at], aside: index, value }
      : { label: String(index), value });
    return [bars(rows, largest[0]?.value)];
  },
  said: ([{ sparse_embedding: weights }]) => many(weights.length, "weight"),
});

/**
 * Words for entries of the vocabulary, or none: the numbers stand without them.
 *
 * @param {number[]} indices
 * @param {AbortSignal} signal
 * @returns {Promise<string[]>}
 */
async function decoded(indices, signal) {
  try {
    const response = await call("decode", { body: { ids: indices.map((index) => [index]), skip_special_tokens: false }, signal });
    return await response.json();
  } catch {
    return [];
  }
}

/** @type {(server: ServerInfo) => Tool<TokenEmbeddings>} */
const tokenEmbeddings = ({ encoderfile: { task } }) => ({
  title: "Token embeddings",
  prepare(form) {
    // Whose special tokens have vectors that count.
    if (task !== "late_interaction") return;
    find(form, "[data-role]").hidden = false;
    find(form, "[data-special]").hidden = true;
  },
  request: (form) => ({
    inputs: [needed(form, "text", "Write a text.")],
    ...(task === "late_interaction" && { role: field(form, "role").value }),
    ...(task === "sentence_embedding" && { unpooled: true }),
    ...(isChecked(form, "special_tokens") && { special_tokens: true }),
  }),
  show: ([{ embeddings }]) => tokenVectors(embeddings),
  said: ([{ embeddings }]) => many(embeddings.length, "token"),
});

/**
 * In the order in which the page has them. What a tool gets is the answer to what it
 * asked for, which is for the server to keep.
 *
 * @type {Record<string, (server: ServerInfo) => Tool<any>>}
 */
const all = {
  embed,
  rerank,
  classify,
  zero_shot: zeroShot,
  entities,
  fill_mask: fillMask,
  sparse,
  token_embeddings: tokenEmbeddings,
};

/**
 * Those of the model, by capability.
 *
 * @param {ServerInfo} server
 */
export function toolsOf(server) {
  return Object.entries(all)
    .filter(([capability]) => server.encoderfile.capabilities.includes(capability))
    .map(([capability, tool]) => ({ capability, ...tool(server) }));
}
