// Labelled parts of a text, marked in it and in a table. Each kind of label has a
// colour, and its name beside it.

import { element } from "./dom.js";
import { digits } from "./format.js";
import { number, table } from "./table.js";

/**
 * `start` and `end` are UTF-16 units, as everywhere in JavaScript; `offsets` is what
 * the model's answer says, whatever its unit.
 *
 * @typedef {{ start: number, end: number, label: string, score: number, offsets: string }} Span
 */

const COLOURS = 8;

/** @param {string} label */
export const withoutPosition = (label) => label.replace(/^[BIESLU]-/, "");

/**
 * The kinds that a model knows, in its order.
 *
 * @param {string[]} labels
 */
export function kindsOf(labels) {
  return [...new Set(labels.map(withoutPosition))].filter((kind) => kind !== "O");
}

/**
 * @param {string} label
 * @param {string[]} kinds
 */
export function kindClass(label, kinds) {
  return `kind kind-${Math.max(kinds.indexOf(withoutPosition(label)), 0) % COLOURS}`;
}

/**
 * The text as it was written, with its spans marked.
 *
 * @param {string} text
 * @param {Span[]} spans
 * @param {string[]} kinds
 */
export function marked(text, spans, kinds) {
  const pieces = [];
  let done = 0;
  for (const { start, end, label, score } of spans.slice().sort((a, b) => a.start - b.start)) {
    if (start < done || end <= start) continue;
    pieces.push(text.slice(done, start),
      element("mark", { class: kindClass(label, kinds), title: `${label} ${digits(score)}` },
        text.slice(start, end), element("span", { class: "kind-name" }, label)));
    done = end;
  }
  return element("p", { class: "marked" }, ...pieces, text.slice(done));
}

/**
 * @param {string} text
 * @param {Span[]} spans
 * @param {string[]} kinds
 * @param {string} unit of `offsets`
 */
export function spanTable(text, spans, kinds, unit) {
  const rows = spans.map(({ start, end, label, score, offsets }) => [
    text.slice(start, end),
    element("span", { class: kindClass(label, kinds) }, label),
    number(digits(score)),
    number(offsets),
  ]);
  return table("Spans", ["Span", "Label", "Score", unit], rows);
}
