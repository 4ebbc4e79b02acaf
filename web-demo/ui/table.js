// Tables that scroll by themselves where the page is narrow.

import { element } from "./dom.js";

/** @import { Child } from "./dom.js" */

/**
 * A cell; numbers are at its right.
 *
 * @typedef {{ content: Child, isNumber?: boolean }} Cell
 */

/** @param {string} content @returns {Cell} */
export const number = (content) => ({ content, isNumber: true });

/**
 * @param {string} name
 * @param {string[]} heads
 * @param {(Cell | Child)[][]} rows
 */
export function table(name, heads, rows) {
  const isNumber = heads.map((_, at) => rows.some((row) => isCell(row[at]) && row[at].isNumber));
  const headRow = heads.map((title, at) => element("th", { scope: "col", class: isNumber[at] && "number" }, title));
  const bodyRows = rows.map((row) => element("tr", {}, ...row.map(cell)));
  return element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": name },
    element("table", { class: "table" },
      element("thead", {}, element("tr", {}, ...headRow)), element("tbody", {}, ...bodyRows)));
}

/** @param {Cell | Child} it @returns {it is Cell} */
const isCell = (it) => typeof it === "object" && it !== null && "content" in it && !(it instanceof Node);

/** @param {Cell | Child} it */
function cell(it) {
  return isCell(it) ? element("td", { class: it.isNumber && "number" }, it.content) : element("td", {}, it);
}
