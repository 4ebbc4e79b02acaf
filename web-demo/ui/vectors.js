// Embeddings: their similarity scores, and what they look like.

import { copyButton } from "./clipboard.js";
import { element } from "./dom.js";
import { score, whole } from "./format.js";

/** @typedef {ArrayLike<number>} Vector */

/**
 * A token and its vector, as an answer has them; offsets are code points.
 *
 * @typedef {{
 *   embedding: number[],
 *   token_info: { token: string, token_id: number, start: number, end: number },
 * }} TokenEmbedding
 */

/** @param {Vector} a @param {Vector} b */
export function dot(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

/** @param {Vector} vector */
export const norm = (vector) => Math.sqrt(dot(vector, vector));

/** @param {Vector} a @param {Vector} b @param {number} power */
function distance(a, b, power) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += Math.abs(a[i] - b[i]) ** power;
  return sum;
}

/**
 * As sentence-transformers: a distance is negated, so that more is more alike.
 *
 * @type {Record<string, (a: Vector, b: Vector) => number>}
 */
const similarities = {
  cosine: (a, b) => dot(a, b) / (norm(a) * norm(b) || 1),
  dot,
  euclidean: (a, b) => -Math.sqrt(distance(a, b, 2)),
  manhattan: (a, b) => -distance(a, b, 1),
};

/**
 * How a model's vectors are compared, by the name in its `info`.
 *
 * @param {string} [name]
 */
export const similarityNamed = (name = "cosine") => similarities[name] ?? similarities.cosine;

/**
 * A vector that is shown on demand and can be copied.
 *
 * @param {string} text
 * @param {Vector} vector
 */
export function vectorDetails(text, vector) {
  const written = JSON.stringify(Array.from(vector));
  return element("li", {},
    element("details", {},
      element("summary", {}, element("span", { class: "clip" }, text),
        element("small", {}, `${whole(vector.length)} dimensions, L2 norm ${norm(vector).toFixed(3)}`)),
      element("code", { class: "vector", tabindex: 0 }, written)),
    copyButton(`the vector of “${text}”`, () => written));
}

/**
 * The tokens of a text by the norms of their vectors; of the one that is chosen, the
 * vector.
 *
 * @param {TokenEmbedding[]} tokens
 */
export function tokenVectors(tokens) {
  const norms = tokens.map((token) => norm(token.embedding));
  const [low, high] = [Math.min(...norms), Math.max(...norms)];
  const detail = element("ul", { class: "vectors" });
  /** @type {HTMLButtonElement[]} */
  const chips = tokens.map(({ token_info: { token, token_id: id, start, end }, embedding }, index) =>
    element("button", {
      type: "button",
      class: "token heat",
      "aria-pressed": "false",
      "--heat": high > low ? (norms[index] - low) / (high - low) : 0,
      title: `id ${id}, code points ${start}–${end}`,
      onclick() {
        chips.forEach((chip, at) => chip.setAttribute("aria-pressed", String(at === index)));
        const shown = vectorDetails(token, embedding);
        shown.querySelector("details")?.setAttribute("open", "");
        detail.replaceChildren(shown);
      },
    }, token, element("small", {}, score(norms[index]))));
  return [
    element("p", { class: "hint" }, "Each token with the L2 norm of its vector. Choose one to see the vector."),
    element("div", { class: "tokens" }, ...chips),
    detail,
  ];
}
