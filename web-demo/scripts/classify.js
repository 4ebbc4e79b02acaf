// Classification: the labels of a text as bars; of models for natural language
// inference, labels that the reader writes.

import { bars, fullBar, scored } from "../ui/bars.js";
import { element, find } from "../ui/dom.js";
import { digits, many } from "../ui/format.js";
import { debounced } from "./debounced.js";
import { eachPanel } from "./each.js";

/** @import { ClassScore } from "encoderfile" */
/** @import { Drawing } from "./each.js" */
/** @import { StartPanel } from "./panel.js" */

/** Labels of each passage; the others are near zero. */
const SHOWN = 3;

/** Labels whose passages are counted. */
const COUNTED = 8;

/** @param {ClassScore[]} scores */
const rows = (scores) => scores.map(({ label, score }) => ({ label, value: score }));

/** @param {string} text @param {ClassScore[]} scores */
function passage(text, scores) {
  const full = fullBar(scores.map(({ score }) => score));
  return element("div", { class: "labelled" }, element("p", {}, text), bars(rows(scores.slice(0, SHOWN)), full));
}

/**
 * How many passages have which label first.
 *
 * @param {ClassScore[][]} results
 */
function distribution(results) {
  /** @type {Map<string, number>} */
  const counts = new Map();
  for (const [{ label }] of results) counts.set(label, (counts.get(label) ?? 0) + 1);
  const sorted = [...counts].sort(([, a], [, b]) => b - a);
  const most = sorted.slice(0, COUNTED).map(([label, count]) => ({ label, value: count, written: many(count, "passage") }));
  return element("div", { class: "distribution", role: "group", "aria-label": "Passages by their first label" },
    bars(most, results.length));
}

/** @type {Drawing<ClassScore[]>} */
const drawn = {
  own: (_, scores) => scored(rows(scores)),
  each: passage,
  summary: distribution,
  said: ([best]) => `${best.label}, ${digits(best.score)}`,
};

/** @type {StartPanel} */
export const classifyPanel = (root, meter) =>
  eachPanel(root, meter, {
    verb: "Classified",
    compute: (model, text, signal) => model.classify(text, { signal }),
    ...drawn,
  });

/** @type {StartPanel} */
export function zeroShotPanel(root, meter) {
  const field = find(root, "[name=labels]", HTMLInputElement);
  const labels = () => [...new Set(field.value.split(",").map((label) => label.trim()).filter(Boolean))];
  const panel = eachPanel(root, meter, {
    verb: "Classified",
    compute: (model, text, signal) => model.classify(text, { labels: labels(), signal }),
    ...drawn,
  });
  const again = () => {
    if (labels().length) panel.again();
  };
  field.addEventListener("input", debounced(again, 400));
  return panel;
}
