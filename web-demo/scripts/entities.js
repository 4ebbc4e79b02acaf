// Entities: parts of a text marked with what they are. Each kind has a colour, and
// its name beside it.

import { eachPanel } from "./each.js";
import { element } from "./dom.js";
import { digits, many } from "./format.js";

/** Tokens that neighbouring windows of a long text share. */
const STRIDE = 16;

const COLOURS = 8;

const withoutPosition = (label) => label.replace(/^[BIESLU]-/, "");

/** The kinds a model knows, in its order. */
function kinds({ labels = [] }) {
  return [...new Set(labels.map(withoutPosition))].filter((kind) => kind !== "O");
}

const kindClass = (label, info) => `kind kind-${Math.max(kinds(info).indexOf(withoutPosition(label)), 0) % COLOURS}`;

/** The text as it was written, with its entities marked. */
function marked(text, entities, { info }) {
  const pieces = [];
  let end = 0;
  for (const { start, end: until, entity_group: label, score } of entities) {
    if (start < end || until <= start) continue;
    pieces.push(text.slice(end, start),
      element("mark", { class: kindClass(label, info), title: `${label} ${digits(score)}` },
        text.slice(start, until), element("span", { class: "kind-name" }, label)));
    end = until;
  }
  return element("p", { class: "marked" }, ...pieces, text.slice(end));
}

function table(text, entities, { info }) {
  const row = ({ start, end, entity_group: label, score }) =>
    element("tr", {},
      element("td", {}, text.slice(start, end)),
      element("td", {}, element("span", { class: kindClass(label, info) }, label)),
      element("td", { class: "number" }, digits(score)));
  const heads = ["Found", "Kind", "Score"].map((title) => element("th", { scope: "col" }, title));
  return element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Entities" },
    element("table", { class: "spans" }, element("thead", {}, element("tr", {}, ...heads)),
      element("tbody", {}, ...entities.map(row))));
}

/** Every kind with its colour and how often it was found. */
function legend(results, { info }) {
  const all = results.flat();
  const count = (kind) => all.filter(({ entity_group: label }) => withoutPosition(label) === kind).length;
  return element("ul", { class: "legend", "aria-label": "Kinds" },
    ...kinds(info).map((kind) => element("li", {},
      element("span", { class: kindClass(kind, info) }, kind), element("span", { class: "number" }, `${count(kind)}`))));
}

export const entitiesPanel = (root, meter) =>
  eachPanel(root, meter, {
    verb: "Read",
    // Of whole words: a kind for a part of one would only be a mistake.
    compute: (model, text, signal) => model.entities(text, { aggregation: "first", stride: STRIDE, signal }),
    own: (text, entities, model) =>
      element("div", {}, marked(text, entities, model),
        entities.length ? table(text, entities, model) : element("p", { class: "hint" }, "Nothing was found.")),
    each: marked,
    summary: legend,
    said: (entities) => (entities.length ? `${many(entities.length, "span")} found` : "Nothing was found"),
  });
