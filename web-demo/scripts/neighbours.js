// The map in words: of each passage the one whose meaning is closest.

import { element } from "../ui/dom.js";
import { score, whole } from "../ui/format.js";
import { number, table } from "../ui/table.js";
import { similarityNamed } from "../ui/vectors.js";
import { shortened } from "./passages.js";

/** @import { Vector } from "../ui/vectors.js" */
/** @typedef {{ text: string, vector: Vector }} Passage */
/** @typedef {{ passages: string[], vectors: (Vector | undefined)[], similarity: string | undefined }} Shown */

/** Every row is compared with all passages. */
const ROWS_MAX = 200;

/**
 * `read()` gives what is on the map.
 *
 * @param {() => Shown} read
 */
export function neighbours(read) {
  const body = element("div");
  const node = element("details", { class: "neighbours" }, element("summary", {}, "The map as a table"), body);
  node.addEventListener("toggle", () => body.replaceChildren(...(node.open ? closest(read()) : [])));
  return { node, close: () => (node.open = false) };
}

/** @param {Shown} shown */
function closest({ passages, vectors, similarity }) {
  const known = passages.flatMap((text, index) => {
    const vector = vectors[index];
    return vector ? [{ text, vector }] : [];
  });
  const rows = known.slice(0, ROWS_MAX).map((passage) => row(passage, known, similarityNamed(similarity)));
  const rest = known.length > ROWS_MAX ? `The first ${ROWS_MAX} of ${whole(known.length)}.` : "";
  return [
    table("The map as a table", ["Passage", "Closest to it", "Similarity"], rows),
    element("p", { class: "hint" }, rest),
  ];
}

/**
 * @param {Passage} passage
 * @param {Passage[]} all
 * @param {(a: Vector, b: Vector) => number} similarity
 */
function row(passage, all, similarity) {
  let text = "none";
  let best = -Infinity;
  for (const other of all) {
    const value = other === passage ? -Infinity : similarity(passage.vector, other.vector);
    if (value > best) [text, best] = [other.text, value];
  }
  return [shortened(passage.text, 80), shortened(text, 80), number(best === -Infinity ? "" : score(best))];
}
