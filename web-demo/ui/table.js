// Tables that scroll by themselves where the page is narrow.

import { element } from "./dom.js";

/** @import { Child } from "./dom.js" */

/** A cell whose content is at its right. @param {string} content */
export const number = (content) => element("td", { class: "number" }, content);

/**
 * Rows are cells or what is in them; the head of a number is at the right as well.
 *
 * @param {string} name
 * @param {string[]} heads
 * @param {Child[][]} rows
 */
export function table(name, heads, rows) {
  /** @param {Child} it */
  const cell = (it) => (it instanceof HTMLTableCellElement ? it : element("td", {}, it));
  const body = rows.map((row) => element("tr", {}, ...row.map(cell)));
  const head = heads.map((title, at) => element("th", { scope: "col", class: body[0]?.cells[at].className || null }, title));
  return element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": name },
    element("table", { class: "table" },
      element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...body)));
}
