// What a model's file says of itself: what it computes, the few things worth knowing
// first, every field, and what its bytes are.

import { copyButton } from "./clipboard.js";
import { element } from "./dom.js";
import { bytes, many, sentence, whole } from "./format.js";

/** @import { Info } from "encoderfile" */

/** @type {Record<string, string>} */
const tasks = {
  sentence_embedding: "Sentence embeddings: one vector for each text",
  embedding: "Token embeddings: one vector for each token of a text",
  sparse_embedding: "Sparse embeddings: weights for entries of the vocabulary",
  sequence_classification: "Sequence classification: a score for each label",
  token_classification: "Token classification: finds and labels spans of a text",
  fill_mask: "Masked language model: fills in masked tokens",
};

/** @param {string} task */
export const taskInWords = (task) => tasks[task] ?? task;

/**
 * Of each field the title, and what it is for where the title does not say it.
 *
 * @type {Record<string, [title: string, purpose?: string]>}
 */
const titles = {
  license: ["Licence"],
  similarity: ["Similarity function"],
  max_tokens: ["Maximum sequence length", "in tokens, special tokens included"],
  max_tokens_source: ["Sequence length from"],
  max_tokens_by_role: ["Of a query and a document", "in tokens"],
  weights: ["Weight data type"],
  compute: ["Compute data type", "of products with large matrices"],
  worst_cosine: ["Minimum cosine similarity to f32", "of outputs to those with float32 throughout"],
  payload_digest: ["Payload digest", "BLAKE3 of everything but the program"],
  embedding_space_id: ["Embedding space", "equal in files whose embeddings can be compared"],
  source_sha256: ["Source SHA-256", "of the weights file it was built from"],
  width: ["Output width", "numbers in a row of the output"],
};

/** @type {Record<string, string>} */
const parts = {
  golden: "Self-test outputs",
  model_config: "Configuration",
};

/** A list of more labels than this is folded. */
const LISTED_MAX = 24;

/** A name in JSON as words. @param {string} name */
const inWords = (name) => sentence(name.replaceAll("_", " "));

/**
 * The few things worth knowing first.
 *
 * @param {Info} info
 */
export function facts({ architecture, weights, max_tokens: tokens, output, labels = [], task, sizes_bytes: sizes, version }) {
  const width = /^\d+/.exec(output)?.[0];
  const hasVectors = task === "sentence_embedding" || task === "embedding";
  return [
    architecture,
    weights && `${weights} weights`,
    `up to ${many(tokens, "token")}`,
    hasVectors && width ? many(Number(width), "dimension") : "",
    labels.length ? many(labels.length, "label") : "",
    bytes(total(sizes)),
    version && `version ${version}`,
  ].filter((words) => words !== "").map((words) => element("li", {}, words));
}

/** @param {Record<string, number>} sizes */
const total = (sizes) => Object.values(sizes).reduce((sum, size) => sum + size, 0);

/**
 * Largest first, each as wide as its share; the list below says the same in words.
 *
 * @param {Record<string, number>} sizes
 */
export function sizeBar(sizes) {
  const sorted = Object.entries(sizes).sort(([, a], [, b]) => b - a);
  const bar = element("div", { class: "stack", "aria-hidden": "true" },
    ...sorted.map(([, size], index) => element("span", { class: `part part-${index % 5}`, "--share": size })));
  const legend = sorted.map(([name, size], index) =>
    element("li", {}, element("span", { class: `swatch part-${index % 5}`, "aria-hidden": "true" }),
      element("span", {}, parts[name] ?? inWords(name)), element("span", { class: "number" }, bytes(size))));
  const sum = element("li", { class: "sum" }, element("span"), element("span", {}, "Total"),
    element("span", { class: "number" }, bytes(total(sizes))));
  return element("div", { class: "sizes" }, bar, element("ul", { class: "stack-legend", "aria-label": "Sizes" }, ...legend, sum));
}

/**
 * A row of a list of fields for each member, whatever it is called.
 *
 * @param {Record<string, unknown>} fields
 */
export function fieldRows(fields) {
  return Object.entries(fields).map(([name, value]) => {
    const [title, purpose] = titles[name] ?? [inWords(name)];
    return element("div", {},
      element("dt", {}, title),
      element("dd", {}, written(name, title, value), purpose ? element("small", {}, purpose) : null));
  });
}

/** @param {string} name @param {string} title @param {unknown} value */
function written(name, title, value) {
  if (name === "task") return taskInWords(String(value));
  if (value == null || value === "") return "none";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value === "number") return Number.isInteger(value) ? whole(value) : String(Number(value.toPrecision(6)));
  if (Array.isArray(value)) return list(value.map((item) => (typeof item === "object" ? JSON.stringify(item) : String(item))));
  if (typeof value === "object") return named(value);
  const text = String(value);
  return /^[0-9a-f]{32,}$/.test(text) ? hash(title, text) : text;
}

/** Prompts by their names. @param {object} texts */
function named(texts) {
  const all = Object.entries(texts);
  if (!all.length) return "none";
  return element("ul", { class: "prompts" }, ...all.map(([name, text]) =>
    element("li", {}, element("span", {}, name),
      text === "" ? element("span", {}, "empty") : element("code", {}, typeof text === "string" ? text : JSON.stringify(text)))));
}

/** @param {string[]} items */
function list(items) {
  if (!items.length) return "none";
  const all = element("ul", { class: "chips small" }, ...items.map((item) => element("li", {}, item)));
  return items.length <= LISTED_MAX ? all : element("details", {}, element("summary", {}, `All ${whole(items.length)}`), all);
}

/** @param {string} title @param {string} value */
function hash(title, value) {
  return element("span", { class: "hash" },
    element("code", { title: value }, `${value.slice(0, 6)}…${value.slice(-6)}`), copyButton(title, () => value));
}
