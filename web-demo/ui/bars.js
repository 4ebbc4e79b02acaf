// Scores as bars.

import { element } from "./dom.js";
import { digits, whole } from "./format.js";

/**
 * `aside` stands smaller behind the label, `rank` before it; `written` is what stands
 * at the end in place of the value.
 *
 * @typedef {{
 *   label: string,
 *   value: number,
 *   aside?: string | number | null,
 *   title?: string,
 *   rank?: number,
 *   written?: string,
 * }} Row
 */

/**
 * A bar of `full` is as long as can be.
 *
 * @param {Row[]} rows
 * @param {number} full
 */
export function bars(rows, full) {
  /** @param {Row} row */
  const row = ({ label, value, aside, title, rank, written }) =>
    element("li", { title },
      rank === undefined ? null : element("span", { class: "rank" }, rank),
      element("span", { class: "bar-label" }, label, aside == null ? null : element("small", {}, ` ${aside}`)),
      element("span", { class: value < 0 ? "track below" : "track", "aria-hidden": "true" },
        element("span", { class: "fill", "--part": Math.min(Math.abs(value) / full, 1) || 0 })),
      element("span", { class: "number" }, written ?? digits(value)));
  return element("ol", { class: "bars" }, ...rows.map(row));
}

/**
 * Probabilities fill a bar at 1; other scores at the largest of them.
 *
 * @param {number[]} values
 */
export function fullBar(values) {
  const isProbability = values.every((value) => value >= 0 && value <= 1);
  return isProbability ? 1 : Math.max(...values.map(Math.abs));
}

/**
 * The first few at once, the others on demand: some models have a thousand labels.
 *
 * @param {Row[]} rows
 * @param {number} shown
 */
export function scored(rows, shown = 10) {
  const full = fullBar(rows.map((row) => row.value));
  const [first, others] = [rows.slice(0, shown), rows.slice(shown)];
  if (!others.length) return bars(first, full);
  return element("div", {}, bars(first, full),
    element("details", { class: "others" }, element("summary", {}, `${whole(others.length)} more`), bars(others, full)));
}
