// Passages in the order of their scores. Rows are kept and filled anew, so that
// nothing flickers and the focus stays where it is while somebody types.

import { element } from "./dom.js";
import { score, shortened } from "./format.js";

const FIRST = 8;
const MORE = 24;

export class Ranking {
  #list;
  #more;
  #rows = [];
  #hits = [];
  #full = 1;
  #shown = FIRST;
  #picked;
  #onPoint;

  /** `onPoint(index, isPicked)` is called where the passages are on a map, too. */
  constructor(root, onPoint) {
    this.#list = root.querySelector(".ranking");
    this.#more = root.querySelector(".more");
    this.#onPoint = onPoint;
    this.#more.addEventListener("click", () => {
      const first = this.#shown;
      this.#shown += MORE;
      this.#draw();
      this.#rows[first]?.node.focus();
    });
    if (onPoint) this.#list.addEventListener("pointerleave", () => onPoint(undefined));
  }

  /** `{ index, text, value }` each, best first; without a value there is no bar. */
  show(hits, full) {
    this.#hits = hits;
    this.#full = full;
    this.#draw();
  }

  /** Back to the first few. */
  fold() {
    this.#shown = FIRST;
  }

  /** Marks the passage, and shows it if it is in the list. */
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
    this.#more.textContent = `Show more of ${this.#hits.length}`;
  }

  /** Nodes that are there already are not moved, which would take their focus. */
  #keepNodes(count) {
    while (this.#list.childElementCount > count) this.#list.lastElementChild.remove();
    while (this.#list.childElementCount < count) this.#list.append(this.#rows[this.#list.childElementCount].node);
  }

  #newRow() {
    const row = { index: undefined };
    row.pin = this.#onPoint
      ? element("button", { type: "button", class: "pin", onclick: () => this.#onPoint(row.index, true) })
      : element("span", { class: "pin" });
    row.text = element("p", { class: "hit-text" });
    row.fill = element("span", { class: "fill" });
    row.number = element("span", { class: "number" });
    row.bar = element("div", { class: "hit-score" }, element("span", { class: "track", "aria-hidden": "true" }, row.fill), row.number);
    row.node = element("li", { class: "hit", tabindex: -1 }, row.pin, element("div", {}, row.text, row.bar));
    if (this.#onPoint) row.node.addEventListener("pointerenter", () => this.#onPoint(row.index));
    return row;
  }

  #fill(row, { index, text, value }, place) {
    row.index = index;
    row.node.classList.toggle("is-picked", index === this.#picked);
    row.pin.textContent = value === undefined ? "" : place + 1;
    row.pin.hidden = value === undefined;
    if (this.#onPoint) row.pin.setAttribute("aria-label", `${place + 1}: show on the map “${shortened(text, 40)}”`);
    row.text.textContent = text;
    row.bar.hidden = value === undefined;
    if (value === undefined) return;
    row.fill.style.setProperty("--part", Math.max(0, Math.min(value / this.#full, 1)) || 0);
    row.number.textContent = score(value);
  }
}
