// Models whose results are of one text: words for masks, weights of words, and the
// vectors of tokens.

import { bars, scored } from "./bars.js";
import { announce, debounced, element } from "./dom.js";
import { wordsFor } from "./errors.js";
import { digits, duration, many, sentence, whole } from "./format.js";

const TYPING = 150;
const WEIGHTS_SHOWN = 16;
const TOKENS_SHOWN = 64;
const NUMBERS_SHOWN = 4;

/**
 * `label` and `sample` fill the form (`(info)` both), `compute(model, text, signal)`
 * gives what `draw(result)` shows, and `said` is that in a sentence.
 */
function singlePanel(root, meter, { label, sample, compute, draw, said }) {
  let model;
  let asking;
  const [field, status, result] = ["[name=text]", "[data-status]", ".own"].map((selector) => root.querySelector(selector));

  async function ask() {
    asking?.abort();
    const { signal } = (asking = new AbortController());
    status.textContent = "";
    if (!model || !field.value.trim()) return result.replaceChildren();
    const start = performance.now();
    try {
      const found = await meter.text(compute(model, field.value, signal));
      result.replaceChildren(...draw(found));
      status.textContent = `${said(found)}, in ${duration(performance.now() - start)}`;
      meter.measureMemory();
    } catch (error) {
      if (signal.aborted || error.code === "disposed") return;
      const words = wordsFor(error);
      result.replaceChildren(element("p", { class: "problem", role: "alert" }, words));
      announce(words);
    }
  }

  field.addEventListener("input", debounced(ask, TYPING));
  root.querySelector("form").addEventListener("submit", (event) => event.preventDefault());

  return {
    setModel(next) {
      if (!model) field.value = sample(next.info);
      model = next;
      root.querySelector("[data-label]").textContent = label(next.info);
      ask();
    },
    setPassages: () => undefined,
    end: () => asking?.abort(),
  };
}

// A file does not say how its tokenizer spells the mask, but families agree.
function maskToken({ architecture }) {
  return /^(xlm-?)?(roberta|camembert|mpnet|esm|ibert|data2vec)/i.test(architecture) ? "<mask>" : "[MASK]";
}

export const maskPanel = (root, meter) =>
  singlePanel(root, meter, {
    label: (info) => `Write a sentence with ${maskToken(info)} where a word is missing`,
    sample: (info) => `The capital of France is ${maskToken(info)}.`,
    compute: async (model, text, signal) => (await model.infer({ inputs: [text], top_k: 8 }, { signal })).results[0].masks,
    draw: (masks) => masks.flatMap((fillings, index) => [
      element("h3", {}, masks.length > 1 ? `Words for mask ${index + 1}` : "Likeliest words"),
      scored(fillings.map(({ token_str: word, score }) => ({ label: word, value: score }))),
    ]),
    said: (masks) => (masks.length ? `Likeliest: ${masks.map(([first]) => first?.token_str.trim()).join(", ")}` : "There is no mask in it"),
  });

/** The largest weights; of words in the text, the words. */
async function weights(model, text, signal) {
  const [{ results: [{ sparse_embedding: all }] }, { tokens }] = await Promise.all([
    model.infer({ inputs: [text] }, { signal }),
    model.tokenize(text, { signal }),
  ]);
  const words = new Map(tokens.map(({ token, token_id: id }) => [id, token]));
  const largest = all.toSorted((a, b) => b.value - a.value).slice(0, WEIGHTS_SHOWN);
  return {
    count: all.length,
    rows: largest.map(({ index, value }) => ({ label: words.get(index) ?? `#${index}`, aside: words.has(index) ? "in the text" : null, value })),
  };
}

export const sparsePanel = (root, meter) =>
  singlePanel(root, meter, {
    label: () => "Write a text to weigh",
    sample: () => "The cat sat by the window and watched the rain.",
    compute: weights,
    draw: ({ rows }) => [
      element("h3", {}, "Largest weights"),
      element("p", { class: "hint" }, "A number stands for a word of the vocabulary that is not in the text."),
      bars(rows, rows[0]?.value),
    ],
    said: ({ count }) => sentence(`${many(count, "weight")} other than zero`),
  });

const norm = (vector) => Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0));

function tokenTable(tokens) {
  const row = ({ token_info: { token }, embedding }) =>
    element("tr", {},
      element("td", {}, element("code", {}, token)),
      element("td", { class: "number" }, norm(embedding).toFixed(2)),
      element("td", {}, element("code", {}, `${embedding.slice(0, NUMBERS_SHOWN).map((value) => digits(value).padStart(8)).join("")} …`)));
  const heads = ["Token", "Norm", "First numbers of its vector"].map((title) => element("th", { scope: "col" }, title));
  return element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Tokens" },
    element("table", { class: "spans" }, element("thead", {}, element("tr", {}, ...heads)),
      element("tbody", {}, ...tokens.slice(0, TOKENS_SHOWN).map(row))));
}

export const tokensPanel = (root, meter) =>
  singlePanel(root, meter, {
    label: () => "Write a text",
    sample: () => "The bank raised its rates while we sat on the bank of the river.",
    compute: async (model, text, signal) => (await model.infer({ inputs: [text] }, { signal })).results[0].embeddings,
    draw: (tokens) => [
      tokenTable(tokens),
      tokens.length > TOKENS_SHOWN ? element("p", { class: "hint" }, `The first ${TOKENS_SHOWN} of ${whole(tokens.length)}.`) : "",
    ],
    said: (tokens) => `${many(tokens.length, "vector")} of ${whole(tokens[0]?.embedding.length ?? 0)} numbers`,
  });
