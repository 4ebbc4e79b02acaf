// The side panel: all that a model's file says of itself, and what its bytes are.

import { byId, copyButton, element } from "./dom.js";
import { bytes, many, sentence, whole } from "./format.js";

const tasks = {
  sentence_embedding: "Sentence embeddings: one vector for each text",
  embedding: "Token embeddings: one vector for each token of a text",
  sparse_embedding: "Sparse embeddings: weights for the words of the vocabulary",
  sequence_classification: "Text classification: a score for each label",
  token_classification: "Token classification: finds and labels parts of a text",
  fill_mask: "Masked language model: fills in missing words",
};

/** Of each field the title, and what it is for where the title does not say it. */
const titles = {
  name: ["Name"],
  task: ["Task"],
  built_by: ["Built by"],
  license: ["Licence"],
  max_tokens: ["Longest text", "in tokens"],
  max_tokens_source: ["Said by"],
  weights: ["Weights stored as"],
  compute: ["Computed in", "of products with large matrices"],
  worst_cosine: ["Worst cosine", "of results to those with float32 throughout"],
  payload_digest: ["Payload digest", "BLAKE3 of everything but the program"],
  embedding_space_id: ["Embedding space", "the same in files whose vectors can be compared"],
  source_sha256: ["Source SHA-256", "of the model file it was built from"],
};

const parts = {
  weights: "Weights",
  tokenizer: "Tokenizer",
  graph: "Graph",
  golden: "Stored results",
  model_config: "Configuration",
};

/** The few things worth knowing first. */
export function chips({ architecture, weights, max_tokens: tokens, output = "", labels, task, sizes_bytes: sizes }) {
  const width = /^\d+/.exec(output)?.[0];
  const hasVectors = task === "sentence_embedding" || task === "embedding";
  return [
    architecture,
    `${weights} weights`,
    `${many(tokens, "token")} at most`,
    hasVectors && width && many(Number(width), "dimension"),
    labels?.length && many(labels.length, "label"),
    bytes(total(sizes)),
  ].filter(Boolean);
}

export function showContents(info) {
  const { sizes_bytes: sizes, ...fields } = info;
  byId("sizes").replaceChildren(sizeBar(sizes));
  byId("fields").replaceChildren(...Object.entries(fields).map(row));
  byId("chips").replaceChildren(...chips(info).map((words) => element("li", {}, words)));
}

const total = (sizes) => Object.values(sizes).reduce((sum, size) => sum + size, 0);

/** Largest first, each as wide as its share; the list below says the same in words. */
function sizeBar(sizes) {
  const sorted = Object.entries(sizes).sort(([, a], [, b]) => b - a);
  const bar = element("div", { class: "stack", "aria-hidden": "true" },
    ...sorted.map(([, size], index) => element("span", { class: `part part-${index % 5}`, "--share": size })));
  const legend = sorted.map(([name, size], index) =>
    element("li", {}, element("span", { class: `swatch part-${index % 5}`, "aria-hidden": "true" }),
      element("span", {}, parts[name] ?? sentence(name.replaceAll("_", " "))), element("span", { class: "number" }, bytes(size))));
  const sum = element("li", { class: "sum" }, element("span"), element("span", {}, "Together"),
    element("span", { class: "number" }, bytes(total(sizes))));
  return element("div", { class: "sizes" }, bar, element("ul", { class: "stack-legend", "aria-label": "Sizes" }, ...legend, sum));
}

function row([name, value]) {
  const [title, purpose] = titles[name] ?? [sentence(name.replaceAll("_", " "))];
  return element("div", {},
    element("dt", {}, title),
    element("dd", {}, written(name, value), purpose && element("small", {}, purpose)));
}

function written(name, value) {
  if (name === "task") return tasks[value] ?? value;
  if (name === "license" && value === "") return "not stated";
  if (value === null || value === "") return "none";
  if (typeof value === "number") return Number.isInteger(value) ? whole(value) : String(Number(value.toPrecision(6)));
  if (Array.isArray(value)) return list(value.map(String));
  if (typeof value === "object") return prompts(value);
  return /^[0-9a-f]{32,}$/.test(value) ? hash(titles[name]?.[0] ?? name, value) : String(value);
}

function prompts(named) {
  const all = Object.entries(named);
  if (!all.length) return "none";
  return element("ul", {}, ...all.map(([name, text]) =>
    element("li", {}, `${name}: `, text ? element("code", {}, text) : "empty")));
}

function list(items) {
  if (!items.length) return "none";
  const all = element("ul", { class: "chips small" }, ...items.map((item) => element("li", {}, item)));
  return items.length <= 24 ? all : element("details", {}, element("summary", {}, `${whole(items.length)} of them`), all);
}

function hash(title, value) {
  return element("span", { class: "hash" },
    element("code", { title: value }, `${value.slice(0, 6)}…${value.slice(-6)}`), copyButton(title, value));
}
