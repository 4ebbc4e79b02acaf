// The map in words: of each passage the one whose meaning is closest.

import { element } from "./dom.js";
import { score, shortened, whole } from "./format.js";
import { similarityNamed } from "./vectors.js";

/** Every row is compared with all passages. */
const ROWS_MAX = 200;

/** `read()` gives passages, their vectors and how those are compared. */
export function neighbours(read) {
  const body = element("div");
  const node = element("details", { class: "neighbours" }, element("summary", {}, "The map as a table"), body);
  node.addEventListener("toggle", () => body.replaceChildren(...(node.open ? table(...read()) : [])));
  return { node, close: () => (node.open = false) };
}

function table(passages, vectors, similarity) {
  const known = passages.map((text, index) => ({ text, vector: vectors[index] })).filter(({ vector }) => vector);
  const rows = known.slice(0, ROWS_MAX).map((passage) => row(passage, known, similarityNamed(similarity)));
  const heads = ["Passage", "Closest to it", "Similarity"].map((title) => element("th", { scope: "col" }, title));
  const rest = known.length > ROWS_MAX ? `The first ${ROWS_MAX} of ${whole(known.length)}.` : "";
  return [
    element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "The map as a table" },
      element("table", { class: "spans" }, element("thead", {}, element("tr", {}, ...heads)), element("tbody", {}, ...rows))),
    element("p", { class: "hint" }, rest),
  ];
}

function row(passage, all, similarity) {
  let [closest, best] = [undefined, -Infinity];
  for (const other of all) {
    const value = other === passage ? -Infinity : similarity(passage.vector, other.vector);
    if (value > best) [closest, best] = [other, value];
  }
  return element("tr", {},
    element("td", {}, shortened(passage.text, 80)),
    element("td", {}, closest ? shortened(closest.text, 80) : "none"),
    element("td", { class: "number" }, closest ? score(best) : ""));
}
