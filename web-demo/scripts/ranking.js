// Passages in the order of their scores. Rows are kept and filled anew, so that
// nothing flickers and the focus stays where it is while somebody types.

import { element, find } from "../ui/dom.js";
import { score, whole } from "../ui/format.js";
import { shortened } from "./passages.js";

/** @import { Hit } from "./panel.js" */

/**
 * Its elements, which are filled with one passage after another.
 *
 * @typedef {{
 *   index: number | undefined,
 *   node: HTMLElement,
 *   pin: HTMLElement,
 *   text: HTMLElement,
 *   bar: HTMLElement,
 *   fill: HTMLElement,
 *   number: HTMLElement,
 * }} Row
 */

const FIRST = 8;
const MORE = 24;

export class Ranking {
  #list;
  #more;
  /** @type {Row[]} */
  #rows = [];
  /** @type {Hit[]} */
  #hits = [];
  #full = 1;
  #shown = FIRST;
  /** @type {number | undefined} */
  #picked;
  #onPoint;

  /**
   * `onPoint` is called where the passages are on a map, too.
   *
   * @param {HTMLElement} root
   * @param {(index: number | undefined, isPicked?: boolean) => void} [onPoint]
   */
  constructor(root, onPoint) {
    this.#list = find(root, ".ranking");
    this.#more = find(root, ".more");
    this.#onPoint = onPoint;
    this.#more.addEventListener("click", () => {
      const first = this.#shown;
      this.#shown += MORE;
      this.#draw();
      this.#rows[first]?.node.focus();
    });
    if (onPoint) this.#list.addEventListener("pointerleave", () => onPoint(undefined));
  }

  /**
   * Best first; without a value there is no bar.
   *
   * @param {Hit[]} hits
   * @param {number} full
   */
  show(hits, full) {
    this.#hits = hits;
    this.#full = full;
    this.#draw();
  }

  /** Back to the first few. */
  fold() {
    this.#shown = FIRST;
  }

  /** Marks the passage, and shows it if it is in the list. @param {number} index */
  pick(index) {
    this.#picked = index;
    this.#draw();
    this.#rows.find((row) => row.index === index)?.node.scrollIntoView({ block: "nearest" });
  }

  #draw() {
    const hits = this.#hits.slice(0, this.#shown);
    while (this.#rows.length < hits.length) this.#rows.push(this.#newRow());
    this.#keepNodes(hits.length);
    hits.forEach((hit, place) => this.#fill(this.#rows[place], hit, place));
    this.#more.hidden = this.#hits.length <= this.#shown;
    this.#more.textContent = `Show more of ${whole(this.#hits.length)}`;
  }

  /** Nodes that are there already are not moved, which would take their focus. @param {number} count */
  #keepNodes(count) {
    while (this.#list.childElementCount > count) this.#list.lastElementChild?.remove();
    while (this.#list.childElementCount < count) this.#list.append(this.#rows[this.#list.childElementCount].node);
  }

  /** @returns {Row} */
  #newRow() {
    const onPoint = this.#onPoint;
    const pin = onPoint
      ? element("button", { type: "button", class: "pin", onclick: () => onPoint(row.index, true) })
      : element("span", { class: "pin" });
    const text = element("p", { class: "hit-text" });
    const fill = element("span", { class: "fill" });
    const number = element("span", { class: "number" });
    const bar = element("div", { class: "hit-score" }, element("span", { class: "track", "aria-hidden": "true" }, fill), number);
    const node = element("li", { class: "hit", tabindex: -1 }, pin, element("div", {}, text, bar));
    /** @type {Row} */
    const row = { index: undefined, node, pin, text, bar, fill, number };
    if (onPoint) node.addEventListener("pointerenter", () => onPoint(row.index));
    return row;
  }

  /** @param {Row} row @param {Hit} hit @param {number} place */
  #fill(row, { index, text, value }, place) {
    row.index = index;
    row.node.classList.toggle("is-picked", index === this.#picked);
    row.pin.textContent = value === undefined ? "" : String(place + 1);
    row.pin.hidden = value === undefined;
    if (this.#onPoint) row.pin.setAttribute("aria-label", `${place + 1}: show on the map “${shortened(text, 40)}”`);
    row.text.textContent = text;
    row.bar.hidden = value === undefined;
    if (value === undefined) return;
    row.fill.style.setProperty("--part", String(Math.max(0, Math.min(value / this.#full, 1)) || 0));
    row.number.textContent = score(value);
  }
}
