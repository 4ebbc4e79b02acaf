// Classification: the labels of a text as bars; of models for natural language
// inference, labels that the reader writes.

import { bars, fullBar, scored } from "./bars.js";
import { debounced, element } from "./dom.js";
import { eachPanel } from "./each.js";
import { digits, many } from "./format.js";

/** Labels of each passage; the others are near zero. */
const SHOWN = 3;

const rows = (scores) => scores.map(({ label, score }) => ({ label, value: score }));

function passage(text, scores) {
  const full = fullBar(scores.map(({ score }) => score));
  return element("div", { class: "labelled" }, element("p", {}, text), bars(rows(scores.slice(0, SHOWN)), full));
}

/** How many passages have which label first. */
function distribution(results) {
  const counts = new Map();
  for (const [{ label }] of results) counts.set(label, (counts.get(label) ?? 0) + 1);
  const sorted = [...counts].sort(([, a], [, b]) => b - a);
  const most = sorted.slice(0, 8).map(([label, count]) => ({ label, value: count, written: many(count, "passage") }));
  return element("div", { class: "distribution", role: "group", "aria-label": "Passages by their first label" },
    bars(most, results.length));
}

const drawn = {
  own: (_, scores) => scored(rows(scores)),
  each: passage,
  summary: distribution,
  said: ([best]) => `${best.label}, ${digits(best.score)}`,
};

export const classifyPanel = (root, meter) =>
  eachPanel(root, meter, {
    verb: "Classified",
    compute: (model, text, signal) => model.classify(text, { signal }),
    ...drawn,
  });

export function zeroShotPanel(root, meter) {
  const field = root.querySelector("[name=labels]");
  const labels = () => [...new Set(field.value.split(",").map((label) => label.trim()).filter(Boolean))];
  const panel = eachPanel(root, meter, {
    verb: "Classified",
    compute: (model, text, signal) => model.classify(text, { labels: labels(), signal }),
    ...drawn,
  });
  field.addEventListener("input", debounced(() => labels().length && panel.again(), 400));
  return panel;
}
