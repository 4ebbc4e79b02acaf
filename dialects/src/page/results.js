// What only this page draws: texts that were truncated, similarities of all to all, and
// spans of code points.

import { element } from "../ui/dom.js";
import { digits, score, whole } from "../ui/format.js";
import { kindsOf, marked, spanTable } from "../ui/spans.js";

/** @import { Entity, FileInfo, Result } from "./answers.js" */
/** @import { Span } from "../ui/spans.js" */

/**
 * Which texts the model did not read to their end.
 *
 * @param {Result[]} results
 */
export function cuts(results) {
  const cut = results
    .map((result, at) => ({ ...result, place: result.index ?? at }))
    .filter((result) => result.tokens_used < result.tokens_total)
    .map(({ place, tokens_total: total, tokens_used: used }) => {
      const which = results.length > 1 ? `Text ${place + 1}` : "The text";
      return element("li", {}, `${which} was truncated: the model read ${whole(used)} of its ${whole(total)} tokens.`);
    });
  return cut.length ? element("ul", { class: "notice" }, ...cut) : null;
}

/**
 * The similarity of each text to each; `name` is how they are compared.
 *
 * @param {string[]} texts
 * @param {number[][]} rows
 * @param {string} name
 */
export function heatMap(texts, rows, name) {
  const values = rows.flat().filter(Number.isFinite);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  /** @param {number} value */
  const heat = (value) => (high > low ? (value - low) / (high - low) : 1);
  /** @param {number} index @param {string} scope */
  const heading = (index, scope) =>
    element("th", { scope, title: texts[index] },
      element("span", { class: "heading" }, element("b", {}, index + 1), ` ${texts[index]}`));
  /** @param {number} value @param {number} row @param {number} column */
  const cell = (value, row, column) =>
    element("td", { class: "heat", "--heat": heat(value) || 0, title: `${row + 1} and ${column + 1}: ${digits(value)}` }, score(value));
  const head = element("tr", {}, element("td"), ...texts.map((_, index) => heading(index, "col")));
  const body = rows.map((row, at) =>
    element("tr", {}, heading(at, "row"), ...row.map((value, column) => cell(value, at, column))));
  const caption = element("caption", { class: "unseen" }, "Similarity of each text to each");
  const box = element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Similarities" },
    element("table", { class: "matrix" }, caption, element("thead", {}, head), element("tbody", {}, ...body)));
  const legend = element("p", { class: "hint legend" }, `${name} similarity`,
    element("span", { class: "ends" }, score(low), element("span", { class: "ramp", "aria-hidden": "true" }), score(high)));
  return element("figure", {}, box, legend);
}

/**
 * A text with what was found in it.
 *
 * @param {string} text
 * @param {Entity[]} entities
 * @param {FileInfo} info
 */
export function foundIn(text, entities, { labels = [] }) {
  const kinds = kindsOf(labels);
  const spans = inUnits(text, entities);
  return [marked(text, spans, kinds), spans.length ? spanTable(text, spans, kinds, "Code points") : null];
}

/**
 * The server counts code points, JavaScript UTF-16 units.
 *
 * @param {string} text
 * @param {Entity[]} entities
 * @returns {Span[]}
 */
function inUnits(text, entities) {
  const units = [0];
  for (const point of text) units.push(units[units.length - 1] + point.length);
  return entities.map(({ entity_group, entity, score, start, end }) => ({
    start: units[start],
    end: units[end],
    label: entity_group ?? entity ?? "",
    score,
    offsets: `${start}–${end}`,
  }));
}
