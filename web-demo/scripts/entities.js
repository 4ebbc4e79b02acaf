// Entities: spans of a text, marked with what they are.

import { element } from "../ui/dom.js";
import { many } from "../ui/format.js";
import { kindClass, kindsOf, marked, spanTable, withoutPosition } from "../ui/spans.js";
import { eachPanel } from "./each.js";

/** @import { Encoderfile, Entity } from "encoderfile" */
/** @import { Span } from "../ui/spans.js" */
/** @import { StartPanel } from "./panel.js" */

/** Tokens that neighbouring windows of a long text share. */
const STRIDE = 16;

/** @param {Encoderfile} model */
const kinds = ({ info }) => kindsOf(info.labels ?? []);

/** @param {Entity[]} entities @returns {Span[]} */
const spans = (entities) =>
  entities.map(({ start, end, entity_group: label, score }) => ({ start, end, label, score, offsets: `${start}–${end}` }));

/** @param {string} text @param {Entity[]} entities @param {Encoderfile} model */
const mark = (text, entities, model) => marked(text, spans(entities), kinds(model));

/**
 * Every kind with its colour and how often it was found.
 *
 * @param {Entity[][]} results
 * @param {Encoderfile} model
 */
function legend(results, model) {
  const all = results.flat();
  /** @param {string} kind */
  const count = (kind) => all.filter(({ entity_group: label }) => withoutPosition(label) === kind).length;
  return element("ul", { class: "legend", "aria-label": "Kinds" },
    ...kinds(model).map((kind) => element("li", {},
      element("span", { class: kindClass(kind, kinds(model)) }, kind), element("span", { class: "number" }, count(kind)))));
}

/** @type {StartPanel} */
export const entitiesPanel = (root, meter) =>
  eachPanel(root, meter, {
    verb: "Read",
    // Of whole words: a kind for a part of one would only be a mistake.
    compute: (model, text, signal) => model.entities(text, { aggregation: "first", stride: STRIDE, signal }),
    own: (text, entities, model) =>
      element("div", {}, mark(text, entities, model),
        entities.length
          ? spanTable(text, spans(entities), kinds(model), "UTF-16 units")
          : element("p", { class: "hint" }, "Nothing was found.")),
    each: mark,
    summary: legend,
    said: (entities) => (entities.length ? `${many(entities.length, "span")} found` : "Nothing was found"),
  });
