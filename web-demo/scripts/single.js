// Models whose results are of one text: tokens for masks, sparse embeddings, and the
// vectors of tokens.

import { bars, scored } from "../ui/bars.js";
import { announce, element, find, problem } from "../ui/dom.js";
import { duration, many } from "../ui/format.js";
import { tokenVectors } from "../ui/vectors.js";
import { debounced } from "./debounced.js";
import { isDropped, wordsFor } from "./errors.js";

/** @import { Encoderfile, Info } from "encoderfile" */
/** @import { Row } from "../ui/bars.js" */
/** @import { TokenEmbedding } from "../ui/vectors.js" */
/** @import { Meter } from "./meter.js" */
/** @import { Panel, StartPanel } from "./panel.js" */

const TYPING = 150;
const FILLINGS_SHOWN = 8;
const WEIGHTS_SHOWN = 16;

/**
 * `label` and `sample` fill the form, `compute` gives what `draw` shows, and `said` is
 * that in a sentence.
 *
 * @template R
 * @typedef {{
 *   label(info: Info): string,
 *   sample(info: Info): string,
 *   compute(model: Encoderfile, text: string, signal: AbortSignal): Promise<R>,
 *   draw(result: R): Node[],
 *   said(result: R): string,
 * }} Single
 */

/**
 * @template R
 * @param {HTMLElement} root
 * @param {Meter} meter
 * @param {Single<R>} what
 * @returns {Panel}
 */
function singlePanel(root, meter, { label, sample, compute, draw, said }) {
  /** @type {Encoderfile | undefined} */
  let model;
  /** @type {AbortController | undefined} */
  let asking;
  const field = find(root, "[name=text]", HTMLTextAreaElement);
  const [status, result] = ["[data-status]", ".own"].map((selector) => find(root, selector));

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
      if (isDropped(error, signal)) return;
      const words = wordsFor(error);
      result.replaceChildren(problem(words));
      announce(words);
    }
  }

  field.addEventListener("input", debounced(ask, TYPING));
  find(root, "form").addEventListener("submit", (event) => event.preventDefault());

  return {
    setModel(next) {
      if (!model) field.value = sample(next.info);
      model = next;
      find(root, "[data-label]").textContent = label(next.info);
      ask();
    },
    setPassages: () => undefined,
    end: () => asking?.abort(),
  };
}

/** A file does not say how its tokenizer spells the mask, but families agree. @param {Info} info */
function maskToken({ architecture }) {
  return /^(xlm-?)?(roberta|camembert|mpnet|esm|ibert|data2vec)/i.test(architecture) ? "<mask>" : "[MASK]";
}

/** @type {StartPanel} */
export const maskPanel = (root, meter) =>
  singlePanel(root, meter, {
    label: (info) => `Write a sentence with ${maskToken(info)} where a word is missing`,
    sample: (info) => `The capital of France is ${maskToken(info)}.`,
    compute: masks,
    draw: (masks) => masks.flatMap((fillings, index) => [
      element("h3", {}, masks.length > 1 ? `Likeliest tokens for mask ${index + 1}` : "Likeliest tokens"),
      scored(fillings.map(({ token_str: token, score }) => ({ label: token, value: score }))),
    ]),
    said: (masks) => (masks.length ? `Likeliest: ${masks.map(([first]) => first?.token_str.trim()).join(", ")}` : "There is no mask in it"),
  });

/**
 * @param {Encoderfile} model
 * @param {string} text
 * @param {AbortSignal} signal
 * @returns {Promise<{ token_str: string, score: number }[][]>}
 */
async function masks(model, text, signal) {
  const { results } = await model.infer({ inputs: [text], top_k: FILLINGS_SHOWN }, { signal });
  return results[0].masks;
}

/** @type {StartPanel} */
export const sparsePanel = (root, meter) =>
  singlePanel(root, meter, {
    label: () => "Write a text",
    sample: () => "The cat sat by the window and watched the rain.",
    compute: weights,
    draw: ({ rows }) => [
      element("h3", {}, "Largest weights"),
      element("p", { class: "hint" }, "A number is the id of a token that is not in the text."),
      bars(rows, rows[0]?.value ?? 1),
    ],
    said: ({ count }) => many(count, "non-zero weight"),
  });

/**
 * The largest weights; of tokens in the text, the tokens.
 *
 * @param {Encoderfile} model
 * @param {string} text
 * @param {AbortSignal} signal
 * @returns {Promise<{ count: number, rows: Row[] }>}
 */
async function weights(model, text, signal) {
  const [{ results }, { tokens }] = await Promise.all([
    model.infer({ inputs: [text] }, { signal }),
    model.tokenize(text, { signal }),
  ]);
  /** @type {{ index: number, value: number }[]} */
  const all = results[0].sparse_embedding;
  const words = new Map(tokens.map(({ token, token_id: id }) => [id, token]));
  const largest = all.slice().sort((a, b) => b.value - a.value).slice(0, WEIGHTS_SHOWN);
  return {
    count: all.length,
    rows: largest.map(({ index, value }) => ({ label: words.get(index) ?? `#${index}`, aside: words.has(index) ? "in the text" : null, value })),
  };
}

/** @type {StartPanel} */
export const tokensPanel = (root, meter) =>
  singlePanel(root, meter, {
    label: () => "Write a text",
    sample: () => "The bank raised its rates while we sat on the bank of the river.",
    compute: tokens,
    draw: tokenVectors,
    said: (tokens) => `${many(tokens.length, "vector")} of ${many(tokens[0]?.embedding.length ?? 0, "dimension")}`,
  });

/**
 * @param {Encoderfile} model
 * @param {string} text
 * @param {AbortSignal} signal
 * @returns {Promise<TokenEmbedding[]>}
 */
async function tokens(model, text, signal) {
  const { results } = await model.infer({ inputs: [text] }, { signal });
  return results[0].embeddings;
}
